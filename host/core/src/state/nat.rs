//! What nftables does with a service port: a class that says how a slot is picked, what is in the
//! slots, and whom it lets in. Pure.
//!
//! Services and endpoints are elements of maps. What picks is a chain for each distinct class, so
//! that the number of chains doesn't grow with the number of services; only round robin, whose
//! counter belongs to its rule, has a chain for each service.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use ipnet::IpNet;
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

/// Which endpoints of a service port serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Those of all of the cluster.
    Cluster,
    /// Those on this node.
    Local,
}

impl Scope {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Cluster, Self::Local];
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
    /// Unless it is remembered which of these endpoints the client went to.
    pub sticky: Option<Scope>,
    /// For clients inside: the slots are those of [`Nat::inside`].
    pub inside: bool,
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
        if self.inside {
            f.write_str(" inside")?;
        }
        f.write_str(match self.sticky {
            None => "",
            Some(Scope::Cluster) => " sticky",
            Some(Scope::Local) => " sticky to local",
        })
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

/// A class and what is in its slots; nothing where nftables doesn't balance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// How an endpoint is picked; `None` beside slots is only ever found, never wanted.
    pub class: Option<Class>,
    /// The endpoints.
    pub slots: Slots,
}

/// Whose source address is rewritten, of those who come to a service port from outside the cluster's
/// own addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Masquerade {
    /// Everybody's.
    All,
    /// The node's own.
    Node,
}

/// What becomes of new connections to a service port that has nobody to take them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Closed {
    /// They are refused: nobody could take them anywhere.
    Refuse,
    /// They are dropped: another node has somebody, and whoever sends them may try there.
    Drop,
}

/// One service port at one address, as nftables has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nat {
    /// For everybody, or for those who aren't [inside](Self::inside). Empty where IPVS carries the
    /// service port, or nobody does.
    #[serde(flatten)]
    pub main: Leg,
    /// For pods and for the node itself, where these have other endpoints than everybody else. Of a
    /// service port on IPVS, too: a virtual service has one list of destinations.
    #[serde(default, skip_serializing_if = "Leg::is_empty")]
    pub inside: Leg,
    /// When its flows are offloaded; `None` is never.
    pub offload: Option<OffloadClass>,
    /// How long a client stays with its endpoint; `None` is not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// What the memory calls the service port: that name of it which is the same for all its addresses of
    /// the family, so that a client who changes from one to another stays with its endpoint. Whoever has
    /// that name has the memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<VirtualKey>,
    /// Whose source address is rewritten; `None` is as for every cluster address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masquerade: Option<Masquerade>,
    /// What becomes of new connections; `None` where somebody takes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Closed>,
    /// Where clients may be; `None` is anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<BTreeSet<IpNet>>,
}

impl Leg {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.class.is_none() && self.slots.is_empty()
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

    fn like(mut self, known: &Self) -> Self {
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

impl Nat {
    /// Whether nftables does nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether nftables balances what comes to the service port; else IPVS does, or nobody.
    #[must_use]
    pub fn carries(&self) -> bool {
        self.main.class.is_some()
    }

    /// The endpoints in its slots, some of them more than once.
    pub fn endpoints(&self) -> impl Iterator<Item = SocketAddr> {
        [&self.main, &self.inside].into_iter().flat_map(|leg| &leg.slots).flatten().copied()
    }

    /// The chains that it leads to.
    pub fn chains(&self) -> impl Iterator<Item = Chain> {
        let balance = [self.main.class, self.inside.class].map(|class| class.map(Chain::Balance));
        let offload = self.offload.map(Chain::Offload);
        let rest = [offload, self.memory.map(Chain::Remember)];
        balance.into_iter().chain(rest).flatten()
    }

    /// The same, with endpoints in the slots where `known` has them already, if it makes no
    /// difference to who gets how much: one endpoint that goes moves one other, not all behind it.
    #[must_use]
    pub fn like(self, known: &Self) -> Self {
        let (main, inside) = (self.main.like(&known.main), self.inside.like(&known.inside));
        Self { main, inside, ..self }
    }
}

impl fmt::Display for Leg {
    /// The class, and each endpoint once, with how many slots it has.
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
        Ok(())
    }
}

impl fmt::Display for Nat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let legs = [&self.main, &self.inside].into_iter().filter(|leg| !leg.is_empty());
        parts.extend(legs.map(ToString::to_string));
        parts.extend(self.offload.map(|class| class.to_string()));
        parts.extend(self.memory.map(|memory| memory.to_string()));
        parts.extend(self.home.map(|home| format!("known as {home}")));
        parts.extend(self.masquerade.map(|whose| {
            match whose {
                Masquerade::All => "masqueraded",
                Masquerade::Node => "masqueraded from the node",
            }
            .to_owned()
        }));
        parts.extend(self.closed.map(|closed| {
            match closed {
                Closed::Refuse => "refused",
                Closed::Drop => "dropped",
            }
            .to_owned()
        }));
        parts.extend(self.sources.as_ref().map(|ranges| {
            let ranges: Vec<_> = ranges.iter().map(ToString::to_string).collect();
            format!("only from {}", ranges.join(" "))
        }));
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
#[path = "nat_tests.rs"]
mod tests;
