//! Who wants which kernel object, and what the kernel is known to hold: the plan follows. Pure.
//!
//! Cost follows the change: a service that was worked out again moves only the objects that it
//! wants or wanted. An object that several services want goes when the last one lets go; where
//! they want it differently, the oldest service has it (then the first by name).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::ops::RangeInclusive;

use crate::diff::diff;
use crate::drain::Drains;
use crate::kernel::{Observation, Outcome, Refusal, RefusalKind, TableObservation, run};
use crate::net::{ObjectName, Port, Protocol};
use crate::plan::{Operation, Plan};
use crate::state::{Base, Element, KernelState, Key, VirtualKey};

/// A service in the order in which it has a claim: by creation time, then by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    created: i64,
    service: ObjectName,
}

#[derive(Clone, Debug)]
struct Claim {
    rank: Rank,
    state: KernelState,
}

/// A virtual service that two Services want.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// What both want.
    pub key: VirtualKey,
    /// Who has it.
    pub winner: ObjectName,
    /// Who doesn't.
    pub loser: ObjectName,
}

/// Claims and known state.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    known: KernelState,
    foreign: BTreeSet<VirtualKey>,
    base: Option<Base>,
    claims: BTreeMap<ObjectName, Claim>,
    holders: BTreeMap<Key, BTreeSet<Rank>>,
    moved: usize,
}

impl Ledger {
    /// What the kernel is known to hold of ours.
    #[must_use]
    pub fn known(&self) -> &KernelState {
        &self.known
    }

    /// Virtual services that somebody else made.
    #[must_use]
    pub fn foreign(&self) -> &BTreeSet<VirtualKey> {
        &self.foreign
    }

    /// What a service wants.
    #[must_use]
    pub fn wanted_by(&self, service: &ObjectName) -> Option<&KernelState> {
        self.claims.get(service).map(|claim| &claim.state)
    }

    /// The names of the services that have claims.
    pub fn services(&self) -> impl Iterator<Item = &ObjectName> {
        self.claims.keys()
    }

    /// Replaces what is wanted of the table beyond the services' elements; says which object to look
    /// at, if anything changed.
    pub fn set_base(&mut self, base: Option<Base>) -> Option<Key> {
        let differs = self.base != base;
        self.base = base;
        differs.then_some(Key::Base)
    }

    /// Replaces what a service wants (nothing, once it is gone), and says which objects to look at.
    pub fn claim(
        &mut self,
        service: &ObjectName,
        created: Option<i64>,
        state: KernelState,
    ) -> BTreeSet<Key> {
        let mut touched = BTreeSet::new();
        if let Some(old) = self.claims.remove(service) {
            for key in old.state.keys() {
                self.release(key, &old.rank);
                touched.insert(key);
            }
        }
        if state.is_empty() {
            return touched;
        }
        let rank = Rank { created: created.unwrap_or(i64::MAX), service: service.clone() };
        for key in state.keys() {
            self.holders.entry(key).or_default().insert(rank.clone());
            touched.insert(key);
        }
        self.claims.insert(service.clone(), Claim { rank, state });
        touched
    }

    fn release(&mut self, key: Key, rank: &Rank) {
        if let Some(holders) = self.holders.get_mut(&key) {
            holders.remove(rank);
            if holders.is_empty() {
                self.holders.remove(&key);
            }
        }
    }

    /// Virtual services that more than one Service wants, among these objects.
    #[must_use]
    pub fn conflicts(&self, keys: &BTreeSet<Key>) -> Vec<Conflict> {
        keys.iter().flat_map(|key| conflicts(*key, self.holders.get(key))).collect()
    }

    /// All virtual services that more than one Service wants.
    #[must_use]
    pub fn all_conflicts(&self) -> Vec<Conflict> {
        self.holders.iter().flat_map(|(key, holders)| conflicts(*key, Some(holders))).collect()
    }

    /// Every object that is wanted or known: for a look at everything.
    #[must_use]
    pub fn all_keys(&self) -> BTreeSet<Key> {
        let base = self.base.iter().map(|_| Key::Base);
        base.chain(self.holders.keys().copied()).chain(self.known.keys()).collect()
    }

    /// The services that want any of these objects.
    #[must_use]
    pub fn wanting(&self, key: Key) -> BTreeSet<ObjectName> {
        self.holders.get(&key).into_iter().flatten().map(|rank| rank.service.clone()).collect()
    }

    /// What is wanted of these objects.
    #[must_use]
    pub fn desired(&self, keys: &BTreeSet<Key>) -> KernelState {
        let mut desired = KernelState::default();
        if keys.contains(&Key::Base) {
            desired.base.clone_from(&self.base);
        }
        for key in keys {
            let first = self.holders.get(key).and_then(|holders| holders.first());
            if let Some(claim) = first.and_then(|rank| self.claims.get(&rank.service)) {
                desired.copy(*key, &claim.state);
            }
        }
        desired
    }

    /// The steps that give these objects their wanted form. A virtual service that somebody else
    /// made is left out, with all that belongs to it.
    pub fn plan(&self, keys: &BTreeSet<Key>, drains: &mut Drains, now: u64) -> Plan {
        let keys = self.with_company(keys);
        let known = self.known.only(&keys);
        let mut desired = self.desired(&keys);
        self.leave_foreign(&mut desired);
        drains.hold(&keys, &known, &mut desired, now);
        diff(&known, &desired)
    }

    /// These objects, and what stands beside those that turned out to be somebody else's: the
    /// register must not name them, or the next run would take them for ours.
    fn with_company(&self, keys: &BTreeSet<Key>) -> BTreeSet<Key> {
        let foreign = keys.iter().filter_map(|key| match key {
            Key::Virtual(key) if self.foreign.contains(key) => Some(*key),
            _ => None,
        });
        foreign.flat_map(company).chain(keys.iter().copied()).collect()
    }

    fn leave_foreign(&self, desired: &mut KernelState) {
        if self.foreign.is_empty() {
            return;
        }
        desired.virtuals.retain(|key, _| !self.foreign.contains(key));
        desired.elements.retain(|element| match element {
            Element::Service(key) => !self.foreign.contains(key),
            // It refuses every port that isn't in our register, theirs too.
            Element::Vip(address) => self.foreign.range(all_at(*address)).next().is_none(),
            Element::Hairpin(_) => true,
        });
        desired.locals.retain(|address| {
            let nothing_theirs = self.foreign.range(all_at(*address)).next().is_none();
            nothing_theirs || self.wants_virtual_at(*address)
        });
    }

    /// Whether a virtual service at this address is wanted and nobody else's.
    fn wants_virtual_at(&self, address: IpAddr) -> bool {
        let range = all_at(address);
        let wanted = self.holders.range(Key::Virtual(*range.start())..=Key::Virtual(*range.end()));
        wanted.into_iter().any(|(key, _)| match key {
            Key::Virtual(key) => !self.foreign.contains(key),
            _ => false,
        })
    }

    /// Notes what became of a plan; says which objects' state is no longer certain.
    pub fn settle(&mut self, plan: &Plan, outcomes: &[Outcome]) -> Vec<(Operation, Refusal)> {
        let mut refused = Vec::new();
        for (operation, outcome) in plan.operations().iter().zip(outcomes) {
            match outcome {
                // A step that finds its work done has done its work.
                Ok(()) => drop(run(&mut self.known, operation)),
                Err(refusal) => {
                    if refusal.kind == RefusalKind::Foreign {
                        self.foreign.extend(operation.virtual_key());
                    }
                    refused.push((operation.clone(), refusal.clone()));
                }
            }
        }
        refused
    }

    /// Takes a look at the kernel for what is known; says which objects differ from what was known,
    /// those included that somebody else has made or given up since.
    pub fn observed(&mut self, seen: Observation) -> BTreeSet<Key> {
        let foreign = std::mem::replace(&mut self.foreign, seen.foreign);
        let before = std::mem::replace(&mut self.known, seen.ours);
        let keys: BTreeSet<Key> = before.keys().chain(self.known.keys()).collect();
        let mut differing: BTreeSet<Key> =
            keys.into_iter().filter(|key| differs(*key, &before, &self.known)).collect();
        self.moved = differing.len();
        let others = foreign.symmetric_difference(&self.foreign).copied().flat_map(company);
        differing.extend(others);
        differing
    }

    /// The same for a look at our table alone: the rest stays as it was known.
    pub fn observed_table(&mut self, seen: TableObservation) -> BTreeSet<Key> {
        let base = std::mem::replace(&mut self.known.base, seen.base);
        let elements = std::mem::replace(&mut self.known.elements, seen.elements);
        let base = (base != self.known.base).then_some(Key::Base);
        let moved = elements.symmetric_difference(&self.known.elements);
        let differing: BTreeSet<Key> = moved.copied().map(Key::Element).chain(base).collect();
        self.moved = differing.len();
        differing
    }

    /// How many objects of ours the last look found other than they were known. What others do with
    /// virtual services of their own is not among them.
    #[must_use]
    pub fn moved(&self) -> usize {
        self.moved
    }
}

fn conflicts(key: Key, holders: Option<&BTreeSet<Rank>>) -> Vec<Conflict> {
    let mut services = holders.into_iter().flatten().map(|rank| rank.service.clone());
    let (Key::Virtual(key), Some(winner)) = (key, services.next()) else { return Vec::new() };
    services.map(|loser| Conflict { key, winner: winner.clone(), loser }).collect()
}

/// A virtual service and what stands beside it.
fn company(key: VirtualKey) -> [Key; 4] {
    let beside = [Element::Service(key), Element::Vip(key.address)].map(Key::Element);
    [Key::Virtual(key), Key::Local(key.address), beside[0], beside[1]]
}

/// Every virtual service that there can be at an address.
fn all_at(address: IpAddr) -> RangeInclusive<VirtualKey> {
    let key = |protocol, port| VirtualKey { address, protocol, port: Port(port) };
    key(Protocol::Tcp, NonZeroU16::MIN)..=key(Protocol::Sctp, NonZeroU16::MAX)
}

fn differs(key: Key, a: &KernelState, b: &KernelState) -> bool {
    match key {
        Key::Base => a.base != b.base,
        Key::Virtual(key) => a.virtuals.get(&key) != b.virtuals.get(&key),
        Key::Local(address) => a.locals.contains(&address) != b.locals.contains(&address),
        Key::Element(element) => a.elements.contains(&element) != b.elements.contains(&element),
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
