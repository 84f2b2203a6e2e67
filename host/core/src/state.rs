//! The kernel state that weir owns, as one type for what is wanted and for what a look found. Pure.
//!
//! Everything in it is keyed by what the kernel itself calls an object by, so that two states can
//! be compared without asking whose service an object serves.

mod base;
mod nat;
mod objects;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32};
use std::ops::RangeInclusive;
use std::sync::Arc;

use litemap::LiteMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::decision::{Scheduler, SchedulerFlags};
use crate::interfaces::{Digest, IfName};
use crate::net::{Family, Port, Protocol};
use crate::pack::{pack, pack_set};

pub use base::{Base, Echo, Pods};
pub use nat::{
    Chain, Class, Closed, Leg, Masquerade, Memory, Nat, OffloadClass, Pick, Scope, Slots,
};
pub use objects::Objects;

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

impl VirtualKey {
    /// Every name that there can be at an address.
    #[must_use]
    pub fn all_at(address: IpAddr) -> RangeInclusive<Self> {
        let key = |protocol, port| Self { address, protocol, port: Port(port) };
        key(Protocol::Tcp, NonZeroU16::MIN)..=key(Protocol::Sctp, NonZeroU16::MAX)
    }
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
    #[serde(serialize_with = "as_map")]
    pub destinations: Destinations,
}

/// Destinations of a virtual service with their weights: few for most, and kept for as long as the service is.
pub type Destinations = LiteMap<SocketAddr, Weight>;

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
    /// An endpoint of this scope to which the affinity of a service port on nftables may lead, by the name
    /// that its memory knows it by ([`Nat::home`]). What the first look finds remembered
    /// beyond these is such an element, too: it is forgotten with it.
    Member(VirtualKey, Scope, SocketAddr),
    /// An address that isn't weir's to serve and is in use all the same.
    Allocated(IpAddr),
}

impl Element {
    /// The family of its address.
    #[must_use]
    pub fn family(&self) -> Family {
        Family::of(match self {
            Self::Service(key) | Self::Member(key, ..) => key.address,
            Self::Vip(address) | Self::Hairpin(address) | Self::Allocated(address) => *address,
        })
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(key) => write!(f, "services {key}"),
            Self::Vip(address) => write!(f, "vips {address}"),
            Self::Hairpin(address) => write!(f, "hairpin {address}"),
            Self::Member(key, Scope::Cluster, to) => write!(f, "members {key} -> {to}"),
            Self::Member(key, Scope::Local, to) => write!(f, "local members {key} -> {to}"),
            Self::Allocated(address) => write!(f, "allocated {address}"),
        }
    }
}

/// What names one object of a [`KernelState`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The table with what belongs to no service.
    Base,
    /// A service port, on either dataplane: a virtual service with all its destinations, or its
    /// elements in the maps of nftables.
    Virtual(VirtualKey),
    /// An address that is local by a route of ours (or by an address on our dummy device).
    Local(IpAddr),
    /// An element of a set.
    Element(Element),
    /// A chain that services share.
    Chain(Chain),
    /// The flowtable and its devices.
    Flowtable,
    /// The set of interfaces that a selection takes.
    Interfaces(Digest),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base => f.write_str("base"),
            Self::Virtual(key) => write!(f, "virtual {key}"),
            Self::Local(address) => write!(f, "local {address}"),
            Self::Element(element) => write!(f, "element {element}"),
            Self::Chain(chain) => write!(f, "chain {chain}"),
            Self::Flowtable => f.write_str("flowtable"),
            Self::Interfaces(selection) => write!(f, "interfaces {selection}"),
        }
    }
}

/// Kernel objects, wanted or found. What is known, what is wanted and what a plan carries from one to the
/// other is mostly the same thing: large ones are shared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelState {
    /// The table with what belongs to no service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// Virtual services of IPVS.
    #[serde(with = "pairs")]
    pub virtuals: BTreeMap<VirtualKey, Arc<Virtual>>,
    /// Addresses made local.
    pub locals: BTreeSet<IpAddr>,
    /// Elements of our sets.
    pub elements: BTreeSet<Element>,
    /// Service ports that nftables carries.
    #[serde(with = "pairs", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nats: BTreeMap<VirtualKey, Arc<Nat>>,
    /// Chains that services share.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub chains: BTreeSet<Chain>,
    /// Devices of the flowtable; `None` without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flowtable: Option<Devices>,
    /// The interfaces that each selection takes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub interfaces: BTreeMap<Digest, Devices>,
}

/// Names of network devices.
pub type Devices = BTreeSet<IfName>;

impl KernelState {
    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether nftables balances what comes to a service port.
    #[must_use]
    pub fn is_carried_by_nftables(&self, key: &VirtualKey) -> bool {
        self.nats.get(key).is_some_and(|nat| nat.carries())
    }

    /// The endpoints to which nftables sends whoever comes to a service port, some of them more than once.
    pub fn translated_to(&self, key: &VirtualKey) -> impl Iterator<Item = SocketAddr> {
        self.nats.get(key).into_iter().flat_map(|nat| nat.endpoints())
    }

    /// The names of all that it holds.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        let base = self.base.iter().map(|_| Key::Base);
        let flowtable = self.flowtable.iter().map(|_| Key::Flowtable);
        let on_ipvs = self.virtuals.keys().copied();
        let on_nftables = self.nats.keys().filter(|key| !self.virtuals.contains_key(key)).copied();
        base.chain(flowtable)
            .chain(on_ipvs.chain(on_nftables).map(Key::Virtual))
            .chain(self.locals.iter().copied().map(Key::Local))
            .chain(self.elements.iter().copied().map(Key::Element))
            .chain(self.chains.iter().copied().map(Key::Chain))
            .chain(self.interfaces.keys().copied().map(Key::Interfaces))
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
                let service = from.virtuals.get(&key).map(|it| (key, it.clone()));
                self.virtuals.extend(service);
                self.nats.extend(from.nats.get(&key).map(|it| (key, it.clone())));
            }
            Key::Local(address) => self.locals.extend(from.locals.get(&address)),
            Key::Element(element) => self.elements.extend(from.elements.get(&element)),
            Key::Chain(chain) => self.chains.extend(from.chains.get(&chain)),
            Key::Flowtable => self.flowtable.clone_from(&from.flowtable),
            Key::Interfaces(selection) => {
                let names = from.interfaces.get(&selection).map(|it| (selection, it.clone()));
                self.interfaces.extend(names);
            }
        }
    }

    /// Whether the object of this name is the same in both; or is in neither.
    #[must_use]
    pub fn agrees_on(&self, key: Key, with: &Self) -> bool {
        match key {
            Key::Base => self.base == with.base,
            Key::Virtual(key) => {
                self.virtuals.get(&key) == with.virtuals.get(&key)
                    && self.nats.get(&key) == with.nats.get(&key)
            }
            Key::Local(address) => self.locals.contains(&address) == with.locals.contains(&address),
            Key::Element(element) => {
                self.elements.contains(&element) == with.elements.contains(&element)
            }
            Key::Chain(chain) => self.chains.contains(&chain) == with.chains.contains(&chain),
            Key::Flowtable => self.flowtable == with.flowtable,
            Key::Interfaces(selection) => {
                self.interfaces.get(&selection) == with.interfaces.get(&selection)
            }
        }
    }

    /// The same, with all that is in weir's table taken from `table`.
    #[must_use]
    pub fn with_table_of(&self, table: Self) -> Self {
        Self { virtuals: self.virtuals.clone(), locals: self.locals.clone(), ..table }
    }

    /// Takes no more memory than it needs.
    pub fn pack(&mut self) {
        pack(&mut self.virtuals);
        pack(&mut self.nats);
        pack_set(&mut self.locals);
        pack_set(&mut self.elements);
    }
}

/// Also when it is empty, which the map itself writes as a list.
fn as_map<S: Serializer>(destinations: &Destinations, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(destinations.iter())
}

/// A map with a structured key, as a list of pairs: JSON has only text for keys.
mod pairs {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::VirtualKey;

    pub(super) fn serialize<T: Serialize, S: Serializer>(
        map: &BTreeMap<VirtualKey, Arc<T>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(map.iter().map(|(key, it)| (key, it.as_ref())))
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<VirtualKey, Arc<T>>, D::Error> {
        let list = Vec::<(VirtualKey, T)>::deserialize(from)?;
        Ok(list.into_iter().map(|(key, it)| (key, Arc::new(it))).collect())
    }
}
