//! What was decided for one service port: policies' wishes, checked against what is there. Pure.
//!
//! A wish that can't be granted is never an error of the service: it is clamped or set aside, and
//! a [`Reason`] says what was asked, by whom, and what was done instead.

mod check;
mod limits;
mod scheduler;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use check::{Asked, decide, usual_dataplane};
pub use limits::{AllLimits, Limits};
pub use scheduler::{Scheduler, SchedulerFlags, UnknownFlag, UnknownScheduler};

use crate::interfaces::Selection;
use crate::state::Weight;

/// What carries a service port's traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dataplane {
    /// IP Virtual Server: every scheduler, no offload.
    Ipvs,
    /// nftables DNAT: stateless schedulers, offload to a flowtable.
    Nftables,
}

impl Dataplane {
    /// Its name in policies, configuration, logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ipvs => "ipvs",
            Self::Nftables => "nftables",
        }
    }
}

impl fmt::Display for Dataplane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is no dataplane's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("dataplane {0:?} is none of ipvs, nftables")]
pub struct UnknownDataplane(pub String);

impl FromStr for Dataplane {
    type Err = UnknownDataplane;

    fn from_str(text: &str) -> Result<Self, UnknownDataplane> {
        match text {
            "ipvs" => Ok(Self::Ipvs),
            "nftables" => Ok(Self::Nftables),
            _ => Err(UnknownDataplane(text.to_owned())),
        }
    }
}

/// When a flow may skip the rule set. A threshold of zero cannot be written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Offload {
    /// Every packet takes the slow path.
    Never,
    /// Once more than this many packets, both directions together, were counted.
    After(NonZeroU32),
}

impl fmt::Display for Offload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::After(packets) => write!(f, "after {packets} packets"),
        }
    }
}

/// A value beside who chose it: a policy's name, `service` (the Service object), `default`, or `limits`
/// where the default isn't within these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen<T> {
    /// What was chosen.
    pub value: T,
    /// Who chose it.
    pub by: String,
}

impl<T> Chosen<T> {
    /// `value`, chosen by `by`.
    pub fn new(value: T, by: impl Into<String>) -> Self {
        Self { value, by: by.into() }
    }
}

/// Why a decision isn't what somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reason {
    /// The field of the decision, in kebab case.
    pub field: String,
    /// Who asked.
    pub by: String,
    /// What was asked, what was done instead and why.
    pub text: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.field, self.by, self.text)
    }
}

/// How one service port is to be balanced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What carries it.
    pub dataplane: Chosen<Dataplane>,
    /// Who picks the server.
    pub scheduler: Chosen<Scheduler>,
    /// How the scheduler hashes.
    pub flags: Chosen<SchedulerFlags>,
    /// Weights of the endpoints that don't have weight 1.
    pub weights: BTreeMap<SocketAddr, Chosen<Weight>>,
    /// When flows are offloaded.
    pub offload: Chosen<Offload>,
    /// Interfaces that take part in offload; `None` is all.
    pub interfaces: Option<Chosen<Selection>>,
    /// Interfaces at whose addresses its node port answers, of those that the node's configuration
    /// allows; `None` is all.
    pub node_ports: Option<Chosen<Selection>>,
    /// Seconds that a client stays with its server; `None` without affinity.
    pub affinity: Chosen<Option<NonZeroU32>>,
    /// Seconds after which to ask again although nothing changed.
    pub re_evaluate: Option<Chosen<NonZeroU32>>,
    /// Words of policies for operators, each with its author.
    pub notes: Vec<Chosen<String>>,
    /// What was asked for and set aside, clamped or downgraded.
    pub reasons: Vec<Reason>,
}

impl Decision {
    /// The weight of an endpoint.
    #[must_use]
    pub fn weight(&self, to: SocketAddr) -> Weight {
        self.weights.get(&to).map_or(Weight(1), |chosen| chosen.value)
    }
}
