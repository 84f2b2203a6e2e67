//! Flows that are named are deleted, and no others.

use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};
use weir_conntrack::{Deleted, Filter, Flow, FlowKey, Status};

use crate::world::{Check, Outcome, at, ensure, flow_from, flows, nft, open, ping, send, server};

pub(crate) const CHECKS: &[Check] = &[
    Check::new("a flow is deleted once, of either family, and no other", deleted),
    Check::new("a new flow of the same tuple is left alone", same_tuple),
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
fn same_tuple() -> Outcome {
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

fn zones() -> Outcome {
    let rules = ["ct zone set 7", "ct original zone set 9", "ct reply zone set 11"];
    let client = send("127.0.0.1:30000", "127.0.0.9:53")?;
    for rule in rules.iter().take(2) {
        nft(&format!(
            "flush chain inet checks raw\nadd rule inet checks raw udp dport 53 {rule}\n"
        ))?;
        let sent = (0..2).any(|_| client.send_to(b"again", at("127.0.0.9:53")).is_ok());
        ensure!(sent, "the datagram for {rule} wasn't sent");
    }
    // a second flow of the same original tuple in the default zone can't be: another port
    nft(&format!(
        "flush chain inet checks raw\nadd rule inet checks raw udp dport 54 {}\n",
        rules[2]
    ))?;
    send("127.0.0.1:30001", "127.0.0.9:54")?;
    let zones = || {
        let all = flows(&Filter::default())?;
        let mut zones: Vec<_> =
            all.iter().map(|flow| (flow.zone, flow.original.ports.map(|it| it.dst))).collect();
        zones.sort_unstable();
        Ok::<_, Box<dyn std::error::Error>>(zones)
    };
    let (dns, other) = (Some(53), Some(54));
    let all = [(0, dns), (0, other), (7, dns), (9, dns)];
    ensure!(zones()? == all, "{:?}", zones());
    let mut left = all.to_vec();
    for gone in [(7, dns), (0, other), (9, dns), (0, dns)] {
        let of_zone = flows(&Filter { zone: Some(gone.0), ..Filter::default() })?;
        let of_zone: Vec<_> =
            of_zone.iter().filter(|flow| flow.original.ports.map(|it| it.dst) == gone.1).collect();
        ensure!(of_zone.len() == 1, "{gone:?}: {of_zone:?}");
        let verdict = open()?.delete(&[key(of_zone[0])?]).remove(0)?;
        ensure!(verdict == Deleted::Now, "{gone:?}: {verdict:?}");
        left.retain(|it| *it != gone);
        ensure!(zones()? == left, "{gone:?}: {:?} for {left:?}", zones());
    }
    Ok(())
}

fn thousands() -> Outcome {
    const FLOWS: u16 = 2000;
    let client = std::net::UdpSocket::bind(at("127.0.0.1:30000"))?;
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
