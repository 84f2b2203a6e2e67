//! A kernel in memory that refuses as Linux does. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{
    Kernel, Lost, Observation, ObserveError, Outcome, Ownership, Proof, Refusal, RefusalKind,
    Server, Traffic,
};
use crate::decision::{Scheduler, SchedulerFlags};
use crate::plan::{Operation, Plan, Stage};
use crate::state::{Balance, Base, Chain, Destinations, KernelState, Virtual, VirtualKey};

/// Does to a state what the kernel would do to itself, refusing as Linux refuses.
pub fn run(state: &mut KernelState, operation: &Operation) -> Outcome {
    match operation {
        Operation::SetBase(base) => {
            state.base = Some(Base::clone(base));
            Ok(())
        }
        Operation::RemoveBase => {
            let was = state.base.is_some();
            *state = state.with_table_of(KernelState::default());
            found(was)
        }
        Operation::EndFlows { .. } | Operation::EndConnections { .. } => Ok(()),
        in_table if is_in_table(in_table) && state.base.is_none() => Err(no_such()),
        Operation::AddElement(element) => added(state.elements.insert(*element)),
        Operation::RemoveElement(element) => found(state.elements.remove(element)),
        Operation::AddLocal(address) => added(state.locals.insert(*address)),
        Operation::RemoveLocal(address) => found(state.locals.remove(address)),
        Operation::AddVirtual(key, balance) => {
            if state.virtuals.contains_key(key) {
                return added(false);
            }
            let fresh = Virtual { balance: balance.clone(), destinations: Destinations::new() };
            added(state.virtuals.insert(*key, Arc::new(fresh)).is_none())
        }
        Operation::SetVirtual(key, balance) => {
            virtual_of(state, key).map(|it| it.balance = balance.clone())
        }
        Operation::RemoveVirtual(key) => found(state.virtuals.remove(key).is_some()),
        Operation::AddDestination(key, to, weight) => {
            let destinations = &mut virtual_of(state, key)?.destinations;
            if destinations.contains_key(to) {
                return added(false);
            }
            added(destinations.insert(*to, *weight).is_none())
        }
        Operation::SetDestination(key, to, weight) => {
            let destinations = &mut virtual_of(state, key)?.destinations;
            found(destinations.get_mut(to).map(|old| *old = *weight).is_some())
        }
        Operation::RemoveDestination(key, to) => {
            found(virtual_of(state, key)?.destinations.remove(to).is_some())
        }
        _ => run_nftables(state, operation),
    }
}

fn is_in_table(operation: &Operation) -> bool {
    matches!(
        operation.stage(),
        Stage::Interfaces
            | Stage::AddChains
            | Stage::AddElements
            | Stage::RemoveElements
            | Stage::RemoveChains
            | Stage::RenewFlowtable
            | Stage::RemoveInterfaces
    )
}

fn run_nftables(state: &mut KernelState, operation: &Operation) -> Outcome {
    match operation {
        Operation::SetFlowtable { to, .. } => {
            state.flowtable = Some(to.clone());
            Ok(())
        }
        Operation::RenewFlowtable { devices, .. } => {
            let there = state.flowtable.as_mut().map(|it| it.clone_from(devices));
            found(there.is_some())
        }
        Operation::RemoveFlowtable => {
            let used = state.chains.iter().any(|chain| matches!(chain, Chain::Offload(_)));
            if used { Err(busy()) } else { found(state.flowtable.take().is_some()) }
        }
        Operation::SetInterfaces { selection, to, .. } => {
            state.interfaces.insert(*selection, to.clone());
            Ok(())
        }
        Operation::RemoveInterfaces(selection) => {
            let names_it = |chain: &Chain| matches!(chain, Chain::Offload(it) if it.interfaces == Some(*selection));
            if state.chains.iter().any(names_it) {
                return Err(busy());
            }
            found(state.interfaces.remove(selection).is_some())
        }
        Operation::AddChain(chain) => {
            let there = match chain {
                Chain::Offload(class) => {
                    let selected = |it| state.interfaces.contains_key(&it);
                    state.flowtable.is_some() && class.interfaces.is_none_or(selected)
                }
                Chain::Balance(_) | Chain::Remember(_) => true,
            };
            if there { added(state.chains.insert(*chain)) } else { Err(no_such()) }
        }
        Operation::RemoveChain(chain) => {
            if state.nats.values().any(|nat| nat.chains().any(|it| it == *chain)) {
                return Err(busy());
            }
            found(state.chains.remove(chain))
        }
        Operation::SetNat { key, to, .. } => {
            if !to.chains().all(|chain| state.chains.contains(&chain)) {
                return Err(no_such());
            }
            state.nats.insert(*key, Arc::clone(to));
            Ok(())
        }
        Operation::RemoveNat { key, to, .. } => {
            let was = state.nats.remove(key).is_some();
            if !to.is_empty() {
                state.nats.insert(*key, Arc::clone(to));
            }
            found(was)
        }
        _ => Ok(()),
    }
}

fn busy() -> Refusal {
    Refusal::new(RefusalKind::Other, "Device or resource busy")
}

fn added(fresh: bool) -> Outcome {
    if fresh { Ok(()) } else { Err(Refusal::new(RefusalKind::Exists, "File exists")) }
}

fn found(there: bool) -> Outcome {
    if there { Ok(()) } else { Err(no_such()) }
}

fn no_such() -> Refusal {
    Refusal::new(RefusalKind::NotFound, "No such file or directory")
}

fn virtual_of<'a>(
    state: &'a mut KernelState,
    key: &VirtualKey,
) -> Result<&'a mut Virtual, Refusal> {
    state.virtuals.get_mut(key).map(Arc::make_mut).ok_or_else(no_such)
}

/// A kernel in memory, and what the process before it knows of whose a virtual service is.
#[derive(Clone, Debug, Default)]
pub struct FakeKernel {
    /// What it holds, others' virtual services included.
    pub state: KernelState,
    /// Open connections by server.
    pub open: BTreeMap<Server, u64>,
    /// Connections that nftables has translated, by server.
    pub translated: BTreeMap<Server, u64>,
    /// What virtual services have carried; nothing for those that aren't named.
    pub traffic: BTreeMap<VirtualKey, Traffic>,
    /// Flows that are offloaded.
    pub offloaded: BTreeMap<VirtualKey, u64>,
    /// Refuses these with their refusal, once each time they come.
    pub refuse: Vec<(Operation, Refusal)>,
    /// How many operations it was sent.
    pub writes: usize,
    /// What this process knows of whose virtual services are.
    pub ownership: Ownership,
}

impl Kernel for FakeKernel {
    fn observe(&mut self) -> Result<Observation, ObserveError> {
        let mut ours = self.state.clone();
        let all = std::mem::take(&mut ours.virtuals);
        let table = ours.base.is_some() || !ours.elements.is_empty();
        let proof = Proof { register: table.then_some(&ours.elements), addresses: &ours.locals };
        let (virtuals, foreign) = self.ownership.sort(all, &proof);
        ours.virtuals = virtuals;
        Ok(Observation { ours, foreign })
    }

    fn observe_table(&mut self) -> Result<KernelState, ObserveError> {
        Ok(KernelState::default().with_table_of(self.state.clone()))
    }

    fn apply(&mut self, plan: &Plan) -> Vec<Outcome> {
        let mut lost = Lost::default();
        let stages = plan.stages().flat_map(|operations| {
            lost.run(operations, |allowed| allowed.iter().map(|it| self.one(it)).collect())
        });
        stages.collect()
    }

    fn connections(
        &mut self,
        of: &BTreeSet<Server>,
    ) -> Result<BTreeMap<Server, u64>, ObserveError> {
        let there = of.iter().filter(|(key, to)| {
            self.state.virtuals.get(key).is_some_and(|it| it.destinations.contains_key(to))
        });
        Ok(there.map(|server| (*server, self.open.get(server).copied().unwrap_or(0))).collect())
    }

    fn offloaded(
        &mut self,
        of: &BTreeSet<VirtualKey>,
    ) -> Result<BTreeMap<VirtualKey, u64>, ObserveError> {
        let counts = self.offloaded.iter().filter(|(key, _)| of.contains(key));
        Ok(counts.map(|(key, count)| (*key, *count)).collect())
    }

    fn translated(&mut self, of: &BTreeSet<Server>) -> Result<BTreeMap<Server, u64>, ObserveError> {
        let there = self.translated.iter().filter(|(server, _)| of.contains(server));
        Ok(there.map(|(server, count)| (*server, *count)).collect())
    }

    fn traffic(&mut self, of: VirtualKey) -> Result<Option<Traffic>, ObserveError> {
        let there = self.state.virtuals.contains_key(&of);
        Ok(there.then(|| self.traffic.get(&of).copied().unwrap_or_default()))
    }
}

impl FakeKernel {
    /// A kernel that holds what a look found. Others' virtual services are there in some form.
    #[must_use]
    pub fn seen(observation: Observation) -> Self {
        let ownership = Ownership::of(&observation);
        let Observation { ours: mut state, foreign } = observation;
        state.virtuals.extend(foreign.into_iter().map(|key| (key, some_form().into())));
        Self { state, ownership, ..Self::default() }
    }

    /// The same kernel for a process that has just started: it remembers nothing.
    #[must_use]
    pub fn restarted(self) -> Self {
        Self { ownership: Ownership::default(), writes: 0, ..self }
    }

    fn one(&mut self, operation: &Operation) -> Outcome {
        self.writes += 1;
        let refused = self.refuse.iter().find(|(it, _)| it == operation);
        let outcome = match (refused, operation) {
            (Some((_, refusal)), _) => Err(refusal.clone()),
            (None, Operation::AddVirtual(key, _)) if self.state.virtuals.contains_key(key) => {
                Err(Refusal::new(self.ownership.clash(key), "File exists"))
            }
            (None, _) => run(&mut self.state, operation),
        };
        if let (Operation::EndConnections { key, to }, Ok(())) = (operation, &outcome) {
            self.translated.retain(|(of, server), _| of != key || !to.contains(server));
        }
        self.ownership.note(operation, &outcome);
        outcome
    }
}

fn some_form() -> Virtual {
    let (scheduler, flags) = (Scheduler::Rr, SchedulerFlags::default());
    Virtual {
        balance: Balance { scheduler, flags, persistence: None },
        destinations: Destinations::new(),
    }
}
