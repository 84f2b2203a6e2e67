//! What a link is called: its name, its index, and the family an address belongs to.
//!
//! Pure. The rules are those of the kernel's `dev_valid_name` (net/core/dev.c).

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;

/// A link's name: 1 to 15 bytes, no white space, no `/`, no `:`, neither `.` nor `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkName(String);

/// The text can't name a link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} can't name a link: 1 to 15 bytes, no white space, no '/' or ':', not '.' or '..'")]
pub struct BadLinkName(String);

impl LinkName {
    /// Checks `name`.
    ///
    /// # Errors
    /// When the kernel would refuse it as a device name.
    pub fn new(name: &str) -> Result<Self, BadLinkName> {
        // IFNAMSIZ is 16 with the terminating zero; the kernel's isspace counts 0xA0, too.
        let good = (1..=15).contains(&name.len())
            && name != "."
            && name != ".."
            && !name.bytes().any(|b| matches!(b, 0 | b'/' | b':' | b' ' | 9..=13 | 0xA0));
        if good { Ok(Self(name.to_owned())) } else { Err(BadLinkName(name.to_owned())) }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for LinkName {
    type Err = BadLinkName;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::new(s)
    }
}

impl fmt::Display for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A link's index in its network namespace (`ifi_index`, from 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkIndex(NonZeroU32);

impl LinkIndex {
    /// The loopback device: always the first of a network namespace (`LOOPBACK_IFINDEX`).
    pub const LOOPBACK: Self = Self(NonZeroU32::MIN);

    /// `None` for zero, which names no link.
    #[must_use]
    pub const fn new(index: u32) -> Option<Self> {
        match NonZeroU32::new(index) {
            Some(index) => Some(Self(index)),
            None => None,
        }
    }

    /// The number as the kernel writes it.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for LinkIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An IP address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// `AF_INET`.
    V4,
    /// `AF_INET6`.
    V6,
}

impl Family {
    /// Both, in the order in which dumps are asked for.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of `ip`. An IPv4-mapped IPv6 address is IPv6.
    #[must_use]
    pub const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Bits of a whole address: 32 or 128.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// The byte of a netlink message.
    #[must_use]
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::V4 => libc::AF_INET as u8,
            Self::V6 => libc::AF_INET6 as u8,
        }
    }

    pub(crate) const fn from_number(number: u8) -> Option<Self> {
        match number as i32 {
            libc::AF_INET => Some(Self::V4),
            libc::AF_INET6 => Some(Self::V6),
            _ => None,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_kernel() {
        let cases = [
            ("weir0", true),
            ("a", true),
            ("fifteen-bytes-x", true),
            ("sixteen-bytes-xy", false),
            ("", false),
            (".", false),
            ("..", false),
            ("...", true),
            ("a/b", false),
            ("eth0:1", false),
            ("a b", false),
            ("a\tb", false),
            ("a\u{b}b", false),
            ("\u{e0}0", false),
            ("a\0b", false),
        ];
        for (name, good) in cases {
            assert_eq!(LinkName::new(name).is_ok(), good, "{name:?}");
        }
    }

    #[test]
    fn zero_is_no_index() {
        assert_eq!(LinkIndex::new(0), None);
        assert_eq!(LinkIndex::new(1), Some(LinkIndex::LOOPBACK));
    }
}
