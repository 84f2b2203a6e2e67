//! What a link is flagged with.
//!
//! Pure. The `IFF_` bits of linux/if.h, as `struct ifinfomsg` has them.

use std::fmt;

/// Names of the bits, from the lowest on: those of linux/if.h, in lower case and without `IFF_`.
const NAMES: [&str; 19] = [
    "up",
    "broadcast",
    "debug",
    "loopback",
    "pointopoint",
    "notrailers",
    "running",
    "noarp",
    "promisc",
    "allmulti",
    "master",
    "slave",
    "multicast",
    "portsel",
    "automedia",
    "dynamic",
    "lower_up",
    "dormant",
    "echo",
];

/// The flags of a link.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkFlags(u32);

impl LinkFlags {
    /// From `ifi_flags`. Bits without a name are kept.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Whether a flag is set: a single `IFF_` bit.
    #[must_use]
    pub const fn has(self, flag: libc::c_int) -> bool {
        self.0 & flag as u32 != 0
    }

    /// Names of those that are set, from the lowest bit on.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let set = NAMES.into_iter().enumerate().filter(move |(bit, _)| self.0 & (1 << bit) != 0);
        set.map(|(_, name)| name)
    }
}

impl fmt::Debug for LinkFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x} {:?}", self.0, self.names().collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_its_bits() {
        let all = [
            (libc::IFF_UP, "up"),
            (libc::IFF_BROADCAST, "broadcast"),
            (libc::IFF_DEBUG, "debug"),
            (libc::IFF_LOOPBACK, "loopback"),
            (libc::IFF_POINTOPOINT, "pointopoint"),
            (libc::IFF_NOTRAILERS, "notrailers"),
            (libc::IFF_RUNNING, "running"),
            (libc::IFF_NOARP, "noarp"),
            (libc::IFF_PROMISC, "promisc"),
            (libc::IFF_ALLMULTI, "allmulti"),
            (libc::IFF_MASTER, "master"),
            (libc::IFF_SLAVE, "slave"),
            (libc::IFF_MULTICAST, "multicast"),
            (libc::IFF_PORTSEL, "portsel"),
            (libc::IFF_AUTOMEDIA, "automedia"),
            (libc::IFF_DYNAMIC, "dynamic"),
            (libc::IFF_LOWER_UP, "lower_up"),
            (libc::IFF_DORMANT, "dormant"),
            (libc::IFF_ECHO, "echo"),
        ];
        for (flag, name) in all {
            let flags = LinkFlags::from_bits(flag as u32);
            assert_eq!((flags.names().collect::<Vec<_>>(), flags.has(flag)), (vec![name], true));
        }
        let names: Vec<_> = LinkFlags::from_bits(u32::MAX).names().collect();
        assert_eq!(names, all.map(|(_, name)| name));
    }
}
