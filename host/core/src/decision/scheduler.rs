//! The schedulers there are, what each needs, and the flags some take. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a server is picked for a new connection. All but `random` are IPVS modules
/// (`net/netfilter/ipvs/ip_vs_*.c`); those that keep no state can be had on nftables too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "each is its kernel name; `describe` says what it does")]
pub enum Scheduler {
    Rr,
    Wrr,
    Lc,
    Wlc,
    Lblc,
    Lblcr,
    Sh,
    Dh,
    Mh,
    Sed,
    Nq,
    Fo,
    Ovf,
    Twos,
    Random,
}

impl Scheduler {
    /// Every scheduler.
    pub const ALL: [Self; 15] = [
        Self::Rr,
        Self::Wrr,
        Self::Lc,
        Self::Wlc,
        Self::Lblc,
        Self::Lblcr,
        Self::Sh,
        Self::Dh,
        Self::Mh,
        Self::Sed,
        Self::Nq,
        Self::Fo,
        Self::Ovf,
        Self::Twos,
        Self::Random,
    ];

    /// Its kernel name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// What it does, in a line.
    #[must_use]
    pub fn describe(self) -> &'static str {
        self.row().1
    }

    /// Whether IPVS has it.
    #[must_use]
    pub fn on_ipvs(self) -> bool {
        self != Self::Random
    }

    /// Whether a rule set without memory of connections can do it.
    #[must_use]
    pub fn on_nftables(self) -> bool {
        matches!(self, Self::Random | Self::Rr | Self::Wrr | Self::Sh | Self::Dh | Self::Mh)
    }

    /// Whether it looks at weights other than 0 (`dh` fills its table evenly: `ip_vs_dh_reassign`).
    #[must_use]
    pub fn heeds_weights(self) -> bool {
        !matches!(self, Self::Rr | Self::Lc | Self::Dh)
    }

    fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::Rr => ("rr", "round robin"),
            Self::Wrr => ("wrr", "weighted round robin"),
            Self::Lc => ("lc", "least connections"),
            Self::Wlc => ("wlc", "weighted least connections"),
            Self::Lblc => ("lblc", "locality-based least connections"),
            Self::Lblcr => ("lblcr", "locality-based least connections with replication"),
            Self::Sh => ("sh", "source hashing"),
            Self::Dh => ("dh", "destination hashing"),
            Self::Mh => ("mh", "Maglev hashing"),
            Self::Sed => ("sed", "shortest expected delay"),
            Self::Nq => ("nq", "never queue"),
            Self::Fo => ("fo", "weighted fail-over"),
            Self::Ovf => ("ovf", "weighted overflow"),
            Self::Twos => ("twos", "power of two random choices"),
            Self::Random => ("random", "random"),
        }
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is no scheduler's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("scheduler {0:?} is none of {names}", names = Scheduler::ALL.map(Scheduler::as_str).join(", "))]
pub struct UnknownScheduler(pub String);

impl FromStr for Scheduler {
    type Err = UnknownScheduler;

    fn from_str(text: &str) -> Result<Self, UnknownScheduler> {
        let all = Self::ALL.into_iter();
        all.into_iter()
            .find(|s| s.as_str() == text)
            .ok_or_else(|| UnknownScheduler(text.to_owned()))
    }
}

/// Flags of the hashing schedulers (`IP_VS_SVC_F_SCHED1`, `IP_VS_SVC_F_SCHED2` in `linux/ip_vs.h`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct SchedulerFlags {
    /// Where the hashed server can't take the connection, take another.
    pub fallback: bool,
    /// Hash the port as well as the address.
    pub port: bool,
}

impl SchedulerFlags {
    /// Whether none is set.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// What kube-proxy's IPVS mode gives a scheduler: `mh` hashes the port too (kubernetes #115526).
    #[must_use]
    pub fn default_for(scheduler: Scheduler) -> Self {
        Self { fallback: false, port: scheduler == Scheduler::Mh }
    }

    /// The flags of these names (`mh-port`, `sh-fallback`, or plain `port`, `fallback`) for `scheduler`.
    ///
    /// # Errors
    /// A name that is no flag of this scheduler.
    pub fn parse(scheduler: Scheduler, names: &[String]) -> Result<Self, UnknownFlag> {
        let mut flags = Self::default();
        for name in names {
            let unknown = || UnknownFlag { flag: name.clone(), scheduler };
            let plain = match name.split_once('-') {
                Some((prefix, rest)) if prefix == scheduler.as_str() => rest,
                Some(_) => return Err(unknown()),
                None => name.as_str(),
            };
            match (scheduler, plain) {
                (Scheduler::Sh | Scheduler::Mh, "port") => flags.port = true,
                (Scheduler::Sh | Scheduler::Mh, "fallback") => flags.fallback = true,
                _ => return Err(unknown()),
            }
        }
        Ok(flags)
    }
}

impl fmt::Display for SchedulerFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.fallback, self.port) {
            (false, false) => "none",
            (true, false) => "fallback",
            (false, true) => "port",
            (true, true) => "fallback, port",
        })
    }
}

/// A flag that a scheduler doesn't have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("scheduler {scheduler} has no flag {flag:?} (sh and mh have port and fallback)")]
pub struct UnknownFlag {
    /// The flag that was asked for.
    pub flag: String,
    /// The scheduler that it was asked of.
    pub scheduler: Scheduler,
}
