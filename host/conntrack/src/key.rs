//! What names a flow for deletion. Pure.

use std::fmt;
use std::net::SocketAddr;

use crate::flow::ProtocolName;
use crate::netlink::{NLM_F_REQUEST, Writer};
use crate::uapi::{cta, msg};
use crate::{Flow, Tuple};

/// One flow: original tuple, zone and the kernel's number, so that a later flow that has the same
/// tuple is another one.
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
        let (src, dst) = flow.original.source().zip(flow.original.destination())?;
        Some(Self { protocol: flow.protocol, zone: flow.zone, id: flow.id, src, dst })
    }

    /// The original tuple.
    #[must_use]
    pub fn original(&self) -> Tuple {
        Tuple::new(self.src, self.dst)
    }

    /// Writes the request to delete it.
    pub(crate) fn delete(&self, writer: &mut Writer, flags: u16, sequence: u32) {
        let original = self.original();
        let header = (msg::DELETE, NLM_F_REQUEST | flags, sequence);
        writer.netfilter(header, original.family().number(), |writer| {
            original.encode(writer, cta::TUPLE_ORIG, self.protocol);
            if self.zone != 0 {
                writer.be16(cta::ZONE, self.zone);
            }
            writer.be32(cta::ID, self.id);
        });
    }
}

impl fmt::Display for FlowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", ProtocolName(self.protocol), self.original())?;
        if self.zone != 0 {
            write!(f, " zone {}", self.zone)?;
        }
        write!(f, " id {}", self.id)
    }
}
