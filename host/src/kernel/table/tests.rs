//! The table as text, and the look that tells whether it is as it should be.

use std::collections::BTreeSet;

use super::rules::{FORWARD, INPUT, POSTROUTING, rules};
use super::*;
use ipnet::IpNet;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use weir_core::diff::diff;
use weir_core::net::{Port, Protocol};
use weir_core::state::{self, Class, Leg, Memory, Nat, Pick, Pods, Scope, VirtualKey};
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
fn a_table_of_an_earlier_version_gets_the_sets_that_it_lacks() {
    let (sets, mut nft) = (Sets::new(), FakeNft::new());
    let base = pods(&["10.244.0.0/16"]);
    nft.apply(&sets.lay(&base)).unwrap();
    let mut batch = Batch::new(table());
    for of in sets.both() {
        for set in [&of.homes, &of.local_members, &of.local_affinity] {
            batch.delete_set(&set.name);
        }
    }
    nft.apply(&batch).unwrap();
    let found = nft.observe(&table()).unwrap().unwrap();
    assert!(!sets.is_laid(&base, &found));
    nft.apply(&sets.lay(&base)).unwrap();
    let found = nft.observe(&table()).unwrap().unwrap();
    assert!(sets.is_laid(&base, &found));
}

/// A service port with affinity at two addresses, as the state has it.
fn sticky() -> KernelState {
    let key = |address: [u8; 4], port| VirtualKey {
        address: address.into(),
        protocol: Protocol::Tcp,
        port: Port::new(port).unwrap(),
    };
    let (home, node) = (key([10, 96, 0, 1], 80), key([192, 0, 2, 1], 30080));
    let (family, one) = (CoreFamily::V4, NonZeroU32::MIN);
    let to = SocketAddr::from(([10, 0, 0, 1], 8080));
    let mut state = KernelState::default();
    for (of, scope) in [(home, Scope::Cluster), (node, Scope::Local)] {
        let sticky = Some(scope);
        let class = Class { family, pick: Pick::Random, slots: one, sticky, inside: false };
        let main = Leg { class: Some(class), slots: vec![Some(to)] };
        let memory = Some(Memory { family, seconds: one });
        let nat = Nat { main, memory, home: Some(home), ..Nat::default() };
        state.chains.extend(nat.chains());
        state.nats.insert(of, nat.into());
        state.elements.insert(state::Element::Member(home, scope, to));
    }
    state
}

#[test]
fn affinity_is_found_as_it_was_written() {
    let (sets, mut nft) = (Sets::new(), FakeNft::new());
    let base = Base::default();
    let want = KernelState { base: Some(base.clone()), ..sticky() };
    nft.apply(&sets.lay(&base)).unwrap();
    let steps = diff(&KernelState { base: Some(base.clone()), ..KernelState::default() }, &want);
    let outcomes = crate::kernel::elements::apply(&mut nft, &sets, steps.operations());
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let found = nft.observe(&table()).unwrap().unwrap();
    assert!(sets.is_laid(&base, &found));
    assert_eq!(KernelState { base: Some(base), ..sets.read(&found) }, want);
}

/// What the rules rely on, and the nft command's listing: see `FamilySets::at_home`.
#[test]
fn a_home_lies_where_the_service_port_was_loaded() {
    let sets = Sets::new();
    let text = |chain: &Shared| -> Vec<String> {
        sets.rules_of(chain).iter().map(ToString::to_string).collect()
    };
    for (family, client) in [(CoreFamily::V4, 1), (CoreFamily::V6, 4)] {
        let seconds = NonZeroU32::MIN;
        for rule in text(&Shared::Remember(Memory { family, seconds })) {
            assert!(rule.contains(&format!("r{} = r{client} map @homes-", client - 1)), "{rule}");
            assert!(rule.contains(&format!("r{client} in @")), "{rule}");
            assert!(!rule.contains("too many"), "{rule}");
        }
        let sticky = Some(Scope::Local);
        let class = Class { family, pick: Pick::Random, slots: seconds, sticky, inside: true };
        let [back, picked] = text(&Shared::Balance(class)).try_into().unwrap();
        assert!(back.contains("r0 = r0 map @local-affinity-"), "{back}");
        assert!(picked.contains("map @inside-endpoints-"), "{picked}");
    }
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
