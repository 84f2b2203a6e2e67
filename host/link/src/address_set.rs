//! A set of addresses of both families, in order.
//!
//! Pure. Sorted vectors: it is built at once from a dump and then only asked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::address_ref::IpRef;

/// Distinct addresses, each family in numeric order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressSet {
    v4: Vec<Ipv4Addr>,
    v6: Vec<Ipv6Addr>,
}

impl AddressSet {
    /// Whether `ip` is in the set.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(v4) => self.v4.binary_search(&v4).is_ok(),
            IpAddr::V6(v6) => self.v6.binary_search(&v6).is_ok(),
        }
    }

    /// The IPv4 ones.
    #[must_use]
    pub fn v4(&self) -> &[Ipv4Addr] {
        &self.v4
    }

    /// The IPv6 ones.
    #[must_use]
    pub fn v6(&self) -> &[Ipv6Addr] {
        &self.v6
    }

    /// All, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let v4 = self.v4.iter().copied().map(IpAddr::V4);
        v4.chain(self.v6.iter().copied().map(IpAddr::V6))
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

impl AddressSet {
    /// Takes one more; [`AddressSet::settle`] must follow the last.
    #[inline]
    pub(crate) fn push(&mut self, ip: IpRef<'_>) {
        match ip {
            IpRef::V4(octets) => self.v4.push((*octets).into()),
            IpRef::V6(octets) => self.v6.push((*octets).into()),
        }
    }

    pub(crate) fn settle(&mut self) {
        // As numbers: the order is the same, and comparing them is one instruction or two.
        self.v4.sort_unstable_by_key(|ip| ip.to_bits());
        self.v4.dedup();
        self.v6.sort_unstable_by_key(|ip| ip.to_bits());
        self.v6.dedup();
    }
}

impl FromIterator<IpAddr> for AddressSet {
    fn from_iter<I: IntoIterator<Item = IpAddr>>(iter: I) -> Self {
        let mut set = Self::default();
        for ip in iter {
            match ip {
                IpAddr::V4(v4) => set.v4.push(v4),
                IpAddr::V6(v6) => set.v6.push(v6),
            }
        }
        set.settle();
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_apart_and_doubles_are_one() {
        let ip = |s: &str| s.parse::<IpAddr>().unwrap();
        let set = AddressSet::from_iter(["fd00::1", "10.0.0.2", "10.0.0.1", "10.0.0.2"].map(ip));
        assert_eq!(set.len(), 3);
        let all: Vec<_> = set.iter().collect();
        assert_eq!(all, ["10.0.0.1", "10.0.0.2", "fd00::1"].map(ip));
        assert_eq!((set.v4().len(), set.v6().len()), (2, 1));
        assert!(set.contains(ip("10.0.0.1")) && !set.contains(ip("10.0.0.3")));
        assert!(set.contains(ip("fd00::1")) && !set.contains(ip("fd00::2")));
    }
}
