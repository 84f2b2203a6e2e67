use std::collections::BTreeSet;
use std::num::NonZeroU32;

use proptest::prelude::*;

use super::{Asked, decide};
use crate::decision::{Dataplane, Decision, Limits, Offload, Scheduler, SchedulerFlags};
use crate::fixtures::at;
use crate::net::Protocol;
use crate::state::{MAX_WEIGHT, Weight};
use crate::view::KernelAbilities;
use crate::wish::{self, Interfaces, Wish};

/// A kernel with these dataplanes and every scheduler that they can have.
fn kernel(dataplanes: &[&str], flowtable: bool) -> KernelAbilities {
    let names = |on: fn(Scheduler) -> bool| {
        let all = Scheduler::ALL.into_iter().filter(|s| on(*s));
        all.map(|s| s.as_str().to_owned()).collect()
    };
    KernelAbilities {
        release: "6.12.0".into(),
        dataplanes: dataplanes.iter().map(|d| (*d).to_owned()).collect(),
        ipvs_schedulers: names(Scheduler::on_ipvs),
        nftables_schedulers: names(Scheduler::on_nftables),
        flowtable,
    }
}

fn both() -> KernelAbilities {
    kernel(&["ipvs", "nftables"], true)
}

/// TCP, three endpoints of which one isn't in use, no affinity, `auto`, rr.
fn asked(kernel: &KernelAbilities) -> Asked<'_> {
    Asked {
        protocol: Protocol::Tcp,
        endpoints: BTreeSet::from([at("10.0.0.1:80"), at("10.0.0.9:80"), at("[fd00::a]:80")]),
        in_use: [["10.0.0.1:80"], ["[fd00::a]:80"]].map(|set| set.map(at).into()).into(),
        affinity_seconds: None,
        unserved: Vec::new(),
        splits: false,
        kernel,
        dataplane: None,
        scheduler: Scheduler::Rr,
        offload: Offload::Never,
        limits: None,
    }
}

/// The decision on the wishes of policies `a`, `b`, … in this order.
fn on(kernel: &KernelAbilities, wishes: &[Wish]) -> Decision {
    decide(&asked(kernel), &named(wishes))
}

fn named(wishes: &[Wish]) -> Vec<(String, Wish)> {
    let names = ('a'..).map(|c| c.to_string());
    names.zip(wishes.iter().cloned()).collect()
}

fn scheduler(name: &str) -> Wish {
    Wish { scheduler: Some(name.into()), ..Wish::default() }
}

fn dataplane(name: &str) -> Wish {
    Wish { dataplane: Some(name.into()), ..Wish::default() }
}

fn after(packets: u32) -> Wish {
    Wish { offload: Some(wish::Offload::After(packets)), ..Wish::default() }
}

fn flags_of(names: &[&str]) -> Wish {
    let names = names.iter().map(|n| (*n).to_owned()).collect();
    Wish { scheduler_flags: Some(names), ..Wish::default() }
}

fn weights_of(list: &[(&str, u16, u32)]) -> Wish {
    let weight = |&(address, port, weight): &(&str, u16, u32)| wish::Weight {
        address: address.into(),
        port,
        weight,
    };
    Wish { weights: Some(list.iter().map(weight).collect()), ..Wish::default() }
}

/// The opinions of two wishes together; the first one's where both have one.
fn and(a: Wish, b: Wish) -> Wish {
    Wish {
        dataplane: a.dataplane.or(b.dataplane),
        scheduler: a.scheduler.or(b.scheduler),
        scheduler_flags: a.scheduler_flags.or(b.scheduler_flags),
        offload: a.offload.or(b.offload),
        ..a
    }
}

fn reasons(decision: &Decision) -> Vec<String> {
    decision.reasons.iter().map(ToString::to_string).collect()
}

/// Dataplane, scheduler and offload, each with who chose it.
fn chosen(decision: &Decision) -> [String; 3] {
    [
        format!("{} {}", decision.dataplane.value, decision.dataplane.by),
        format!("{} {}", decision.scheduler.value, decision.scheduler.by),
        format!("{} {}", decision.offload.value, decision.offload.by),
    ]
}

#[test]
fn without_a_wish_everything_is_by_default() {
    let default = on(&kernel(&["ipvs"], false), &[]);
    assert_eq!(chosen(&default), ["ipvs default", "rr default", "never default"]);
    assert!(default.flags.value.is_empty() && default.weights.is_empty());
    assert_eq!((default.affinity.value, default.affinity.by.as_str()), (None, "default"));
    assert_eq!((default.interfaces, default.re_evaluate), (None, None));
    assert!(default.notes.is_empty() && default.reasons.is_empty());
    let no_opinion = on(&kernel(&["ipvs"], false), &[Wish::default(), Wish::default()]);
    assert_eq!(chosen(&no_opinion), ["ipvs default", "rr default", "never default"]);
}

#[test]
fn the_node_default_where_nobody_has_an_opinion() {
    let ipvs = Some(Dataplane::Ipvs);
    let nft = Some(Dataplane::Nftables);
    let cases = [
        ("auto, both, flowtable", None, both(), Dataplane::Nftables),
        ("auto, both, no flowtable", None, kernel(&["ipvs", "nftables"], false), Dataplane::Ipvs),
        ("auto, no ipvs, no flowtable", None, kernel(&["nftables"], false), Dataplane::Nftables),
        ("auto, no nftables", None, kernel(&["ipvs"], true), Dataplane::Ipvs),
        ("ipvs", ipvs, both(), Dataplane::Ipvs),
        ("nftables", nft, kernel(&["ipvs", "nftables"], false), Dataplane::Nftables),
    ];
    for (name, default, kernel, want) in cases {
        let decision = decide(&Asked { dataplane: default, ..asked(&kernel) }, &[]);
        assert_eq!(decision.dataplane.value, want, "{name}");
        assert!(decision.reasons.is_empty(), "{name}");
    }
}

#[test]
fn the_dataplane_follows_from_scheduler_and_offload() {
    type Case<'a> = (&'a str, KernelAbilities, Vec<Wish>, [&'a str; 3], Option<&'a str>);
    let unoffloadable = "offload (a): set aside: connections balanced by IPVS can't be offloaded";
    let no_flowtable = "offload (a): set aside: this kernel has no flowtables";
    let cases: Vec<Case<'_>> = vec![
        ("stateful", both(), vec![scheduler("lc")], ["ipvs a", "lc a", "never default"], None),
        (
            "stateless leaves it open",
            both(),
            vec![scheduler("rr")],
            ["nftables default", "rr a", "never default"],
            None,
        ),
        (
            "only nftables has it",
            kernel(&["ipvs", "nftables"], false),
            vec![scheduler("random")],
            ["nftables a", "random a", "never default"],
            None,
        ),
        (
            "offload",
            both(),
            vec![after(20)],
            ["nftables a", "random default", "after 20 packets a"],
            None,
        ),
        (
            "offload and stateless",
            both(),
            vec![and(after(20), scheduler("sh"))],
            ["nftables a", "sh a", "after 20 packets a"],
            None,
        ),
        (
            "offload and stateful",
            both(),
            vec![and(after(20), scheduler("wlc"))],
            ["ipvs a", "wlc a", "never default"],
            Some(unoffloadable),
        ),
        (
            "offload here, stateful there",
            both(),
            vec![after(20), scheduler("wlc")],
            ["ipvs b", "wlc b", "never default"],
            Some(unoffloadable),
        ),
        (
            "never",
            both(),
            vec![Wish { offload: Some(wish::Offload::Never), ..scheduler("lc") }],
            ["ipvs a", "lc a", "never a"],
            None,
        ),
        (
            "an offload that can't be had moves nothing",
            kernel(&["ipvs", "nftables"], false),
            vec![after(20)],
            ["ipvs default", "rr default", "never default"],
            Some(no_flowtable),
        ),
        (
            "named",
            both(),
            vec![and(dataplane("ipvs"), scheduler("sh"))],
            ["ipvs a", "sh a", "never default"],
            None,
        ),
        (
            "named, offload set aside",
            both(),
            vec![and(dataplane("ipvs"), after(20))],
            ["ipvs a", "rr default", "never default"],
            Some(unoffloadable),
        ),
        (
            "named, no flowtable",
            kernel(&["ipvs", "nftables"], false),
            vec![and(dataplane("nftables"), after(20))],
            ["nftables a", "random default", "never default"],
            Some(no_flowtable),
        ),
    ];
    for (name, kernel, wishes, want, because) in cases {
        let decision = on(&kernel, &wishes);
        assert_eq!(chosen(&decision), want, "{name}");
        assert_eq!(reasons(&decision), Vec::from_iter(because), "{name}");
    }
}

#[test]
fn sctp_is_never_offloaded_and_moved_for_it() {
    let kernel = both();
    let asked =
        Asked { protocol: Protocol::Sctp, dataplane: Some(Dataplane::Ipvs), ..asked(&kernel) };
    let decision = decide(&asked, &named(&[after(20)]));
    assert_eq!(chosen(&decision), ["ipvs default", "rr default", "never default"]);
    assert_eq!(reasons(&decision), ["offload (a): set aside: SCTP can't be offloaded"]);
}

#[test]
fn a_dataplane_that_is_not_on_this_node() {
    let decision = on(&kernel(&["nftables"], true), &[scheduler("lc")]);
    assert_eq!(chosen(&decision), ["nftables default", "random default", "never default"]);
    assert_eq!(reasons(&decision), ["scheduler (a): lc can't be had on this node"]);
    let decision = on(&kernel(&["ipvs"], false), &[and(dataplane("nftables"), scheduler("wlc"))]);
    assert_eq!(chosen(&decision), ["ipvs default", "wlc a", "never default"]);
    assert_eq!(
        reasons(&decision),
        ["dataplane (a): nftables can't be had on this node; ipvs carries the service"]
    );
}

#[test]
fn a_scheduler_that_the_dataplane_lacks() {
    let mut kernel = both();
    kernel.ipvs_schedulers.retain(|name| name != "mh" && name != "wlc");
    let cases = [
        (
            vec![and(dataplane("ipvs"), scheduler("mh"))],
            "mh can't be had on ipvs of this node; rr instead",
        ),
        (
            vec![and(dataplane("ipvs"), scheduler("random"))],
            "random can't be had on ipvs of this node; rr instead",
        ),
    ];
    for (wishes, because) in cases {
        let decision = on(&kernel, &wishes);
        assert_eq!(decision.scheduler.value, Scheduler::Rr, "{because}");
        assert_eq!(reasons(&decision), [format!("scheduler (a): {because}")]);
    }
    let configured =
        Asked { scheduler: Scheduler::Wlc, dataplane: Some(Dataplane::Ipvs), ..asked(&kernel) };
    let decision = decide(&configured, &[]);
    assert_eq!(decision.scheduler.value, Scheduler::Rr);
    assert_eq!(
        reasons(&decision),
        ["scheduler (default): wlc can't be had on ipvs of this node; rr instead"]
    );
}

#[test]
fn a_scheduler_that_this_node_lacks_gives_the_next_policy_its_turn() {
    let mut kernel = both();
    kernel.ipvs_schedulers.retain(|name| name != "wlc");
    let decision = on(&kernel, &[scheduler("wlc"), scheduler("lc")]);
    assert_eq!(chosen(&decision), ["ipvs b", "lc b", "never default"]);
    assert_eq!(reasons(&decision), ["scheduler (a): wlc can't be had on this node"]);
}

#[test]
fn what_an_earlier_policy_needs_beats_a_dataplane_named_later() {
    let cases = [
        (scheduler("lc"), "nftables", ["ipvs a", "lc a", "never default"]),
        (after(20), "ipvs", ["nftables a", "random default", "after 20 packets a"]),
    ];
    for (first, later, want) in cases {
        let decision = on(&both(), &[first.clone(), dataplane(later)]);
        assert_eq!(chosen(&decision), want);
        let other = decision.dataplane.value;
        let why = format!("dataplane (b): a, heard before, asks for what needs {other}");
        assert_eq!(reasons(&decision), [why]);
    }
    // The other way round the one that names it was heard first.
    let decision = on(&both(), &[dataplane("nftables"), scheduler("lc")]);
    assert_eq!(chosen(&decision), ["nftables a", "random default", "never default"]);
    // An agreement needs no reason.
    let decision = on(&both(), &[scheduler("lc"), dataplane("ipvs")]);
    assert_eq!(reasons(&decision), [""; 0]);
}

#[test]
fn every_scheduler_can_be_asked_for() {
    for wanted in Scheduler::ALL {
        let decision = on(&both(), &[scheduler(wanted.as_str())]);
        assert_eq!((decision.scheduler.value, decision.reasons.len()), (wanted, 0), "{wanted}");
        assert!(wanted.on_ipvs() || wanted.on_nftables(), "{wanted}");
    }
}

#[test]
fn scheduler_flags() {
    let port = SchedulerFlags { port: true, fallback: false };
    let fallback = SchedulerFlags { port: false, fallback: true };
    let none = SchedulerFlags::default();
    let has_no = |s: &str, f: &str| {
        format!(
            "scheduler-flags (a): scheduler {s} has no flag {f:?} (sh and mh have port and fallback)"
        )
    };
    let cases: Vec<(Vec<Wish>, SchedulerFlags, &str, Vec<String>)> = vec![
        (vec![scheduler("mh")], port, "default", vec![]),
        (vec![scheduler("sh")], none, "default", vec![]),
        (vec![and(scheduler("mh"), flags_of(&[]))], none, "a", vec![]),
        (vec![and(scheduler("mh"), flags_of(&["mh-fallback"]))], fallback, "a", vec![]),
        (vec![and(scheduler("sh"), flags_of(&["sh-port"]))], port, "a", vec![]),
        (
            vec![and(scheduler("sh"), flags_of(&["port", "fallback"]))],
            SchedulerFlags { port: true, fallback: true },
            "a",
            vec![],
        ),
        (
            vec![and(scheduler("sh"), flags_of(&["mh-port"]))],
            none,
            "default",
            vec![has_no("sh", "mh-port")],
        ),
        (
            vec![and(scheduler("rr"), flags_of(&["port"]))],
            none,
            "default",
            vec![has_no("rr", "port")],
        ),
        (
            vec![and(scheduler("mh"), flags_of(&["ports"]))],
            port,
            "default",
            vec![has_no("mh", "ports")],
        ),
        (
            vec![flags_of(&["mh-port"]), and(scheduler("sh"), flags_of(&["sh-fallback"]))],
            fallback,
            "b",
            vec![has_no("sh", "mh-port")],
        ),
    ];
    for (wishes, want, by, because) in cases {
        let decision = on(&both(), &wishes);
        assert_eq!((decision.flags.value, decision.flags.by.as_str()), (want, by), "{wishes:?}");
        assert_eq!(reasons(&decision), because, "{wishes:?}");
    }
}

#[test]
fn weights() {
    let decision =
        on(&both(), &[and(scheduler("wlc"), weights_of(&[])), weights_of(&[("10.0.0.1", 80, 5)])]);
    assert_eq!(decision.weight(at("10.0.0.1:80")), Weight(5));
    assert_eq!(decision.weight(at("[fd00::a]:80")), Weight(1), "who isn't listed has weight 1");
    assert_eq!(decision.weights[&at("10.0.0.1:80")].by, "b");
    let both_say = [weights_of(&[("10.0.0.1", 80, 4)]), weights_of(&[("fd00::a", 80, 9)])];
    let decision = on(&both(), &both_say);
    assert_eq!(decision.weight(at("10.0.0.1:80")), Weight(4));
    assert_eq!(
        decision.weight(at("[fd00::a]:80")),
        Weight(1),
        "the first opinion is the whole opinion"
    );
}

#[test]
fn weights_that_are_clamped_or_set_aside() {
    let wrr =
        |list: &[(&str, u16, u32)]| Wish { weights: weights_of(list).weights, ..scheduler("wrr") };
    let cases: Vec<(Wish, usize, &str)> = vec![
        (wrr(&[("10.0.0.8", 80, 2)]), 0, "10.0.0.8:80 is no endpoint of this service port"),
        (wrr(&[("10.0.0.1", 81, 2)]), 0, "10.0.0.1:81 is no endpoint of this service port"),
        (wrr(&[("10.0.0.1", 0, 2)]), 0, "10.0.0.1:0 is no endpoint of this service port"),
        (
            wrr(&[("::ffff:10.0.0.1", 80, 2)]),
            0,
            "[::ffff:10.0.0.1]:80 is no endpoint of this service port",
        ),
        (wrr(&[("web-0", 80, 2)]), 0, "\"web-0\" is no IP address"),
        (wrr(&[("10.0.0.1", 80, 65_536)]), 1, "weight 65536 of 10.0.0.1:80 clamped to 65535"),
        (
            wrr(&[("10.0.0.1", 80, u32::MAX)]),
            1,
            "weight 4294967295 of 10.0.0.1:80 clamped to 65535",
        ),
        (
            Wish { scheduler: Some("rr".into()), ..wrr(&[("10.0.0.1", 80, 2)]) },
            1,
            "rr gives every server the same share; wrr, wlc and others don't",
        ),
        (
            Wish { scheduler: Some("dh".into()), ..wrr(&[("10.0.0.1", 80, 2)]) },
            1,
            "dh gives every server the same share; wrr, wlc and others don't",
        ),
    ];
    for (wish, kept, because) in cases {
        let decision = on(&both(), &[wish]);
        assert_eq!(decision.weights.len(), kept, "{because}");
        assert_eq!(reasons(&decision), [format!("weights (a): {because}")]);
    }
    let drained = Wish { scheduler: Some("rr".into()), ..wrr(&[("10.0.0.9", 80, 0)]) };
    assert!(on(&both(), &[drained]).reasons.is_empty(), "every scheduler heeds weight 0");
}

#[test]
fn weights_stop_no_service() {
    let weights = |list: &[(&str, u16, u32)]| {
        let decision = on(&both(), &[weights_of(list)]);
        let kept: Vec<_> = decision.weights.keys().map(ToString::to_string).collect();
        (kept.join(" "), reasons(&decision).join("; "))
    };
    let stopped = |family| {
        format!("weights (a): 0 for every {family} endpoint in use would stop its traffic")
    };
    // One that isn't in use would take no traffic either.
    let all = weights(&[("10.0.0.1", 80, 0), ("10.0.0.9", 80, 1)]);
    assert_eq!(all, ("10.0.0.9:80".into(), stopped("IPv4")));
    let one_family = weights(&[("10.0.0.1", 80, 3), ("fd00::a", 80, 0)]);
    assert_eq!(one_family, ("10.0.0.1:80".into(), stopped("IPv6")));
    // An endpoint that isn't named keeps its weight of 1.
    let kernel = both();
    let mut asked = asked(&kernel);
    asked.in_use = [[at("10.0.0.1:80"), at("10.0.0.9:80")].into()].into();
    let decision = decide(&asked, &named(&[weights_of(&[("10.0.0.1", 80, 0)])]));
    assert_eq!((decision.weights.len(), decision.reasons.len()), (1, 0));
}

#[test]
fn weights_of_which_none_can_be_granted_give_the_next_policy_its_turn() {
    let wishes = [weights_of(&[("10.9.9.9", 80, 5)]), weights_of(&[("10.0.0.1", 80, 7)])];
    let decision = on(&both(), &[and(wishes[0].clone(), scheduler("wrr")), wishes[1].clone()]);
    let kept = decision.weights.get(&at("10.0.0.1:80")).map(|it| (it.value, it.by.as_str()));
    assert_eq!(kept, Some((Weight(7), "b")));
}

#[test]
fn affinity() {
    let wish = |seconds| Wish { affinity_seconds: Some(seconds), ..Wish::default() };
    type Case<'a> = (Option<u32>, Vec<Wish>, Option<u32>, &'a str);
    let cases: Vec<Case<'_>> = vec![
        (None, vec![], None, "default"),
        (Some(10_800), vec![], Some(10_800), "service"),
        (Some(10_800), vec![wish(0)], None, "a"),
        (None, vec![wish(60)], Some(60), "a"),
        (Some(10_800), vec![Wish::default(), wish(30), wish(0)], Some(30), "b"),
    ];
    for (of_service, wishes, want, by) in cases {
        let kernel = both();
        let asked = Asked { affinity_seconds: of_service, ..asked(&kernel) };
        let got = decide(&asked, &named(&wishes)).affinity;
        assert_eq!((got.value.map(u32::from), got.by.as_str()), (want, by));
    }
    let decision = on(&both(), &[wish(86_401)]);
    assert_eq!(decision.affinity.value.map(u32::from), Some(86_400));
    assert_eq!(reasons(&decision), ["affinity (a): 86401 s clamped to 86400 s, the API's limit"]);
}

#[test]
fn an_opinion_that_can_not_be_read_gives_the_next_policy_its_turn() {
    let decision =
        on(&both(), &[scheduler("fastest"), scheduler("RR"), scheduler("sh"), scheduler("mh")]);
    assert_eq!((decision.scheduler.value, decision.scheduler.by.as_str()), (Scheduler::Sh, "c"));
    let known = Scheduler::ALL.map(Scheduler::as_str).join(", ");
    assert_eq!(
        reasons(&decision),
        [
            format!("scheduler (a): scheduler \"fastest\" is none of {known}"),
            format!("scheduler (b): scheduler \"RR\" is none of {known}"),
        ]
    );
    let decision = on(&both(), &[dataplane("iptables"), dataplane("ipvs")]);
    assert_eq!((decision.dataplane.value, decision.dataplane.by.as_str()), (Dataplane::Ipvs, "b"));
    assert_eq!(
        reasons(&decision),
        ["dataplane (a): dataplane \"iptables\" is none of ipvs, nftables"]
    );
    let decision = on(&both(), &[after(0), after(7)]);
    assert_eq!(decision.offload.value, Offload::After(7.try_into().unwrap()));
    assert_eq!(
        reasons(&decision),
        ["offload (a): after 0 packets can't be counted; say never, or 1 and more"]
    );
}

#[test]
fn fields_fall_through_one_by_one() {
    let interfaces =
        Interfaces { include: vec!["eth*".into()], exclude: vec!["group:audit".into()] };
    let first = Wish { affinity_seconds: Some(60), note: Some("first".into()), ..Wish::default() };
    let second = Wish {
        interfaces: Some(interfaces.clone()),
        affinity_seconds: Some(5),
        note: Some("second".into()),
        ..and(scheduler("mh"), after(9))
    };
    let decision = on(&both(), &[first, second, scheduler("lc")]);
    assert_eq!(chosen(&decision), ["nftables b", "mh b", "after 9 packets b"]);
    assert_eq!(decision.affinity.value.map(u32::from), Some(60));
    let got = decision.interfaces.map(|it| (it.value.into(), it.by));
    assert_eq!(got, Some((interfaces, "b".into())));
    let notes: Vec<_> = decision.notes.iter().map(|n| (n.by.as_str(), n.value.as_str())).collect();
    assert_eq!(notes, [("a", "first"), ("b", "second")], "every policy's note is kept");
}

#[test]
fn interfaces_are_checked_entry_by_entry() {
    let wish = |include: &[&str], exclude: &[&str]| {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let interfaces = Interfaces { include: texts(include), exclude: texts(exclude) };
        Wish { interfaces: Some(interfaces), ..Wish::default() }
    };
    let name = "1 to 15 bytes of UTF-8, no white space, no '/' or ':', not '.' or '..'";
    let bad = format!("set aside: \"eth/0\" names no interface: {name}");
    let nothing = "nothing to take is left, so no flow is offloaded";
    let all_out = "every interface is to be left out, so no flow is offloaded";
    let cases: Vec<(Vec<Wish>, &str, Vec<&str>)> = vec![
        (vec![wish(&[], &[])], "every interface", vec![]),
        (
            vec![wish(&["eth1", "eth0"], &["eth1"]), wish(&["eth2"], &[])],
            "eth0, but not eth1",
            vec!["eth1 is both to be taken and to be left out; it is left out"],
        ),
        (vec![wish(&["eth/0", "eth1"], &[])], "eth1", vec![&bad]),
        // One that can't be read is no leave to offload everywhere, or where another policy says.
        (vec![wish(&["eth/0"], &[]), wish(&["eth2"], &[])], "no interface", vec![&bad, nothing]),
        (vec![wish(&[], &["*"])], "no interface", vec![all_out]),
    ];
    for (wishes, want, because) in cases {
        let decision = on(&both(), &wishes);
        let got = decision.interfaces.as_ref().map(|it| (it.value.to_string(), it.by.as_str()));
        assert_eq!(got, Some((want.to_owned(), "a")));
        let told: Vec<_> = because.iter().map(|why| format!("interfaces (a): {why}")).collect();
        assert_eq!(reasons(&decision), told);
    }
    let lies = on(&both(), &[wish(&["a b"; 10_000], &[])]);
    assert_eq!((lies.reasons.len(), lies.interfaces.unwrap().value.is_none()), (32, true));
}

#[test]
fn an_address_of_the_node_is_told() {
    let kernel = both();
    let asked = Asked {
        unserved: vec![("192.168.1.10".parse().unwrap(), "it is this node's own address")],
        ..asked(&kernel)
    };
    let told = reasons(&decide(&asked, &[]));
    assert_eq!(
        told,
        ["address (service): 192.168.1.10 isn't served: it is this node's own address"]
    );
}

#[test]
fn the_soonest_wish_to_be_asked_again_counts() {
    let again = |seconds| Wish { re_evaluate_after_seconds: Some(seconds), ..Wish::default() };
    let got = |wishes: &[Wish]| on(&both(), wishes).re_evaluate.map(|it| (it.value.get(), it.by));
    assert_eq!(got(&[again(30), again(10), again(20)]), Some((10, "b".into())));
    assert_eq!(got(&[again(30), again(0)]), Some((1, "b".into())));
    assert_eq!(reasons(&on(&both(), &[again(0)])), ["re-evaluate-after (a): 0 s clamped to 1 s"]);
}

#[test]
fn words_of_policies_are_cut_and_cleaned() {
    let note = |text: String| {
        let wish = Wish { note: Some(text), ..Wish::default() };
        on(&both(), &[wish]).notes[0].value.clone()
    };
    assert_eq!(note("a\u{1b}[31m\nb\u{9b}c".into()), "a[31mbc");
    assert_eq!(note("x".repeat(512)), "x".repeat(512));
    assert_eq!(note("x".repeat(513)), format!("{}…", "x".repeat(512)));
    assert_eq!(note("ü".repeat(300)), format!("{}…", "ü".repeat(256)), "cut between characters");
    let odd = note(format!("x{}", "ü".repeat(300)));
    assert_eq!(odd, format!("x{}…", "ü".repeat(255)), "cut before the character that doesn't fit");
    let decision = on(&both(), &[scheduler(&"y".repeat(1 << 20))]);
    assert!(decision.reasons[0].text.len() < 600, "a reason quotes the policy");
}

#[test]
fn reasons_are_bounded() {
    let lies: Vec<_> = (1..=10_000).map(|port| ("10.0.0.7", port, 3)).collect();
    let decision = on(&both(), &[weights_of(&lies)]);
    assert_eq!((decision.reasons.len(), decision.weights.len()), (32, 0));
}

/// Wishes with sense and without.
fn any_wish() -> impl Strategy<Value = Wish> {
    let name =
        prop_oneof![proptest::sample::select(&["ipvs", "nftables", "iptables"][..]), Just("")];
    let schedulers: Vec<&str> =
        Scheduler::ALL.map(Scheduler::as_str).into_iter().chain(["RR", ""]).collect();
    let flag = proptest::sample::select(&["mh-port", "sh-fallback", "port", "-", ""][..])
        .prop_map(str::to_owned);
    let offload =
        prop_oneof![Just(wish::Offload::Never), any::<u32>().prop_map(wish::Offload::After)];
    let address = prop_oneof![Just("10.0.0.1".to_owned()), Just("fd00::a".to_owned()), "\\PC{0,9}"];
    let weight = (address, 79..82u16, any::<u32>())
        .prop_map(|(address, port, weight)| wish::Weight { address, port, weight });
    let numbers = (proptest::option::of(any::<u32>()), proptest::option::of(any::<u32>()));
    let entry = prop_oneof!["eth[0-2*]", Just("group:uplink".to_owned()), "\\PC{0,20}"];
    let list = proptest::collection::vec(entry, 0..70);
    let interfaces =
        (list.clone(), list).prop_map(|(include, exclude)| Interfaces { include, exclude });
    (
        proptest::option::of(name.prop_map(str::to_owned)),
        proptest::option::of(proptest::sample::select(schedulers).prop_map(str::to_owned)),
        proptest::option::of(proptest::collection::vec(flag, 0..3)),
        proptest::option::of(proptest::collection::vec(weight, 0..50)),
        proptest::option::of(offload),
        proptest::option::of(any::<String>()),
        proptest::option::of(interfaces),
        numbers,
    )
        .prop_map(
            |(
                dataplane,
                scheduler,
                scheduler_flags,
                weights,
                offload,
                note,
                interfaces,
                (affinity, again),
            )| {
                Wish {
                    dataplane,
                    scheduler,
                    scheduler_flags,
                    weights,
                    offload,
                    note,
                    interfaces,
                    affinity_seconds: affinity,
                    re_evaluate_after_seconds: again,
                    ..Wish::default()
                }
            },
        )
}

fn any_kernel() -> impl Strategy<Value = KernelAbilities> {
    let dataplanes =
        proptest::sample::select(vec![vec!["ipvs"], vec!["nftables"], vec!["ipvs", "nftables"]]);
    (dataplanes, any::<bool>()).prop_map(|(dataplanes, flowtable)| kernel(&dataplanes, flowtable))
}

proptest! {
    #[test]
    fn a_decision_can_always_be_carried_out(
        kernel in any_kernel(),
        wishes in proptest::collection::vec(any_wish(), 0..4),
        protocol in proptest::sample::select(vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp]),
    ) {
        let asked = Asked { protocol, ..asked(&kernel) };
        let decision = decide(&asked, &named(&wishes));
        let scheduler = decision.scheduler.value;
        prop_assert!(kernel.dataplanes.iter().any(|d| d == decision.dataplane.value.as_str()));
        let there = match decision.dataplane.value {
            Dataplane::Ipvs => scheduler.on_ipvs(),
            Dataplane::Nftables => scheduler.on_nftables(),
        };
        prop_assert!(there, "{} on {}", scheduler, decision.dataplane.value);
        if decision.offload.value != Offload::Never {
            prop_assert!(kernel.flowtable && protocol != Protocol::Sctp);
            prop_assert_eq!(decision.dataplane.value, Dataplane::Nftables);
        }
        if !decision.flags.value.is_empty() {
            prop_assert!(matches!(scheduler, Scheduler::Sh | Scheduler::Mh));
        }
        prop_assert!(decision.weights.keys().all(|to| asked.endpoints.contains(to)));
        prop_assert!(decision.weights.values().all(|w| w.value.0 <= MAX_WEIGHT));
        prop_assert!(decision.affinity.value.is_none_or(|s| s.get() <= 86_400));
        prop_assert!(decision.reasons.len() <= 32 && decision.reasons.iter().all(|r| r.text.len() < 600));
        prop_assert_eq!(decision, decide(&asked, &named(&wishes)));
    }
}

/// The decision within limits, where the node's default is the dataplane named.
fn within(limits: &Limits, default: Dataplane, wishes: &[Wish]) -> Decision {
    let kernel = both();
    let offload = Offload::After(NonZeroU32::new(20).unwrap());
    let asked = Asked { limits: Some(limits), dataplane: Some(default), offload, ..asked(&kernel) };
    decide(&asked, &named(wishes))
}

fn packets(count: u32) -> Offload {
    NonZeroU32::new(count).map_or(Offload::Never, Offload::After)
}

#[test]
fn thresholds_stay_within_limits_whoever_asks() {
    let never = || Wish { offload: Some(wish::Offload::Never), ..Wish::default() };
    let limits = |earliest, latest| Limits {
        earliest: packets(earliest),
        latest: packets(latest),
        ..Limits::default()
    };
    let nft = Dataplane::Nftables;
    let cases = [
        ("within", limits(10, 100), nft, vec![after(50)], "after 50 packets a", 0),
        ("too early", limits(10, 100), nft, vec![after(5)], "after 10 packets a", 1),
        ("too late", limits(10, 100), nft, vec![after(500)], "after 100 packets a", 1),
        ("never", limits(10, 100), nft, vec![never()], "after 100 packets a", 1),
        ("forbidden", limits(0, 0), nft, vec![after(5)], "never a", 1),
        ("the default", limits(30, 0), nft, vec![], "after 30 packets limits", 0),
        ("the default within", limits(10, 100), nft, vec![], "after 20 packets default", 0),
        ("IPVS", limits(10, 100), Dataplane::Ipvs, vec![], "never default", 0),
        ("never, on IPVS", limits(10, 100), Dataplane::Ipvs, vec![never()], "never a", 0),
    ];
    for (name, limits, default, wishes, want, told) in cases {
        let decision = within(&limits, default, &wishes);
        assert_eq!(chosen(&decision)[2], want, "{name}");
        assert_eq!(decision.dataplane.value, default, "{name}: moves nowhere");
        assert_eq!(reasons(&decision).len(), told, "{name}: {:?}", reasons(&decision));
    }
    let moved = within(&limits(30, 0), Dataplane::Ipvs, &[after(5)]);
    assert_eq!(chosen(&moved), ["nftables a", "random default", "after 30 packets a"]);
    let stays = within(&limits(0, 0), Dataplane::Ipvs, &[after(5)]);
    assert_eq!(chosen(&stays), ["ipvs default", "rr default", "never a"]);
}

#[test]
fn schedulers_and_dataplanes_beyond_the_limits_are_no_opinions() {
    let only = |schedulers: &[Scheduler]| Limits {
        schedulers: Some(schedulers.iter().copied().collect()),
        ..Limits::default()
    };
    let ipvs = Dataplane::Ipvs;
    let decision =
        within(&only(&[Scheduler::Rr, Scheduler::Lc]), ipvs, &[scheduler("sh"), scheduler("lc")]);
    assert_eq!(chosen(&decision)[1], "lc b", "the next opinion");
    assert_eq!(reasons(&decision), ["scheduler (a): sh is beyond the limits set here"]);
    let default = within(&only(&[Scheduler::Wlc]), ipvs, &[]);
    assert_eq!(chosen(&default)[1], "wlc limits");
    let none = within(&only(&[Scheduler::Random]), ipvs, &[]);
    assert_eq!(chosen(&none)[1], "rr default", "somebody has to take the traffic");
    assert_eq!(reasons(&none).len(), 1);
    let on = |it| Limits { dataplanes: Some([it].into()), ..Limits::default() };
    let named = within(&on(ipvs), ipvs, &[dataplane("nftables")]);
    assert_eq!(chosen(&named), ["ipvs default", "rr default", "never default"]);
    assert_eq!(reasons(&named), ["dataplane (a): nftables is beyond the limits set here"]);
    let default = within(&on(ipvs), Dataplane::Nftables, &[after(5)]);
    assert_eq!(chosen(&default), ["ipvs limits", "rr default", "never default"]);
    let implied = within(&on(Dataplane::Nftables), Dataplane::Nftables, &[scheduler("lc")]);
    assert_eq!(chosen(&implied)[..2], ["nftables default", "random default"]);
    assert_eq!(reasons(&implied), ["scheduler (a): lc is beyond the limits set here"]);
    let kernel = kernel(&["ipvs"], false);
    let limits = on(Dataplane::Nftables);
    let lost = decide(&Asked { limits: Some(&limits), ..asked(&kernel) }, &[]);
    assert_eq!(chosen(&lost)[0], "ipvs default", "limits stop no traffic");
    assert_eq!(reasons(&lost).len(), 1);
}

#[test]
fn interfaces_beyond_the_limits_are_left_out() {
    let not_on = ["eth9".parse().unwrap()].into();
    let limits = Limits { not_on, ..Limits::default() };
    let interfaces = |include: &[&str]| {
        let include = include.iter().map(ToString::to_string).collect();
        let interfaces = Some(Interfaces { include, exclude: Vec::new() });
        Wish { interfaces, ..Wish::default() }
    };
    let shown = |wishes: &[Wish]| {
        let decision = within(&limits, Dataplane::Nftables, wishes);
        let it = decision.interfaces.clone().unwrap();
        format!("{} by {}, {} told", it.value, it.by, decision.reasons.len())
    };
    assert_eq!(shown(&[]), "every interface, but not eth9 by limits, 0 told");
    assert_eq!(shown(&[interfaces(&["eth*"])]), "eth*, but not eth9 by a, 0 told");
    assert_eq!(shown(&[interfaces(&["eth0", "eth9"])]), "eth0, but not eth9 by a, 1 told");
    assert_eq!(shown(&[interfaces(&["eth9"])]), "no interface by a, 1 told");
}
