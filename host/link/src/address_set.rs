//! A set of addresses of both families, in order.
//!
//! Pure. A sorted vector: it is built at once from a dump and then only asked.

use std::net::IpAddr;

use crate::name::Family;

/// Distinct addresses, IPv4 before IPv6, each family in numeric order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressSet(Vec<IpAddr>);

impl AddressSet {
    /// Whether `ip` is in the set.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.binary_search(&ip).is_ok()
    }

    /// All, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[IpAddr] {
        &self.0
    }

    /// Those of one family, in order.
    #[must_use]
    pub fn of(&self, family: Family) -> &[IpAddr] {
        let (v4, v6) = self.0.split_at(self.0.partition_point(IpAddr::is_ipv4));
        match family {
            Family::V4 => v4,
            Family::V6 => v6,
        }
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<IpAddr> for AddressSet {
    fn from_iter<I: IntoIterator<Item = IpAddr>>(iter: I) -> Self {
        let mut all: Vec<_> = iter.into_iter().collect();
        all.sort_unstable();
        all.dedup();
        Self(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_apart_and_doubles_are_one() {
        let ip = |s: &str| s.parse::<IpAddr>().unwrap();
        let all = ["fd00::1", "10.0.0.2", "10.0.0.1", "10.0.0.2"].map(ip);
        let set = AddressSet::from_iter(all);
        assert_eq!(set.len(), 3);
        assert_eq!(set.of(Family::V4), ["10.0.0.1", "10.0.0.2"].map(ip));
        assert_eq!(set.of(Family::V6), [ip("fd00::1")]);
        assert!(set.contains(ip("10.0.0.1")) && !set.contains(ip("10.0.0.3")));
    }
}
