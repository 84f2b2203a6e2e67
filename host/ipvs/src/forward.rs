//! How packets travel from the director to a destination. Pure.

use std::fmt;
use std::num::NonZeroU16;

use crate::netlink::{Attribute, DecodeError, Writer};
use crate::uapi::dest;

/// The forwarding method of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Forward {
    /// Address and port are rewritten (NAT); the answers must come back through the director.
    Masquerade,
    /// To a process on the director itself, unchanged.
    Local,
    /// Encapsulated; the answers go to the client directly. The only method across address families.
    Tunnel(Tunnel),
    /// To the destination's link address, unchanged (direct routing).
    Route,
    /// To the packet's own destination: what a transparent cache cluster does without a live cache.
    /// The kernel makes such connections itself; as a destination's method it is accepted and listed.
    Bypass,
}

/// The encapsulation of tunnelled packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tunnel {
    /// IP in IP.
    Ipip,
    /// Generic UDP encapsulation (kernel 5.2 and later; an older one silently does IP in IP).
    Gue {
        /// UDP port of the far end.
        port: NonZeroU16,
        /// Checksum of the outer header.
        checksum: Checksum,
    },
    /// Generic routing encapsulation (kernel 5.3 and later; an older one silently does IP in IP).
    Gre {
        /// Checksum of the outer header.
        checksum: Checksum,
    },
}

/// `IP_VS_TUNNEL_ENCAP_FLAG_*`: the checksum in the encapsulating header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Checksum {
    /// None.
    #[default]
    None,
    /// Computed (`ipvsadm --tun-csum`).
    Full,
    /// Left to the far end (`ipvsadm --tun-remcsum`); GUE only, GRE ignores it.
    Remote,
    /// Both flags at once, which `ipvsadm` can't ask for but the kernel holds.
    FullAndRemote,
}

impl Checksum {
    const ALL: [Self; 4] = [Self::None, Self::Full, Self::Remote, Self::FullAndRemote];

    const fn flags(self) -> u16 {
        match self {
            Self::None => 0,
            Self::Full => dest::TUN_CSUM,
            Self::Remote => dest::TUN_REMCSUM,
            Self::FullAndRemote => dest::TUN_CSUM | dest::TUN_REMCSUM,
        }
    }

    fn from_flags(flags: u16) -> Result<Self, DecodeError> {
        let found = Self::ALL.into_iter().find(|checksum| checksum.flags() == flags);
        found.ok_or_else(|| DecodeError::meaningless("tunnel flags", flags))
    }
}

impl Forward {
    const fn method(self) -> u32 {
        match self {
            Self::Masquerade => dest::FWD_MASQ,
            Self::Local => dest::FWD_LOCALNODE,
            Self::Tunnel(_) => dest::FWD_TUNNEL,
            Self::Route => dest::FWD_DROUTE,
            Self::Bypass => dest::FWD_BYPASS,
        }
    }

    pub(crate) fn encode_method(self, writer: &mut Writer) {
        writer.u32(dest::FWD_METHOD, self.method());
    }

    /// Tunnel attributes are left out where they would say IP in IP, as kernels before 5.2 have none.
    pub(crate) fn encode_tunnel(self, writer: &mut Writer) {
        let (kind, port, checksum) = match self {
            Self::Tunnel(Tunnel::Gue { port, checksum }) => (dest::TUN_GUE, port.get(), checksum),
            Self::Tunnel(Tunnel::Gre { checksum }) => (dest::TUN_GRE, 0, checksum),
            _ => return,
        };
        writer.u8(dest::TUN_TYPE, kind);
        writer.be16(dest::TUN_PORT, port);
        writer.u16(dest::TUN_FLAGS, checksum.flags());
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checksum = match self {
            Self::Masquerade => return f.write_str("masquerade"),
            Self::Local => return f.write_str("local"),
            Self::Route => return f.write_str("route"),
            Self::Bypass => return f.write_str("bypass"),
            Self::Tunnel(Tunnel::Ipip) => return f.write_str("tunnel"),
            Self::Tunnel(Tunnel::Gue { port, checksum }) => {
                write!(f, "tunnel gue port {port}")?;
                checksum
            }
            Self::Tunnel(Tunnel::Gre { checksum }) => {
                f.write_str("tunnel gre")?;
                checksum
            }
        };
        f.write_str(match checksum {
            Checksum::None => "",
            Checksum::Full => " checksum",
            Checksum::Remote => " remote-checksum",
            Checksum::FullAndRemote => " checksum remote-checksum",
        })
    }
}

/// The forwarding attributes of a destination, gathered in any order.
#[derive(Default)]
pub(crate) struct ForwardFields {
    method: Option<u32>,
    kind: u8,
    port: u16,
    flags: u16,
}

impl ForwardFields {
    /// Takes the attribute if it is about forwarding; whether it was.
    pub(crate) fn take(&mut self, attribute: &Attribute<'_>) -> Result<bool, DecodeError> {
        match attribute.kind {
            dest::FWD_METHOD => self.method = Some(attribute.u32("forwarding method")?),
            dest::TUN_TYPE => self.kind = attribute.u8("tunnel type")?,
            dest::TUN_PORT => self.port = attribute.be16("tunnel port")?,
            dest::TUN_FLAGS => self.flags = attribute.u16("tunnel flags")?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub(crate) fn forward(&self) -> Result<Forward, DecodeError> {
        let method = self.method.ok_or(DecodeError::Missing("forwarding method"))?;
        match method & dest::FWD_MASK {
            dest::FWD_MASQ => Ok(Forward::Masquerade),
            dest::FWD_LOCALNODE => Ok(Forward::Local),
            dest::FWD_TUNNEL => self.tunnel().map(Forward::Tunnel),
            dest::FWD_DROUTE => Ok(Forward::Route),
            dest::FWD_BYPASS => Ok(Forward::Bypass),
            other => Err(DecodeError::meaningless("forwarding method", other)),
        }
    }

    fn tunnel(&self) -> Result<Tunnel, DecodeError> {
        match self.kind {
            dest::TUN_IPIP => Ok(Tunnel::Ipip),
            dest::TUN_GUE => {
                let port = NonZeroU16::new(self.port)
                    .ok_or_else(|| DecodeError::meaningless("GUE port", 0))?;
                Ok(Tunnel::Gue { port, checksum: Checksum::from_flags(self.flags)? })
            }
            dest::TUN_GRE => Ok(Tunnel::Gre { checksum: Checksum::from_flags(self.flags)? }),
            other => Err(DecodeError::meaningless("tunnel type", other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::Attributes;
    use crate::strategy;
    use proptest::prelude::*;

    fn decode(bytes: &[u8]) -> Result<Forward, DecodeError> {
        let mut fields = ForwardFields::default();
        for attribute in Attributes::new(bytes) {
            fields.take(&attribute?)?;
        }
        fields.forward()
    }

    proptest! {
        #[test]
        fn round_trip(forward in strategy::forward()) {
            let mut writer = Writer::default();
            forward.encode_method(&mut writer);
            forward.encode_tunnel(&mut writer);
            prop_assert_eq!(decode(writer.as_bytes()), Ok(forward));
        }
    }

    #[test]
    fn what_has_no_meaning_is_named() {
        let cases = [
            ("method", (5, 0, 0, 0), "forwarding method: 5 has no meaning"),
            ("tunnel", (2, 3, 0, 0), "tunnel type: 3 has no meaning"),
            ("gue without port", (2, 1, 0, 0), "GUE port: 0 has no meaning"),
            ("flags", (2, 2, 0, 8), "tunnel flags: 8 has no meaning"),
        ];
        for (name, (method, kind, port, flags), want) in cases {
            let fields = ForwardFields { method: Some(method), kind, port, flags };
            assert_eq!(fields.forward().unwrap_err().to_string(), want, "{name}");
        }
    }
}
