//! A kernel that answers anything: every call ends, without a panic, with one verdict a deletion, and
//! what was read as a flow is written and read alike.
#![no_main]

use std::io;

use libfuzzer_sys::fuzz_target;
use weir_conntrack::netlink::{Messages, Transport, Wait, Writer};
use weir_conntrack::{Conntrack, Filter, Flow, FlowKey, Options};

struct Answers<'a> {
    rest: &'a [u8],
}

impl Transport for Answers<'_> {
    fn send(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn receive(&mut self, buffer: &mut Vec<u8>, _: Wait) -> io::Result<usize> {
        buffer.clear();
        let [low, high, rest @ ..] = self.rest else { return Err(io::ErrorKind::WouldBlock.into()) };
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let (datagram, rest) = rest.split_at(rest.len().min(length));
        self.rest = rest;
        buffer.extend_from_slice(datagram);
        Ok(length)
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
        let _ = message.outcome();
    }
    let mut conntrack = Conntrack::over(Answers { rest: bytes }, Options::default());
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
