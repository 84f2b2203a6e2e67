//! A kernel made of a list of flows, with faults.
#![allow(dead_code, reason = "not every test file uses all of it")]

use std::collections::VecDeque;
use std::io;

use weir_conntrack::Flow;
use weir_conntrack::netlink::{Message, Messages, Transport, Wait, Writer};

const ACK: u16 = 4;
const DUMP: u16 = 0x300;
const DUMP_INTR: u16 = 0x10;
const TUPLE_REPLY: u16 = 2;
const STATUS: u16 = 3;
const ID: u16 = 12;
const ZONE: u16 = 18;
const FILTER: u16 = 25;
/// Flows of one datagram, so that a dump takes several.
const A_DATAGRAM: usize = 2;

/// What goes wrong.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Every dump that is to be filtered is refused so.
    pub(crate) filters: Option<i32>,
    /// Everything is refused so, and only the first message of a datagram hears it.
    pub(crate) all: Option<i32>,
    /// Every deletion is refused so.
    pub(crate) deletions: Option<i32>,
    /// Dumps are marked as interrupted, at their last flow only.
    pub(crate) interrupted: bool,
    /// The n-th receive from now tells an overrun first; that much is lost.
    pub(crate) overrun: Option<usize>,
    /// The n-th datagram received from now on is cut in half.
    pub(crate) cut: Option<usize>,
    /// The n-th datagram received from now on holds a flow without a tuple.
    pub(crate) unreadable: Option<usize>,
    /// The answers to the n-th send from now break off after their first datagram.
    pub(crate) silence: Option<usize>,
    /// The n-th send from now fails.
    pub(crate) unsendable: Option<usize>,
    /// A stale answer precedes each answer.
    pub(crate) stale: bool,
    /// The end of a dump carries this.
    pub(crate) ends: i32,
}

#[derive(Debug, Default)]
pub(crate) struct Fake {
    pub(crate) flows: Vec<Flow>,
    pub(crate) faults: Faults,
    /// Every datagram that was sent.
    pub(crate) sent: Vec<Vec<u8>>,
    /// Dumps, by family and by whether they were to be filtered.
    pub(crate) dumps: Vec<(u8, bool)>,
    /// Answers that weren't read when the next request came.
    pub(crate) unread_at_send: usize,
    pub(crate) answers: VecDeque<Vec<u8>>,
}

fn due(counter: &mut Option<usize>) -> bool {
    let now = *counter == Some(0);
    *counter = counter.and_then(|left| left.checked_sub(1));
    now
}

fn written(fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::default();
    fill(&mut writer);
    writer.as_bytes().to_vec()
}

/// What names a flow in a message: its reply tuple and zone, and its number.
fn name(message: &Message<'_>) -> [Option<Vec<u8>>; 3] {
    let attributes: Vec<_> = message.attributes().unwrap().map(Result::unwrap).collect();
    [TUPLE_REPLY, ZONE, ID]
        .map(|kind| attributes.iter().find(|it| it.kind == kind).map(|it| it.payload.to_vec()))
}

fn name_of(flow: &Flow) -> [Option<Vec<u8>>; 3] {
    let bytes = written(|writer| flow.encode(writer, 0, 0));
    name(&Messages::new(&bytes).next().unwrap().unwrap())
}

impl Transport for &mut Fake {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        if due(&mut self.faults.unsendable) {
            return Err(io::Error::from_raw_os_error(libc::ENOMEM));
        }
        self.unread_at_send += self.answers.len();
        self.sent.push(datagram.to_vec());
        let silent = due(&mut self.faults.silence);
        let mut answers = self.answers_to(datagram);
        answers.truncate(if silent { 1 } else { usize::MAX });
        if self.faults.stale {
            self.answers.push_back(written(|writer| writer.error(0xffff_0000, libc::EIO)));
        }
        self.answers.extend(answers);
        Ok(())
    }

    fn receive(&mut self, buffer: &mut Vec<u8>, _: Wait) -> io::Result<usize> {
        buffer.clear();
        if due(&mut self.faults.overrun) {
            self.answers.pop_front();
            return Err(io::Error::from_raw_os_error(libc::ENOBUFS));
        }
        let mut answer = self.answers.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        if due(&mut self.faults.unreadable) {
            answer.extend(written(|writer| {
                let first = Messages::new(&self.sent[self.sent.len() - 1]).next();
                writer.netfilter((0x100, 2, first.unwrap().unwrap().sequence), 2, |_| {});
            }));
        }
        let length = answer.len();
        let cut = due(&mut self.faults.cut);
        buffer.extend_from_slice(&answer[..if cut { length / 2 } else { length }]);
        Ok(length)
    }

    fn receive_buffer(&self) -> io::Result<usize> {
        Ok(8 << 20)
    }
}

impl Fake {
    fn answers_to(&mut self, datagram: &[u8]) -> Vec<Vec<u8>> {
        let messages: Vec<_> = Messages::new(datagram).map(Result::unwrap).collect();
        if let Some(errno) = self.faults.all {
            return vec![written(|writer| writer.error(messages[0].sequence, errno))];
        }
        messages.iter().flat_map(|message| self.handle(message)).collect()
    }

    fn handle(&mut self, message: &Message<'_>) -> Vec<Vec<u8>> {
        match message.kind {
            0x101 if message.flags & DUMP == DUMP => self.dump(message),
            0x102 => match self.delete(message) {
                0 if message.flags & ACK == 0 => vec![],
                errno => vec![written(|writer| writer.error(message.sequence, errno))],
            },
            other => panic!("a message of kind {other:#x}"),
        }
    }

    fn dump(&mut self, message: &Message<'_>) -> Vec<Vec<u8>> {
        let kinds: Vec<_> = message.attributes().unwrap().map(|it| it.unwrap().kind).collect();
        let filtered = kinds.contains(&FILTER) || kinds.contains(&STATUS);
        let family = message.family();
        self.dumps.push((family, filtered));
        if let Some(errno) = self.faults.filters.filter(|_| filtered) {
            return vec![written(|writer| writer.error(message.sequence, errno))];
        }
        let wanted = |flow: &&Flow| family == 0 || flow.family().number() == family;
        let flows: Vec<_> = self.flows.iter().filter(wanted).collect();
        let last = flows.len().saturating_sub(1);
        let interrupted =
            |index| if self.faults.interrupted && index == last { DUMP_INTR } else { 0 };
        let encoded = flows.iter().enumerate().map(|(index, flow)| {
            written(|writer| flow.encode(writer, 2 | interrupted(index), message.sequence))
        });
        let encoded: Vec<_> = encoded.collect();
        let mut datagrams: Vec<_> = encoded.chunks(A_DATAGRAM).map(<[_]>::concat).collect();
        let mut done = written(|writer| writer.done(2, message.sequence));
        done[16..20].copy_from_slice(&(-self.faults.ends).to_ne_bytes());
        datagrams.push(done);
        datagrams
    }

    fn delete(&mut self, message: &Message<'_>) -> i32 {
        let name = name(message);
        assert!(name[0].is_some() && name[2].is_some(), "a deletion names its flow");
        if let Some(errno) = self.faults.deletions {
            return errno;
        }
        let found = self.flows.iter().position(|flow| name_of(flow) == name);
        found.map_or(libc::ENOENT, |at| {
            self.flows.remove(at);
            0
        })
    }
}
