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
        let (answers, lost) = self.collect();
        let mut refusals: Vec<(u32, Refusal)> = answers
            .into_iter()
            .filter(|answer| {
                answer.errno != 0 && (encoded.begin..encoded.next_seq).contains(&answer.seq)
            })
            .map(|answer| (answer.seq, refusal(batch, &encoded, answer)))
            .collect();
        refusals.sort_by_key(|(seq, _)| *seq);
        // One refusal is enough to know that nothing was applied, whatever else was lost.
        match (refusals.is_empty(), lost) {
            (false, _) => {
                Err(ApplyError::Refused(refusals.into_iter().map(|(_, refusal)| refusal).collect()))
            }
            (true, Some(error)) => Err(ApplyError::StateUnknown(error)),
            (true, None) => Ok(()),
        }
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

    /// All answers there are, and why there may have been more.
    fn collect(&mut self) -> (Vec<Answer>, Option<io::Error>) {
        let mut answers = Vec::new();
        loop {
            let datagram = match self.receive(libc::MSG_DONTWAIT) {
                Ok(datagram) => datagram,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return (answers, None),
                Err(error) => return (answers, Some(error)),
            };
            for message in Messages::new(datagram) {
                let read = message.and_then(|message| match i32::from(message.kind) {
                    libc::NLMSG_ERROR => answer(&message).map(Some),
                    _ => Ok(None),
                });
                match read {
                    Ok(answer) => answers.extend(answer),
                    Err(error) => {
                        return (answers, Some(io::Error::new(io::ErrorKind::InvalidData, error)));
                    }
                }
            }
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
