//! Flows that are named are deleted, and no others.

use std::net::UdpSocket;

use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};
use weir_conntrack::{Deleted, Filter, Flow, FlowKey, Status};

use crate::world::{Check, Outcome, at, ensure, flow_from, flows, nft, open, ping, send, server};

pub(crate) const CHECKS: &[Check] = &[
    Check::new("a flow is deleted once, of either family, and no other", deleted),
    Check::new("a new flow of the same tuples is left alone", same_tuples),
    Check::new("a new flow to another endpoint is left alone", other_endpoint),
    Check::new("flows of other zones are left alone", zones),
    Check::new("thousands of flows are deleted in batches", thousands),
    Check::new("flows of an endpoint that is gone are ended, of others not", ended),
];

fn key(flow: &Flow) -> Result<FlowKey, Box<dyn std::error::Error>> {
    flow.key().ok_or_else(|| format!("{flow} has no key").into())
}

/// Who began the flows that there are, sorted.
fn clients() -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let all = flows(&Filter::default())?;
    let mut all: Vec<_> =
        all.iter().filter_map(|flow| flow.original.source()).map(|it| it.to_string()).collect();
    all.sort();
    Ok(all)
}

fn deleted() -> Outcome {
    for client in ["127.0.0.1:30000", "127.0.0.1:30001"] {
        send(client, "10.96.0.1:53")?;
    }
    send("[fd00::1]:30000", "[fd96::1]:53")?;
    let gone = [key(&flow_from("127.0.0.1:30000")?)?, key(&flow_from("[fd00::1]:30000")?)?];
    for want in [Deleted::Now, Deleted::AlreadyGone] {
        for verdict in open()?.delete(&gone) {
            let verdict = verdict?;
            ensure!(verdict == want, "{verdict:?}");
        }
    }
    ensure!(clients()? == ["127.0.0.1:30001"], "{:?}", clients());
    Ok(())
}

/// On one processor, where memory that is given back is handed out again in turn: the number is made
/// of where the entry lies, so the new flow must lie elsewhere for this to show anything.
fn same_tuples() -> Outcome {
    let mut here = CpuSet::new();
    here.set(sched_getcpu());
    sched_setaffinity(None, &here)?;
    let client = send("127.0.0.1:30000", "127.0.0.9:53")?;
    let old = flow_from("127.0.0.1:30000")?;
    let verdict = open()?.delete(&[key(&old)?]).remove(0)?;
    ensure!(verdict == Deleted::Now, "{verdict:?}");
    for port in 40000..40064 {
        send(&format!("127.0.0.1:{port}"), "127.0.0.9:53")?;
    }
    // one of them may be told that the port is closed
    let sent = (0..2).any(|_| client.send_to(b"again", at("127.0.0.9:53")).is_ok());
    ensure!(sent, "the second datagram wasn't sent");
    let new = flow_from("127.0.0.1:30000")?;
    ensure!(new.original == old.original, "{new}");
    ensure!(new.id != old.id, "the new flow lies where the old one lay: nothing is shown");
    let verdict = open()?.delete(&[key(&old)?]).remove(0)?;
    ensure!(verdict == Deleted::AlreadyGone, "{verdict:?}");
    ensure!(flow_from("127.0.0.1:30000")?.id == new.id, "it is another now");
    Ok(())
}

/// On one processor as well: here the new flow is to lie where the old one lay, which the number can't
/// tell from it.
fn other_endpoint() -> Outcome {
    let mut here = CpuSet::new();
    here.set(sched_getcpu());
    sched_setaffinity(None, &here)?;
    let client = send("127.0.0.1:30000", "10.96.0.1:53")?;
    let old = flow_from("127.0.0.1:30000")?;
    nft("flush chain inet checks nat
         add rule inet checks nat ip daddr 10.96.0.1 udp dport 53 dnat ip to 127.0.0.3\n")?;
    let verdict = open()?.delete(&[key(&old)?]).remove(0)?;
    ensure!(verdict == Deleted::Now, "{verdict:?}");
    let sent = (0..2).any(|_| client.send_to(b"again", at("10.96.0.1:53")).is_ok());
    ensure!(sent, "the second datagram wasn't sent");
    let new = flow_from("127.0.0.1:30000")?;
    ensure!(
        new.original == old.original && new.reply.source() == Some(at("127.0.0.3:53")),
        "{new}"
    );
    let verdict = open()?.delete(&[key(&old)?]).remove(0)?;
    ensure!(
        verdict == Deleted::AlreadyGone,
        "{verdict:?}, the numbers were {} and {}",
        old.id,
        new.id
    );
    flow_from("127.0.0.1:30000").map(drop)
}

/// Four flows of the same original tuple: in the default zone, in one for both directions, and in one
/// for each direction alone. (The last has port 54, for in the default zone its tuple is taken.)
fn zones() -> Outcome {
    let client = UdpSocket::bind(at("127.0.0.1:30000"))?;
    let zones = ["", "ct zone set 7", "ct original zone set 9", "ct reply zone set 11"];
    for (zone, port) in zones.into_iter().zip([53, 53, 53, 54]) {
        nft("flush chain inet checks raw\n")?;
        if !zone.is_empty() {
            nft(&format!("add rule inet checks raw udp dport {port} {zone}\n"))?;
        }
        // one of them may be told that the port is closed
        let sent = (0..2).any(|_| client.send_to(b"question", ("127.0.0.9", port)).is_ok());
        ensure!(sent, "the datagram for {zone:?} wasn't sent");
    }
    let mut left = vec![(0, 0), (0, 11), (7, 7), (9, 0)];
    ensure!(zones_of(&flows(&Filter::default())?) == left, "{:?}", flows(&Filter::default()));
    for gone in [(7, 7), (0, 11), (9, 0), (0, 0)] {
        let of_zone = flows(&Filter { zone: Some(gone.0), ..Filter::default() })?;
        ensure!(of_zone.iter().all(|flow| flow.zone == gone.0), "{of_zone:?}");
        let one =
            of_zone.iter().find(|flow| flow.reply_zone == gone.1).ok_or("none of the zone")?;
        let verdict = open()?.delete(&[key(one)?]).remove(0)?;
        ensure!(verdict == Deleted::Now, "{gone:?}: {verdict:?}");
        left.retain(|it| *it != gone);
        let all = flows(&Filter::default())?;
        ensure!(zones_of(&all) == left, "{gone:?}: {all:?}");
    }
    Ok(())
}

/// The zones of both directions, sorted.
fn zones_of(flows: &[Flow]) -> Vec<(u16, u16)> {
    let mut zones: Vec<_> = flows.iter().map(|flow| (flow.zone, flow.reply_zone)).collect();
    zones.sort_unstable();
    zones
}

fn thousands() -> Outcome {
    const FLOWS: u16 = 2000;
    let client = UdpSocket::bind(at("127.0.0.1:30000"))?;
    for port in 1..=FLOWS {
        while client.send_to(b"question", ("127.0.0.9", port)).is_err() {}
    }
    ping([127, 0, 0, 7])?;
    let all = flows(&Filter::default())?;
    let keys: Vec<_> = all.iter().filter_map(Flow::key).collect();
    ensure!(keys.len() == usize::from(FLOWS), "{} flows", keys.len());
    // all answers of the second round are refusals, as many as the receive queue must hold
    for want in [Deleted::Now, Deleted::AlreadyGone] {
        let verdicts = open()?.delete(&keys);
        let good = verdicts.iter().filter(|verdict| **verdict == Ok(want)).count();
        ensure!(good == keys.len(), "{want:?}: {good} of {}", keys.len());
    }
    let left = flows(&Filter::default())?;
    ensure!(left.len() == 1 && left[0].protocol == 1, "{left:?}");
    Ok(())
}

fn ended() -> Outcome {
    let answer = server("127.0.0.2:53")?;
    for client in ["127.0.0.1:30000", "127.0.0.1:30001", "127.0.0.1:50000"] {
        send(client, "10.96.0.1:53")?;
    }
    answer()?;
    send("127.0.0.1:30002", "127.0.0.2:53")?;
    ping([127, 0, 0, 2])?;
    let translated =
        Filter { protocol: Some(17), with_status: Status::DST_NAT, ..Filter::default() };
    let gone = Some(at("127.0.0.2:53"));
    let mut of_gone = |flow: &Flow| flow.reply.source() == gone;
    let ended = open()?.end_flows(&mut of_gone, &translated)?;
    ensure!((ended.looked, ended.deleted) == (3, 2) && ended.is_complete(), "{ended:?}");
    ensure!(clients()? == ["127.0.0.1:30002", "127.0.0.1:50000"], "{:?}", clients());
    ensure!(flows(&Filter { protocol: Some(1), ..Filter::default() })?.len() == 1, "no ping");
    Ok(())
}
