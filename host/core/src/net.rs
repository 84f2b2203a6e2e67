//! Protocols, ports, address families and names: the small words that every room shares. Pure.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A transport protocol that a Service port may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// IPPROTO_TCP, 6.
    Tcp,
    /// IPPROTO_UDP, 17.
    Udp,
    /// IPPROTO_SCTP, 132.
    Sctp,
}

impl Protocol {
    /// The IANA number, as it stands in an IP header.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// The protocol with this IANA number, if it is one that Services have.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Tcp, Self::Udp, Self::Sctp].into_iter().find(|p| p.number() == number)
    }

    /// Whether a connection has an end that the kernel sees, so that a server can be drained.
    #[must_use]
    pub fn is_connection_oriented(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// The Kubernetes spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// A protocol name that is none of TCP, UDP and SCTP.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("protocol {0:?} is none of TCP, UDP, SCTP")]
pub struct UnknownProtocol(pub String);

impl FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(text: &str) -> Result<Self, UnknownProtocol> {
        [Self::Tcp, Self::Udp, Self::Sctp]
            .into_iter()
            .find(|p| p.as_str() == text)
            .ok_or_else(|| UnknownProtocol(text.to_owned()))
    }
}

/// A port that can be connected to: never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Port(pub NonZeroU16);

impl Port {
    /// The port with this number; `None` for 0.
    #[must_use]
    pub fn new(number: u16) -> Option<Self> {
        NonZeroU16::new(number).map(Self)
    }

    /// The number, 1 to 65,535.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An IP address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// AF_INET.
    #[serde(rename = "IPv4")]
    V4,
    /// AF_INET6.
    #[serde(rename = "IPv6")]
    V6,
}

impl Family {
    /// The family of `address`.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
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

/// A namespaced object's name, printed `namespace/name`. Clones share the text: many maps have a service's
/// name for their key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct ObjectName {
    /// The namespace; `default` where a manifest names none.
    pub namespace: Arc<str>,
    /// The name inside the namespace.
    pub name: Arc<str>,
}

impl ObjectName {
    /// The object `namespace/name`.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A name as it is serialized.
#[derive(Serialize, Deserialize)]
struct Written {
    namespace: String,
    name: String,
}

impl From<Written> for ObjectName {
    fn from(Written { namespace, name }: Written) -> Self {
        Self::new(namespace, name)
    }
}

impl From<ObjectName> for Written {
    fn from(ObjectName { namespace, name }: ObjectName) -> Self {
        Self { namespace: namespace.as_ref().to_owned(), name: name.as_ref().to_owned() }
    }
}

/// A text that isn't `NAMESPACE/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not of the form NAMESPACE/NAME")]
pub struct NotAnObjectName(pub String);

impl FromStr for ObjectName {
    type Err = NotAnObjectName;

    fn from_str(text: &str) -> Result<Self, NotAnObjectName> {
        match text.split_once('/') {
            Some((ns, name)) if !ns.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self::new(ns, name))
            }
            _ => Err(NotAnObjectName(text.to_owned())),
        }
    }
}
