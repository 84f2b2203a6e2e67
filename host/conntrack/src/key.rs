//! What names a flow for deletion. Pure.

use std::fmt;
use std::net::SocketAddr;

use crate::flow::ProtocolName;
use crate::netlink::{NLM_F_REQUEST, Writer};
use crate::uapi::{cta, msg};
use crate::{Flow, Tuple};

/// One flow: its reply tuple and the zone of that direction, and the kernel's number for it.
///
/// The reply tuple says who serves, so a later flow of the same client that leads elsewhere is never
/// taken for it; the number alone can't tell (see [`Flow::id`]).
///
/// It comes from a [`Flow`] only and always has its tuple with ports. The kernel takes a deletion
/// without a tuple for the order to delete everything: that can't be written with this type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    protocol: u8,
    zone: u16,
    id: u32,
    src: SocketAddr,
    dst: SocketAddr,
}

impl FlowKey {
    pub(crate) fn of(flow: &Flow) -> Option<Self> {
        let (src, dst) = flow.reply.source().zip(flow.reply.destination())?;
        Some(Self { protocol: flow.protocol, zone: flow.reply_zone, id: flow.id, src, dst })
    }

    /// The reply tuple.
    #[must_use]
    pub fn reply(&self) -> Tuple {
        Tuple::new(self.src, self.dst)
    }

    /// Writes the request to delete it.
    pub(crate) fn delete(&self, writer: &mut Writer, flags: u16, sequence: u32) {
        let reply = self.reply();
        let header = (msg::DELETE, NLM_F_REQUEST | flags, sequence);
        writer.netfilter(header, reply.family().number(), |writer| {
            reply.encode(writer, cta::TUPLE_REPLY, self.protocol, None);
            if self.zone != 0 {
                writer.be16(cta::ZONE, self.zone);
            }
            writer.be32(cta::ID, self.id);
        });
    }
}

impl fmt::Display for FlowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with replies {}", ProtocolName(self.protocol), self.reply())?;
        if self.zone != 0 {
            write!(f, ", zone {}", self.zone)?;
        }
        write!(f, ", id {}", self.id)
    }
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use super::*;
    use crate::Status;

    /// By linux/netlink.h and nfnetlink_conntrack.h, byte for byte.
    #[test]
    fn a_deletion_is_laid_out_as_the_headers_say() {
        let at = |text: &str| text.parse().unwrap();
        let flow = Flow {
            protocol: 17,
            original: Tuple::new(at("10.0.0.1:40001"), at("10.96.0.1:53")),
            reply: Tuple::new(at("10.1.0.2:5353"), at("10.0.0.1:40001")),
            status: Status::CONFIRMED,
            id: 0x0102_0304,
            zone: 0,
            reply_zone: 7,
            mark: 0,
            timeout: None,
            original_count: None,
            reply_count: None,
        };
        let mut writer = Writer::default();
        flow.key().unwrap().delete(&mut writer, 4, 9);
        #[rustfmt::skip]
        let want = [
            // length 88, IPCTNL_MSG_CT_DELETE, NLM_F_REQUEST | NLM_F_ACK, sequence, port
            88, 0, 0, 0, 2, 1, 5, 0, 9, 0, 0, 0, 0, 0, 0, 0,
            // AF_INET, version, resource
            2, 0, 0, 0,
            // CTA_TUPLE_REPLY, nested: CTA_TUPLE_IP, nested: source and destination
            52, 0, 2, 0x80, 20, 0, 1, 0x80, 8, 0, 1, 0, 10, 1, 0, 2, 8, 0, 2, 0, 10, 0, 0, 1,
            // CTA_TUPLE_PROTO, nested: number, source port, destination port, each padded
            28, 0, 2, 0x80, 5, 0, 1, 0, 17, 0, 0, 0,
            6, 0, 2, 0, 0x14, 0xe9, 0, 0, 6, 0, 3, 0, 0x9c, 0x41, 0, 0,
            // CTA_ZONE, padded; CTA_ID
            6, 0, 18, 0, 0, 7, 0, 0, 8, 0, 12, 0, 1, 2, 3, 4,
        ];
        assert_eq!(writer.as_bytes(), want);
    }
}
