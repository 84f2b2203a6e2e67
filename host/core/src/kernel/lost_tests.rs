use super::Lost;
use crate::decision::Scheduler;
use crate::fixtures::{at, balance, key};
use crate::kernel::{Outcome, Refusal, RefusalKind};
use crate::net::Protocol::Tcp;
use crate::plan::{Operation, Plan};
use crate::state::{Element, VirtualKey, Weight};

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
