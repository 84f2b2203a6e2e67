//! Who wants which kernel object, and what the kernel is known to hold: the plan follows. Pure.
//!
//! Cost follows the change: a service that was worked out again moves only the objects that it
//! wants or wanted. An object that several services want goes when the last one lets go; where
//! they want it differently, the oldest service has it (then the first by name).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::diff::diff;
use crate::drain::Drains;
use crate::interfaces::{IfName, Interfaces, Selection};
use crate::kernel::{Observation, Outcome, Refusal, RefusalKind, Server, run};
use crate::net::ObjectName;
use crate::offload::Surface;
use crate::pack::pack;
use crate::plan::{Operation, Plan};
use crate::rank::Rank;
use crate::state::{
    Base, Chain, Element, KernelState, Key, Nat, Objects, OffloadClass, VirtualKey,
};

#[derive(Clone, Debug)]
struct Claim {
    rank: Arc<Rank>,
    objects: Objects,
    keeps: BTreeMap<VirtualKey, BTreeSet<SocketAddr>>,
    shareless: BTreeMap<VirtualKey, BTreeSet<SocketAddr>>,
}

impl Claim {
    /// Whether a server is one of a service port's, with a share or without, on either dataplane.
    fn takes(&self, (key, to): &Server) -> bool {
        let on_ipvs = self.objects.on_ipvs(key).is_some_and(|it| it.destinations.contains_key(to));
        let on_nftables =
            || self.objects.nat(key).is_some_and(|it| it.endpoints().any(|it| it == *to));
        let shareless = || self.shareless.get(key).is_some_and(|it| it.contains(to));
        on_ipvs || on_nftables() || shareless()
    }
}

/// Who wants an object, the first first. Mostly one.
type Holders = SmallVec<[Arc<Rank>; 1]>;

/// What one service wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Kernel objects.
    pub state: KernelState,
    /// For service ports whose flows have no end of their own, the endpoints that may keep theirs.
    pub keeps: BTreeMap<VirtualKey, BTreeSet<SocketAddr>>,
    /// Of service ports on nftables, the endpoints without a share of new connections: they may keep
    /// those that they have.
    pub shareless: BTreeMap<VirtualKey, BTreeSet<SocketAddr>>,
}

impl From<KernelState> for Wanted {
    fn from(state: KernelState) -> Self {
        Self { state, ..Self::default() }
    }
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
    holders: BTreeMap<Key, Holders>,
    surface: Surface,
    /// Service ports of which some flows may go to endpoints that shall keep none.
    stray: BTreeSet<VirtualKey>,
    /// Service ports of which flows may still be translated though IPVS has them by now.
    translated: BTreeSet<VirtualKey>,
    /// Flows that are offloaded may be some that shall not be any more.
    overdue: bool,
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
    pub fn wanted_by(&self, service: &ObjectName) -> Option<KernelState> {
        self.claims.get(service).map(|claim| claim.objects.unpacked())
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

    /// Replaces the node's interfaces; says which objects to look at.
    pub fn set_interfaces(&mut self, interfaces: Interfaces) -> BTreeSet<Key> {
        if self.surface.interfaces() == Some(&interfaces) {
            return BTreeSet::new();
        }
        let lost = self.surface.set_interfaces(interfaces);
        if let Some(devices) = &mut self.known.flowtable {
            // Before Linux 6.16 a device that goes away leaves the flowtable without a word; from then
            // on its name stays. To add one that is there is fine.
            devices.retain(|device| !lost.contains(device));
        }
        self.offload_classes().into_iter().flat_map(beneath).collect()
    }

    /// The interfaces that offload works with.
    #[must_use]
    pub fn surface(&self) -> &Surface {
        &self.surface
    }

    /// Takes in a selection that a service's state will name.
    pub fn note_selection(&mut self, selection: &Selection) {
        self.surface.note(selection);
    }

    /// Replaces what a service wants (nothing, once it is gone), and says which objects to look at.
    pub fn claim(
        &mut self,
        service: &ObjectName,
        created: Option<i64>,
        wanted: impl Into<Wanted>,
    ) -> BTreeSet<Key> {
        let wanted = wanted.into();
        let mut touched = BTreeSet::new();
        let mut kept = BTreeMap::new();
        if let Some(old) = self.claims.remove(service) {
            for key in old.objects.keys() {
                self.release(key, &old.rank);
                touched.insert(key);
            }
            kept = old.keeps;
        }
        if !wanted.state.is_empty() {
            self.note_stray(&kept, &wanted);
            let rank = Arc::new(Rank::of(service, created));
            let Wanted { state, keeps, shareless } = wanted;
            let objects = Objects::from(state);
            for key in objects.keys() {
                let holders = self.holders.entry(key).or_default();
                let place = holders.partition_point(|holder| *holder < rank);
                holders.insert(place, Arc::clone(&rank));
                touched.insert(key);
            }
            self.claims.insert(service.clone(), Claim { rank, objects, keeps, shareless });
        }
        let rivals = self.rivals(service, &touched);
        touched.extend(rivals);
        let classes = touched.iter().filter_map(|key| match key {
            Key::Chain(Chain::Offload(class)) => Some(*class),
            _ => None,
        });
        let beneath: Vec<Key> = classes.flat_map(beneath).collect();
        if !beneath.is_empty() {
            self.surface.keep_only(&self.offload_classes());
        }
        touched.extend(beneath);
        touched
    }

    /// All that others want who want one of these service ports, too: who has it may be another by now,
    /// and what stands beside it goes with it.
    fn rivals(&self, service: &ObjectName, touched: &BTreeSet<Key>) -> BTreeSet<Key> {
        let ports = touched.iter().filter(|key| matches!(key, Key::Virtual(_)));
        let holders = ports.filter_map(|key| self.holders.get(key)).flatten();
        let others: BTreeSet<_> =
            holders.map(|rank| &rank.service).filter(|it| *it != service).collect();
        let claims = others.into_iter().filter_map(|it| self.claims.get(it));
        claims.flat_map(|claim| claim.objects.keys()).collect()
    }

    /// Flows may be left over where an endpoint lost its right to keep them, and where nothing is
    /// known of the time before: an earlier run, or the service's address before it was served.
    fn note_stray(&mut self, before: &BTreeMap<VirtualKey, BTreeSet<SocketAddr>>, now: &Wanted) {
        for (key, keep) in &now.keeps {
            // IPVS lets go of a server's flows by itself: but not of those from before it had them.
            if now.state.translated_to(key).next().is_none() && !self.translated.contains(key) {
                continue;
            }
            // Without any endpoint the flows that there are may as well wait for one.
            let lost =
                before.get(key).is_none_or(|before| before.is_empty() || !before.is_subset(keep));
            if lost && !keep.is_empty() {
                self.stray.insert(*key);
            }
        }
    }

    fn release(&mut self, key: Key, rank: &Rank) {
        if let Some(holders) = self.holders.get_mut(&key) {
            holders.retain(|holder| **holder != *rank);
            if holders.is_empty() {
                self.holders.remove(&key);
            }
        }
    }

    /// The losers, if this is a virtual service that more than one Service wants.
    #[must_use]
    pub fn conflicts(&self, key: Key) -> Vec<Conflict> {
        conflicts(key, self.holders.get(&key))
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
        for key in keys {
            match key {
                Key::Base => desired.base.clone_from(&self.base),
                Key::Flowtable => {
                    let before = self.known.flowtable.as_ref();
                    desired.flowtable = self.surface.devices(&self.offload_classes(), before);
                }
                Key::Interfaces(selection) => {
                    let used = |class: &OffloadClass| class.interfaces == Some(*selection);
                    if self.offload_classes().iter().any(used) {
                        desired.interfaces.insert(*selection, {
                            let before = self.known.interfaces.get(selection);
                            self.surface.taken_by(*selection, before)
                        });
                    }
                }
                key => {
                    let Some(claim) = self.first(key) else { continue };
                    claim.objects.copy(*key, &mut desired);
                    if let Key::Virtual(key) = key
                        && let Some(nat) = desired.nats.get_mut(key)
                    {
                        self.leave_others_memory(nat, claim);
                    }
                }
            }
        }
        desired
    }

    /// Where another service has the name that clients would be remembered by, they would be sent to
    /// that one's endpoints.
    fn leave_others_memory(&self, nat: &mut Arc<Nat>, claim: &Claim) {
        let has = |home: &VirtualKey| {
            self.first(&Key::Virtual(*home)).is_some_and(|first| first.rank == claim.rank)
        };
        if nat.home.is_some_and(|home| !has(&home)) {
            let nat = Arc::make_mut(nat);
            (nat.home, nat.memory) = (None, None);
        }
    }

    /// The claim that an object follows. What stands beside a service port follows the port's: the
    /// register isn't to name what an older service has on nftables.
    fn first(&self, key: &Key) -> Option<&Claim> {
        let of = match key {
            Key::Element(Element::Service(of) | Element::Member(of, ..)) => &Key::Virtual(*of),
            key => key,
        };
        let first = self.holders.get(of).and_then(|holders| holders.first());
        first.and_then(|rank| self.claims.get(&rank.service))
    }

    /// The classes of offload that services want.
    #[must_use]
    pub fn offload_classes(&self) -> BTreeSet<OffloadClass> {
        let first = OffloadClass { after: NonZeroU32::MIN, interfaces: None };
        let from = self.holders.range(Key::Chain(Chain::Offload(first))..);
        let classes = from.map_while(|(key, _)| match key {
            Key::Chain(Chain::Offload(class)) => Some(*class),
            _ => None,
        });
        classes.collect()
    }

    /// The steps that give these objects their wanted form. A virtual service that somebody else
    /// made is left out, with all that belongs to it.
    pub fn plan(&self, keys: &BTreeSet<Key>, drains: &mut Drains, now: u64) -> Plan {
        let keys = self.with_company(keys, drains);
        let known = self.known.only(&keys);
        let mut desired = self.desired(&keys);
        self.leave_foreign(&mut desired);
        drains.hold(&keys, &known, &mut desired, now);
        let takes = |server: &Server| {
            self.first(&Key::Virtual(server.0)).is_some_and(|claim| claim.takes(server))
        };
        drains.leaving.note(&keys, &known, &desired, takes, now);
        let mut steps = diff(&known, &desired);
        steps.extend(self.renewal(&steps));
        steps.extend(self.flows_to_end(&keys, &desired, &steps));
        steps.extend(drains.leaving.ends(&keys, now));
        steps
    }

    /// Whether flows that are offloaded may not be after this: those of a service port that never is
    /// from now on, or between other interfaces, or that IPVS has from now on; all through an interface
    /// that a selection leaves.
    fn ends_offload(&self, operation: &Operation) -> bool {
        match operation {
            Operation::SetNat { from, to, .. } => {
                let interfaces = |class: OffloadClass| class.interfaces;
                from.offload.is_some() && from.offload.map(interfaces) != to.offload.map(interfaces)
            }
            Operation::RemoveNat { key, from, .. } => {
                from.offload.is_some() && self.holders.contains_key(&Key::Virtual(*key))
            }
            Operation::SetInterfaces { from: Some(from), to, .. } => {
                let all = self.surface.interfaces();
                let there = |name: &IfName| all.is_some_and(|all| all.get(name).is_some());
                from.difference(to).any(there)
            }
            _ => false,
        }
    }

    /// What ends the offload of flows that shall not be offloaded any more. The others' come back with
    /// their next packet.
    fn renewal(&self, steps: &Plan) -> Option<Operation> {
        let ends = |operation: &Operation| self.ends_offload(operation);
        if !self.overdue && !steps.operations().iter().any(ends) {
            return None;
        }
        let before = self.known.flowtable.as_ref()?;
        let classes = self.offload_classes();
        let devices = self.surface.devices(&classes, Some(before))?;
        Some(Operation::RenewFlowtable { devices, classes })
    }

    /// Those of a service port whose virtual service waits for its last flows are not forgotten yet.
    fn flows_to_end(
        &self,
        keys: &BTreeSet<Key>,
        desired: &KernelState,
        steps: &Plan,
    ) -> Vec<Operation> {
        let left_ipvs = steps.operations().iter().filter_map(|operation| match operation {
            Operation::RemoveVirtual(key) => Some(*key),
            _ => None,
        });
        let stray = self.stray.iter().filter(|key| {
            let waits = desired.is_carried_by_nftables(key) && desired.virtuals.contains_key(key);
            keys.contains(&Key::Virtual(**key)) && !waits
        });
        let of: BTreeSet<VirtualKey> = stray.copied().chain(left_ipvs).collect();
        let keep = |key: VirtualKey| {
            let claim = self.first(&Key::Virtual(key))?;
            let keep = claim.keeps.get(&key)?.clone();
            let translated = !claim.objects.nat(&key).is_some_and(|nat| nat.carries());
            Some(Operation::EndFlows { key, keep, translated })
        };
        of.into_iter().filter_map(keep).collect()
    }

    /// These objects, and what stands beside those that turned out to be somebody else's: the
    /// register must not name them, or the next run would take them for ours. Also what stands beside
    /// servers that end at these addresses.
    fn with_company(&self, keys: &BTreeSet<Key>, drains: &Drains) -> BTreeSet<Key> {
        let foreign = keys.iter().filter_map(|key| match key {
            Key::Virtual(key) if self.foreign.contains(key) => Some(*key),
            _ => None,
        });
        let addresses: BTreeSet<IpAddr> = keys
            .iter()
            .filter_map(|key| match key {
                Key::Virtual(key) => Some(key.address),
                Key::Local(address) => Some(*address),
                _ => None,
            })
            .collect();
        let ending = addresses.into_iter().flat_map(|address| drains.ending_at(address));
        foreign.chain(ending).flat_map(company).chain(keys.iter().copied()).collect()
    }

    fn leave_foreign(&self, desired: &mut KernelState) {
        if self.foreign.is_empty() {
            return;
        }
        desired.virtuals.retain(|key, _| !self.foreign.contains(key));
        // Translated before it gets there, nothing would reach theirs.
        desired.nats.retain(|key, _| !self.foreign.contains(key));
        desired.elements.retain(|element| match element {
            Element::Service(key) | Element::Member(key, ..) => !self.foreign.contains(key),
            // It refuses every port that isn't in our register, theirs too.
            Element::Vip(address) => {
                self.foreign.range(VirtualKey::all_at(*address)).next().is_none()
            }
            _ => true,
        });
        desired.locals.retain(|address| {
            let nothing_theirs = self.foreign.range(VirtualKey::all_at(*address)).next().is_none();
            nothing_theirs || self.wants_virtual_at(*address)
        });
    }

    /// Whether a virtual service at this address is wanted and nobody else's.
    fn wants_virtual_at(&self, address: IpAddr) -> bool {
        let range = VirtualKey::all_at(address);
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
                Ok(()) => {
                    self.overdue |= self.ends_offload(operation);
                    match operation {
                        Operation::EndFlows { key, .. } => drop(self.stray.remove(key)),
                        Operation::SetNat { key, to, .. } if to.carries() => {
                            self.translated.remove(key);
                        }
                        Operation::RemoveNat { key, from, .. } if from.carries() => {
                            self.translated.insert(*key);
                        }
                        Operation::RenewFlowtable { .. } | Operation::RemoveFlowtable => {
                            self.overdue = false;
                        }
                        _ => {}
                    }
                    drop(run(&mut self.known, operation));
                }
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

    /// Keeps what is known of these objects and wanted just so only once.
    pub fn share(&mut self, keys: &BTreeSet<Key>) {
        for key in keys {
            let (Key::Virtual(name), Some(claim)) = (key, self.first(key)) else { continue };
            let on_ipvs = claim.objects.on_ipvs(name).cloned();
            let nat = claim.objects.nat(name).cloned();
            if let Some(known) = self.known.virtuals.get_mut(name) {
                share(known, on_ipvs.as_ref());
            }
            if let Some(known) = self.known.nats.get_mut(name) {
                share(known, nat.as_ref());
            }
        }
    }

    /// Takes a look at the kernel for what is known; says which objects differ from what was known,
    /// those included that somebody else has made or given up since.
    pub fn observed(&mut self, seen: Observation) -> BTreeSet<Key> {
        let foreign = std::mem::replace(&mut self.foreign, seen.foreign);
        let mut differing = self.found(seen.ours);
        let others = foreign.symmetric_difference(&self.foreign).copied().flat_map(company);
        differing.extend(others);
        differing
    }

    /// The same for a look at our table alone: the rest stays as it was known.
    pub fn observed_table(&mut self, seen: KernelState) -> BTreeSet<Key> {
        self.found(self.known.with_table_of(seen))
    }

    fn found(&mut self, seen: KernelState) -> BTreeSet<Key> {
        let before = std::mem::replace(&mut self.known, seen);
        let keys: BTreeSet<Key> = before.keys().chain(self.known.keys()).collect();
        let differing: BTreeSet<Key> =
            keys.into_iter().filter(|key| !self.known.agrees_on(*key, &before)).collect();
        self.moved = differing.len();
        self.keep(before);
        differing
    }

    /// What was found as it was known stays one with what is wanted.
    fn keep(&mut self, before: KernelState) {
        if self.moved == 0 {
            self.known = before;
            return;
        }
        for (key, virt) in &mut self.known.virtuals {
            share(virt, before.virtuals.get(key));
        }
        for (key, nat) in &mut self.known.nats {
            share(nat, before.nats.get(key));
        }
    }

    /// Takes no more memory than it needs: after the first lists, say.
    pub fn pack(&mut self) {
        pack(&mut self.claims);
        pack(&mut self.holders);
        self.known.pack();
    }

    /// How many objects of ours the last look found other than they were known. What others do with
    /// virtual services of their own is not among them.
    #[must_use]
    pub fn moved(&self) -> usize {
        self.moved
    }
}

fn conflicts(key: Key, holders: Option<&Holders>) -> Vec<Conflict> {
    let mut services = holders.into_iter().flatten().map(|rank| rank.service.clone());
    let (Key::Virtual(key), Some(winner)) = (key, services.next()) else { return Vec::new() };
    services.map(|loser| Conflict { key, winner: winner.clone(), loser }).collect()
}

fn share<T: PartialEq>(value: &mut Arc<T>, equal: Option<&Arc<T>>) {
    if let Some(equal) = equal.filter(|it| *it == value) {
        *value = Arc::clone(equal);
    }
}

/// A virtual service and what stands beside it.
fn company(key: VirtualKey) -> [Key; 4] {
    let beside = [Element::Service(key), Element::Vip(key.address)].map(Key::Element);
    [Key::Virtual(key), Key::Local(key.address), beside[0], beside[1]]
}

/// What a class of offload rests on.
fn beneath(class: OffloadClass) -> impl Iterator<Item = Key> {
    class.interfaces.map(Key::Interfaces).into_iter().chain([Key::Flowtable])
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
