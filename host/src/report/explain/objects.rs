//! The kernel objects of a service, each with what is wrong with it. Pure.

use std::collections::BTreeMap;

use weir_core::drain::Drains;
use weir_core::kernel::{Kernel, Refusal};
use weir_core::net::ObjectName;
use weir_core::state::{KernelState, Key, Nat, VirtualKey};

use super::Object;
use crate::reconcile::{Policies, Reconciler};

/// What a service wants of the kernel, and how far it is.
pub(super) fn objects<K: Kernel, P: Policies>(
    all: &Reconciler<K, P>,
    name: &ObjectName,
) -> Vec<Object> {
    let Some(wanted) = &all.ledger().wanted_by(name) else { return Vec::new() };
    let known = all.ledger().known();
    let refused: BTreeMap<&Key, &Refusal> = all.refused().collect();
    let state = |key: Key| match (refused.get(&key), key) {
        (_, Key::Virtual(theirs)) if all.ledger().foreign().contains(&theirs) => {
            "somebody else made one, which is left alone".to_owned()
        }
        (Some(refusal), _) => format!("refused: {refusal}"),
        (None, _) if holds(known, wanted, key) => {
            format!("in the kernel{}{}", beside(known, wanted, key), left(all.drains(), key))
        }
        (None, _) => "not yet as wanted".to_owned(),
    };
    wanted.keys().map(|key| Object { object: describe(wanted, key), state: state(key) }).collect()
}

fn holds(known: &KernelState, wanted: &KernelState, key: Key) -> bool {
    let Key::Virtual(key) = key else { return known.agrees_on(key, wanted) };
    let on_nftables = match (known.nats.get(&key), wanted.nats.get(&key)) {
        (Some(have), Some(want)) => Nat::clone(want).like(have) == **have,
        (have, want) => have.is_none() && want.is_none(),
    };
    on_nftables && holds_virtual(known, wanted, key)
}

fn holds_virtual(known: &KernelState, wanted: &KernelState, key: VirtualKey) -> bool {
    match (known.virtuals.get(&key), wanted.virtuals.get(&key)) {
        (Some(have), Some(want)) => {
            // What drains is there beside what is wanted.
            let all = want
                .destinations
                .iter()
                .all(|(to, weight)| have.destinations.get(to) == Some(weight));
            all && have.balance == want.balance
        }
        (_, None) => true,
        (None, Some(_)) => false,
    }
}

/// What is left of the other dataplane.
fn beside(known: &KernelState, wanted: &KernelState, key: Key) -> &'static str {
    match key {
        Key::Virtual(key)
            if !wanted.virtuals.contains_key(&key) && known.virtuals.contains_key(&key) =>
        {
            "; its connections of before run on in IPVS"
        }
        _ => "",
    }
}

/// Servers that left and whose connections run on.
fn left(drains: &Drains, key: Key) -> String {
    let Key::Virtual(key) = key else { return String::new() };
    let left: Vec<_> = drains.leaving.of(key).map(|to| to.to_string()).collect();
    if left.is_empty() {
        return String::new();
    }
    format!("; connections to {}, which left, run on in nftables", left.join(" "))
}

fn describe(wanted: &KernelState, key: Key) -> String {
    match key {
        Key::Base => "table inet weir".to_owned(),
        Key::Local(address) => format!("local address {address}"),
        Key::Virtual(key) => match (wanted.virtuals.get(&key), wanted.nats.get(&key)) {
            (Some(it), beside) => {
                let servers = it.destinations.len();
                let beside = beside.map(|nat| format!(", on nftables {nat}")).unwrap_or_default();
                format!("virtual service {key} {}, {servers} destinations{beside}", it.balance)
            }
            (None, Some(nat)) => format!("elements for {key}: {nat}"),
            (None, None) => format!("virtual service {key}"),
        },
        key => key.to_string(),
    }
}
