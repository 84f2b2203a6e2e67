//! Flows are read as they are, whole, and filtered alike by the kernel and here.

use std::net::{IpAddr, UdpSocket};

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use weir_conntrack::{Count, Family, Filter, Flow, Status, Tuple, TupleFilter};

use crate::world::{Check, Outcome, at, ensure, flow_from, flows, open, ping, send, server};

pub(crate) const CHECKS: &[Check] = &[
    Check::new("a translated UDP flow is read as it is", translated),
    Check::new("an IPv6 flow is read as it is, with its mark", ipv6),
    Check::new("a flow without ports is read, and has no key", without_ports),
    Check::new("what a filter asks for is what is found without one", filtered),
    Check::new("the kernel does the filtering that it is asked for", filtered_by_kernel),
    Check::new("thousands of flows come through, each once", thousands),
    Check::new("without rights it says so", without_rights),
];

const UDP: u8 = 17;

fn translated() -> Outcome {
    let answer = server("127.0.0.2:53")?;
    let client = send("127.0.0.1:30000", "10.96.0.1:53")?;
    answer()?;
    client.recv(&mut [0; 64])?;
    let flow = flow_from("127.0.0.1:30000")?;
    let want = Flow {
        protocol: UDP,
        original: Tuple::new(at("127.0.0.1:30000"), at("10.96.0.1:53")),
        reply: Tuple::new(at("127.0.0.2:53"), at("127.0.0.1:30000")),
        original_count: Some(Count { packets: 1, bytes: 28 + 8 }),
        reply_count: Some(Count { packets: 1, bytes: 28 + 6 }),
        mark: 0,
        zone: 0,
        reply_zone: 0,
        ..flow
    };
    ensure!(flow == want, "{flow:?}");
    ensure!(flow.packets() == Some(2), "{:?}", flow.packets());
    let (has, hasnt) = (
        Status::CONFIRMED | Status::SEEN_REPLY | Status::DST_NAT,
        Status::SRC_NAT | Status::OFFLOAD | Status::HW_OFFLOAD,
    );
    ensure!(flow.status.contains(has) && !flow.status.intersects(hasnt), "{}", flow.status);
    ensure!(flow.timeout.is_some_and(|it| (1..=120).contains(&it)), "{:?}", flow.timeout);
    Ok(())
}

fn ipv6() -> Outcome {
    send("[fd00::1]:30001", "[fd96::1]:53")?;
    let flow = flow_from("[fd00::1]:30001")?;
    ensure!(flow.family() == Family::V6 && flow.mark == 0x1234, "{flow:?}");
    let reply = Tuple::new(at("[fd00::2]:53"), at("[fd00::1]:30001"));
    ensure!(flow.reply == reply && !flow.status.contains(Status::SEEN_REPLY), "{flow:?}");
    Ok(())
}

fn without_ports() -> Outcome {
    ping([127, 0, 0, 7])?;
    let all = flows(&Filter { protocol: Some(1), ..Filter::default() })?;
    ensure!(all.len() == 1 && all[0].original.ports.is_none(), "{all:?}");
    ensure!(all[0].original.dst == IpAddr::from([127, 0, 0, 7]), "{all:?}");
    ensure!(all[0].key().is_none(), "{all:?}");
    Ok(())
}

/// One filter for each thing that the kernel can be asked, and that it mustn't be asked.
fn filters() -> Vec<(&'static str, Filter)> {
    let any = Filter::default();
    let to = |text: &str| {
        let address = at(text);
        let dst_port = Some(address.port());
        TupleFilter { dst: Some(address.ip()), dst_port, ..TupleFilter::default() }
    };
    let from = |text: &str| {
        let address = at(text);
        let src_port = Some(address.port());
        TupleFilter { src: Some(address.ip()), src_port, ..TupleFilter::default() }
    };
    let udp = Filter { protocol: Some(UDP), ..any };
    let port = TupleFilter { src_port: Some(30002), ..TupleFilter::default() };
    vec![
        ("anything", any),
        ("IPv4", Filter { family: Some(Family::V4), ..any }),
        ("IPv6", Filter { family: Some(Family::V6), ..any }),
        ("UDP", udp),
        ("ICMP", Filter { protocol: Some(1), ..any }),
        ("a service", Filter { original: to("10.96.0.1:53"), ..udp }),
        ("an IPv6 service", Filter { original: to("[fd96::1]:53"), ..udp }),
        ("an address alone", Filter { original: to("10.96.0.1:53"), ..any }),
        ("an endpoint", Filter { reply: from("127.0.0.3:53"), ..udp }),
        ("an IPv6 endpoint", Filter { reply: from("[fd00::2]:53"), ..udp }),
        ("a port of both families", Filter { original: port, ..udp }),
        ("a port of any protocol", Filter { original: port, ..any }),
        ("translated", Filter { with_status: Status::DST_NAT, ..any }),
        ("not translated", Filter { without_status: Status::DST_NAT, ..any }),
        (
            "translated and unanswered UDP to an endpoint",
            Filter {
                with_status: Status::DST_NAT,
                without_status: Status::SEEN_REPLY,
                reply: from("127.0.0.2:53"),
                zone: Some(0),
                ..udp
            },
        ),
    ]
}

fn filtered() -> Outcome {
    let answer = server("127.0.0.2:53")?;
    send("127.0.0.1:30001", "10.96.0.1:53")?;
    answer()?;
    for (from, to) in [
        ("127.0.0.1:30002", "10.96.0.1:53"),
        ("127.0.0.1:50001", "10.96.0.1:53"),
        ("127.0.0.1:50002", "127.0.0.2:5353"),
        ("[fd00::1]:30002", "[fd96::1]:53"),
        ("[fd00::1]:30003", "[fd00::2]:5353"),
    ] {
        send(from, to)?;
    }
    ping([127, 0, 0, 7])?;
    let name = |flow: &Flow| (flow.original, flow.protocol, flow.id);
    let all = flows(&Filter::default())?;
    for (what, filter) in filters() {
        let mut want: Vec<_> = all.iter().filter(|flow| filter.matches(flow)).map(name).collect();
        ensure!(!want.is_empty(), "nothing is {what}: the check shows nothing");
        let mut found: Vec<_> = flows(&filter)?.iter().map(name).collect();
        want.sort();
        found.sort();
        ensure!(found == want, "{what}: {found:?} for {want:?}");
    }
    Ok(())
}

/// True of every kernel that is supported; an older one would send too much, which costs time only.
fn filtered_by_kernel() -> Outcome {
    for (from, to) in [
        ("127.0.0.1:30001", "10.96.0.1:53"),
        ("127.0.0.1:50001", "10.96.0.1:53"),
        ("127.0.0.1:50002", "127.0.0.2:5353"),
        ("[fd00::1]:30002", "[fd96::1]:53"),
    ] {
        send(from, to)?;
    }
    let mut conntrack = open()?;
    for (what, filter) in filters() {
        let asked = ["IPv4", "UDP", "a service", "an endpoint", "translated"];
        if !asked.contains(&what) {
            continue;
        }
        let dumped = conntrack.dump(&filter, |_| {})?;
        ensure!(dumped.looked == dumped.matched && dumped.matched > 0, "{what}: {dumped:?}");
        ensure!(dumped.filtered_by_kernel == (what != "IPv4"), "{what}: {dumped:?}");
    }
    Ok(())
}

fn thousands() -> Outcome {
    const FLOWS: u16 = 5000;
    let client = UdpSocket::bind(at("127.0.0.1:30000"))?;
    for port in 1..=FLOWS {
        // the answer to one before, that its port is closed, is told by a send that does nothing
        while client.send_to(b"question", ("127.0.0.9", port)).is_err() {}
    }
    let mut ports: Vec<_> = flows(&Filter { protocol: Some(UDP), ..Filter::default() })?
        .iter()
        .filter_map(|flow| flow.original.ports.map(|ports| ports.dst))
        .collect();
    ports.sort_unstable();
    ensure!(ports.len() == usize::from(FLOWS), "{} flows", ports.len());
    ports.dedup();
    ensure!(ports.len() == usize::from(FLOWS), "{} different flows", ports.len());
    Ok(())
}

fn without_rights() -> Outcome {
    let mut conntrack = open()?;
    send("127.0.0.1:30000", "127.0.0.9:53")?;
    let key = flow_from("127.0.0.1:30000")?.key().ok_or("no key")?;
    let all = capabilities(None)?;
    let mut fewer = all;
    fewer.effective.remove(CapabilitySet::NET_ADMIN);
    set_capabilities(None, fewer)?;
    let dumped = conntrack.dump(&Filter::default(), |_| {});
    let deleted = conntrack.delete(&[key; 3]);
    set_capabilities(None, all)?;
    let kind = dumped.err().map(|error| error.kind());
    ensure!(kind == Some("not_permitted"), "{kind:?}");
    for verdict in deleted {
        let kind = verdict.err().map(|error| error.kind());
        ensure!(kind == Some("not_permitted"), "{kind:?}");
    }
    flow_from("127.0.0.1:30000").map(drop)
}
