//! Schedulers by the names that the kernel's modules register. Pure.

use std::fmt;
use std::str::FromStr;

use crate::{InvalidValue, name::Name};

/// How a virtual service picks a destination for a new connection.
///
/// The kernel loads `ip_vs_NAME` by itself; a name that no module has is refused with `ENOENT`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheduler {
    /// `rr`: round robin.
    RoundRobin,
    /// `wrr`: weighted round robin.
    WeightedRoundRobin,
    /// `lc`: least connections.
    LeastConnection,
    /// `wlc`: weighted least connections.
    WeightedLeastConnection,
    /// `lblc`: locality-based least connections.
    LocalityLeastConnection,
    /// `lblcr`: locality-based least connections with replication.
    LocalityLeastConnectionReplication,
    /// `dh`: hash of the destination address.
    DestinationHash,
    /// `sh`: hash of the source address; with [`crate::ServiceFlags::SH_PORT`] also of its port.
    SourceHash,
    /// `mh`: Maglev hash of the source (kernel 4.18 and later).
    MaglevHash,
    /// `sed`: shortest expected delay.
    ShortestExpectedDelay,
    /// `nq`: never queue.
    NeverQueue,
    /// `fo`: weighted fail-over.
    FailOver,
    /// `ovf`: weighted overflow.
    Overflow,
    /// `twos`: power of two random choices (kernel 5.13 and later).
    TwoChoices,
    /// Another module's scheduler, or `none`, which schedules nothing.
    Other(SchedulerName),
}

/// A name that is none of the known schedulers; `"name".parse::<Scheduler>()` makes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SchedulerName(Name);

impl Scheduler {
    /// The schedulers of the mainline kernel.
    pub const KNOWN: [Self; 14] = [
        Self::RoundRobin,
        Self::WeightedRoundRobin,
        Self::LeastConnection,
        Self::WeightedLeastConnection,
        Self::LocalityLeastConnection,
        Self::LocalityLeastConnectionReplication,
        Self::DestinationHash,
        Self::SourceHash,
        Self::MaglevHash,
        Self::ShortestExpectedDelay,
        Self::NeverQueue,
        Self::FailOver,
        Self::Overflow,
        Self::TwoChoices,
    ];

    /// The name the kernel knows it by.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::RoundRobin => "rr",
            Self::WeightedRoundRobin => "wrr",
            Self::LeastConnection => "lc",
            Self::WeightedLeastConnection => "wlc",
            Self::LocalityLeastConnection => "lblc",
            Self::LocalityLeastConnectionReplication => "lblcr",
            Self::DestinationHash => "dh",
            Self::SourceHash => "sh",
            Self::MaglevHash => "mh",
            Self::ShortestExpectedDelay => "sed",
            Self::NeverQueue => "nq",
            Self::FailOver => "fo",
            Self::Overflow => "ovf",
            Self::TwoChoices => "twos",
            Self::Other(SchedulerName(name)) => name.as_str(),
        }
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scheduler {
    type Err = InvalidValue;

    /// Any name of 1 to 15 printable ASCII characters: the set is open.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if let Some(known) = Self::KNOWN.into_iter().find(|known| known.name() == name) {
            return Ok(known);
        }
        Ok(Self::Other(SchedulerName(Name::new("scheduler", name)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for scheduler in Scheduler::KNOWN {
            assert_eq!(scheduler.name().parse(), Ok(scheduler.clone()));
        }
        let other: Scheduler = "none".parse().unwrap();
        assert!(matches!(other, Scheduler::Other(_)));
        assert_eq!(other.to_string(), "none");
        assert!("".parse::<Scheduler>().is_err());
    }
}
