//! A batch as the bytes of one datagram, and which operation each message belongs to. No socket.

use std::ops::Range;

use super::{
    check, object,
    raw::{Elements, Payload, Writer},
};
use crate::{Batch, BatchError, Data, Element, Op, Set, Table, uapi, value::IFNAME_LEN};

/// Bytes of elements in one message: under the 64 KiB that an attribute's length can say.
const MESSAGE: usize = 60_000;
/// Elements in one message.
const ELEMENTS: usize = 500;

/// A batch ready to be sent.
pub(crate) struct Encoded {
    /// The datagram.
    pub(crate) bytes: Vec<u8>,
    /// Its messages, without the begin and end of the batch, by sequence number.
    pub(crate) spans: Vec<Span>,
    /// Sequence number of the batch's begin.
    pub(crate) begin: u32,
    /// The first sequence number that it didn't use.
    pub(crate) next_seq: u32,
}

/// One message of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) seq: u32,
    /// The operation's place in the batch.
    pub(crate) op: usize,
    /// Where it is in the datagram.
    pub(crate) bytes: Range<usize>,
    /// Place in the operation of the element behind each element of the message: ranges of one
    /// field are two elements.
    pub(crate) elements: Vec<usize>,
}

/// Checks and writes a batch, its first message numbered `seq`.
pub(crate) fn encode(batch: &Batch, seq: u32) -> Result<Encoded, BatchError> {
    for (index, op) in batch.ops().iter().enumerate() {
        check::op(op).map_err(|why| BatchError { index, op: batch.describe(op), why })?;
    }
    let mut to =
        Encoder { writer: Writer::new(seq), table: batch.table(), spans: Vec::new(), op: 0 };
    to.writer.begin();
    for (index, op) in batch.ops().iter().enumerate() {
        to.op = index;
        to.write(op);
    }
    to.writer.end();
    let Encoder { writer, spans, .. } = to;
    Ok(Encoded { bytes: writer.bytes, spans, begin: seq, next_seq: writer.seq })
}

struct Encoder<'a> {
    writer: Writer,
    table: &'a Table,
    spans: Vec<Span>,
    op: usize,
}

const CREATE: i32 = libc::NLM_F_CREATE;
const APPEND: i32 = libc::NLM_F_CREATE | libc::NLM_F_APPEND;
const EXCLUSIVE: i32 = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
const REPLACE: i32 = libc::NLM_F_REPLACE;

impl Encoder<'_> {
    fn write(&mut self, op: &Op) {
        let table = self.table;
        match op {
            Op::AddTable => self.put(libc::NFT_MSG_NEWTABLE, CREATE, &object::table(table)),
            Op::DeleteTable => self.put(libc::NFT_MSG_DELTABLE, 0, &object::table(table)),
            // Linux knows "destroy" from 6.3 on only; an add of what is there does nothing.
            Op::DestroyTable => {
                self.put(libc::NFT_MSG_NEWTABLE, CREATE, &object::table(table));
                self.put(libc::NFT_MSG_DELTABLE, 0, &object::table(table));
            }
            Op::AddChain(chain) => {
                self.put(libc::NFT_MSG_NEWCHAIN, CREATE, &object::chain(table, chain));
            }
            Op::DeleteChain(name) => {
                self.put(libc::NFT_MSG_DELCHAIN, 0, &object::chain_name(table, name));
            }
            Op::FlushChain(name) => {
                self.put(libc::NFT_MSG_DELRULE, 0, &object::rule_place(table, name, None));
            }
            Op::AddRule { chain, rule } => {
                self.put(libc::NFT_MSG_NEWRULE, APPEND, &object::rule(table, chain, None, rule));
            }
            Op::InsertRule { chain, rule } => {
                self.put(libc::NFT_MSG_NEWRULE, CREATE, &object::rule(table, chain, None, rule));
            }
            Op::ReplaceRule { chain, handle, rule } => {
                self.put(
                    libc::NFT_MSG_NEWRULE,
                    REPLACE,
                    &object::rule(table, chain, Some(*handle), rule),
                );
            }
            Op::DeleteRule { chain, handle } => {
                self.put(
                    libc::NFT_MSG_DELRULE,
                    0,
                    &object::rule_place(table, chain, Some(*handle)),
                );
            }
            sets => self.write_set(sets),
        }
    }

    fn write_set(&mut self, op: &Op) {
        let table = self.table;
        match op {
            Op::AddSet(set) => {
                let id = self.op as u32 + 1;
                self.put(libc::NFT_MSG_NEWSET, CREATE, &object::set(table, set, id));
            }
            Op::DeleteSet(name) => {
                self.put(libc::NFT_MSG_DELSET, 0, &object::set_name(table, name));
            }
            Op::FlushSet(name) => {
                self.put(libc::NFT_MSG_DELSETELEM, 0, &Elements(object::set_name(table, name)));
            }
            Op::AddElements { set, elements } => {
                self.elements(libc::NFT_MSG_NEWSETELEM, CREATE, set, elements);
            }
            Op::CreateElements { set, elements } => {
                self.elements(libc::NFT_MSG_NEWSETELEM, EXCLUSIVE, set, elements);
            }
            Op::DeleteElements { set, elements } => {
                self.elements(libc::NFT_MSG_DELSETELEM, 0, set, elements);
            }
            Op::AddFlowtable(flowtable) => {
                self.put(uapi::NFT_MSG_NEWFLOWTABLE, CREATE, &object::flowtable(table, flowtable));
            }
            Op::DeleteDevices(flowtable) => {
                self.put(uapi::NFT_MSG_DELFLOWTABLE, 0, &object::flowtable(table, flowtable));
            }
            Op::DeleteFlowtable(name) => {
                self.put(uapi::NFT_MSG_DELFLOWTABLE, 0, &object::flowtable_name(table, name));
            }
            other => unreachable!("{other:?} is written elsewhere"),
        }
    }

    fn elements(&mut self, kind: i32, flags: i32, set: &Set, elements: &[Element]) {
        let with_data = kind == libc::NFT_MSG_NEWSETELEM;
        let mut at = 0;
        while at < elements.len() {
            let end = at + chunk(set, &elements[at..]);
            let mut message = object::set_name(self.table, &set.name);
            let mut owners = Vec::with_capacity(end - at);
            for (index, one) in elements.iter().enumerate().take(end).skip(at) {
                let (element, range_end) = object::element(set, one, with_data);
                message.add(element);
                owners.push(index);
                if let Some(range_end) = range_end {
                    message.add(range_end);
                    owners.push(index);
                }
            }
            self.put_elements(kind, flags, &Elements(message), owners);
            at = end;
        }
    }

    fn put(&mut self, kind: i32, flags: i32, payload: &impl Payload) {
        self.put_elements(kind, flags, payload, Vec::new());
    }

    fn put_elements(
        &mut self,
        kind: i32,
        flags: i32,
        payload: &impl Payload,
        elements: Vec<usize>,
    ) {
        let (seq, start) = (self.writer.seq, self.writer.bytes.len());
        self.writer.message(kind, self.table.family as u8, flags, payload);
        self.spans.push(Span { seq, op: self.op, bytes: start..self.writer.bytes.len(), elements });
    }
}

/// How many of these elements fit into one message, at least one.
fn chunk(set: &Set, elements: &[Element]) -> usize {
    let mut room = MESSAGE;
    for (count, element) in elements.iter().take(ELEMENTS).enumerate() {
        let size = size_of(set, element);
        if size > room {
            return count.max(1);
        }
        room -= size;
    }
    elements.len().min(ELEMENTS)
}

/// No less than the bytes of an element's attributes: headers, key, end of range, data or verdict
/// with its chain, lifetime, comment.
fn size_of(set: &Set, element: &Element) -> usize {
    const HEADERS: usize = 104;
    let data = match &element.data {
        Data::None => 0,
        Data::Value(values) => values.len() * IFNAME_LEN,
        Data::Verdict(verdict) => verdict.chain().map_or(0, |chain| chain.as_str().len()),
    };
    let comment = element.comment.as_ref().map_or(0, String::len);
    let ends = if set.flags.interval { 2 } else { 1 };
    HEADERS + ends * set.key_len() + data + comment
}
