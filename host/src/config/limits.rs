//! Section `limits`: what nobody may cross, whatever policies and annotations ask for. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::decision;
use weir_core::interfaces::Entry;

use super::fault::Problem;
use super::offload::Packets;
use super::text::{Label, NotAllowed, written_as_text};

/// Reads and writes a type as the one in it, which core has.
macro_rules! said_by_its_core {
    ($type:ident) => {
        impl FromStr for $type {
            type Err = NotAllowed;

            fn from_str(text: &str) -> Result<Self, NotAllowed> {
                text.parse().map(Self).map_err(|_| NotAllowed::new(text, Self::ALLOWED))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

/// The name of a scheduler of either dataplane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AnyScheduler(decision::Scheduler);

written_as_text!(
    AnyScheduler,
    "one of rr, wrr, lc, wlc, lblc, lblcr, sh, dh, mh, sed, nq, fo, ovf, twos, random"
);

said_by_its_core!(AnyScheduler);

/// Interfaces, as policies name them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interfaces(Entry);

written_as_text!(
    Interfaces,
    "an interface's name, a pattern such as `eth*`, or a group such as `group:uplink`"
);

said_by_its_core!(Interfaces);

/// A dataplane by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OneDataplane(decision::Dataplane);

written_as_text!(OneDataplane, "`ipvs` or `nftables`");

said_by_its_core!(OneDataplane);

/// What nobody may cross in some namespaces, or in all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limit {
    /// Namespaces for which it holds; left out or empty: all. For each namespace the first entry holds
    /// that names it, and no other.
    pub namespaces: Vec<Label>,
    /// The least number of packets after which a flow may be offloaded; 0 is never.
    pub min_after_packets: Packets,
    /// The greatest number of packets after which a flow is offloaded that can be; 0 is no limit.
    pub max_after_packets: Packets,
    /// Schedulers that may be had, of either dataplane; left out: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedulers: Option<Vec<AnyScheduler>>,
    /// Dataplanes that may be had; left out: both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataplanes: Option<Vec<OneDataplane>>,
    /// Interfaces on which no flow is offloaded.
    pub exclude_interfaces: Vec<Interfaces>,
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            namespaces: Vec::new(),
            min_after_packets: Packets::new(1),
            max_after_packets: Packets::new(0),
            schedulers: None,
            dataplanes: None,
            exclude_interfaces: Vec::new(),
        }
    }
}

/// The same as decisions heed it.
#[must_use]
pub fn all_limits(limits: &[Limit]) -> decision::AllLimits {
    let one = |it: &Limit| (it.namespaces.iter().map(ToString::to_string).collect(), it.get());
    decision::AllLimits(limits.iter().map(one).collect())
}

impl Limit {
    fn get(&self) -> decision::Limits {
        let offload = |packets: Packets| {
            let packets = u32::try_from(packets.get()).unwrap_or(u32::MAX);
            NonZeroU32::new(packets).map_or(decision::Offload::Never, decision::Offload::After)
        };
        decision::Limits {
            earliest: offload(self.min_after_packets),
            latest: offload(self.max_after_packets),
            schedulers: self.schedulers.as_ref().map(|all| all.iter().map(|it| it.0).collect()),
            dataplanes: self.dataplanes.as_ref().map(|all| all.iter().map(|it| it.0).collect()),
            not_on: self.exclude_interfaces.iter().map(|it| it.0.clone()).collect(),
        }
    }

    fn check(&self, index: usize, problems: &mut Vec<Problem>) {
        let mut wrong = |field: &str, text: String| {
            problems.push(Problem::new(&format!("limits[{index}].{field}"), text));
        };
        let (min, max) = (self.min_after_packets.get(), self.max_after_packets.get());
        if max > 0 && (min == 0 || min > max) {
            let min = if min == 0 { "never".to_owned() } else { min.to_string() };
            wrong(
                "minAfterPackets",
                format!("{min} is later than maxAfterPackets, which is {max}"),
            );
        }
        let none = "allows none: leave it out to allow all";
        if self.schedulers.as_ref().is_some_and(Vec::is_empty) {
            wrong("schedulers", none.to_owned());
        }
        if self.dataplanes.as_ref().is_some_and(Vec::is_empty) {
            wrong("dataplanes", none.to_owned());
        }
    }
}

/// An entry that never holds is a mistake: somebody relies on it.
pub(super) fn check(limits: &[Limit], problems: &mut Vec<Problem>) {
    let (mut named, mut for_all) = (BTreeSet::new(), false);
    for (index, limit) in limits.iter().enumerate() {
        limit.check(index, problems);
        if for_all {
            let text = "never holds: an entry before it is for all namespaces";
            problems.push(Problem::new(&format!("limits[{index}]"), text));
            continue;
        }
        for_all = limit.namespaces.is_empty();
        for (at, name) in limit.namespaces.iter().enumerate() {
            if !named.insert(name) {
                let text = format!("`{name}` is in an earlier entry, which holds");
                problems.push(Problem::new(&format!("limits[{index}].namespaces[{at}]"), text));
            }
        }
    }
}
