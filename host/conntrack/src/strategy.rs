//! Arbitrary flows and filters, for property tests.

use std::net::IpAddr;

use proptest::option;
use proptest::prelude::*;

use crate::{Count, Family, Filter, Flow, Ports, Status, Tuple, TupleFilter};

fn ip(family: Family) -> BoxedStrategy<IpAddr> {
    match family {
        Family::V4 => any::<[u8; 4]>().prop_map(IpAddr::from).boxed(),
        Family::V6 => any::<[u8; 16]>().prop_map(IpAddr::from).boxed(),
    }
}

fn family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::V4), Just(Family::V6)]
}

fn tuple(family: Family, with_ports: bool) -> impl Strategy<Value = Tuple> {
    let ports =
        any::<(u16, u16)>().prop_map(move |(src, dst)| with_ports.then_some(Ports { src, dst }));
    (ip(family), ip(family), ports).prop_map(|(src, dst, ports)| Tuple { src, dst, ports })
}

fn count() -> impl Strategy<Value = Option<Count>> {
    option::of(any::<(u64, u64)>().prop_map(|(packets, bytes)| Count { packets, bytes }))
}

pub(crate) fn flow() -> impl Strategy<Value = Flow> {
    let tuples = (family(), any::<bool>()).prop_flat_map(|(family, with_ports)| {
        (tuple(family, with_ports), tuple(family, with_ports))
    });
    let zones = (any::<u16>(), any::<u16>(), 0..3).prop_map(|(zone, other, which)| match which {
        0 => (zone, zone),
        1 => (zone, 0),
        _ => (0, other),
    });
    let numbers = (any::<(u8, u32, u32)>(), zones, any::<(u32, Option<u32>)>());
    (tuples, numbers, count(), count()).prop_map(
        |(tuples, numbers, original_count, reply_count)| {
            let ((protocol, status, id), (zone, reply_zone), (mark, timeout)) = numbers;
            Flow {
                protocol,
                original: tuples.0,
                reply: tuples.1,
                status: Status(status),
                id,
                zone,
                reply_zone,
                mark,
                timeout,
                original_count,
                reply_count,
            }
        },
    )
}

fn tuple_filter(tuple: Tuple) -> impl Strategy<Value = TupleFilter> {
    any::<(bool, bool, bool, bool)>().prop_map(move |(src, dst, src_port, dst_port)| TupleFilter {
        src: src.then_some(tuple.src),
        dst: dst.then_some(tuple.dst),
        src_port: tuple.ports.filter(|_| src_port).map(|ports| ports.src),
        dst_port: tuple.ports.filter(|_| dst_port).map(|ports| ports.dst),
    })
}

/// A flow, and a filter that it passes.
pub(crate) fn flow_and_filter() -> impl Strategy<Value = (Flow, Filter)> {
    flow().prop_flat_map(|flow| {
        let chosen = any::<(bool, bool, bool, u32, u32)>();
        (tuple_filter(flow.original), tuple_filter(flow.reply), chosen).prop_map(
            move |(original, reply, (family, protocol, zone, with, without))| {
                let filter = Filter {
                    family: family.then(|| flow.family()),
                    protocol: protocol.then_some(flow.protocol),
                    original,
                    reply,
                    with_status: Status(flow.status.0 & with),
                    without_status: Status(!flow.status.0 & without),
                    zone: zone.then_some(flow.zone),
                };
                (flow, filter)
            },
        )
    })
}
