//! The node's addresses as last told: which there are, on which links.
//!
//! Pure: a state fed with dumps and events, in the order in which the kernel wrote them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Bound;

use crate::address::{Address, is_node_address};
use crate::address_set::AddressSet;
use crate::name::LinkIndex;

/// What the kernel tells addresses apart by. The address first: "is this one local?" is asked
/// more often than "what is on this link?".
type Key = (IpAddr, LinkIndex, IpAddr, u8);
/// Scope and flags.
type Facts = (u8, u32);

/// All addresses of all links, unfiltered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalAddresses {
    all: BTreeMap<Key, Facts>,
}

impl LocalAddresses {
    /// Takes a whole dump in place of what was known; true when something differs.
    pub fn load(&mut self, dump: &[Address]) -> bool {
        let all: BTreeMap<Key, Facts> = dump.iter().map(split).collect();
        let differs = all != self.all;
        self.all = all;
        differs
    }

    /// Adds an address or takes its new flags; true when something differs.
    pub fn put(&mut self, address: &Address) -> bool {
        let (key, facts) = split(address);
        self.all.insert(key, facts) != Some(facts)
    }

    /// Removes an address; true when it was there.
    pub fn remove(&mut self, address: &Address) -> bool {
        self.all.remove(&split(address).0).is_some()
    }

    /// Removes all addresses of a link; true when there were some.
    pub fn remove_link(&mut self, link: LinkIndex) -> bool {
        let before = self.all.len();
        self.all.retain(|key, _| key.1 != link);
        self.all.len() != before
    }

    /// All, ordered by address, then link.
    pub fn iter(&self) -> impl Iterator<Item = Address> + '_ {
        self.all.iter().map(join)
    }

    /// Those with this very address, one for each link that has it.
    pub fn with_ip(&self, ip: IpAddr) -> impl Iterator<Item = Address> + '_ {
        let from = (ip, LinkIndex::LOOPBACK, first_of(ip), 0);
        let range = (Bound::Included(from), Bound::Unbounded);
        self.all.range(range).take_while(move |(key, _)| key.0 == ip).map(join)
    }

    /// Whether any link has this address, filtered or not.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.with_ip(ip).next().is_some()
    }

    /// Those of one link, unfiltered.
    pub fn on(&self, link: LinkIndex) -> impl Iterator<Item = Address> + '_ {
        self.iter().filter(move |address| address.link == link)
    }

    /// The node addresses ([`is_node_address`]) of both families on all links but `excluded`.
    #[must_use]
    pub fn except(&self, excluded: &[LinkIndex]) -> AddressSet {
        let kept = |key: &&Key| is_node_address(key.0) && !excluded.contains(&key.1);
        self.all.keys().filter(kept).map(|key| key.0).collect()
    }

    /// How many, unfiltered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

fn split(a: &Address) -> (Key, Facts) {
    ((a.ip, a.link, a.peer, a.prefix_len), (a.scope, a.flags))
}

fn join((key, facts): (&Key, &Facts)) -> Address {
    let ((ip, link, peer, prefix_len), (scope, flags)) = (*key, *facts);
    Address { ip, link, peer, prefix_len, scope, flags }
}

/// The least address of `ip`'s family.
fn first_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    }
}
