//! Connection timeouts of a network namespace, and what the kernel says of itself. Pure.

use std::fmt;

use crate::netlink::{Attributes, DecodeError, Writer};
use crate::uapi::{attr, info};

/// Seconds after which an idle connection is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timeouts {
    /// An established TCP connection.
    pub tcp: u32,
    /// A TCP connection after a FIN.
    pub tcp_fin: u32,
    /// A UDP flow.
    pub udp: u32,
}

impl Timeouts {
    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.u32(attr::TIMEOUT_TCP, self.tcp);
        writer.u32(attr::TIMEOUT_TCP_FIN, self.tcp_fin);
        writer.u32(attr::TIMEOUT_UDP, self.udp);
    }

    /// Reads the attributes of an answer to `IPVS_CMD_GET_CONFIG`. A kernel built without TCP or UDP
    /// leaves theirs out: zero.
    pub fn decode(message: Attributes<'_>) -> Result<Self, DecodeError> {
        let mut timeouts = Self { tcp: 0, tcp_fin: 0, udp: 0 };
        for attribute in message {
            let attribute = attribute?;
            match attribute.kind {
                attr::TIMEOUT_TCP => timeouts.tcp = attribute.u32("TCP timeout")?,
                attr::TIMEOUT_TCP_FIN => timeouts.tcp_fin = attribute.u32("TCP FIN timeout")?,
                attr::TIMEOUT_UDP => timeouts.udp = attribute.u32("UDP timeout")?,
                _ => {}
            }
        }
        Ok(timeouts)
    }
}

impl fmt::Display for Timeouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tcp {} tcp-fin {} udp {}", self.tcp, self.tcp_fin, self.udp)
    }
}

/// Version of IPVS, not of the kernel: 1.2.1 for many years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    /// First number.
    pub major: u8,
    /// Second number.
    pub minor: u8,
    /// Third number.
    pub patch: u8,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// What the kernel says of its IPVS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Info {
    /// Version of IPVS.
    pub version: Version,
    /// Buckets of the connection table.
    pub connection_table_size: u32,
}

impl Info {
    /// Reads the attributes of an answer to `IPVS_CMD_GET_INFO`.
    pub fn decode(message: Attributes<'_>) -> Result<Self, DecodeError> {
        let (mut version, mut size) = (None, None);
        for attribute in message {
            let attribute = attribute?;
            match attribute.kind {
                info::VERSION => version = Some(attribute.u32("version")?),
                info::CONN_TAB_SIZE => size = Some(attribute.u32("connection table size")?),
                _ => {}
            }
        }
        let [_, major, minor, patch] =
            version.ok_or(DecodeError::Missing("version"))?.to_be_bytes();
        Ok(Self {
            version: Version { major, minor, patch },
            connection_table_size: size.ok_or(DecodeError::Missing("connection table size"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_version_is_three_bytes() {
        let mut writer = Writer::default();
        writer.u32(info::VERSION, 0x0001_0201);
        writer.u32(info::CONN_TAB_SIZE, 4096);
        let info = Info::decode(Attributes::new(writer.as_bytes())).unwrap();
        assert_eq!(
            (info.version.to_string().as_str(), info.connection_table_size),
            ("1.2.1", 4096)
        );
    }

    proptest! {
        #[test]
        fn timeouts_round_trip(tcp: u32, tcp_fin: u32, udp: u32) {
            let timeouts = Timeouts { tcp, tcp_fin, udp };
            let mut writer = Writer::default();
            timeouts.encode(&mut writer);
            prop_assert_eq!(Timeouts::decode(Attributes::new(writer.as_bytes())), Ok(timeouts));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = (Timeouts::decode(Attributes::new(&bytes)), Info::decode(Attributes::new(&bytes)));
        }
    }
}
