//! What may be the name of a table, chain, set, map or flowtable. Pure.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

/// The longest name that the kernel keeps, in bytes (`NFT_NAME_MAXLEN` less its NUL).
pub const NAME_MAX: usize = 255;

/// The name of a table, chain, set, map or flowtable.
///
/// Stricter than the kernel, which takes any string: a letter, `_` or `.` first, then letters,
/// digits and `_ . - /`, at most [`NAME_MAX`] bytes, and no word of the nft language, so that
/// `nft list ruleset` prints something that `nft -f` reads back.
#[derive(Clone)]
pub struct Name(Repr);

#[derive(Clone)]
enum Repr {
    Literal(&'static str),
    Shared(Arc<str>),
}

/// Why a string can't be a [`Name`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty, or longer than [`NAME_MAX`].
    #[error("{0:?} has {len} bytes, a name has 1 to {NAME_MAX}", len = .0.len())]
    Length(String),
    /// A byte that the nft language doesn't allow there.
    #[error("{0:?} is not an nft identifier")]
    Character(String),
    /// A word of the nft language.
    #[error("{0:?} is a word of the nft language")]
    Reserved(String),
}

impl Name {
    /// Checks `name`.
    ///
    /// # Errors
    /// When it can't be a name.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() || name.len() > NAME_MAX {
            return Err(NameError::Length(name.to_owned()));
        }
        if !is_identifier(name.as_bytes()) {
            return Err(NameError::Character(name.to_owned()));
        }
        if is_reserved(name.as_bytes()) {
            return Err(NameError::Reserved(name.to_owned()));
        }
        Ok(Self(Repr::Shared(name.into())))
    }

    /// A name known when the program is written; in a `const` a wrong one doesn't compile.
    ///
    /// # Panics
    /// When `name` can't be a name.
    #[must_use]
    pub const fn literal(name: &'static str) -> Self {
        assert!(!name.is_empty() && name.len() <= NAME_MAX, "a name has 1 to 255 bytes");
        assert!(is_identifier(name.as_bytes()), "not an nft identifier");
        assert!(!is_reserved(name.as_bytes()), "a word of the nft language");
        Self(Repr::Literal(name))
    }

    /// A name as the kernel gave it; other programs may have chosen one that we would refuse.
    pub(crate) fn observed(name: &str) -> Self {
        Self(Repr::Shared(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Literal(name) => name,
            Repr::Shared(name) => name,
        }
    }
}

const fn is_identifier(name: &[u8]) -> bool {
    let mut at = 0;
    while at < name.len() {
        let inner = name[at].is_ascii_digit() || matches!(name[at], b'-' | b'/');
        let any = name[at].is_ascii_alphabetic() || matches!(name[at], b'_' | b'.');
        if !(any || (inner && at > 0)) {
            return false;
        }
        at += 1;
    }
    true
}

const fn is_reserved(name: &[u8]) -> bool {
    let mut at = 0;
    while at < RESERVED.len() {
        if same(RESERVED[at].as_bytes(), name) {
            return true;
        }
        at += 1;
    }
    false
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Words that nft reads as something else than a name (its scanner, 1.0.6 to 1.1).
#[rustfmt::skip]
const RESERVED: &[&str] = &[
    "accept", "add", "addrtype", "ah", "all", "and", "arp", "at", "auth", "bridge", "burst", "bypass", "bytes",
    "cgroup", "chain", "chains", "comment", "comp", "constant", "continue", "count", "counter", "counters",
    "create", "ct", "daddr", "dccp", "debug", "define", "delete", "describe", "destroy", "device", "devices",
    "dnat", "dormant", "drop", "dscp", "dst", "dup", "dynamic", "dynset", "ecn", "element", "elements", "eq",
    "esp", "ether", "exists", "exp", "expectation", "expires", "export", "fib", "flags", "flow", "flowtable",
    "flowtables", "flush", "frag", "fragments", "fully-random", "fwd", "gc-interval", "ge", "goto", "gre", "group", "gt",
    "handle", "hbh", "helper", "hook", "hoplimit", "ibriport", "icmp", "icmpv6", "icmpx", "id", "igmp", "iif",
    "iifgroup", "iifname", "iiftype", "import", "inc", "include", "index", "inet", "insert", "interval", "ip",
    "ip6", "ipsec", "jhash", "json", "jump", "key", "l4proto", "last", "le", "length", "level", "limit", "limits",
    "list", "log", "lshift", "lt", "map", "maps", "mark", "masquerade", "meta", "metainfo", "meter", "meters",
    "mh", "missing", "mod", "monitor", "mss", "ne", "netdev", "new", "nexthdr", "nfproto", "not", "notrack",
    "numgen", "obriport", "offload", "offset", "oif", "oifgroup", "oifname", "oiftype", "options", "or", "original", "osf", "out",
    "over", "packets", "performance", "persistent", "pkttype", "policy", "position", "prefix", "priority",
    "protocol", "proto-dst", "proto-src", "queue", "quota", "quotas", "random", "rate", "redefine", "redirect",
    "reject", "rename", "replace", "reply", "reset", "return", "rr-id", "rshift", "rt", "rtclassid", "rule", "ruleset",
    "saddr", "sctp", "secmark", "secmarks", "seed", "set", "sets", "size", "skgid", "skuid", "snaplen", "snat",
    "socket", "spi", "src", "state", "status", "symhash", "synproxy", "synproxys", "table", "tables", "tcp",
    "temporary", "th", "time", "timeout", "to", "tproxy", "trace", "transparent", "ttl", "tunnel", "type", "typeof", "udp", "udplite",
    "undefine", "unknown", "until", "update", "used", "using", "version", "vlan", "vmap", "vtag", "window", "xml",
    "xor", "zone",
];

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl FromStr for Name {
    type Err = NameError;
    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::new(name)
    }
}

impl TryFrom<&str> for Name {
    type Error = NameError;
    fn try_from(name: &str) -> Result<Self, NameError> {
        Self::new(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl std::hash::Hash for Name {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let long = "x".repeat(NAME_MAX + 1);
        for (text, fine) in [
            ("weir", true),
            ("lb-random-3", true),
            ("_x.y/z", true),
            ("", false),
            ("3x", false),
            ("-x", false),
            ("a b", false),
            ("ümlaut", false),
            ("fwd", false),
            ("out", false),
            ("offload", false),
            (&long, false),
            (&long[1..], true),
        ] {
            assert_eq!(Name::new(text).is_ok(), fine, "{text}");
        }
        assert_eq!(Name::literal("weir"), Name::new("weir").unwrap());
    }
}
