use super::*;
use weir_policy::testing::{View, endpoint, node};
use weir_policy::{Endpoint, Offload};

fn decide(view: View) -> Result<Decision, Refusal> {
    Annotations::configure(&Config::default(), &node()).unwrap().decide(&view.build())
}

fn cart() -> View {
    View::new("shop/cart")
}

#[test]
fn each_annotation_sets_its_field() {
    let new = Decision::new;
    let cases = [
        ("dataplane", "nftables", new().dataplane("nftables")),
        ("scheduler", " lc ", new().scheduler("lc")),
        ("scheduler-flags", "mh-port", new().scheduler_flag("mh-port")),
        ("scheduler-flags", "sh-port, sh-fallback", {
            new().scheduler_flag("sh-port").scheduler_flag("sh-fallback")
        }),
        ("offload-after-packets", "never", new().never_offload()),
        ("offload-after-packets", "1", new().offload_after(1)),
        ("offload-after-packets", "4294967295", new().offload_after(u32::MAX)),
        ("offload-interfaces", "eth*, !eth9,group:uplink", {
            new()
                .include_interface("eth*")
                .exclude_interface("eth9")
                .include_interface("group:uplink")
        }),
        ("weights", "10.0.0.2=3", new().weight(&endpoint("10.0.0.2:8080"), 3)),
    ];
    for (name, value, want) in cases {
        let view = cart().annotation(&format!("weir.dev/{name}"), value);
        assert_eq!(decide(view), Ok(want), "{name}={value}");
    }
}

#[test]
fn empty_flags_ask_for_none() {
    let decision = decide(cart().annotation("weir.dev/scheduler-flags", "")).unwrap();
    assert_eq!(decision.scheduler_flags, Some(Vec::new()));
}

#[test]
fn the_service_beats_its_namespace_annotation_by_annotation() {
    let view = cart()
        .namespace_annotation("weir.dev/scheduler", "rr")
        .namespace_annotation("weir.dev/offload-after-packets", "8")
        .annotation("weir.dev/scheduler", "sh");
    assert_eq!(decide(view), Ok(Decision::new().scheduler("sh").offload_after(8)));
}

#[test]
fn without_annotations_it_is_not_mine() {
    let view = cart().annotation("other.dev/scheduler", "rr").label("weir.dev/scheduler", "rr");
    assert_eq!(decide(view), Err(Refusal::NotMine));
}

#[test]
fn bad_values_are_named_with_what_is_allowed() {
    let cases = [
        ("dataplane", "iptables", "not one of ipvs, nftables"),
        ("scheduler", "LC", "not one of rr, wrr, lc"),
        ("scheduler-flags", "mh-port,fast", "not one of mh-port, mh-fallback"),
        ("offload-after-packets", "0", "not `never` or a number from 1"),
        ("offload-after-packets", "-1", "not `never` or a number from 1"),
        ("offload-after-packets", "4294967296", "to 4294967295"),
        ("offload-interfaces", "", "no interface in it"),
        ("offload-interfaces", "eth/0", "is not an interface"),
        ("offload-interfaces", "group:", "is not an interface"),
        ("offload-interfaces", "a-name-of-16-byt", "at most 15 characters"),
        ("weights", "10.0.0.2", "write SELECTOR=WEIGHT"),
        ("weights", "pod=1", "write SELECTOR=WEIGHT"),
        ("weights", "*=65536", "the weight 0 to 65535"),
        ("weights", "", "no weight in it"),
    ];
    for (name, value, allowed) in cases {
        let annotation = format!("weir.dev/{name}");
        let Err(Refusal::Reason(reason)) = decide(cart().annotation(&annotation, value)) else {
            panic!("{name}={value} was taken")
        };
        for part in [annotation.as_str(), &format!("{value:?}"), allowed] {
            assert!(reason.contains(part), "{name}={value}: {part} is not in {reason}");
        }
    }
}

#[test]
fn a_bad_value_as_long_as_an_annotation_may_be_makes_a_short_note() {
    for (name, value) in [
        ("scheduler", "x".repeat(256 << 10)),
        ("offload-interfaces", "eth0,".to_owned() + &"/".repeat(256 << 10)),
        ("weights", "x".repeat(256 << 10)),
    ] {
        let view = cart().annotation(&format!("weir.dev/{name}"), &value);
        let Err(Refusal::Reason(reason)) = decide(view) else { panic!("{name} was taken") };
        assert!(reason.len() < 600, "{name}: {} bytes", reason.len());
    }
}

#[test]
fn what_may_be_written_is_bounded_and_the_bound_can_be_used() {
    let place = |n: usize| format!("10.{}.{}.{}:80", n / 62_500, n / 250 % 250, n % 250);
    let endpoints: Vec<Endpoint> = (0..1_025).map(|n| endpoint(&place(n))).collect();
    let entries: Vec<String> = (0..1_025).map(|n| format!("{}={n}", place(n))).collect();
    let weighed = |entries: &[String]| {
        let view = cart().annotation("weir.dev/weights", &entries.join(","));
        decide(view.endpoints(endpoints.clone()))
    };
    let weights = weighed(&entries[..1_024]).unwrap().weights.unwrap();
    assert_eq!(weights.len(), 1_024);
    assert!(weights.iter().zip(0..).all(|(it, n)| it.weight == n));
    let Err(Refusal::Reason(reason)) = weighed(&entries) else { panic!("1,025 were taken") };
    assert!(reason.contains("more than 1024 entries"), "{reason}");
    for name in ANNOTATIONS.map(|(name, _)| name) {
        let view = cart().annotation(name, &" ".repeat((20 << 10) + 1));
        let Err(Refusal::Reason(reason)) = decide(view) else { panic!("{name} was taken") };
        assert!(reason.contains("more than 20480"), "{name}: {reason}");
    }
}

#[test]
fn a_bad_value_leaves_the_others_alone() {
    let view = cart()
        .annotation("weir.dev/scheduler", "best")
        .annotation("weir.dev/offload-after-packets", "16");
    let decision = decide(view).unwrap();
    assert_eq!(decision.offload, Some(Offload::After(16)));
    assert_eq!(decision.scheduler, None);
    assert!(decision.note.unwrap().starts_with("weir.dev/scheduler: \"best\": not one of"));
}

#[test]
fn the_first_selector_that_fits_weighs() {
    let at = |place: &str, node: &str, zone: &str, local| Endpoint {
        node: Some(node.into()),
        zone: Some(zone.into()),
        local,
        ..endpoint(place)
    };
    let endpoints = [
        at("10.0.0.1:80", "n1", "a", true),
        at("10.0.0.2:80", "n2", "a", false),
        at("[2001:db8::1]:80", "n3", "b", false),
        at("[2001:db8::1]:81", "n3", "b", false),
    ];
    let cases: [(&str, [Option<u32>; 4]); 7] = [
        ("*=2", [Some(2); 4]),
        ("local=5,*=1", [Some(5), Some(1), Some(1), Some(1)]),
        ("zone:a=9", [Some(9), Some(9), None, None]),
        ("node:n2=0,zone:a=4", [Some(4), Some(0), None, None]),
        ("2001:db8::1=3", [None, None, Some(3), Some(3)]),
        ("[2001:db8::1]:81=7", [None, None, None, Some(7)]),
        ("10.0.0.1:80=1,10.0.0.1=2", [Some(1), None, None, None]),
    ];
    for (text, want) in cases {
        let view = cart().annotation("weir.dev/weights", text).endpoints(endpoints.clone());
        let weights = decide(view).unwrap().weights.unwrap_or_default();
        let found = endpoints.clone().map(|e| {
            let same = weights.iter().find(|w| (&w.address, w.port) == (&e.address, e.port));
            same.map(|w| w.weight)
        });
        assert_eq!(found, want, "{text}");
    }
}

#[test]
fn it_has_no_configuration() {
    assert!(Annotations::configure(&Config::from([("a", "b")]), &node()).is_err());
}
