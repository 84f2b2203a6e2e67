use proptest::prelude::*;

use super::*;
use crate::interfaces::tests::{any_interfaces, card, of};
use crate::view::Interface;

fn wish(include: &[&str], exclude: &[&str]) -> wish::Interfaces {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    wish::Interfaces { include: texts(include), exclude: texts(exclude) }
}

/// The selection in its two forms, and what was said about it.
fn checked(include: &[&str], exclude: &[&str]) -> (String, String, String) {
    let (selection, faults) = Selection::check(&wish(include, exclude));
    let told: Vec<_> = faults.iter().map(ToString::to_string).collect();
    (selection.canonical(), selection.to_string(), told.join("; "))
}

#[test]
fn one_form_for_all_that_mean_the_same() {
    let cases: &[(&[&str], &[&str], &str, &str)] = &[
        (&[], &[], "/", "every interface"),
        (&["*"], &[], "/", "every interface"),
        (&["eth0", "**"], &["lo"], "/lo", "every interface, but not lo"),
        (&["eth1", "eth0", "eth1"], &[], "eth0 eth1/", "eth0, eth1"),
        (
            &["group:uplink", "eth*"],
            &["eth9"],
            "eth* group:uplink/eth9",
            "eth*, group:uplink, but not eth9",
        ),
    ];
    for (include, exclude, canonical, shown) in cases {
        let want = ((*canonical).to_owned(), (*shown).to_owned(), String::new());
        assert_eq!(checked(include, exclude), want);
    }
}

#[test]
fn what_is_set_aside_never_widens() {
    let bad = "set aside: \"a b\" names no interface: 1 to 15 bytes of UTF-8, no white space, no '/' or ':', not '.' or '..'";
    let nothing = "nothing to take is left, so no flow is offloaded";
    let cases: &[(&[&str], &[&str], &str, String)] = &[
        (&["eth0", "a b"], &[], "eth0/", bad.into()),
        (&[], &["eth0", "a b"], "/eth0", bad.into()),
        (&["a b"], &[], "/*", format!("{bad}; {nothing}")),
        (
            &["eth0", "eth1"],
            &["eth0"],
            "eth1/eth0",
            "eth0 is both to be taken and to be left out; it is left out".into(),
        ),
        (
            &["eth0"],
            &["eth0"],
            "/*",
            format!("eth0 is both to be taken and to be left out; it is left out; {nothing}"),
        ),
        (
            &["eth0"],
            &["*"],
            "/*",
            "every interface is to be left out, so no flow is offloaded".into(),
        ),
    ];
    for (include, exclude, canonical, told) in cases {
        let (got, _, said) = checked(include, exclude);
        assert_eq!((got.as_str(), said), (*canonical, told.clone()));
    }
    assert_eq!(checked(&["a b"], &[]).1, "no interface");
}

#[test]
fn lists_are_bounded() {
    let names: Vec<String> = (0..70).map(|n| format!("eth{n:02}")).collect();
    let many: Vec<&str> = names.iter().map(String::as_str).collect();
    let (selection, faults) = Selection::check(&wish(&many, &[]));
    assert_eq!(selection.include.len(), MAX_ENTRIES);
    assert_eq!(faults[0].to_string(), "70 interfaces to take; the first 64 are");
    let (selection, faults) = Selection::check(&wish(&[], &many));
    assert!(selection.is_none());
    assert_eq!(faults[0].to_string(), "70 interfaces to leave out, of at most 64: all are");
    let (selection, faults) = Selection::check(&wish(&[], &many[..64]));
    assert_eq!((selection.exclude.len(), faults), (64, vec![]));
    let lies = vec!["a b"; 10_000];
    assert_eq!(Selection::check(&wish(&lies, &[])).1.len(), MAX_ENTRIES + 2);
}

/// Pinned: names in the kernel are made of it, and an update of weir must find them again.
#[test]
fn digests_stay_the_same() {
    // SHA-256 of nothing and of "abc" (FIPS 180-4) begin so.
    assert_eq!(Digest::of("").to_string(), "e3b0c44298fc1c14");
    assert_eq!(Digest::of("abc").to_string(), "ba7816bf8f01cfea");
    let digest =
        |include, exclude| Selection::check(&wish(include, exclude)).0.digest().to_string();
    assert_eq!(digest(&["eth1", "eth0"], &[]), digest(&["eth0", "eth1", "eth0"], &[]));
    assert_eq!(
        [digest(&[], &[]), digest(&[], &["*"]), digest(&["group:uplink"], &["eth9"])],
        ["8a5edab282632443", "766e0153d3f7ec95", "2797aa3ad78316cc"]
    );
    assert_eq!(Digest(7).to_string(), "0000000000000007");
}

#[test]
fn selections_on_a_node() {
    let up = |name: &str| card(name, "192.0.2.1/24");
    let all: Vec<Interface> = vec![
        up("eth0"),
        up("eth1"),
        Interface { kind: "vxlan".into(), ..card("flannel.1", "10.244.0.0/32") },
        Interface { flags: vec![], ..up("eth8") },
    ];
    let node = of(&all);
    let cases: &[(&[&str], &[&str], &str)] = &[
        (&[], &[], "eth0 eth1 flannel.1"),
        (&["eth*"], &[], "eth0 eth1"),
        (&["group:uplink"], &["eth1"], "eth0"),
        (&["eth0", "group:overlay"], &[], "eth0 flannel.1"),
        (&[], &["group:overlay", "eth?"], ""),
        (&["eth8", "eth9", "group:audit"], &[], ""),
    ];
    for (include, exclude, want) in cases {
        let (selection, faults) = Selection::check(&wish(include, exclude));
        let got: Vec<_> = selection.resolve(&node).iter().map(ToString::to_string).collect();
        assert_eq!((got.join(" "), faults), ((*want).to_owned(), vec![]), "{selection}");
    }
}

#[test]
fn what_matches_nothing_is_told() {
    let member = Interface { master: Some("bond0".into()), ..card("eth1", "192.0.2.1/24") };
    let bond = Interface { kind: "bond".into(), ..card("bond0", "192.0.2.1/24") };
    let down = Interface { flags: vec![], ..card("eth8", "192.0.2.1/24") };
    let node = of(&[member, bond, down]);
    let told = |include: &[&str], exclude: &[&str]| {
        let (selection, _) = Selection::check(&wish(include, exclude));
        selection.unmatched(&node).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        told(&["bond0", "eth1", "eth8", "eth9"], &["w*", "group:audit"]),
        [
            "eth1 takes no part in offload: it belongs to bond0, which stands for it: name bond0",
            "eth8 takes no part in offload: it is switched off",
            "no interface eth9 on this node",
            "no interface that can take part matches w* on this node",
            "no interface that can take part is in group:audit on this node",
        ]
    );
    assert_eq!(told(&["*"], &[]), [""; 0]);
    assert_eq!(told(&[], &["*"]), [""; 0]);
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "(eth|veth|cni|br)[0-3*?]",
        2 => "group:(uplink|pod|bridge|other|audit)",
        1 => Just("*".to_owned()),
        1 => "\\PC{0,18}",
    ]
}

fn any_wish() -> impl Strategy<Value = wish::Interfaces> {
    let list = || proptest::collection::vec(any_text(), 0..6);
    (list(), list()).prop_map(|(include, exclude)| wish::Interfaces { include, exclude })
}

proptest! {
    #[test]
    fn a_checked_selection_is_its_own_one_form(wish in any_wish()) {
        let (selection, _) = Selection::check(&wish);
        let again = wish::Interfaces::from(selection.clone());
        prop_assert_eq!(Selection::from(again), selection.clone());
        let json = serde_json::to_string(&selection).unwrap();
        prop_assert_eq!(serde_json::from_str::<Selection>(&json).unwrap(), selection.clone());
        prop_assert!(selection.include.is_disjoint(&selection.exclude));
        let mut turned = wish;
        turned.include.reverse();
        turned.exclude.reverse();
        prop_assert_eq!(Selection::check(&turned).0, selection);
    }

    #[test]
    fn selections_that_differ_have_different_texts(a in any_wish(), b in any_wish()) {
        let (a, b) = (Selection::from(a), Selection::from(b));
        prop_assert_eq!(a == b, a.canonical() == b.canonical());
        prop_assert_eq!(a == b, a.to_string() == b.to_string());
    }

    /// Against the wish as it was written, without any of the canonical form's rules.
    #[test]
    fn what_is_taken_was_meant_and_not_left_out(wish in any_wish(), all in any_interfaces()) {
        let node = of(&all);
        let selection = Selection::from(wish.clone());
        let meant = |list: &[String], name: &IfName| list.iter().any(|text| {
            let groups = &node.get(name).unwrap().groups;
            text.parse::<Entry>().is_ok_and(|entry| entry.matches(name, groups))
        });
        let want: BTreeSet<IfName> = node.iter().map(|(name, _)| name.clone()).filter(|name| {
            (wish.include.is_empty() || meant(&wish.include, name)) && !meant(&wish.exclude, name)
        }).collect();
        prop_assert_eq!(selection.resolve(&node), want);
        if selection.is_none() {
            prop_assert!(selection.resolve(&node).is_empty());
        }
    }
}
