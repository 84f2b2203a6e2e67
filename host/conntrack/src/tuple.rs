//! One direction of a flow: from where to where. Pure.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::netlink::{Attributes, Malformed, Writer};
use crate::uapi::tuple as attr;

/// An address family that conntrack follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// `AF_INET` or `AF_INET6`.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::V4 => libc::AF_INET as u8,
            Self::V6 => libc::AF_INET6 as u8,
        }
    }
}

/// The ports of a tuple, in the direction of the tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ports {
    /// Of the sender.
    pub src: u16,
    /// Of the receiver.
    pub dst: u16,
}

/// From where to where the packets of one direction go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tuple {
    /// The sender.
    pub src: IpAddr,
    /// The receiver. Of the same family.
    pub dst: IpAddr,
    /// Where the protocol has ports: TCP, UDP, UDP-Lite, DCCP, SCTP. `None` for ICMP and whatever
    /// conntrack follows by addresses alone.
    pub ports: Option<Ports>,
}

impl Tuple {
    /// The tuple between two ports. The addresses are to be of one family.
    #[must_use]
    pub fn new(src: SocketAddr, dst: SocketAddr) -> Self {
        let ports = Some(Ports { src: src.port(), dst: dst.port() });
        Self { src: src.ip(), dst: dst.ip(), ports }
    }

    /// The sender's address and port, where there are ports.
    #[must_use]
    pub fn source(&self) -> Option<SocketAddr> {
        self.ports.map(|ports| SocketAddr::new(self.src, ports.src))
    }

    /// The receiver's address and port, where there are ports.
    #[must_use]
    pub fn destination(&self) -> Option<SocketAddr> {
        self.ports.map(|ports| SocketAddr::new(self.dst, ports.dst))
    }

    /// The family of its addresses.
    #[must_use]
    pub const fn family(&self) -> Family {
        Family::of(self.src)
    }

    /// Writes the attribute `kind` (`CTA_TUPLE_ORIG` or `CTA_TUPLE_REPLY`), with the zone of its
    /// direction if that has one of its own.
    pub(crate) fn encode(&self, writer: &mut Writer, kind: u16, protocol: u8, zone: Option<u16>) {
        let (src, dst) = match self.family() {
            Family::V4 => (attr::IP_V4_SRC, attr::IP_V4_DST),
            Family::V6 => (attr::IP_V6_SRC, attr::IP_V6_DST),
        };
        writer.nest(kind, |writer| {
            writer.nest(attr::IP, |writer| {
                writer.ip(src, self.src);
                writer.ip(dst, self.dst);
            });
            writer.nest(attr::PROTO, |writer| {
                writer.bytes(attr::PROTO_NUM, &[protocol]);
                if let Some(ports) = self.ports {
                    writer.be16(attr::PROTO_SRC_PORT, ports.src);
                    writer.be16(attr::PROTO_DST_PORT, ports.dst);
                }
            });
            if let Some(zone) = zone {
                writer.be16(attr::ZONE, zone);
            }
        });
    }
}

impl fmt::Display for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.source(), self.destination()) {
            (Some(src), Some(dst)) => write!(f, "{src} -> {dst}"),
            _ => write!(f, "{} -> {}", self.src, self.dst),
        }
    }
}

/// A tuple as it is written: with its protocol, and the zone of its direction if that has its own.
pub(crate) struct Decoded {
    pub(crate) tuple: Tuple,
    pub(crate) protocol: u8,
    pub(crate) zone: Option<u16>,
}

/// Reads the inside of `CTA_TUPLE_ORIG` or `CTA_TUPLE_REPLY`.
pub(crate) fn decode(attributes: Attributes<'_>) -> Result<Decoded, Malformed> {
    let (mut src, mut dst) = (None, None);
    let (mut protocol, mut src_port, mut dst_port, mut zone) = (None, None, None, None);
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            attr::IP => (src, dst) = addresses(attribute.nested())?,
            attr::PROTO => {
                for field in attribute.nested() {
                    let field = field?;
                    match field.kind {
                        attr::PROTO_NUM => protocol = Some(field.u8("protocol")?),
                        attr::PROTO_SRC_PORT => src_port = Some(field.be16("source port")?),
                        attr::PROTO_DST_PORT => dst_port = Some(field.be16("destination port")?),
                        _ => {}
                    }
                }
            }
            attr::ZONE => zone = Some(attribute.be16("zone")?),
            _ => {}
        }
    }
    let missing = |what| Malformed::new(what, "missing");
    let src = src.ok_or(missing("source address"))?;
    let dst = dst.ok_or(missing("destination address"))?;
    if Family::of(src) != Family::of(dst) {
        return Err(Malformed::new("tuple", "addresses of two families"));
    }
    let ports = src_port.zip(dst_port).map(|(src, dst)| Ports { src, dst });
    let protocol = protocol.ok_or(missing("protocol"))?;
    Ok(Decoded { tuple: Tuple { src, dst, ports }, protocol, zone })
}

fn addresses(fields: Attributes<'_>) -> Result<(Option<IpAddr>, Option<IpAddr>), Malformed> {
    let (mut src, mut dst) = (None, None);
    for field in fields {
        let field = field?;
        match field.kind {
            attr::IP_V4_SRC => src = Some(field.ipv4("source address")?),
            attr::IP_V4_DST => dst = Some(field.ipv4("destination address")?),
            attr::IP_V6_SRC => src = Some(field.ipv6("source address")?),
            attr::IP_V6_DST => dst = Some(field.ipv6("destination address")?),
            _ => {}
        }
    }
    Ok((src, dst))
}
