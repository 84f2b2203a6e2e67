//! Settings written as one string or number, and the types that can hold only the allowed ones. Pure.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;

/// Gives a type serde and JSON-schema by its `FromStr` and `Display`; the text says what is allowed.
macro_rules! written_as_text {
    ($type:ident, $allowed:expr) => {
        impl $type {
            /// What may be written, for messages and the reference.
            pub const ALLOWED: &'static str = $allowed;
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Text;
                impl serde::de::Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($type::ALLOWED)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                from.deserialize_str(Text)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "x-allowed": $type::ALLOWED })
            }
        }
    };
}
pub(crate) use written_as_text;

/// A text that isn't what the setting allows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not allowed: expected {allowed}{hint}")]
pub struct NotAllowed {
    text: String,
    allowed: String,
    hint: String,
}

impl NotAllowed {
    /// `text` was written where `allowed` is wanted.
    #[must_use]
    pub fn new(text: &str, allowed: &str) -> Self {
        Self { text: text.to_owned(), allowed: allowed.to_owned(), hint: String::new() }
    }

    /// Adds what was probably meant.
    #[must_use]
    pub fn meant(mut self, suggestion: Option<&str>) -> Self {
        self.hint = suggestion.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        self
    }
}

/// A set name out of a closed list, as `SchedulerName` and `LogLevel` are.
pub(crate) fn one_of<'a>(
    text: &str,
    names: &'a [&'a str],
    allowed: &str,
) -> Result<&'a str, NotAllowed> {
    let found = names.iter().copied().find(|name| *name == text);
    let meant = super::fault::nearest(text, names.iter().copied());
    found.ok_or_else(|| NotAllowed::new(text, allowed).meant(meant))
}

/// The name of a Node object: an RFC 1123 subdomain of at most 253 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(String);

written_as_text!(
    NodeName,
    "the name of a Node (lower-case letters, digits, `-` and `.`, at most 253 characters)"
);

impl NodeName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = NotAllowed;

    fn from_str(text: &str) -> Result<Self, NotAllowed> {
        let fits = text.len() <= 253 && text.split('.').all(is_label);
        if fits { Ok(Self(text.to_owned())) } else { Err(NotAllowed::new(text, Self::ALLOWED)) }
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A label of RFC 1123, at most 63 characters: names a policy, or a proxy in
/// `service.kubernetes.io/service-proxy-name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(String);

written_as_text!(
    Label,
    "a name (lower-case letters, digits and `-`, at most 63 characters, a letter or digit first and last)"
);

impl Label {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Label {
    type Err = NotAllowed;

    fn from_str(text: &str) -> Result<Self, NotAllowed> {
        if is_label(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAllowed::new(text, Self::ALLOWED))
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// The name of a network interface, or how one begins: what the kernel takes as such a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName(String);

written_as_text!(
    InterfaceName,
    "the name of a network interface (1 to 15 bytes, no white space, no `/` or `:`)"
);

impl InterfaceName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InterfaceName {
    type Err = NotAllowed;

    /// As `dev_valid_name` of `net/core/dev.c`.
    fn from_str(text: &str) -> Result<Self, NotAllowed> {
        let refused = |b: u8| matches!(b, 0 | b'/' | b':' | b' ' | 9..=13 | 0xA0);
        let fits = (1..=15).contains(&text.len())
            && !matches!(text, "." | "..")
            && !text.bytes().any(refused);
        if fits { Ok(Self(text.to_owned())) } else { Err(NotAllowed::new(text, Self::ALLOWED)) }
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An address and a port to listen on; the port is never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddress(SocketAddr);

written_as_text!(
    ListenAddress,
    "an IP address and a port such as `0.0.0.0:10256` or `[::1]:10249`"
);

impl ListenAddress {
    /// An address and a port that is not 0.
    #[must_use]
    pub fn new(address: IpAddr, port: std::num::NonZeroU16) -> Self {
        Self(SocketAddr::new(address, port.get()))
    }

    /// As a socket takes it.
    #[must_use]
    pub fn get(self) -> SocketAddr {
        self.0
    }
}

impl FromStr for ListenAddress {
    type Err = NotAllowed;

    fn from_str(text: &str) -> Result<Self, NotAllowed> {
        match text.parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 => Ok(Self(address)),
            _ => Err(NotAllowed::new(text, Self::ALLOWED)),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A range of addresses; no bit is set after the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cidr(IpNet);

written_as_text!(Cidr, "a range of addresses such as `10.244.0.0/16` or `fd00::/64`");

impl Cidr {
    /// The range that `net` lies in; bits after the prefix are cleared.
    #[must_use]
    pub fn containing(net: IpNet) -> Self {
        Self(net.trunc())
    }

    /// The range.
    #[must_use]
    pub fn get(self) -> IpNet {
        self.0
    }
}

impl FromStr for Cidr {
    type Err = NotAllowed;

    fn from_str(text: &str) -> Result<Self, NotAllowed> {
        let net: IpNet = text.parse().map_err(|_| NotAllowed::new(text, Self::ALLOWED))?;
        if net == net.trunc() {
            return Ok(Self(net));
        }
        let range = net.trunc().to_string();
        Err(NotAllowed::new(text, Self::ALLOWED).meant(Some(&range)))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
