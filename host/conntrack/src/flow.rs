//! A flow: one entry of the connection tracking table. Pure.

use std::fmt;

use crate::netlink::{Attributes, Malformed, Message, Writer};
use crate::tuple::{self, Decoded};
use crate::uapi::{counters, cta, msg};
use crate::{Family, FlowKey, Status, Tuple};

/// Packets and bytes of one direction, since the flow began or its counters were last zeroed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes, IP headers included.
    pub bytes: u64,
}

/// One entry of the connection tracking table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The protocol above IP, such as `IPPROTO_UDP`.
    pub protocol: u8,
    /// As the first packet was before any translation.
    pub original: Tuple,
    /// As answers are before they are translated back: its source is who really serves.
    pub reply: Tuple,
    /// What the kernel knows of it.
    pub status: Status,
    /// The kernel's number for it, the same for as long as it lives: 32 bits of a keyed hash of its
    /// original tuple and of where its entry lies (`nf_ct_get_id`). A later flow of the same tuple has
    /// another, unless its entry was put where the old one lay, which happens often.
    pub id: u32,
    /// The zone of the original direction; 0 is the default one.
    pub zone: u16,
    /// The zone of the reply direction. The same, unless the zone is for one direction alone; the
    /// other has 0 then.
    pub reply_zone: u16,
    /// The connection mark; 0 where the kernel has none.
    pub mark: u32,
    /// Seconds until it is forgotten. `None` while it is offloaded.
    pub timeout: Option<u32>,
    /// Counted in the original direction; `None` where `nf_conntrack_acct` was off as it began.
    pub original_count: Option<Count>,
    /// Counted in the reply direction, likewise.
    pub reply_count: Option<Count>,
}

impl Flow {
    /// The family of its addresses.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.original.family()
    }

    /// Packets of both directions together, where they were counted.
    #[must_use]
    pub fn packets(&self) -> Option<u64> {
        let (original, reply) = (self.original_count?, self.reply_count?);
        Some(original.packets.saturating_add(reply.packets))
    }

    /// Bytes of both directions together, where they were counted.
    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        let (original, reply) = (self.original_count?, self.reply_count?);
        Some(original.bytes.saturating_add(reply.bytes))
    }

    /// What names it for deletion; `None` where its protocol has no ports.
    #[must_use]
    pub fn key(&self) -> Option<FlowKey> {
        FlowKey::of(self)
    }

    /// Reads a message of a dump; `None` if it isn't a flow.
    ///
    /// # Errors
    /// When a field isn't of its length, or one without which the flow can't be told is missing.
    pub fn decode(message: &Message<'_>) -> Result<Option<Self>, Malformed> {
        if message.kind != msg::NEW {
            return Ok(None);
        }
        Self::decode_attributes(message.attributes()?).map(Some)
    }

    fn decode_attributes(attributes: Attributes<'_>) -> Result<Self, Malformed> {
        let (mut original, mut reply, mut status, mut id) = (None, None, None, None);
        let (mut zone, mut mark, mut timeout) = (None, 0, None);
        let (mut original_count, mut reply_count) = (None, None);
        for attribute in attributes {
            let attribute = attribute?;
            match attribute.kind {
                cta::TUPLE_ORIG => original = Some(tuple::decode(attribute.nested())?),
                cta::TUPLE_REPLY => reply = Some(tuple::decode(attribute.nested())?),
                cta::STATUS => status = Some(Status(attribute.be32("status")?)),
                cta::ID => id = Some(attribute.be32("id")?),
                cta::ZONE => zone = Some(attribute.be16("zone")?),
                cta::MARK => mark = attribute.be32("mark")?,
                cta::TIMEOUT => timeout = Some(attribute.be32("timeout")?),
                cta::COUNTERS_ORIG => original_count = Some(count(attribute.nested())?),
                cta::COUNTERS_REPLY => reply_count = Some(count(attribute.nested())?),
                _ => {}
            }
        }
        let missing = |what| Malformed::new(what, "missing");
        let original: Decoded = original.ok_or(missing("original tuple"))?;
        let reply: Decoded = reply.ok_or(missing("reply tuple"))?;
        Ok(Self {
            protocol: original.protocol,
            zone: zone.or(original.zone).unwrap_or(0),
            reply_zone: zone.or(reply.zone).unwrap_or(0),
            original: original.tuple,
            reply: reply.tuple,
            status: status.ok_or(missing("status"))?,
            id: id.ok_or(missing("id"))?,
            mark,
            timeout,
            original_count,
            reply_count,
        })
    }

    /// Writes it as a dump has it, with these flags of the message (`NLM_F_*`). For those who play
    /// the kernel.
    pub fn encode(&self, writer: &mut Writer, flags: u16, sequence: u32) {
        writer.netfilter((msg::NEW, flags, sequence), self.family().number(), |writer| {
            let one_zone = self.zone == self.reply_zone;
            let own = |zone: u16| (zone != 0 && !one_zone).then_some(zone);
            self.original.encode(writer, cta::TUPLE_ORIG, self.protocol, own(self.zone));
            self.reply.encode(writer, cta::TUPLE_REPLY, self.protocol, own(self.reply_zone));
            if self.zone != 0 && one_zone {
                writer.be16(cta::ZONE, self.zone);
            }
            writer.be32(cta::STATUS, self.status.0);
            writer.be32(cta::MARK, self.mark);
            writer.be32(cta::ID, self.id);
            if let Some(seconds) = self.timeout {
                writer.be32(cta::TIMEOUT, seconds);
            }
            let counts = [
                (cta::COUNTERS_ORIG, self.original_count),
                (cta::COUNTERS_REPLY, self.reply_count),
            ];
            for (kind, count) in counts {
                let Some(count) = count else { continue };
                writer.nest(kind, |writer| {
                    writer.be64(counters::PACKETS, count.packets);
                    writer.be64(counters::BYTES, count.bytes);
                });
            }
        });
    }
}

fn count(fields: Attributes<'_>) -> Result<Count, Malformed> {
    let mut count = Count::default();
    for field in fields {
        let field = field?;
        match field.kind {
            counters::PACKETS => count.packets = field.be64("packets")?,
            counters::BYTES => count.bytes = field.be64("bytes")?,
            _ => {}
        }
    }
    Ok(count)
}

impl fmt::Display for Flow {
    /// `udp 10.0.0.1:5 -> 10.96.0.1:53, reply 10.0.1.1:53 -> 10.0.0.1:5, seen-reply,dnat`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = ProtocolName(self.protocol);
        write!(f, "{protocol} {}, reply {}, {}", self.original, self.reply, self.status)
    }
}

/// A protocol number by its name where it has a common one.
pub(crate) struct ProtocolName(pub(crate) u8);

impl fmt::Display for ProtocolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match i32::from(self.0) {
            libc::IPPROTO_TCP => f.write_str("tcp"),
            libc::IPPROTO_UDP => f.write_str("udp"),
            libc::IPPROTO_SCTP => f.write_str("sctp"),
            libc::IPPROTO_ICMP => f.write_str("icmp"),
            libc::IPPROTO_ICMPV6 => f.write_str("icmpv6"),
            other => write!(f, "protocol {other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::Messages;
    use crate::strategy;
    use proptest::prelude::*;

    fn decoded(bytes: &[u8]) -> Result<Option<Flow>, Malformed> {
        Flow::decode(&Messages::new(bytes).next().unwrap().unwrap())
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(flow in strategy::flow()) {
            let mut writer = Writer::default();
            flow.encode(&mut writer, 2, 7);
            prop_assert_eq!(decoded(writer.as_bytes()), Ok(Some(flow)));
        }

        #[test]
        fn damaged_flows_never_panic(
            flow in strategy::flow(), damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        ) {
            let mut writer = Writer::default();
            flow.encode(&mut writer, 2, 7);
            let mut bytes = writer.as_bytes().to_vec();
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            for message in Messages::new(&bytes).flatten() {
                if let Ok(Some(flow)) = Flow::decode(&message) {
                    let _ = (flow.to_string(), flow.key());
                }
            }
        }
    }

    #[test]
    fn what_a_flow_cannot_be_without_is_missed() {
        let mut writer = Writer::default();
        writer.netfilter((msg::NEW, 0, 1), 2, |writer| writer.be32(cta::STATUS, 8));
        let error = decoded(writer.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "malformed original tuple: missing");
        let mut other = Writer::default();
        other.netfilter((msg::DELETE, 0, 1), 2, |_| {});
        assert_eq!(decoded(other.as_bytes()), Ok(None));
    }
}
