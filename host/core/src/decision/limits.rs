//! What no decision may cross, whoever asks for it: set by operators for Services of all namespaces or of
//! some. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU32;

use super::{Dataplane, Offload, Scheduler};
use crate::interfaces::Entry;

/// What holds for one namespace's Services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The earliest that flows may be offloaded; `Never` forbids it.
    pub earliest: Offload,
    /// The latest that flows may be offloaded that can be; `Never` is no limit.
    pub latest: Offload,
    /// Schedulers that may be had; `None` is all.
    pub schedulers: Option<BTreeSet<Scheduler>>,
    /// Dataplanes that may be had; `None` is all.
    pub dataplanes: Option<BTreeSet<Dataplane>>,
    /// Interfaces on which no flow is offloaded.
    pub not_on: BTreeSet<Entry>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            earliest: Offload::After(NonZeroU32::MIN),
            latest: Offload::Never,
            schedulers: None,
            dataplanes: None,
            not_on: BTreeSet::new(),
        }
    }
}

impl Limits {
    /// The threshold nearest to this one that isn't too early. `Never` is later than any number.
    #[must_use]
    pub fn not_before(&self, offload: Offload) -> Offload {
        match (self.earliest, offload) {
            (Offload::Never, _) | (_, Offload::Never) => Offload::Never,
            (Offload::After(earliest), Offload::After(asked)) => {
                Offload::After(asked.max(earliest))
            }
        }
    }

    /// The threshold nearest to this one that isn't too late either, where flows can be offloaded.
    #[must_use]
    pub fn bounded(&self, offload: Offload) -> Offload {
        let offload = self.not_before(offload);
        match (self.earliest, self.latest, offload) {
            (Offload::Never, ..) | (_, Offload::Never, _) => offload,
            (_, latest, Offload::Never) => latest,
            (_, Offload::After(latest), Offload::After(asked)) => Offload::After(asked.min(latest)),
        }
    }

    /// Whether a scheduler may be had.
    #[must_use]
    pub fn allow_scheduler(&self, scheduler: Scheduler) -> bool {
        self.schedulers.as_ref().is_none_or(|all| all.contains(&scheduler))
    }

    /// Whether a dataplane may be had.
    #[must_use]
    pub fn allow_dataplane(&self, dataplane: Dataplane) -> bool {
        self.dataplanes.as_ref().is_none_or(|all| all.contains(&dataplane))
    }
}

/// `offload after 10 packets at the earliest and after 100 packets at the latest; schedulers rr, lc`.
impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.earliest, self.latest) {
            (Offload::Never, _) => f.write_str("no offload")?,
            (earliest, Offload::Never) => write!(f, "offload {earliest} at the earliest")?,
            (earliest, latest) => {
                write!(f, "offload {earliest} at the earliest and {latest} at the latest")?;
            }
        }
        let some = |all: Vec<String>| all.join(", ");
        if let Some(schedulers) = &self.schedulers {
            let names = schedulers.iter().map(ToString::to_string).collect();
            write!(f, "; schedulers {}", some(names))?;
        }
        if let Some(dataplanes) = &self.dataplanes {
            let names = dataplanes.iter().map(ToString::to_string).collect();
            write!(f, "; dataplanes {}", some(names))?;
        }
        if !self.not_on.is_empty() {
            let names = self.not_on.iter().map(ToString::to_string).collect();
            write!(f, "; not on {}", some(names))?;
        }
        Ok(())
    }
}

/// The limits of all namespaces, in the order in which they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllLimits(pub Vec<(BTreeSet<String>, Limits)>);

impl AllLimits {
    /// What holds for a namespace: the first that names it, or names none and so holds for all.
    #[must_use]
    pub fn of(&self, namespace: &str) -> Option<&Limits> {
        let holds = |names: &BTreeSet<String>| names.is_empty() || names.contains(namespace);
        self.0.iter().find(|(names, _)| holds(names)).map(|(_, limits)| limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offload(packets: u32) -> Offload {
        NonZeroU32::new(packets).map_or(Offload::Never, Offload::After)
    }

    /// 0 is never.
    #[test]
    fn thresholds_are_kept_between_the_two() {
        let cases = [
            ("no limit", (1, 0), 7, (7, 7)),
            ("no limit, never", (1, 0), 0, (0, 0)),
            ("too early", (20, 0), 7, (20, 20)),
            ("late enough", (20, 0), 30, (30, 30)),
            ("too late", (1, 100), 200, (200, 100)),
            ("never is too late", (1, 100), 0, (0, 100)),
            ("forbidden", (0, 0), 7, (0, 0)),
            ("both", (20, 20), 7, (20, 20)),
        ];
        for (name, (earliest, latest), asked, (not_before, bounded)) in cases {
            let (earliest, latest) = (offload(earliest), offload(latest));
            let limits = Limits { earliest, latest, ..Limits::default() };
            assert_eq!(limits.not_before(offload(asked)), offload(not_before), "{name}");
            assert_eq!(limits.bounded(offload(asked)), offload(bounded), "{name}");
        }
    }

    #[test]
    fn limits_are_said_in_words() {
        assert_eq!(Limits::default().to_string(), "offload after 1 packets at the earliest");
        let limits = Limits {
            latest: offload(9),
            schedulers: Some([Scheduler::Rr, Scheduler::Lc].into()),
            dataplanes: Some([Dataplane::Ipvs].into()),
            not_on: ["eth9".parse().unwrap()].into(),
            ..Limits::default()
        };
        assert_eq!(
            limits.to_string(),
            "offload after 1 packets at the earliest and after 9 packets at the latest; schedulers \
             rr, lc; dataplanes ipvs; not on eth9"
        );
    }

    #[test]
    fn the_first_that_names_a_namespace_holds() {
        let of = |names: &[&str], packets| {
            let names = names.iter().map(ToString::to_string).collect();
            (names, Limits { earliest: offload(packets), ..Limits::default() })
        };
        let all = AllLimits(vec![of(&["shop", "blog"], 5), of(&[], 9)]);
        let least = |namespace| all.of(namespace).unwrap().earliest;
        assert_eq!(
            (least("shop"), least("blog"), least("audit")),
            (offload(5), offload(5), offload(9))
        );
        assert_eq!(AllLimits(vec![of(&["shop"], 5)]).of("audit"), None);
    }
}
