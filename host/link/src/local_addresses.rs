//! The node's addresses as last told: which there are, on which links.
//!
//! Pure: a state fed with dumps and events, in the order in which the kernel wrote them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::address::{Address, is_node_address};
use crate::address_ref::{AddressRef, IpsRef};
use crate::address_set::AddressSet;
use crate::address_table::{Entry, Table};
use crate::name::LinkIndex;

/// All addresses of all links, unfiltered: what a dump says, and what events make of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalAddresses {
    v4: Table<u32>,
    v6: Table<u128>,
}

impl LocalAddresses {
    /// Takes a whole dump in place of what was known; true when something differs.
    pub fn load(&mut self, dump: Self) -> bool {
        let differs = dump != *self;
        *self = dump;
        differs
    }

    /// Adds an address or takes its new flags; true when something differs.
    pub fn put(&mut self, address: &Address) -> bool {
        match split(address) {
            Split::V4(entry) => self.v4.put(entry),
            Split::V6(entry) => self.v6.put(entry),
        }
    }

    /// Removes an address; true when it was there.
    pub fn remove(&mut self, address: &Address) -> bool {
        match split(address) {
            Split::V4(entry) => self.v4.remove(&entry),
            Split::V6(entry) => self.v6.remove(&entry),
        }
    }

    /// Removes all addresses of a link; true when there were some.
    pub fn remove_link(&mut self, link: LinkIndex) -> bool {
        let v4 = self.v4.remove_link(link);
        self.v6.remove_link(link) || v4
    }

    /// All, IPv4 first, ordered by link, then address.
    pub fn iter(&self) -> impl Iterator<Item = Address> + '_ {
        let v4 = self.v4.as_slice().iter().map(join_v4);
        v4.chain(self.v6.as_slice().iter().map(join_v6))
    }

    /// Those with this very address, one for each link that has it. Looks at all of its family
    /// (20,000 take some 20 µs): to ask for many, make a set by [`LocalAddresses::except`].
    pub fn with_ip(&self, ip: IpAddr) -> impl Iterator<Item = Address> + '_ {
        let (v4, v6) = match ip {
            IpAddr::V4(v4) => (Some(self.v4.with_ip(v4.to_bits())), None),
            IpAddr::V6(v6) => (None, Some(self.v6.with_ip(v6.to_bits()))),
        };
        let v4 = v4.into_iter().flatten().map(join_v4);
        v4.chain(v6.into_iter().flatten().map(join_v6))
    }

    /// Whether any link has this address, filtered or not.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.with_ip(ip).next().is_some()
    }

    /// Those of one link, unfiltered.
    pub fn on(&self, link: LinkIndex) -> impl Iterator<Item = Address> + '_ {
        let v4 = self.v4.on(link).iter().map(join_v4);
        v4.chain(self.v6.on(link).iter().map(join_v6))
    }

    /// The node addresses ([`is_node_address`]) of both families on all links but `excluded`.
    #[must_use]
    pub fn except(&self, excluded: &[LinkIndex]) -> AddressSet {
        let kept = |a: &Address| is_node_address(a.ip) && !excluded.contains(&a.link);
        self.iter().filter(kept).map(|a| a.ip).collect()
    }

    /// How many, unfiltered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.v4.as_slice().len() + self.v6.as_slice().len()
    }

    /// Whether there is none at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes one address of a dump; [`LocalAddresses::settle`] must follow the last.
    #[inline]
    pub(crate) fn push(&mut self, address: &AddressRef<'_>) {
        let AddressRef { ips, link, prefix_len, scope, flags } = *address;
        match ips {
            IpsRef::V4 { ip, peer } => {
                let (ip, peer) = (u32::from_be_bytes(*ip), u32::from_be_bytes(*peer));
                self.v4.push(Entry { ip, peer, link, flags, prefix_len, scope });
            }
            IpsRef::V6 { ip, peer } => {
                let (ip, peer) = (u128::from_be_bytes(*ip), u128::from_be_bytes(*peer));
                self.v6.push(Entry { ip, peer, link, flags, prefix_len, scope });
            }
        }
    }

    pub(crate) fn settle(&mut self) {
        self.v4.settle();
        self.v6.settle();
    }
}

impl FromIterator<Address> for LocalAddresses {
    fn from_iter<I: IntoIterator<Item = Address>>(iter: I) -> Self {
        let mut all = Self::default();
        for address in iter {
            match split(&address) {
                Split::V4(entry) => all.v4.push(entry),
                Split::V6(entry) => all.v6.push(entry),
            }
        }
        all.settle();
        all
    }
}

enum Split {
    V4(Entry<u32>),
    V6(Entry<u128>),
}

fn split(address: &Address) -> Split {
    let Address { ip, link, peer, prefix_len, scope, flags } = *address;
    match (ip, peer) {
        (IpAddr::V4(ip), IpAddr::V4(peer)) => {
            let (ip, peer) = (ip.to_bits(), peer.to_bits());
            Split::V4(Entry { ip, peer, link, flags, prefix_len, scope })
        }
        // A decoded address has both of one family; a mixed one made by hand counts as IPv6.
        (ip, peer) => {
            let (ip, peer) = (v6_bits(ip), v6_bits(peer));
            Split::V6(Entry { ip, peer, link, flags, prefix_len, scope })
        }
    }
}

fn v6_bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn join_v4(entry: &Entry<u32>) -> Address {
    let Entry { ip, peer, link, flags, prefix_len, scope } = *entry;
    let (ip, peer) = (Ipv4Addr::from_bits(ip).into(), Ipv4Addr::from_bits(peer).into());
    Address { ip, link, peer, prefix_len, scope, flags }
}

fn join_v6(entry: &Entry<u128>) -> Address {
    let Entry { ip, peer, link, flags, prefix_len, scope } = *entry;
    let (ip, peer) = (Ipv6Addr::from_bits(ip).into(), Ipv6Addr::from_bits(peer).into());
    Address { ip, link, peer, prefix_len, scope, flags }
}
