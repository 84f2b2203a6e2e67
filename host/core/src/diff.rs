//! What must be done for the kernel to match what is wanted. Pure.
//!
//! The plan is minimal: `diff(x, x)` is empty. It is in a safe order, which is [`Plan`]'s own.

use std::sync::Arc;

use crate::plan::{Operation, Plan};
use crate::state::{Destinations, KernelState, Nat, Virtual, VirtualKey};

/// The steps from `known` to `desired`.
#[must_use]
pub fn diff(known: &KernelState, desired: &KernelState) -> Plan {
    let mut steps = Vec::new();
    match (&known.base, &desired.base) {
        (have, Some(want)) if have.as_ref() != Some(want) => {
            steps.push(Operation::SetBase(Box::new(want.clone())));
        }
        (Some(_), None) => steps.push(Operation::RemoveBase),
        _ => {}
    }
    let added = desired.elements.difference(&known.elements);
    steps.extend(added.copied().map(Operation::AddElement));
    let removed = known.elements.difference(&desired.elements);
    steps.extend(removed.copied().map(Operation::RemoveElement));
    let added = desired.locals.difference(&known.locals);
    steps.extend(added.copied().map(Operation::AddLocal));
    let removed = known.locals.difference(&desired.locals);
    steps.extend(removed.copied().map(Operation::RemoveLocal));
    for (key, want) in &desired.virtuals {
        diff_virtual(*key, known.virtuals.get(key).map(Arc::as_ref), want, &mut steps);
    }
    let removed = known.virtuals.keys().filter(|key| !desired.virtuals.contains_key(key));
    steps.extend(removed.copied().map(Operation::RemoveVirtual));
    diff_nftables(known, desired, &mut steps);
    Plan::new(steps)
}

fn diff_nftables(known: &KernelState, desired: &KernelState, steps: &mut Vec<Operation>) {
    match (&known.flowtable, &desired.flowtable) {
        (from, Some(to)) if from.as_ref() != Some(to) => {
            steps.push(Operation::SetFlowtable { from: from.clone(), to: to.clone() });
        }
        (Some(_), None) => steps.push(Operation::RemoveFlowtable),
        _ => {}
    }
    for (selection, to) in &desired.interfaces {
        let from = known.interfaces.get(selection);
        if from != Some(to) {
            let (from, to) = (from.cloned(), to.clone());
            steps.push(Operation::SetInterfaces { selection: *selection, from, to });
        }
    }
    let removed = known.interfaces.keys().filter(|it| !desired.interfaces.contains_key(it));
    steps.extend(removed.copied().map(Operation::RemoveInterfaces));
    let added = desired.chains.difference(&known.chains);
    steps.extend(added.copied().map(Operation::AddChain));
    let removed = known.chains.difference(&desired.chains);
    steps.extend(removed.copied().map(Operation::RemoveChain));
    let nothing = Arc::<Nat>::default();
    for (key, want) in &desired.nats {
        let from = known.nats.get(key).unwrap_or(&nothing);
        diff_nat(*key, from, want, desired.virtuals.contains_key(key), steps);
    }
    let removed = known.nats.iter().filter(|(key, _)| !desired.nats.contains_key(key));
    steps.extend(removed.map(|(key, from)| Operation::RemoveNat {
        key: *key,
        from: Arc::clone(from),
        to: Arc::clone(&nothing),
    }));
}

/// What moves to IPVS is carried by nftables until IPVS has it.
fn diff_nat(
    key: VirtualKey,
    from: &Arc<Nat>,
    want: &Arc<Nat>,
    on_ipvs: bool,
    steps: &mut Vec<Operation>,
) {
    let moves = on_ipvs && from.carries() && !want.carries();
    let mut to = like(want, from);
    if moves {
        let stays = Arc::make_mut(&mut to);
        stays.main.clone_from(&from.main);
        (stays.offload, stays.memory, stays.home) = (from.offload, from.memory, from.home);
    }
    if *from != to {
        steps.push(Operation::SetNat { key, from: Arc::clone(from), to: Arc::clone(&to) });
    }
    if moves {
        let stays = like(want, &to);
        steps.push(Operation::RemoveNat { key, from: to, to: stays });
    }
}

/// What is wanted, as [`Nat::like`] has it; the same thing wherever that is no other.
fn like(want: &Arc<Nat>, known: &Arc<Nat>) -> Arc<Nat> {
    if want == known || known.is_empty() {
        return Arc::clone(want);
    }
    let like = Nat::clone(want).like(known);
    if like == **want { Arc::clone(want) } else { Arc::new(like) }
}

fn diff_virtual(
    key: VirtualKey,
    have: Option<&Virtual>,
    want: &Virtual,
    steps: &mut Vec<Operation>,
) {
    let none = Destinations::new();
    let destinations = match have {
        None => {
            steps.push(Operation::AddVirtual(key, want.balance.clone()));
            &none
        }
        Some(have) => {
            if have.balance != want.balance {
                steps.push(Operation::SetVirtual(key, want.balance.clone()));
            }
            &have.destinations
        }
    };
    diff_destinations(key, destinations, &want.destinations, steps);
}

fn diff_destinations(
    key: VirtualKey,
    have: &Destinations,
    want: &Destinations,
    steps: &mut Vec<Operation>,
) {
    for (to, weight) in want {
        match have.get(to) {
            None => steps.push(Operation::AddDestination(key, *to, *weight)),
            Some(old) if old != weight => steps.push(Operation::SetDestination(key, *to, *weight)),
            Some(_) => {}
        }
    }
    let gone = have.keys().filter(|to| !want.contains_key(to));
    steps.extend(gone.map(|to| Operation::RemoveDestination(key, *to)));
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
