//! Persistence: a client's connections go to the destination that its first one went to. Pure.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use crate::netlink::DecodeError;
use crate::{AddressFamily, InvalidValue, name::Name};

/// For how long, and how coarsely, clients stick to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Persistence {
    /// Seconds after a client's last connection ended. The kernel multiplies by its tick rate in
    /// 32 bits: some weeks at most.
    pub timeout: u32,
    /// Which clients count as one.
    pub netmask: Netmask,
}

impl Persistence {
    /// Every client address for itself, for `timeout` seconds.
    #[must_use]
    pub const fn hosts(family: AddressFamily, timeout: u32) -> Self {
        Self { timeout, netmask: Netmask::host(family) }
    }
}

/// The part of a client's address by which clients are grouped.
///
/// IPv4 masks are any 32 bits, as in the kernel; IPv6 has a prefix length of 1 to 128.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Netmask(Mask);

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Mask {
    V4(Ipv4Addr),
    V6(u8),
}

impl Netmask {
    /// Every address for itself.
    #[must_use]
    pub const fn host(family: AddressFamily) -> Self {
        match family {
            AddressFamily::V4 => Self(Mask::V4(Ipv4Addr::BROADCAST)),
            AddressFamily::V6 => Self(Mask::V6(128)),
        }
    }

    /// An IPv4 mask, such as `255.255.255.0`.
    #[must_use]
    pub const fn v4(mask: Ipv4Addr) -> Self {
        Self(Mask::V4(mask))
    }

    /// A prefix of `length` bits: 0 to 32 for IPv4, 1 to 128 for IPv6.
    pub fn prefix(family: AddressFamily, length: u8) -> Result<Self, InvalidValue> {
        match family {
            AddressFamily::V4 if length <= 32 => {
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or_default();
                Ok(Self(Mask::V4(mask.into())))
            }
            AddressFamily::V6 if (1..=128).contains(&length) => Ok(Self(Mask::V6(length))),
            _ => Err(InvalidValue::new(
                "prefix length",
                length,
                "0 to 32 for IPv4, 1 to 128 for IPv6",
            )),
        }
    }

    /// The family of the addresses that it masks.
    #[must_use]
    pub const fn family(self) -> AddressFamily {
        match self.0 {
            Mask::V4(_) => AddressFamily::V4,
            Mask::V6(_) => AddressFamily::V6,
        }
    }

    /// As `IPVS_SVC_ATTR_NETMASK` holds it: an IPv4 mask in network order, an IPv6 prefix length in
    /// host order.
    pub(crate) fn to_wire(self) -> [u8; 4] {
        match self.0 {
            Mask::V4(mask) => mask.octets(),
            Mask::V6(length) => u32::from(length).to_ne_bytes(),
        }
    }

    pub(crate) fn from_wire(family: AddressFamily, wire: [u8; 4]) -> Result<Self, DecodeError> {
        if family == AddressFamily::V4 {
            return Ok(Self(Mask::V4(wire.into())));
        }
        let length = u32::from_ne_bytes(wire);
        let prefix = u8::try_from(length).ok().and_then(|length| Self::prefix(family, length).ok());
        prefix.ok_or_else(|| DecodeError::meaningless("prefix length", length))
    }
}

impl fmt::Display for Netmask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Mask::V4(mask) => mask.fmt(f),
            Mask::V6(length) => length.fmt(f),
        }
    }
}

impl fmt::Debug for Netmask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Netmask({self})")
    }
}

/// A module that tells clients apart by something other than their address, such as `sip`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PersistenceEngine(Name);

impl PersistenceEngine {
    /// The name the kernel knows it by; it loads `ip_vs_pe_NAME`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for PersistenceEngine {
    type Err = InvalidValue;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Name::new("persistence engine", name).map(Self)
    }
}

impl fmt::Display for PersistenceEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn netmasks_survive_the_wire() {
        for family in [AddressFamily::V4, AddressFamily::V6] {
            for length in 0..=129 {
                let Ok(mask) = Netmask::prefix(family, length) else { continue };
                assert_eq!(
                    Netmask::from_wire(family, mask.to_wire()),
                    Ok(mask),
                    "{family} {length}"
                );
            }
        }
        assert!(Netmask::prefix(AddressFamily::V6, 0).is_err());
        assert!(Netmask::from_wire(AddressFamily::V6, 129u32.to_ne_bytes()).is_err());
        assert_eq!(Netmask::prefix(AddressFamily::V4, 24).unwrap().to_wire(), [255, 255, 255, 0]);
        assert_eq!(Netmask::prefix(AddressFamily::V4, 0).unwrap().to_string(), "0.0.0.0");
        assert_eq!(Netmask::host(AddressFamily::V6).to_string(), "128");
    }
}
