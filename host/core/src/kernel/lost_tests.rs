use super::Lost;
use crate::decision::Scheduler;
use crate::fixtures::{at, balance, key};
use crate::kernel::{Outcome, Refusal, RefusalKind};
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::net::Family;
use crate::net::Protocol::Tcp;
use crate::plan::{Operation, Plan};
use crate::state::{Chain, Class, Element, Leg, Nat, OffloadClass, Pick, VirtualKey, Weight};

fn web() -> VirtualKey {
    key(Tcp, "10.96.0.1:80")
}

fn api() -> VirtualKey {
    key(Tcp, "10.96.0.1:81")
}

/// What is refused, and how, where the kernel refuses this one operation.
fn refused(operations: &[Operation], one: &Operation) -> Vec<String> {
    refused_as(RefusalKind::Other, operations, one)
}

fn refused_as(kind: RefusalKind, operations: &[Operation], one: &Operation) -> Vec<String> {
    let plan = Plan::new(operations.to_vec());
    let mut lost = Lost::default();
    let send = |it: &Operation| -> Outcome {
        if it == one { Err(Refusal::new(kind, "so")) } else { Ok(()) }
    };
    let outcomes: Vec<Outcome> = plan
        .stages()
        .flat_map(|stage| lost.run(stage, |allowed| allowed.iter().map(send).collect()))
        .collect();
    let both = plan.operations().iter().zip(outcomes);
    both.filter_map(|(it, outcome)| Some(format!("{it}: {}", outcome.err()?.kind))).collect()
}

#[test]
fn what_is_not_registered_is_not_made_and_gets_no_servers() {
    let one = |key| {
        [
            Operation::AddElement(Element::Service(key)),
            Operation::AddVirtual(key, balance(Scheduler::Rr)),
            Operation::AddDestination(key, at("10.1.0.1:80"), Weight(1)),
        ]
    };
    let all = [one(web()), one(api())].concat();
    assert_eq!(
        refused(&all, &all[0]),
        [
            "add element services tcp 10.96.0.1:80: other",
            "add virtual tcp 10.96.0.1:80 rr: skipped",
            "add destination tcp 10.96.0.1:80 -> 10.1.0.1:80 weight 1: skipped",
        ]
    );
    assert_eq!(
        refused(&all, &all[1]),
        [
            "add virtual tcp 10.96.0.1:80 rr: other",
            "add destination tcp 10.96.0.1:80 -> 10.1.0.1:80 weight 1: skipped",
        ]
    );
}

#[test]
fn what_is_not_removed_stays_registered() {
    let one =
        |key| [Operation::RemoveVirtual(key), Operation::RemoveElement(Element::Service(key))];
    let all = [&one(web())[..], &one(api()), &[Operation::RemoveBase]].concat();
    assert_eq!(
        refused(&all, &all[0]),
        [
            "remove virtual tcp 10.96.0.1:80: other",
            "remove element services tcp 10.96.0.1:80: skipped",
            "remove base: skipped",
        ]
    );
    assert_eq!(
        refused(&all, &all[1]),
        ["remove element services tcp 10.96.0.1:80: other"],
        "an entry too many does no harm"
    );
    let gone = refused_as(RefusalKind::NotFound, &all, &all[0]);
    assert_eq!(gone, ["remove virtual tcp 10.96.0.1:80: not_found"], "somebody else removed it");
}

#[test]
fn an_address_becomes_local_only_where_nothing_but_its_services_answers() {
    let register = |key| Operation::AddElement(Element::Service(key));
    let make = |key| Operation::AddVirtual(key, balance(Scheduler::Rr));
    let guard = Operation::AddElement(Element::Vip(web().address));
    let local = Operation::AddLocal(web().address);
    let both = [guard, register(web()), register(api()), make(web()), make(api()), local];
    let unguarded = ["add element vips 10.96.0.1: other", "add local 10.96.0.1: skipped"];
    assert_eq!(refused(&both, &both[0]), unguarded);
    let served = ["add virtual tcp 10.96.0.1:80 rr: other"];
    assert_eq!(refused(&both, &both[3]), served, "the other port is");
    let [guard, register, _, make, _, local] = both;
    let one = [guard, register, make, local];
    let alone = ["add virtual tcp 10.96.0.1:80 rr: other", "add local 10.96.0.1: skipped"];
    assert_eq!(refused(&one, &one[2]), alone);
}

fn nat(offload: bool) -> Nat {
    let (family, two) = (Family::V4, NonZeroU32::MIN.saturating_add(1));
    let class = Class { family, pick: Pick::Random, slots: two, sticky: None, inside: false };
    let offload = offload.then_some(OffloadClass { after: two, interfaces: None });
    let main = Leg { class: Some(class), slots: Vec::new() };
    Nat { main, offload, ..Nat::default() }
}

#[test]
fn what_nftables_does_not_take_stays_with_ipvs() {
    let take = |key| Operation::SetNat { key, from: Arc::default(), to: Arc::new(nat(false)) };
    let all = [
        take(web()),
        Operation::SetDestination(web(), at("10.1.0.1:80"), Weight(0)),
        Operation::RemoveLocal(web().address),
        Operation::RemoveVirtual(web()),
        Operation::RemoveElement(Element::Service(web())),
        Operation::SetDestination(api(), at("10.1.0.1:80"), Weight(0)),
    ];
    assert_eq!(
        refused(&all, &all[0]),
        [
            "set nat tcp 10.96.0.1:80 random of 2:: other",
            "set destination tcp 10.96.0.1:80 -> 10.1.0.1:80 weight 0: skipped",
            "remove local 10.96.0.1: skipped",
            "remove virtual tcp 10.96.0.1:80: skipped",
            "remove element services tcp 10.96.0.1:80: skipped",
        ]
    );
    let unlucky = [
        Operation::AddChain(Chain::Balance(nat(false).main.class.unwrap())),
        take(web()),
        all[1].clone(),
    ];
    assert_eq!(refused(&unlucky, &unlucky[0]).len(), 3, "neither without the chain that picks");
}

#[test]
fn what_ipvs_does_not_take_stays_with_nftables() {
    let all = [
        Operation::AddVirtual(web(), balance(Scheduler::Lc)),
        Operation::RemoveNat { key: web(), from: Arc::new(nat(false)), to: Arc::default() },
        Operation::RemoveNat { key: api(), from: Arc::new(nat(false)), to: Arc::default() },
    ];
    assert_eq!(
        refused_as(RefusalKind::Unsupported, &all, &all[0]),
        ["add virtual tcp 10.96.0.1:80 lc: unsupported", "remove nat tcp 10.96.0.1:80: skipped",]
    );
}

#[test]
fn a_service_does_without_offload_that_can_not_be_had() {
    let offload = Chain::Offload(nat(true).offload.unwrap());
    let all = [
        Operation::AddChain(offload),
        Operation::SetNat { key: web(), from: Arc::default(), to: Arc::new(nat(true)) },
    ];
    assert_eq!(refused(&all, &all[0]), ["add chain offload after 2: other"]);
    let mut lost = Lost::default();
    lost.note(&all[0], RefusalKind::Other);
    assert!(lost.lacks_offload_of(&nat(true)) && !lost.lacks_offload_of(&nat(false)));
}
