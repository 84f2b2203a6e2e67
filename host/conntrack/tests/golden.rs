//! Bytes that others wrote: flows as Linux 6.18 dumps them, and how the conntrack tool 1.4.7 names
//! them when it deletes. A line is what they say, a bar, and the bytes in hexadecimal.
//!
//! The captures are of a little-endian machine, as netlink's headers are in host order.
#![cfg(target_endian = "little")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on should stop")]

mod fake;

use fake::Fake;
use weir_conntrack::netlink::Messages;
use weir_conntrack::{Conntrack, Count, Flow, Options, Status};

const FLOWS: &str = include_str!("golden/linux-6.18-flows.txt");

fn lines(text: &str) -> impl Iterator<Item = (&str, Vec<u8>)> {
    text.lines().map(|line| {
        let (label, hex) = line.split_once(" | ").unwrap();
        (label, bytes(hex))
    })
}

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn flows() -> Vec<Flow> {
    let read = lines(FLOWS).map(|(label, bytes)| {
        let message = Messages::new(&bytes).next().unwrap().unwrap();
        let flow = Flow::decode(&message).unwrap().unwrap();
        assert_eq!(flow.to_string(), label);
        flow
    });
    read.collect()
}

#[test]
fn flows_are_read_as_the_kernel_writes_them() {
    let flows = flows();
    assert_eq!(flows.len(), 4);
    let dnat = flows[0];
    assert_eq!((dnat.protocol, dnat.id, dnat.timeout), (17, 0xd8cf_cdb9, Some(29)));
    assert_eq!(dnat.original_count, Some(Count { packets: 1, bytes: 38 }));
    assert_eq!(dnat.reply_count, Some(Count { packets: 1, bytes: 30 }));
    assert_eq!((dnat.packets(), dnat.bytes()), (Some(2), Some(68)));
    assert!(dnat.status.contains(Status::DST_NAT) && !dnat.status.contains(Status::OFFLOAD));
    let marks: Vec<_> = flows.iter().map(|flow| (flow.mark, flow.zone)).collect();
    assert_eq!(marks, [(0, 0), (0x1234, 0), (0, 0), (0, 7)]);
    let ports: Vec<_> = flows.iter().map(|flow| flow.key().is_some()).collect();
    assert_eq!(ports, [true, true, false, true]);
}

#[test]
fn flows_are_named_as_the_conntrack_tool_names_them() {
    let named: Vec<_> = lines(include_str!("golden/conntrack-1.4.7-deletions.txt")).collect();
    let flows = flows();
    let keys: Vec<_> = flows.iter().filter_map(Flow::key).collect();
    let mut fake = Fake::default();
    assert!(Conntrack::over(&mut fake, Options::default()).delete(&keys).iter().all(Result::is_ok));
    let sent: Vec<_> = Messages::new(&fake.sent[0]).map(Result::unwrap).collect();
    assert_eq!((sent.len(), named.len()), (3, 3));
    let families = [libc::AF_INET, libc::AF_INET6, libc::AF_INET];
    for (((message, (label, theirs)), key), family) in
        sent.iter().zip(&named).zip(&keys).zip(families)
    {
        assert_eq!((message.kind, i32::from(message.family())), (0x102, family), "{label}");
        // the tool tells more of the flow, and not its number
        let id = flows.iter().find(|flow| flow.key() == Some(*key)).unwrap().id;
        let want = [theirs.as_slice(), &[8, 0, 12, 0], &id.to_be_bytes()].concat();
        assert_eq!(message.payload[4..], want, "{label}");
    }
}
