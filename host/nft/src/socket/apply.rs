//! Sending a batch and reading what the kernel has against it. I/O.

use std::{io, os::fd::AsFd};

use super::{SEND, Socket, set_send_room};
use crate::{
    ApplyError, Batch, Refusal,
    read::{Answer, Messages, answer, culprit},
    wire::{Encoded, encode},
};

impl Socket {
    /// No message asks for an acknowledgement: thousands of them could overrun the receive buffer
    /// after a commit that succeeded. The kernel works a batch off within the send, so that what
    /// is in the buffer afterwards is all that it has to say, and nothing means committed.
    pub(super) fn apply_batch(&mut self, batch: &Batch) -> Result<(), ApplyError> {
        if batch.is_empty() {
            return Ok(());
        }
        let encoded = encode(batch, self.seq)?;
        self.seq = encoded.next_seq;
        self.drop_stale();
        self.send_batch(&encoded.bytes).map_err(ApplyError::Send)?;
        self.collect().verdict(batch, &encoded)
    }

    fn send_batch(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() >= SEND {
            set_send_room(self.netlink.as_fd(), bytes.len())?;
        }
        let sent = loop {
            match self.netlink.send(bytes, 0) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// What an earlier request that was given up has left behind.
    fn drop_stale(&mut self) {
        loop {
            match self.receive(libc::MSG_DONTWAIT) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // A reported overrun is over once it has been reported.
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// All answers there are. Nothing waits: the kernel has worked the batch off.
    fn collect(&mut self) -> Heard {
        let mut heard = Heard::default();
        while heard.take(self.receive(libc::MSG_DONTWAIT)) {}
        heard
    }
}

/// What the kernel has to say about a batch.
#[derive(Debug, Default)]
struct Heard {
    answers: Vec<Answer>,
    /// Why there may have been more.
    lost: Option<io::Error>,
}

impl Heard {
    /// Takes in what one reading brought; says whether to read on.
    fn take(&mut self, read: io::Result<&[u8]>) -> bool {
        match read {
            Ok(datagram) => {
                self.take_messages(datagram);
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            // Told before what was queued until then, which can still be read.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                self.lost.get_or_insert(error);
                true
            }
            Err(error) => {
                self.lost.get_or_insert(error);
                false
            }
        }
    }

    fn take_messages(&mut self, datagram: &[u8]) {
        for message in Messages::new(datagram) {
            let read = message.and_then(|message| match i32::from(message.kind) {
                libc::NLMSG_ERROR => answer(&message).map(Some),
                _ => Ok(None),
            });
            match read {
                Ok(answer) => self.answers.extend(answer),
                Err(error) => {
                    let error = io::Error::new(io::ErrorKind::InvalidData, error);
                    self.lost.get_or_insert(error);
                }
            }
        }
    }

    /// One refusal is enough to know that nothing was applied, whatever else was lost.
    fn verdict(self, batch: &Batch, encoded: &Encoded) -> Result<(), ApplyError> {
        // Sequence numbers may wrap within a batch.
        let place = |seq: u32| seq.wrapping_sub(encoded.begin);
        let mut refusals: Vec<(u32, Refusal)> = self
            .answers
            .into_iter()
            .filter(|answer| answer.errno != 0 && place(answer.seq) < place(encoded.next_seq))
            .map(|answer| (place(answer.seq), refusal(batch, encoded, answer)))
            .collect();
        refusals.sort_by_key(|(place, _)| *place);
        match (refusals.is_empty(), self.lost) {
            (false, _) => {
                Err(ApplyError::Refused(refusals.into_iter().map(|(_, refusal)| refusal).collect()))
            }
            (true, Some(error)) => Err(ApplyError::StateUnknown(error)),
            (true, None) => Ok(()),
        }
    }
}

fn refusal(batch: &Batch, encoded: &Encoded, answer: Answer) -> Refusal {
    let span = encoded.spans.iter().find(|span| span.seq == answer.seq);
    let op = span.and_then(|span| batch.ops().get(span.op));
    let culprit = match (span, op, answer.offset) {
        (Some(span), Some(op), Some(offset)) => {
            culprit(op, &encoded.bytes[span.bytes.clone()], offset, &span.elements)
        }
        _ => None,
    };
    Refusal {
        index: span.map(|span| span.op),
        op: op.map_or_else(
            || format!("the batch for table {}", batch.table()),
            |op| batch.describe(op),
        ),
        culprit,
        errno: answer.errno,
        message: answer.message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Family, Name, Table};

    /// A batch of two operations, its first message numbered so, and the numbers of the two.
    fn two(first: u32) -> (Batch, Encoded, [u32; 2]) {
        let mut batch = Batch::new(Table { family: Family::Inet, name: Name::literal("t") });
        batch.delete_chain(&Name::literal("a")).delete_chain(&Name::literal("b"));
        let encoded = encode(&batch, first).unwrap();
        let numbers = [encoded.spans[0].seq, encoded.spans[1].seq];
        (batch, encoded, numbers)
    }

    /// `NLMSG_ERROR` with ENOENT for the message of this number.
    fn no_such(seq: u32) -> Vec<u8> {
        let mut bytes = vec![0; 36];
        bytes[..4].copy_from_slice(&36u32.to_ne_bytes());
        bytes[4..6].copy_from_slice(&(libc::NLMSG_ERROR as u16).to_ne_bytes());
        bytes[16..20].copy_from_slice(&(-libc::ENOENT).to_ne_bytes());
        bytes[28..32].copy_from_slice(&seq.to_ne_bytes());
        bytes
    }

    fn overrun() -> io::Result<&'static [u8]> {
        Err(io::Error::from_raw_os_error(libc::ENOBUFS))
    }

    #[test]
    fn what_was_queued_before_an_overrun_is_heard() {
        let (batch, encoded, [first, second]) = two(1);
        let mut heard = Heard::default();
        assert!(heard.take(overrun()), "more can be read");
        for seq in [first, second] {
            assert!(heard.take(Ok(&no_such(seq))));
        }
        assert!(!heard.take(Err(io::ErrorKind::WouldBlock.into())));
        let error = heard.verdict(&batch, &encoded).unwrap_err();
        let told: Vec<_> = error.refusals().iter().map(|it| (it.index, it.errno)).collect();
        assert_eq!(told, [(Some(0), libc::ENOENT), (Some(1), libc::ENOENT)]);
    }

    #[test]
    fn an_overrun_without_a_refusal_leaves_the_state_unknown() {
        let (batch, encoded, _) = two(1);
        let mut heard = Heard::default();
        heard.take(overrun());
        let verdict = heard.verdict(&batch, &encoded);
        assert!(matches!(verdict, Err(ApplyError::StateUnknown(_))), "{verdict:?}");
    }

    #[test]
    fn refusals_find_their_operations_where_sequence_numbers_wrap() {
        for start in [u32::MAX - 2, u32::MAX - 1, u32::MAX] {
            let (batch, encoded, [first, second]) = two(start);
            let mut heard = Heard::default();
            for seq in [second, first, encoded.next_seq, start.wrapping_sub(1)] {
                heard.take(Ok(&no_such(seq)));
            }
            let error = heard.verdict(&batch, &encoded).unwrap_err();
            let told: Vec<_> = error.refusals().iter().map(|it| it.index).collect();
            assert_eq!(told, [Some(0), Some(1)], "from {start}: no other batch's answers");
        }
    }

    #[test]
    fn an_answer_that_makes_no_sense_hides_no_refusal() {
        let (batch, encoded, [first, _]) = two(1);
        let mut heard = Heard::default();
        assert!(heard.take(Ok(&[1, 2, 3])));
        assert!(heard.take(Ok(&no_such(first))));
        assert_eq!(heard.verdict(&batch, &encoded).unwrap_err().refusals().len(), 1);
    }
}
