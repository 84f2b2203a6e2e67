//! Which virtual services are ours. Pure.
//!
//! IPVS objects carry no owner. The register in our table is the proof: an entry is written before
//! its virtual service is made and removed after it is gone. A process also knows what it made
//! and what it has once found to be ours or somebody else's, whatever becomes of the register.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::{Observation, Outcome, RefusalKind};
use crate::plan::Operation;
use crate::state::{Element, Virtual, VirtualKey};

/// What a look found that can prove whose a virtual service is.
#[derive(Clone, Copy, Debug)]
pub struct Proof<'a> {
    /// The elements of our table; `None` where the table is missing altogether.
    pub register: Option<&'a BTreeSet<Element>>,
    /// Addresses that are local by our doing, in whatever way. They prove something only to a
    /// process that has just started and finds no table: somebody flushed the rule set meanwhile.
    pub addresses: &'a BTreeSet<IpAddr>,
}

/// What one process knows of whose virtual services are.
#[derive(Clone, Debug, Default)]
pub struct Ownership {
    ours: BTreeSet<VirtualKey>,
    foreign: BTreeSet<VirtualKey>,
    /// What an earlier run made at addresses that aren't local by its doing.
    kept: BTreeSet<VirtualKey>,
    looked: bool,
}

impl Ownership {
    /// What is known after this look.
    #[must_use]
    pub fn of(seen: &Observation) -> Self {
        let ours = seen.ours.virtuals.keys().copied();
        let ours = ours.chain(seen.ours.elements.iter().filter_map(registered)).collect();
        Self { ours, foreign: seen.foreign.clone(), looked: true, ..Self::default() }
    }

    /// Goes on with what an earlier run kept: virtual services that it made at addresses of the node's
    /// own, where nothing else tells whose they are once the table is gone.
    pub fn resume(&mut self, kept: BTreeSet<VirtualKey>) {
        self.kept = kept;
    }

    /// Parts what a look found into ours and others'.
    pub fn sort(
        &mut self,
        all: BTreeMap<VirtualKey, Arc<Virtual>>,
        proof: &Proof<'_>,
    ) -> (BTreeMap<VirtualKey, Arc<Virtual>>, BTreeSet<VirtualKey>) {
        let first = !std::mem::replace(&mut self.looked, true);
        // An entry beside a virtual service that turned out to be somebody else's is yet to go.
        let named = proof.register.into_iter().flatten().filter_map(registered);
        self.ours.extend(named.filter(|key| !self.foreign.contains(key)));
        if first && proof.register.is_none() {
            let is_ours = |key: &VirtualKey| {
                proof.addresses.contains(&key.address) || self.kept.contains(key)
            };
            let at_ours: Vec<_> = all.keys().filter(|key| is_ours(key)).copied().collect();
            self.ours.extend(at_ours);
        }
        let (ours, foreign): (BTreeMap<_, _>, BTreeMap<_, _>) =
            all.into_iter().partition(|(key, _)| self.ours.contains(key));
        let foreign: BTreeSet<VirtualKey> = foreign.into_keys().collect();
        if let Some(register) = proof.register {
            let is_named = |key: &VirtualKey| register.contains(&Element::Service(*key));
            self.ours.retain(|key| ours.contains_key(key) || is_named(key));
            self.foreign.retain(is_named);
        }
        self.foreign.extend(&foreign);
        (ours, foreign)
    }

    /// What it means that a virtual service can't be made because there is one: a listing missed
    /// ours, or it is somebody else's.
    #[must_use]
    pub fn clash(&self, key: &VirtualKey) -> RefusalKind {
        if self.ours.contains(key) { RefusalKind::Exists } else { RefusalKind::Foreign }
    }

    /// Takes in what became of an operation.
    pub fn note(&mut self, operation: &Operation, outcome: &Outcome) {
        match (operation, outcome) {
            (Operation::AddVirtual(key, _), Ok(())) => {
                self.foreign.remove(key);
                self.ours.insert(*key);
            }
            (Operation::AddVirtual(key, _), Err(refusal))
                if refusal.kind == RefusalKind::Foreign =>
            {
                self.foreign.insert(*key);
            }
            (Operation::RemoveVirtual(key), Ok(())) => {
                self.ours.remove(key);
            }
            _ => {}
        }
    }
}

fn registered(element: &Element) -> Option<VirtualKey> {
    match element {
        Element::Service(key) => Some(*key),
        _ => None,
    }
}

#[cfg(test)]
#[path = "ownership_tests.rs"]
mod tests;
