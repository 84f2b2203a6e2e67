//! The door to the kernel: look, write, and ask who is busy; and a fake behind it that refuses as Linux does.
//!
//! The trait is pure of any netlink word. The fake is the reference for what a plan does to a state:
//! a test in the guest sends random plans to it and to the real kernel and compares the two.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;

use crate::plan::{Operation, Plan};
use crate::state::{Base, Element, KernelState, Virtual, VirtualKey};

/// Why an operation did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// A bounded word for metrics and for deciding what to do next.
    pub kind: RefusalKind,
    /// The kernel's words, for people.
    pub text: String,
}

/// The kinds of refusal that a caller treats differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalKind {
    /// EEXIST: there is one already.
    Exists,
    /// ENOENT, ESRCH: there is none.
    NotFound,
    /// The object belongs to somebody else and is left alone.
    Foreign,
    /// The kernel lacks what it takes, for example the scheduler's module.
    Unsupported,
    /// Whether it happened is not known; only a look tells.
    Unknown,
    /// An operation that it depends on did not happen.
    Skipped,
    /// Any other error.
    Other,
}

impl RefusalKind {
    /// A bounded word for a metric's label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exists => "exists",
            Self::NotFound => "not_found",
            Self::Foreign => "foreign",
            Self::Unsupported => "unsupported",
            Self::Unknown => "unknown",
            Self::Skipped => "skipped",
            Self::Other => "other",
        }
    }
}

impl Refusal {
    /// A refusal of this kind, in these words.
    pub fn new(kind: RefusalKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}

/// What became of one operation.
pub type Outcome = Result<(), Refusal>;

/// What a look at the kernel found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// What is ours.
    pub ours: KernelState,
    /// Virtual services that somebody else made: never changed.
    pub foreign: BTreeSet<VirtualKey>,
}

/// What a look at weir's table alone found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableObservation {
    /// What belongs to no service; `None` where it isn't as it should be.
    pub base: Option<Base>,
    /// The services' elements.
    pub elements: BTreeSet<Element>,
}

/// The look failed; the state is not known.
#[derive(Debug, thiserror::Error)]
#[error("{doing}")]
pub struct ObserveError {
    /// What was being looked at, for example `dump virtual services`.
    pub doing: String,
    /// The cause.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// A virtual service and one of its destinations.
pub type Server = (VirtualKey, SocketAddr);

/// What a virtual service has carried since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Connections scheduled.
    pub connections: u64,
    /// Connections open now.
    pub open: u64,
    /// Packets from clients.
    pub packets_in: u64,
    /// Packets to clients.
    pub packets_out: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
}

/// The kernel, as the reconciler knows it.
pub trait Kernel {
    /// Looks at all that is ours. An error is an error, never an empty state.
    fn observe(&mut self) -> Result<Observation, ObserveError>;

    /// Looks at weir's table alone: what a foreign change of the rule set can have spoilt.
    fn observe_table(&mut self) -> Result<TableObservation, ObserveError>;

    /// Runs a plan: one outcome for each operation, in the plan's order.
    fn apply(&mut self, plan: &Plan) -> Vec<Outcome>;

    /// Connections, active and inactive, of these servers. Servers that the kernel lacks are left out.
    fn connections(&mut self, of: &BTreeSet<Server>)
    -> Result<BTreeMap<Server, u64>, ObserveError>;

    /// What one virtual service has carried; `None` where there is none.
    fn traffic(&mut self, of: VirtualKey) -> Result<Option<Traffic>, ObserveError>;
}

/// Does to a state what the kernel would do to itself, refusing as Linux refuses.
pub fn run(state: &mut KernelState, operation: &Operation) -> Outcome {
    match operation {
        Operation::SetBase(base) => {
            state.base = Some(base.clone());
            Ok(())
        }
        Operation::RemoveBase => {
            state.elements.clear();
            found(state.base.take().is_some())
        }
        Operation::AddElement(_) | Operation::RemoveElement(_) if state.base.is_none() => {
            Err(no_such())
        }
        Operation::AddElement(element) => added(state.elements.insert(*element)),
        Operation::RemoveElement(element) => found(state.elements.remove(element)),
        Operation::AddLocal(address) => added(state.locals.insert(*address)),
        Operation::RemoveLocal(address) => found(state.locals.remove(address)),
        Operation::AddVirtual(key, balance) => {
            if state.virtuals.contains_key(key) {
                return added(false);
            }
            let fresh = Virtual { balance: balance.clone(), destinations: BTreeMap::new() };
            added(state.virtuals.insert(*key, fresh).is_none())
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
    }
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
    state.virtuals.get_mut(key).ok_or_else(no_such)
}

/// A kernel in memory.
#[derive(Clone, Debug, Default)]
pub struct FakeKernel {
    /// What it holds, foreign virtual services included.
    pub state: KernelState,
    /// Virtual services made by somebody else.
    pub foreign: BTreeSet<VirtualKey>,
    /// Open connections by server.
    pub open: BTreeMap<Server, u64>,
    /// What virtual services have carried; nothing for those that aren't named.
    pub traffic: BTreeMap<VirtualKey, Traffic>,
    /// Refuses these with their refusal, once each time they come.
    pub refuse: Vec<(Operation, Refusal)>,
    /// How many operations it was sent.
    pub writes: usize,
}

impl Kernel for FakeKernel {
    fn observe(&mut self) -> Result<Observation, ObserveError> {
        let mut ours = self.state.clone();
        ours.virtuals.retain(|key, _| !self.foreign.contains(key));
        Ok(Observation { ours, foreign: self.foreign.clone() })
    }

    fn observe_table(&mut self) -> Result<TableObservation, ObserveError> {
        let KernelState { base, elements, .. } = self.state.clone();
        Ok(TableObservation { base, elements })
    }

    fn apply(&mut self, plan: &Plan) -> Vec<Outcome> {
        plan.operations().iter().map(|operation| self.one(operation)).collect()
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

    fn traffic(&mut self, of: VirtualKey) -> Result<Option<Traffic>, ObserveError> {
        let there = self.state.virtuals.contains_key(&of);
        Ok(there.then(|| self.traffic.get(&of).copied().unwrap_or_default()))
    }
}

impl FakeKernel {
    /// A kernel that holds what a look found.
    #[must_use]
    pub fn seen(observation: Observation) -> Self {
        let Observation { ours, foreign } = observation;
        Self { state: ours, foreign, ..Self::default() }
    }

    fn one(&mut self, operation: &Operation) -> Outcome {
        self.writes += 1;
        if let Some((_, refusal)) = self.refuse.iter().find(|(it, _)| it == operation) {
            return Err(refusal.clone());
        }
        if operation.virtual_key().is_some_and(|key| self.foreign.contains(&key)) {
            return Err(Refusal::new(RefusalKind::Foreign, "made by somebody else"));
        }
        run(&mut self.state, operation)
    }
}

impl fmt::Display for RefusalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
