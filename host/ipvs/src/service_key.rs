//! What tells virtual services apart: protocol, address and port, or a firewall mark. Pure.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::str::FromStr;

use crate::family::{Endpoint, from_inet, to_inet};
use crate::netlink::{Attribute, DecodeError, Writer};
use crate::uapi::svc;
use crate::{AddressFamily, InvalidValue, Protocol};

/// The identity of a virtual service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServiceKey {
    /// Packets to an address and port.
    Address {
        /// Transport protocol.
        protocol: Protocol,
        /// Virtual address.
        address: IpAddr,
        /// Port; 0 is every port that no other service has, and needs persistence.
        port: u16,
    },
    /// Packets that carry a firewall mark; all 32 bits are compared.
    Fwmark {
        /// The mark.
        mark: NonZeroU32,
        /// Family of the packets.
        family: AddressFamily,
    },
}

impl ServiceKey {
    /// The service of a protocol at an address and port.
    #[must_use]
    pub fn new(protocol: Protocol, at: impl Into<SocketAddr>) -> Self {
        let at = at.into();
        Self::Address { protocol, address: at.ip(), port: at.port() }
    }

    /// The family of the packets that it takes.
    #[must_use]
    pub const fn family(&self) -> AddressFamily {
        match self {
            Self::Address { address, .. } => AddressFamily::of(*address),
            Self::Fwmark { family, .. } => *family,
        }
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.u16(svc::AF, self.family().number());
        match *self {
            Self::Address { protocol, address, port } => {
                writer.u16(svc::PROTOCOL, protocol.number());
                writer.bytes(svc::ADDR, &to_inet(address));
                writer.be16(svc::PORT, port);
            }
            Self::Fwmark { mark, .. } => writer.u32(svc::FWMARK, mark.get()),
        }
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Address { protocol, address, port } => {
                write!(f, "{protocol} {}", Endpoint(address, port))
            }
            Self::Fwmark { mark, family: AddressFamily::V4 } => write!(f, "fwmark {mark}"),
            Self::Fwmark { mark, family } => write!(f, "fwmark {mark} {family}"),
        }
    }
}

impl FromStr for ServiceKey {
    type Err = InvalidValue;

    /// Reads what [`fmt::Display`] writes: `tcp 10.0.0.1:80`, `fwmark 7` or `fwmark 7 IPv6`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid =
            || InvalidValue::new("service", text, "`tcp 10.0.0.1:80` or `fwmark 7 [IPv6]`");
        let mut words = text.split_ascii_whitespace();
        let (first, second, third) = (words.next(), words.next(), words.next());
        match (first, second.ok_or_else(invalid)?, third, words.next()) {
            (Some("fwmark"), mark, family @ (None | Some("IPv4" | "IPv6")), None) => {
                let family =
                    if family == Some("IPv6") { AddressFamily::V6 } else { AddressFamily::V4 };
                Ok(Self::Fwmark { mark: mark.parse().map_err(|_| invalid())?, family })
            }
            (Some(protocol), at, None, None) => {
                let at: SocketAddr = at.parse().map_err(|_| invalid())?;
                Ok(Self::new(protocol.parse()?, at))
            }
            _ => Err(invalid()),
        }
    }
}

/// The identifying attributes of a service, gathered in any order.
#[derive(Default)]
pub(crate) struct KeyFields {
    family: Option<u16>,
    protocol: Option<u16>,
    address: Option<[u8; 16]>,
    port: Option<u16>,
    mark: Option<u32>,
}

impl KeyFields {
    /// Takes the attribute if it is one of the key's; whether it was.
    pub(crate) fn take(&mut self, attribute: &Attribute<'_>) -> Result<bool, DecodeError> {
        match attribute.kind {
            svc::AF => self.family = Some(attribute.u16("service family")?),
            svc::PROTOCOL => self.protocol = Some(attribute.u16("service protocol")?),
            svc::ADDR => self.address = Some(attribute.array("service address")?),
            svc::PORT => self.port = Some(attribute.be16("service port")?),
            svc::FWMARK => self.mark = Some(attribute.u32("service fwmark")?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub(crate) fn key(&self) -> Result<ServiceKey, DecodeError> {
        let family = self.family.ok_or(DecodeError::Missing("service family"))?;
        let family = AddressFamily::from_number(family)?;
        if let Some(mark) = self.mark.and_then(NonZeroU32::new) {
            return Ok(ServiceKey::Fwmark { mark, family });
        }
        let protocol = self.protocol.ok_or(DecodeError::Missing("service protocol"))?;
        let address = self.address.ok_or(DecodeError::Missing("service address"))?;
        let port = self.port.ok_or(DecodeError::Missing("service port"))?;
        let protocol = Protocol::from_number(protocol);
        Ok(ServiceKey::Address { protocol, address: from_inet(family, address), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy;
    use proptest::prelude::*;

    #[test]
    fn keys_are_written_as_ipvsadm_writes_addresses() {
        for text in [
            "tcp 10.0.0.1:80",
            "sctp [2001:db8::1]:9",
            "udp 10.0.0.1:0",
            "fwmark 7",
            "fwmark 7 IPv6",
        ] {
            assert_eq!(text.parse::<ServiceKey>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "tcp",
            "tcp 10.0.0.1",
            "fwmark 0",
            "fwmark 7 IPv5",
            "icmp 10.0.0.1:1",
            "tcp 10.0.0.1:80 x",
        ] {
            assert!(bad.parse::<ServiceKey>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn text_round_trip(key in strategy::key()) {
            if !matches!(key, ServiceKey::Address { protocol: Protocol::Other(_), .. }) {
                prop_assert_eq!(key.to_string().parse(), Ok(key));
            }
        }
    }
}
