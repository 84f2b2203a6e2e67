//! The kernel state that weir owns, as one type for what is wanted and for what a look found. Pure.
//!
//! Everything in it is keyed by what the kernel itself calls an object by, so that two states can
//! be compared without asking whose service an object serves.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::decision::{Scheduler, SchedulerFlags};
use crate::net::{Family, Port, Protocol};

/// What IPVS calls a virtual service by: `struct ip_vs_service_user` in `linux/ip_vs.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VirtualKey {
    /// The virtual address (VIP).
    pub address: IpAddr,
    /// The transport protocol.
    pub protocol: Protocol,
    /// The virtual port.
    pub port: Port,
}

impl fmt::Display for VirtualKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol, SocketAddr::new(self.address, self.port.get()))
    }
}

/// How a virtual service balances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// Its scheduler.
    pub scheduler: Scheduler,
    /// The scheduler's flags.
    pub flags: SchedulerFlags,
    /// Persistence: a client stays with its server for so many seconds.
    pub persistence: Option<NonZeroU32>,
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.scheduler)?;
        if !self.flags.is_empty() {
            write!(f, " ({})", self.flags)?;
        }
        match self.persistence {
            Some(seconds) => write!(f, " persistent {seconds} s"),
            None => Ok(()),
        }
    }
}

/// A server's share of new connections; 0 takes none and keeps those it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Weight(pub u32);

/// The greatest weight that IPVS keeps: `atomic_t` in the kernel, an `i32` in its schedulers' products.
pub const MAX_WEIGHT: u32 = 65_535;

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A virtual service and its destinations (masquerade forwarding, the only kind that can rewrite a port).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Virtual {
    /// How it balances.
    pub balance: Balance,
    /// Its destinations with their weights.
    pub destinations: BTreeMap<SocketAddr, Weight>,
}

/// An element of one of the sets of weir's nftables table. The family decides between the set's
/// IPv4 and IPv6 twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Element {
    /// A virtual service that weir made: the register of what is ours, and the ports that a VIP answers.
    Service(VirtualKey),
    /// An address of which every port but the known ones is refused.
    Vip(IpAddr),
    /// An endpoint on this node, which may be balanced to itself.
    Hairpin(IpAddr),
}

impl Element {
    /// The family of its address.
    #[must_use]
    pub fn family(&self) -> Family {
        Family::of(match self {
            Self::Service(key) => key.address,
            Self::Vip(address) | Self::Hairpin(address) => *address,
        })
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(key) => write!(f, "services {key}"),
            Self::Vip(address) => write!(f, "vips {address}"),
            Self::Hairpin(address) => write!(f, "hairpin {address}"),
        }
    }
}

/// The part of weir's nftables table that belongs to no service: chains, rules, sets, and how
/// sources are masqueraded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Masquerade everything that goes to a service, from pods too.
    pub masquerade_all: bool,
    /// Addresses of pods: what comes from elsewhere is masqueraded. `None` knows no pods and
    /// masquerades nothing but hairpin traffic.
    pub pods: Option<BTreeSet<IpNet>>,
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.masquerade_all, &self.pods) {
            (true, _) => f.write_str("masquerade all"),
            (false, None) => f.write_str("masquerade hairpin"),
            (false, Some(pods)) => {
                f.write_str("masquerade outside")?;
                pods.iter().try_for_each(|range| write!(f, " {range}"))
            }
        }
    }
}

/// What names one object of a [`KernelState`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The table with what belongs to no service.
    Base,
    /// A virtual service with all its destinations.
    Virtual(VirtualKey),
    /// An address that is local by a route of ours (or by an address on our dummy device).
    Local(IpAddr),
    /// An element of a set.
    Element(Element),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base => f.write_str("base"),
            Self::Virtual(key) => write!(f, "virtual {key}"),
            Self::Local(address) => write!(f, "local {address}"),
            Self::Element(element) => write!(f, "element {element}"),
        }
    }
}

/// Kernel objects, wanted or found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelState {
    /// The table with what belongs to no service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// Virtual services of IPVS.
    #[serde(with = "pairs")]
    pub virtuals: BTreeMap<VirtualKey, Virtual>,
    /// Addresses made local.
    pub locals: BTreeSet<IpAddr>,
    /// Elements of our sets.
    pub elements: BTreeSet<Element>,
}

impl KernelState {
    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The names of all that it holds.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        let base = self.base.iter().map(|_| Key::Base);
        let virtuals = self.virtuals.keys().copied().map(Key::Virtual);
        let locals = self.locals.iter().copied().map(Key::Local);
        base.chain(virtuals).chain(locals).chain(self.elements.iter().copied().map(Key::Element))
    }

    /// A copy of only those objects that `keys` name.
    #[must_use]
    pub fn only(&self, keys: &BTreeSet<Key>) -> Self {
        let mut part = Self::default();
        for key in keys {
            part.copy(*key, self);
        }
        part
    }

    /// Copies the object of this name out of `from`; nothing where it has none.
    pub fn copy(&mut self, key: Key, from: &Self) {
        match key {
            Key::Base => self.base.clone_from(&from.base),
            Key::Virtual(key) => {
                if let Some(service) = from.virtuals.get(&key) {
                    self.virtuals.insert(key, service.clone());
                }
            }
            Key::Local(address) => self.locals.extend(from.locals.get(&address)),
            Key::Element(element) => self.elements.extend(from.elements.get(&element)),
        }
    }
}

/// A map with a structured key, as a list of pairs: JSON has only text for keys.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Virtual, VirtualKey};

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<VirtualKey, Virtual>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        map.iter().collect::<Vec<_>>().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<VirtualKey, Virtual>, D::Error> {
        Vec::<(VirtualKey, Virtual)>::deserialize(from).map(|list| list.into_iter().collect())
    }
}
