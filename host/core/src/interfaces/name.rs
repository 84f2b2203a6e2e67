//! What interfaces and groups of them are called. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name of an interface in bytes: `IFNAMSIZ` without the terminating zero.
pub(super) const MAX_NAME: usize = 15;
/// The longest name of a group in bytes, as for a Kubernetes label's value.
const MAX_GROUP: usize = 63;

/// An interface's name: 1 to 15 bytes, no white space, no `/` or `:`, neither `.` nor `..`.
///
/// The kernel's rule (`dev_valid_name`, net/core/dev.c), but for one thing: a name that isn't UTF-8
/// arrives here with U+FFFD in it. That is not what the kernel calls it, and naming a device that
/// isn't there fails a whole batch of nftables, so no such name is one here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct IfName(String);

/// A text that can't name an interface.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names no interface: 1 to 15 bytes of UTF-8, no white space, no '/' or ':', not '.' or '..'"
)]
pub struct BadIfName(pub String);

impl IfName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether the kernel refuses this byte in a name. Its `isspace` counts the byte 0xA0, too.
pub(super) fn is_refused(byte: u8) -> bool {
    matches!(byte, 0 | b'/' | b':' | b' ' | 9..=13 | 0xA0)
}

impl FromStr for IfName {
    type Err = BadIfName;

    fn from_str(text: &str) -> Result<Self, BadIfName> {
        let good = (1..=MAX_NAME).contains(&text.len())
            && text != "."
            && text != ".."
            && !text.bytes().any(is_refused)
            && !text.contains(char::REPLACEMENT_CHARACTER);
        if good { Ok(Self(text.to_owned())) } else { Err(BadIfName(text.to_owned())) }
    }
}

impl TryFrom<String> for IfName {
    type Error = BadIfName;

    fn try_from(text: String) -> Result<Self, BadIfName> {
        text.parse()
    }
}

impl From<IfName> for String {
    fn from(name: IfName) -> Self {
        name.0
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A group's name: 1 to 63 ASCII letters, digits, `-`, `_` and `.`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName(String);

/// A text that can't name a group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no group: 1 to 63 letters, digits, '-', '_' and '.'")]
pub struct BadGroupName(pub String);

impl GroupName {
    /// The name as text, without `group:`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GroupName {
    type Err = BadGroupName;

    fn from_str(text: &str) -> Result<Self, BadGroupName> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let good = (1..=MAX_GROUP).contains(&text.len()) && text.bytes().all(fits);
        if good { Ok(Self(text.to_owned())) } else { Err(BadGroupName(text.to_owned())) }
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_kernel() {
        let good = ["eth0", "a", "fifteen-bytes-x", "...", "br-ex", "eth0.100", "cali12ab", "ü0"];
        let bad = [
            "",
            ".",
            "..",
            "sixteen-bytes-xy",
            "a/b",
            "eth0:1",
            "a b",
            "a\tb",
            "a\u{b}b",
            "a\0b",
            // 0xC3 0xA0: the kernel takes the second byte for white space.
            "à0",
            "eth\u{fffd}",
        ];
        for name in good {
            assert_eq!(name.parse::<IfName>().map(String::from), Ok(name.to_owned()));
        }
        for name in bad {
            assert_eq!(name.parse::<IfName>(), Err(BadIfName(name.to_owned())));
        }
    }

    #[test]
    fn groups_are_plain_words() {
        for name in ["uplink", "storage_1", "a.b-c", "UPLINK", &"x".repeat(63)] {
            assert_eq!(name.parse::<GroupName>().map(|it| it.to_string()), Ok(name.to_owned()));
        }
        for name in ["", "a b", "a/b", "group:a", "*", "ü", &"x".repeat(64)] {
            assert_eq!(name.parse::<GroupName>(), Err(BadGroupName(name.to_owned())));
        }
    }
}
