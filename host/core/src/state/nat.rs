//! A service port that nftables carries: a class that says how a slot is picked, and what is in the
//! slots. Pure.
//!
//! Services and endpoints are elements of maps. What picks is a chain for each distinct class, so
//! that the number of chains doesn't grow with the number of services; only round robin, whose
//! counter belongs to its rule, has a chain for each service.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::VirtualKey;
use crate::interfaces::Digest;
use crate::net::Family;

/// How a slot is picked for a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pick {
    /// By a random number.
    Random,
    /// One after the other, counted for this service alone.
    Turn(VirtualKey),
    /// By a hash of the client's address.
    Source {
        /// And of its port.
        port: bool,
    },
    /// By a hash of the service's address.
    Destination,
}

/// What a chain that picks is made from: services of one class share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Class {
    /// The family of the service's address and its endpoints'.
    pub family: Family,
    /// How a slot is picked.
    pub pick: Pick,
    /// Among how many.
    pub slots: NonZeroU32,
    /// Unless it is remembered where the client went.
    pub sticky: bool,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pick {
            Pick::Random => write!(f, "random of {}", self.slots)?,
            Pick::Turn(_) => write!(f, "in turn of {}", self.slots)?,
            Pick::Source { port: false } => write!(f, "by source of {}", self.slots)?,
            Pick::Source { port: true } => write!(f, "by source and port of {}", self.slots)?,
            Pick::Destination => write!(f, "by destination of {}", self.slots)?,
        }
        if self.sticky { f.write_str(" sticky") } else { Ok(()) }
    }
}

/// Remembers where clients went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Memory {
    /// The family of the service's address.
    pub family: Family,
    /// For so many seconds after a client's last new connection.
    pub seconds: NonZeroU32,
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "remembered for {} s", self.seconds)
    }
}

/// When flows skip the rule set, and between which interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OffloadClass {
    /// After more packets than this, both directions together.
    pub after: NonZeroU32,
    /// The selection that both interfaces of the flow have to be in; `None` takes all.
    pub interfaces: Option<Digest>,
}

impl fmt::Display for OffloadClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offload after {}", self.after)?;
        match self.interfaces {
            Some(selection) => write!(f, " on {selection}"),
            None => Ok(()),
        }
    }
}

/// A chain that services of one class share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Chain {
    /// Picks an endpoint.
    Balance(Class),
    /// Hands a flow to the flowtable.
    Offload(OffloadClass),
    /// Remembers where a client went.
    Remember(Memory),
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Balance(class @ Class { pick: Pick::Turn(key), .. }) => {
                write!(f, "{class} for {key}")
            }
            Self::Balance(class) => write!(f, "{} {class}", class.family),
            Self::Offload(class) => class.fmt(f),
            Self::Remember(memory) => write!(f, "{} {memory}", memory.family),
        }
    }
}

/// What is in the slots, by their numbers. A hole is only ever found, never wanted.
pub type Slots = Vec<Option<SocketAddr>>;

/// One service port as nftables carries it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nat {
    /// How its endpoint is picked; `None` is only ever found, never wanted.
    pub class: Option<Class>,
    /// Its endpoints.
    pub slots: Slots,
    /// When its flows are offloaded; `None` is never.
    pub offload: Option<OffloadClass>,
    /// How long a client stays with its endpoint; `None` is not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
}

impl Nat {
    /// The chains that it leads to.
    pub fn chains(&self) -> impl Iterator<Item = Chain> {
        let balance = self.class.map(Chain::Balance);
        let offload = self.offload.map(Chain::Offload);
        [balance, offload, self.memory.map(Chain::Remember)].into_iter().flatten()
    }

    /// Whether only how often an endpoint is in the slots matters, not in which.
    fn is_free_of_order(&self) -> bool {
        match self.class.map(|class| class.pick) {
            Some(Pick::Random) => true,
            // Turns of a weighted service are spread out.
            Some(Pick::Turn(_)) => {
                let mut all: Vec<_> = self.slots.iter().collect();
                all.sort_unstable();
                all.windows(2).all(|pair| pair[0] != pair[1])
            }
            Some(Pick::Source { .. } | Pick::Destination) | None => false,
        }
    }

    /// The same, with endpoints in the slots where `known` has them already, if it makes no
    /// difference to who gets how much: one endpoint that goes moves one other, not all behind it.
    #[must_use]
    pub fn like(mut self, known: &Self) -> Self {
        if !self.is_free_of_order() || self.slots == known.slots {
            return self;
        }
        let mut left = BTreeMap::<SocketAddr, usize>::new();
        for to in self.slots.iter().flatten() {
            *left.entry(*to).or_default() += 1;
        }
        let mut slots: Slots = vec![None; self.slots.len()];
        for (slot, old) in slots.iter_mut().zip(&known.slots) {
            let Some(old) = old else { continue };
            if let Some(share) = left.get_mut(old).filter(|share| **share > 0) {
                *share -= 1;
                *slot = Some(*old);
            }
        }
        let mut left = left.into_iter().flat_map(|(to, share)| std::iter::repeat_n(to, share));
        for slot in slots.iter_mut().filter(|slot| slot.is_none()) {
            *slot = left.next();
        }
        self.slots = slots;
        self
    }
}

impl fmt::Display for Nat {
    /// The class, the slots (each endpoint once, with how many it has), and the offload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.class {
            Some(class) => write!(f, "{class}:")?,
            None => f.write_str("no class:")?,
        }
        let mut shares = BTreeMap::<SocketAddr, usize>::new();
        for to in self.slots.iter().flatten() {
            *shares.entry(*to).or_default() += 1;
        }
        for (to, share) in shares {
            write!(f, " {to}")?;
            if share > 1 {
                write!(f, "*{share}")?;
            }
        }
        if let Some(offload) = self.offload {
            write!(f, ", {offload}")?;
        }
        match self.memory {
            Some(memory) => write!(f, ", {memory}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "nat_tests.rs"]
mod tests;
