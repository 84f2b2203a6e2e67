use proptest::prelude::*;

use super::*;

/// A network card that is up, with one address.
pub(super) fn card(name: &str, address: &str) -> Interface {
    Interface {
        index: name.bytes().fold(7, |sum, b| sum * 31 % 65_521 + u32::from(b)),
        name: name.into(),
        mtu: 1500,
        flags: vec!["up".into(), "broadcast".into()],
        addresses: vec![address.parse().unwrap()],
        ..Interface::default()
    }
}

/// Without a policy.
pub(super) fn of(all: &[Interface]) -> Interfaces {
    Interfaces::of(all, |_| BTreeSet::new())
}

fn name(text: &str) -> IfName {
    text.parse().unwrap()
}

fn names(texts: &[&str]) -> BTreeSet<IfName> {
    texts.iter().map(|text| name(text)).collect()
}

fn group(text: &str) -> GroupName {
    text.parse().unwrap()
}

fn under(master: &str, one: Interface) -> Interface {
    Interface { master: Some(master.into()), ..one }
}

fn down(one: Interface) -> Interface {
    Interface { flags: vec!["broadcast".into()], ..one }
}

fn kind(kind: &str, one: Interface) -> Interface {
    Interface { kind: kind.into(), ..one }
}

#[test]
fn who_takes_no_part_and_why() {
    let eth = |name: &str| card(name, "192.0.2.1/24");
    let mut lo = card("lo", "127.0.0.1/8");
    lo.flags.push("loopback".into());
    let all = [
        lo,
        eth("eth0"),
        down(eth("eth1")),
        kind("bond", eth("bond0")),
        under("bond0", eth("eth2")),
        under("bond0", down(eth("eth3"))),
        kind("vrf", eth("red")),
        under("red", eth("eth4")),
        // An accelerated card under its synthetic one: neither has a kind.
        under("eth0", eth("enP1s1")),
        under("vanished", eth("eth5")),
        eth("eth\u{fffd}"),
    ];
    let node = of(&all);
    let part: Vec<_> = node.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(part, ["bond0", "eth0", "eth4", "red"]);
    let why = |name: &str| node.left_out(name).map(ToString::to_string).unwrap_or_default();
    let member = |of: &str| format!("it belongs to {of}, which stands for it: name {of}");
    assert_eq!(why("lo"), "it is the loopback device");
    assert_eq!(why("eth1"), "it is switched off");
    assert_eq!([why("eth2"), why("eth3")], [member("bond0"), member("bond0")]);
    assert_eq!([why("enP1s1"), why("eth5")], [member("eth0"), member("vanished")]);
    assert_eq!(why("eth\u{fffd}"), "its name isn't UTF-8");
    assert_eq!((why("eth0"), why("eth9")), (String::new(), String::new()));
}

#[test]
fn no_carrier_is_no_reason() {
    let without = card("eth0", "192.0.2.1/24");
    let mut with = without.clone();
    with.flags.extend(["running".to_owned(), "lower_up".to_owned()]);
    assert_eq!(of(&[with]), of(&[without]));
}

#[test]
fn ports_come_with_their_bridge() {
    let port = |name: &str| under("cni0", kind("veth", card(name, "fe80::1/64")));
    let bridge = kind("bridge", card("cni0", "10.244.0.1/24"));
    let switch = kind("openvswitch", card("ovs-system", "fe80::1/64"));
    let other = under("ovs-system", kind("veth", card("veth9", "fe80::1/64")));
    let all = [bridge, port("veth1"), port("veth2"), down(port("veth3")), switch, other];
    let node = of(&all);
    assert_eq!(node.with_ports(&names(&["cni0"])), names(&["cni0", "veth1", "veth2"]));
    assert_eq!(node.with_ports(&names(&["ovs-system"])), names(&["ovs-system"]));
    assert_eq!(node.with_ports(&names(&["gone"])), names(&["gone"]));
    assert_eq!(node.with_ports(&BTreeSet::new()), BTreeSet::new());
}

#[test]
fn a_burst_is_one_change() {
    let eth0 = card("eth0", "192.0.2.1/24");
    let pods = (0..250).map(|n| Interface {
        pod: true,
        ..kind("veth", card(&format!("cali{n:03}"), "fe80::1/64"))
    });
    let before = of(std::slice::from_ref(&eth0));
    let all: Vec<Interface> = std::iter::once(eth0).chain(pods).collect();
    let after = of(&all);
    let changes = before.changes(&after);
    assert_eq!((changes.appeared.len(), changes.gone.len(), changes.changed.len()), (250, 0, 0));
    assert_eq!(changes.to_string(), "250 appeared (cali000, cali001, cali002, …)");
    assert_eq!(after.changes(&before).gone, changes.appeared);
    assert!(after.changes(&after).is_empty());
    assert_eq!(after.changes(&after).to_string(), "no change");
}

#[test]
fn addresses_that_change_no_group_are_no_change() {
    let one = of(&[card("eth0", "192.0.2.1/24")]);
    let other = of(&[card("eth0", "192.0.2.2/24")]);
    assert!(one.changes(&other).is_empty() && one == other);
    let none = Interface { addresses: vec![], ..card("eth0", "192.0.2.1/24") };
    assert_eq!(one.changes(&of(&[none])).to_string(), "1 changed (eth0)");
}

#[test]
fn policies_are_asked_about_what_is_new_or_changed() {
    let mut survey = Survey::default();
    let mut asked = Vec::new();
    let mut take = |survey: &mut Survey, all: &[Interface], groups: &[&str]| {
        asked.clear();
        let changes = survey.take(all, |one| {
            asked.push(one.name.clone());
            groups.iter().map(|group| (*group).to_owned()).collect()
        });
        (asked.join(" "), changes.to_string())
    };
    let (eth0, eth1) = (card("eth0", "192.0.2.1/24"), card("eth1", "198.51.100.1/24"));
    let off = down(card("eth2", "203.0.113.1/24"));
    let all = [eth0.clone(), eth1.clone(), off];
    let first = take(&mut survey, &all, &["storage", "uplink", "no group"]);
    assert_eq!(first, ("eth0 eth1".into(), "2 appeared (eth0, eth1)".into()));
    let groups = &survey.interfaces().get(&name("eth0")).unwrap().groups;
    assert_eq!(*groups, BTreeSet::from([group("storage"), group("uplink")]));
    let bad: Vec<_> = survey.bad_groups().map(|bad| bad.to_string()).collect();
    let why = "\"no group\" names no group: 1 to 63 letters, digits, '-', '_' and '.'";
    let told = |of: &str| format!("a policy's group of interface {of} is set aside: {why}");
    assert_eq!(bad.len(), 2);
    assert!(bad.contains(&told("eth0")) && bad.contains(&told("eth1")), "{bad:?}");
    assert_eq!(take(&mut survey, &all, &["other"]), (String::new(), "no change".into()));
    let wider = Interface { mtu: 9000, ..eth1.clone() };
    let changed = take(&mut survey, &[eth0.clone(), wider.clone()], &["fast"]);
    assert_eq!(changed, ("eth1".into(), "1 changed (eth1)".into()));
    survey.forget();
    let again = take(&mut survey, &[eth0.clone(), wider], &["fast"]);
    assert_eq!(again, ("eth0 eth1".into(), "1 changed (eth0)".into()));
    assert_eq!(take(&mut survey, std::slice::from_ref(&eth0), &[]).1, "1 gone (eth1)");
    assert_eq!(survey.bad_groups().count(), 0);
    // One that was away is new.
    assert_eq!(take(&mut survey, &[eth0, eth1], &[]).0, "eth1");
}

pub(super) fn any_interfaces() -> impl Strategy<Value = Vec<Interface>> {
    let kinds = ["", "veth", "bridge", "bond", "vxlan", "vrf", "tun", "dummy", "no such kind"];
    let masters = [None, None, None, Some("br0"), Some("eth0"), Some("nowhere")];
    let one = (
        "(eth|veth|cni|br)[0-3]|\\PC{0,16}",
        proptest::sample::select(kinds.to_vec()),
        proptest::sample::select(masters.to_vec()),
        proptest::sample::subsequence(vec!["up", "loopback", "noarp"], 0..3),
        proptest::collection::vec(
            proptest::sample::select(vec!["192.0.2.1/24", "fe80::1/64"]),
            0..2,
        ),
        any::<[bool; 2]>(),
    );
    let made =
        one.prop_map(|(name, kind, master, flags, addresses, [default_route, pod])| Interface {
            name,
            kind: kind.into(),
            master: master.map(str::to_owned),
            flags: flags.into_iter().map(str::to_owned).collect(),
            addresses: addresses.into_iter().map(|text| text.parse().unwrap()).collect(),
            default_route,
            pod,
            ..Interface::default()
        });
    proptest::collection::vec(made, 0..12)
}

proptest! {
    #[test]
    fn everyone_is_sorted_out_once(all in any_interfaces()) {
        let node = of(&all);
        for one in &all {
            let part = one.name.parse().ok().and_then(|name| node.get(&name).map(|_| ()));
            prop_assert!(part.is_some() || node.left_out(&one.name).is_some(), "{:?}", one);
        }
        for (name, part) in node.iter() {
            prop_assert!(!part.groups.is_empty(), "{name}");
            let other = part.groups.contains(&group("other"));
            prop_assert!(!other || part.groups.len() == 1, "{name}: {:?}", part.groups);
        }
    }

    #[test]
    fn changes_lead_from_one_to_the_other(before in any_interfaces(), after in any_interfaces()) {
        let (before, after) = (of(&before), of(&after));
        let changes = before.changes(&after);
        let mut parts = before.parts.clone();
        parts.retain(|name, _| !changes.gone.contains(name));
        for name in changes.appeared.iter().chain(&changes.changed) {
            parts.insert(name.clone(), after.parts[name].clone());
        }
        prop_assert_eq!(&parts, &after.parts);
        prop_assert_eq!(changes.is_empty(), before.parts == after.parts);
    }

    /// However the interfaces came, the survey is what a look at all of them gives.
    #[test]
    fn a_survey_is_what_the_last_look_gives(looks in proptest::collection::vec(any_interfaces(), 1..4)) {
        let mut survey = Survey::default();
        for (at, look) in looks.iter().enumerate() {
            let numbered: Vec<Interface> = (1..).zip(look).map(|(index, one)| {
                Interface { index, ..one.clone() }
            }).collect();
            let before = survey.interfaces().clone();
            let changes = survey.take(&numbered, |one| BTreeSet::from([one.kind.clone()]));
            let mut want = Interfaces::of(&numbered, |one| one.kind.parse().into_iter().collect());
            prop_assert_eq!(survey.interfaces(), &want, "look {}", at);
            prop_assert_eq!(changes, before.changes(&want));
            want.parts.clear();
        }
    }
}
