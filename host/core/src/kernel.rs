//! The door to the kernel: look, write, and ask who is busy; and a fake behind it that refuses as Linux does.
//!
//! The trait is pure of any netlink word. The fake is the reference for what a plan does to a state:
//! a test in the guest sends random plans to it and to the real kernel and compares the two.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;

use crate::plan::Plan;
use crate::state::{KernelState, VirtualKey};

mod fake;
mod lost;
mod ownership;

pub use fake::{FakeKernel, run};
pub use lost::Lost;
pub use ownership::{Ownership, Proof};

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

    /// Looks at weir's table alone: what a foreign change of the rule set can have spoilt. The state
    /// holds nothing else; its base is `None` where it isn't as it should be.
    fn observe_table(&mut self) -> Result<KernelState, ObserveError>;

    /// Runs a plan: one outcome for each operation, in the plan's order.
    fn apply(&mut self, plan: &Plan) -> Vec<Outcome>;

    /// Connections, active and inactive, of these servers. Servers that the kernel lacks are left out.
    fn connections(&mut self, of: &BTreeSet<Server>)
    -> Result<BTreeMap<Server, u64>, ObserveError>;

    /// Connections of these servers that nftables has translated; nothing for those with none.
    fn translated(&mut self, of: &BTreeSet<Server>) -> Result<BTreeMap<Server, u64>, ObserveError>;

    /// How many flows of each of these service ports are offloaded; nothing for those with none.
    fn offloaded(
        &mut self,
        of: &BTreeSet<VirtualKey>,
    ) -> Result<BTreeMap<VirtualKey, u64>, ObserveError>;

    /// What one virtual service has carried; `None` where there is none.
    fn traffic(&mut self, of: VirtualKey) -> Result<Option<Traffic>, ObserveError>;
}

impl fmt::Display for RefusalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
