//! Which flows are wanted: decided here for each flow, and asked of the kernel as far as it can be
//! relied on. Pure.
//!
//! What the kernel leaves out nobody sees, so it is asked only what it answers rightly:
//! - It compares IPv6 addresses the wrong way round and leaves out just the flows that were asked for
//!   (`ctnetlink_filter_match_tuple`, at least Linux 5.8 to 6.18): IPv4 addresses only.
//! - It takes a tuple for one family at a time: two dumps where both are wanted.
//! - It takes ports with a protocol only, and compares those of TCP and UDP only.
//! - Zones it compares without regard to their direction: not asked.

use std::net::IpAddr;

use crate::netlink::Writer;
use crate::uapi::{cta, filter, tuple};
use crate::{Family, Flow, Status, Tuple};

/// What a tuple must have; `None` is anything. Ports are had by tuples with ports only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TupleFilter {
    /// The sender.
    pub src: Option<IpAddr>,
    /// The receiver.
    pub dst: Option<IpAddr>,
    /// The sender's port.
    pub src_port: Option<u16>,
    /// The receiver's port.
    pub dst_port: Option<u16>,
}

/// What a flow must have; the default is any flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The family of its addresses.
    pub family: Option<Family>,
    /// Its protocol above IP, such as `IPPROTO_UDP`.
    pub protocol: Option<u8>,
    /// Its original tuple.
    pub original: TupleFilter,
    /// Its reply tuple: here the source is who really serves.
    pub reply: TupleFilter,
    /// Bits that are all set.
    pub with_status: Status,
    /// Bits none of which is set.
    pub without_status: Status,
    /// The zone of its original direction; 0 is the default one.
    pub zone: Option<u16>,
}

impl TupleFilter {
    fn matches(&self, tuple: &Tuple) -> bool {
        let port = |want: Option<u16>, has: Option<u16>| want.is_none() || want == has;
        self.src.is_none_or(|src| src == tuple.src)
            && self.dst.is_none_or(|dst| dst == tuple.dst)
            && port(self.src_port, tuple.ports.map(|ports| ports.src))
            && port(self.dst_port, tuple.ports.map(|ports| ports.dst))
    }

    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.src.into_iter().chain(self.dst)
    }

    /// Writes the attribute `kind` with what the kernel is asked of it; the flags that say what.
    fn encode(&self, writer: &mut Writer, kind: u16, protocol: Option<u8>) -> u32 {
        let mut flags = 0;
        let v4 = |ip: Option<IpAddr>| ip.filter(IpAddr::is_ipv4);
        writer.nest(kind, |writer| {
            writer.nest(tuple::IP, |writer| {
                let fields = [
                    (v4(self.src), tuple::IP_V4_SRC, filter::F_IP_SRC),
                    (v4(self.dst), tuple::IP_V4_DST, filter::F_IP_DST),
                ];
                for (ip, kind, flag) in fields {
                    let Some(ip) = ip else { continue };
                    writer.ip(kind, ip);
                    flags |= flag;
                }
            });
            let Some(protocol) = protocol else { return };
            writer.nest(tuple::PROTO, |writer| {
                writer.bytes(tuple::PROTO_NUM, &[protocol]);
                flags |= filter::F_PROTO_NUM;
                let fields = [
                    (self.src_port, tuple::PROTO_SRC_PORT, filter::F_PROTO_SRC_PORT),
                    (self.dst_port, tuple::PROTO_DST_PORT, filter::F_PROTO_DST_PORT),
                ];
                for (port, kind, flag) in fields {
                    let Some(port) = port else { continue };
                    writer.be16(kind, port);
                    flags |= flag;
                }
            });
        });
        flags
    }
}

impl Filter {
    /// Whether this flow is wanted.
    #[must_use]
    pub fn matches(&self, flow: &Flow) -> bool {
        self.family.is_none_or(|family| family == flow.family())
            && self.protocol.is_none_or(|protocol| protocol == flow.protocol)
            && flow.status.contains(self.with_status)
            && !flow.status.intersects(self.without_status)
            && self.zone.is_none_or(|zone| zone == flow.zone)
            && self.original.matches(&flow.original)
            && self.reply.matches(&flow.reply)
    }

    /// The dumps that together have all that is wanted, by their family; `None` is both in one.
    pub(crate) fn dumps(&self) -> Vec<Option<Family>> {
        let possible = |family: Family| {
            self.family.is_none_or(|only| only == family)
                && self.addresses().all(|ip| Family::of(ip) == family)
        };
        match (possible(Family::V4), possible(Family::V6)) {
            (true, true) if self.protocol.is_none() => vec![None],
            (v4, v6) => {
                let families = [v4.then_some(Family::V4), v6.then_some(Family::V6)];
                families.into_iter().flatten().map(Some).collect()
            }
        }
    }

    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.original.addresses().chain(self.reply.addresses())
    }

    fn asks_tuple(&self, family: Option<Family>) -> bool {
        family.is_some() && (self.protocol.is_some() || self.addresses().any(|ip| ip.is_ipv4()))
    }

    /// Whether there is something to ask of the kernel in the dump of this family.
    pub(crate) fn asks_kernel(&self, family: Option<Family>) -> bool {
        (self.with_status | self.without_status) != Status::default() || self.asks_tuple(family)
    }

    /// Writes what is asked of the kernel in the dump of this family.
    pub(crate) fn encode(&self, writer: &mut Writer, family: Option<Family>) {
        let mask = self.with_status | self.without_status;
        if mask != Status::default() {
            writer.be32(cta::STATUS, self.with_status.0);
            writer.be32(cta::STATUS_MASK, mask.0);
        }
        if !self.asks_tuple(family) {
            return;
        }
        let original = self.original.encode(writer, cta::TUPLE_ORIG, self.protocol);
        let reply = self.reply.encode(writer, cta::TUPLE_REPLY, self.protocol);
        writer.nest(cta::FILTER, |writer| {
            for (kind, flags) in [(filter::ORIG_FLAGS, original), (filter::REPLY_FLAGS, reply)] {
                writer.bytes(kind, &flags.to_ne_bytes());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy;
    use proptest::prelude::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn dumps_are_those_that_can_have_something() {
        let v4 = TupleFilter { dst: ip("10.0.0.1"), ..TupleFilter::default() };
        let v6 = TupleFilter { src: ip("fd00::1"), ..TupleFilter::default() };
        let any = Filter::default();
        let cases = [
            ("any", any, vec![None]),
            ("status", Filter { with_status: Status::OFFLOAD, ..any }, vec![None]),
            ("one family", Filter { family: Some(Family::V6), ..any }, vec![Some(Family::V6)]),
            (
                "a protocol is asked of each family",
                Filter { protocol: Some(17), ..any },
                vec![Some(Family::V4), Some(Family::V6)],
            ),
            ("IPv4 address", Filter { original: v4, ..any }, vec![Some(Family::V4)]),
            ("IPv6 address", Filter { reply: v6, ..any }, vec![Some(Family::V6)]),
            ("both at once", Filter { original: v4, reply: v6, ..any }, vec![]),
            ("other family", Filter { family: Some(Family::V6), original: v4, ..any }, vec![]),
        ];
        for (name, filter, want) in cases {
            assert_eq!(filter.dumps(), want, "{name}");
        }
    }

    #[test]
    fn addresses_of_ipv6_are_not_asked_of_the_kernel() {
        let tuple =
            TupleFilter { dst: ip("fd00::1"), dst_port: Some(53), ..TupleFilter::default() };
        let mut writer = Writer::default();
        let flags = tuple.encode(&mut writer, cta::TUPLE_ORIG, Some(17));
        assert_eq!(flags, filter::F_PROTO_NUM | filter::F_PROTO_DST_PORT);
        let alone = Filter { original: tuple, ..Filter::default() };
        assert!(!alone.asks_kernel(Some(Family::V6)), "nor ports without a protocol");
    }

    /// By linux/netfilter/nfnetlink_conntrack.h, byte for byte.
    #[test]
    #[cfg(target_endian = "little")]
    fn what_is_asked_is_laid_out_as_the_headers_say() {
        let service =
            TupleFilter { dst: ip("10.96.0.1"), dst_port: Some(53), ..TupleFilter::default() };
        let filter = Filter {
            protocol: Some(17),
            original: service,
            with_status: Status::DST_NAT,
            without_status: Status::OFFLOAD,
            zone: Some(3),
            ..Filter::default()
        };
        let mut writer = Writer::default();
        filter.encode(&mut writer, Some(Family::V4));
        #[rustfmt::skip]
        let want = [
            // CTA_STATUS, CTA_STATUS_MASK: 1 << 5 of 1 << 5 | 1 << 14
            8, 0, 3, 0, 0, 0, 0, 0x20, 8, 0, 26, 0, 0, 0, 0x40, 0x20,
            // CTA_TUPLE_ORIG, nested: CTA_TUPLE_IP, nested: destination
            36, 0, 1, 0x80, 12, 0, 1, 0x80, 8, 0, 2, 0, 10, 96, 0, 1,
            // CTA_TUPLE_PROTO, nested: number, destination port, each padded
            20, 0, 2, 0x80, 5, 0, 1, 0, 17, 0, 0, 0, 6, 0, 3, 0, 0, 53, 0, 0,
            // CTA_TUPLE_REPLY, nested: empty CTA_TUPLE_IP, CTA_TUPLE_PROTO with the number
            20, 0, 2, 0x80, 4, 0, 1, 0x80, 12, 0, 2, 0x80, 5, 0, 1, 0, 17, 0, 0, 0,
            // CTA_FILTER, nested: CTA_FILTER_ORIG_FLAGS, CTA_FILTER_REPLY_FLAGS
            20, 0, 25, 0x80, 8, 0, 1, 0, 0b10_1010, 0, 0, 0, 8, 0, 2, 0, 0b1000, 0, 0, 0,
        ];
        assert_eq!(writer.as_bytes(), want);
        let mut unspecific = Writer::default();
        filter.encode(&mut unspecific, None);
        assert_eq!(unspecific.as_bytes(), &want[..16], "a tuple is asked of one family only");
    }

    proptest! {
        #[test]
        fn a_flow_passes_what_it_has_and_fails_each_thing_it_lacks(
            (flow, filter) in strategy::flow_and_filter(),
        ) {
            prop_assert!(filter.matches(&flow));
            prop_assert!(filter.dumps().iter().any(|dump| dump.is_none_or(|it| it == flow.family())));
            let other_ip = ip(if flow.family() == Family::V4 { "::1" } else { "127.0.0.1" });
            let other_port = flow.original.ports.map_or(1, |ports| ports.dst ^ 1);
            let original = filter.original;
            let wrong = [
                Filter { protocol: Some(flow.protocol ^ 1), ..filter },
                Filter { zone: Some(flow.zone ^ 1), ..filter },
                Filter { with_status: Status(!flow.status.0 | 1 << 31), without_status: Status(1 << 31), ..filter },
                Filter { without_status: Status(flow.status.0 | 1), with_status: Status(1), ..filter },
                Filter { original: TupleFilter { src: other_ip, ..original }, ..filter },
                Filter { reply: TupleFilter { dst: other_ip, ..filter.reply }, ..filter },
                Filter { original: TupleFilter { dst_port: Some(other_port), ..original }, ..filter },
            ];
            for (index, filter) in wrong.into_iter().enumerate() {
                prop_assert!(!filter.matches(&flow), "{index}");
            }
        }
    }
}
