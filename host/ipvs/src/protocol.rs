//! The transport protocol of a virtual service. Pure.

use std::fmt;
use std::str::FromStr;

use crate::InvalidValue;

/// An IP protocol number. IPVS balances TCP, UDP and SCTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
    /// Something else that another program created: the kernel doesn't check.
    Other(OtherProtocol),
}

/// A number that is none of the named protocols; [`Protocol::from_number`] makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OtherProtocol(u16);

impl Protocol {
    /// The protocol with this number (`IPPROTO_*`).
    #[must_use]
    pub const fn from_number(number: u16) -> Self {
        match number {
            6 => Self::Tcp,
            17 => Self::Udp,
            132 => Self::Sctp,
            other => Self::Other(OtherProtocol(other)),
        }
    }

    /// The protocol's number (`IPPROTO_*`).
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
            Self::Other(OtherProtocol(number)) => number,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => f.write_str("tcp"),
            Self::Udp => f.write_str("udp"),
            Self::Sctp => f.write_str("sctp"),
            Self::Other(OtherProtocol(number)) => write!(f, "protocol-{number}"),
        }
    }
}

impl FromStr for Protocol {
    type Err = InvalidValue;

    /// Reads `tcp`, `udp` or `sctp`, in either case.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "sctp" => Ok(Self::Sctp),
            _ => Err(InvalidValue::new("protocol", name, "tcp, udp or sctp")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_one_protocol() {
        for number in 0..=u16::MAX {
            assert_eq!(Protocol::from_number(number).number(), number);
        }
    }

    #[test]
    fn names_are_read_back() {
        for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
            assert_eq!(protocol.to_string().parse(), Ok(protocol));
        }
        assert!("icmp".parse::<Protocol>().is_err());
    }
}
