//! The table as text, and the look that tells whether it is as it should be.

use std::collections::BTreeSet;

use super::rules::{FORWARD, INPUT, POSTROUTING, rules};
use super::*;
use ipnet::IpNet;
use weir_core::state::Pods;
use weir_nft::{FakeNft, Nftables};

fn pods(ranges: &[&str]) -> Base {
    let pods: BTreeSet<IpNet> = ranges.iter().map(|range| range.parse().unwrap()).collect();
    Base { pods: Pods::In(pods), ..Base::default() }
}

#[test]
fn a_base_that_was_laid_is_recognised_and_no_other() {
    let bases = [
        Base::default(),
        Base { masquerade_all: true, ..Base::default() },
        pods(&["10.244.0.0/16"]),
        pods(&["10.244.0.0/16", "fd00:10::/56"]),
    ];
    let sets = Sets::new();
    for laid in &bases {
        let mut nft = FakeNft::new();
        nft.apply(&sets.lay(laid)).unwrap();
        let found = nft.observe(&table()).unwrap().unwrap();
        for base in &bases {
            assert_eq!(sets.is_laid(base, &found), base == laid, "{laid} looked at as {base}");
        }
    }
}

#[test]
fn laying_another_base_replaces_the_first_and_keeps_elements() {
    let (sets, mut nft) = (Sets::new(), FakeNft::new());
    nft.apply(&sets.lay(&pods(&["10.244.0.0/16"]))).unwrap();
    let vips = &sets.of(CoreFamily::V4).vips;
    let mut batch = Batch::new(table());
    batch.add_elements(vips, [Element::new([Value::Ipv4([10, 96, 0, 1].into())])]);
    nft.apply(&batch).unwrap();
    let other = pods(&["10.245.0.0/16"]);
    nft.apply(&sets.lay(&other)).unwrap();
    let found = nft.observe(&table()).unwrap().unwrap();
    assert!(sets.is_laid(&other, &found));
    assert_eq!(sets.read(&found).elements.len(), 1);
}

#[test]
fn a_rule_that_somebody_removed_is_missed() {
    let (sets, mut nft) = (Sets::new(), FakeNft::new());
    let base = Base::default();
    nft.apply(&sets.lay(&base)).unwrap();
    let mut batch = Batch::new(table());
    batch.flush_chain(&INPUT);
    nft.apply(&batch).unwrap();
    let found = nft.observe(&table()).unwrap().unwrap();
    assert!(!sets.is_laid(&base, &found));
}

#[test]
fn a_family_without_pods_is_not_masqueraded() {
    let sets = Sets::new();
    let masquerading = |base: &Base| {
        let rules = rules(&sets, base);
        let cluster = ["masquerade-4", "masquerade-6"];
        rules.iter().filter(|(chain, _)| cluster.contains(&chain.as_str())).count()
    };
    assert_eq!(masquerading(&Base::default()), 2, "hairpin only");
    assert_eq!(masquerading(&pods(&["10.244.0.0/16"])), 3, "IPv4 only");
    assert_eq!(masquerading(&pods(&["10.244.0.0/16", "fd00::/56"])), 4);
    let leading = rules(&sets, &Base::default());
    assert_eq!(leading.iter().filter(|(chain, _)| *chain == POSTROUTING).count(), 6);
}

#[test]
fn a_flow_that_nobody_answers_gets_as_far_as_offload() {
    let all = rules(&Sets::new(), &Base::default());
    let forward: Vec<String> = all
        .iter()
        .filter(|(chain, _)| *chain == FORWARD)
        .map(|(_, rule)| rule.to_string())
        .collect();
    let at = |words: &str| forward.iter().position(|rule| rule.contains(words)).unwrap();
    assert!(at("@offload-4") < at("new-connection"), "{forward:#?}");
    assert!(at("@offload-6") < at("new-connection"), "{forward:#?}");
}
