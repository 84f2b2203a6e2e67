//! A kernel that answers anything: every call ends, without a panic, with one verdict a deletion, and
//! what was read as a flow is written and read alike.
#![no_main]

use std::io;

use libfuzzer_sys::fuzz_target;
use weir_conntrack::netlink::{Messages, Transport, Wait, Writer};
use weir_conntrack::{Conntrack, Filter, Flow, FlowKey, Options};

/// The kinds that mean something: a flow, an error, the end of a dump, an overrun.
const KINDS: [u16; 4] = [0x100, 2, 3, 4];

/// Datagrams of one message each, made of a byte of choices, a length and a payload. They answer the
/// latest request, which chance would never do.
struct Answers<'a> {
    sequence: u32,
    rest: &'a [u8],
}

impl Transport for Answers<'_> {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        let last = Messages::new(datagram).last().expect("a request").expect("whole");
        self.sequence = last.sequence;
        Ok(())
    }

    fn receive(&mut self, buffer: &mut Vec<u8>, _: Wait) -> io::Result<usize> {
        buffer.clear();
        let [choice, length, rest @ ..] = self.rest else { return Err(io::ErrorKind::WouldBlock.into()) };
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        self.rest = rest;
        if choice & 0x80 != 0 {
            buffer.extend_from_slice(payload);
            return Ok(usize::from(*length));
        }
        let mut writer = Writer::default();
        let flags = u16::from(choice >> 2 & 0x1f) << 4;
        writer.message((KINDS[usize::from(choice & 3)], flags, self.sequence), |_| {});
        buffer.extend_from_slice(writer.as_bytes());
        buffer.extend_from_slice(payload);
        let whole = buffer.len() as u32;
        buffer[..4].copy_from_slice(&whole.to_ne_bytes());
        Ok(buffer.len())
    }

    fn receive_buffer(&self) -> io::Result<usize> {
        Ok(1 << 20)
    }
}

fn same_again(flow: &Flow) {
    let mut writer = Writer::default();
    flow.encode(&mut writer, 2, 1);
    let message = Messages::new(writer.as_bytes()).next().expect("a message").expect("whole");
    assert_eq!(Flow::decode(&message), Ok(Some(*flow)));
}

fuzz_target!(|bytes: &[u8]| {
    for message in Messages::new(bytes).flatten() {
        let _ = (message.outcome(), Flow::decode(&message));
    }
    let mut conntrack = Conntrack::over(Answers { sequence: 0, rest: bytes }, Options::default());
    let mut keys: Vec<FlowKey> = Vec::new();
    let udp = Filter { protocol: Some(17), ..Filter::default() };
    for filter in [Filter::default(), udp] {
        let _ = conntrack.dump(&filter, |flow| {
            same_again(flow);
            let _ = flow.to_string();
            keys.extend(flow.key());
        });
    }
    assert_eq!(conntrack.delete(&keys).len(), keys.len());
    let _ = conntrack.end_flows(&mut |_| true, &Filter::default());
});
