//! Deletions, many in few sends, one verdict each. I/O.
//!
//! The requests of a batch travel in one datagram and the kernel handles them in order while it is
//! being sent. Only the last asks for an acknowledgement; of the others the refused ones answer. So a
//! batch that goes well costs two system calls, and each refusal is told apart by sequence number.

use crate::error::{Cause, Error, Operation};
use crate::netlink::{Ack, Malformed, Messages, NLM_F_ACK, NLMSG_OVERRUN, Transport, Wait};
use crate::{Conntrack, FlowKey};

/// Memory of the receive buffer that one refusal takes: `struct sk_buff`, the smallest data area the
/// kernel allocates for one, and room for a text.
const ANSWER_COST: usize = 1280;

/// Most bytes of a send: within what an unprivileged socket may have queued.
const DATAGRAM: usize = 128 * 1024;

/// No request is longer.
const LONGEST_REQUEST: usize = 128;

/// What became of a flow that was to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It was deleted now.
    Now,
    /// It was gone before; a flow that has taken its place was left alone.
    AlreadyGone,
}

impl<T: Transport> Conntrack<T> {
    /// Deletes flows, and answers one verdict for each in the same order. One that is refused
    /// doesn't stop the ones after it. When the socket fails, what is in flight has an
    /// [unknown outcome](Error::is_outcome_unknown) and the rest isn't sent.
    ///
    /// A deleted TCP connection isn't reset by this; what becomes of it is for the next packet and
    /// the rules to say. An offloaded flow leaves its flowtable.
    pub fn delete(&mut self, keys: &[FlowKey]) -> Vec<Result<Deleted, Error>> {
        let mut verdicts = Vec::with_capacity(keys.len());
        let mut broken = None;
        for batch in keys.chunks(self.batch_size()) {
            let answers = match &broken {
                None => self.delete_batch(batch),
                Some(cause) => Answers::all(batch.len(), unsent(cause)),
            };
            broken = broken.or(answers.broken.clone());
            verdicts.extend(answers.into_verdicts(batch));
        }
        verdicts
    }

    fn batch_size(&self) -> usize {
        let buffer = self.transport.receive_buffer().unwrap_or(0);
        self.options.batch.get().min(buffer / ANSWER_COST).clamp(1, DATAGRAM / LONGEST_REQUEST)
    }

    fn delete_batch(&mut self, batch: &[FlowKey]) -> Answers {
        if let Err(cause) = self.settle() {
            return Answers::all(batch.len(), unsent(&cause));
        }
        let first = self.sequences(batch.len());
        self.writer.clear();
        for (index, key) in batch.iter().enumerate() {
            let ack = if index + 1 == batch.len() { NLM_F_ACK } else { 0 };
            key.delete(&mut self.writer, ack, first.wrapping_add(index as u32));
        }
        if let Err(error) = self.transport.send(self.writer.as_bytes()) {
            return Answers::all(batch.len(), Cause::not_sent(&error));
        }
        self.unread = true;
        let mut answers = Answers::new(first, batch.len());
        self.collect(&mut answers);
        self.unread = answers.broken.is_some();
        answers
    }

    fn collect(&mut self, answers: &mut Answers) {
        let mut wait = Wait::Timeout;
        while !answers.complete {
            match self.receive(wait) {
                Ok(()) => answers.read(&self.buffer),
                // what was queued before the overrun can still be read, and tells some verdicts
                Err(Cause::Overrun) => {
                    answers.breaks(Cause::Overrun);
                    wait = Wait::No;
                }
                Err(cause) => return answers.breaks(cause),
            }
        }
    }
}

/// What later requests hear when the socket broke: they weren't sent, for whatever reason.
fn unsent(cause: &Cause) -> Cause {
    match *cause {
        Cause::NotSent(errno) | Cause::Io(errno) => Cause::NotSent(errno),
        Cause::Timeout => Cause::NotSent(libc::ETIMEDOUT),
        Cause::Overrun => Cause::NotSent(libc::ENOBUFS),
        Cause::NotPermitted => Cause::NotPermitted,
        _ => Cause::NotSent(libc::EPROTO),
    }
}

/// What is known of the requests of one send.
struct Answers {
    first: u32,
    /// By request; `None`: nothing was heard of it.
    heard: Vec<Option<Ack>>,
    /// The last request was answered, so all are.
    complete: bool,
    /// Why silence isn't consent.
    broken: Option<Cause>,
}

impl Answers {
    fn new(first: u32, count: usize) -> Self {
        Self { first, heard: vec![None; count], complete: false, broken: None }
    }

    fn all(count: usize, cause: Cause) -> Self {
        Self { broken: Some(cause), ..Self::new(0, count) }
    }

    /// The first cause is the one to tell.
    fn breaks(&mut self, cause: Cause) {
        self.broken.get_or_insert(cause);
    }

    fn read(&mut self, datagram: &[u8]) {
        for message in Messages::new(datagram) {
            let taken = message.and_then(|message| {
                if message.kind == NLMSG_OVERRUN {
                    self.breaks(Cause::Overrun);
                }
                let index = message.sequence.wrapping_sub(self.first) as usize;
                // others are late answers to something that was given up
                if let (true, Some(ack)) = (index < self.heard.len(), message.outcome()?) {
                    self.take(index, ack);
                }
                Ok::<_, Malformed>(())
            });
            if let Err(error) = taken {
                self.breaks(error.into());
            }
        }
    }

    fn take(&mut self, index: usize, ack: Ack) {
        // nfnetlink checks for rights once a datagram: one answer, to its first request
        if ack.errno == libc::EPERM {
            self.breaks(Cause::NotPermitted);
            self.complete = true;
        }
        self.complete |= index + 1 == self.heard.len();
        if let Some(heard) = self.heard.get_mut(index) {
            *heard = Some(ack);
        }
    }

    fn into_verdicts(self, batch: &[FlowKey]) -> impl Iterator<Item = Result<Deleted, Error>> {
        let broken = self.broken;
        batch.iter().zip(self.heard).map(move |(key, heard)| {
            let cause = match (heard, &broken) {
                (Some(ack), _) if ack.errno == libc::ENOENT => return Ok(Deleted::AlreadyGone),
                (Some(ack), _) if ack.errno != 0 => Cause::refused(ack),
                (Some(_), _) | (None, None) => return Ok(Deleted::Now),
                (None, Some(cause)) => cause.clone(),
            };
            Err(Error::new(Operation::Delete(*key), cause))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::Writer;
    use crate::strategy;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_request_is_longer_than_reckoned_and_none_is_without_its_tuple(
            flow in strategy::flow(),
        ) {
            let Some(key) = flow.key() else {
                prop_assert!(flow.original.ports.is_none());
                return Ok(());
            };
            let mut writer = Writer::default();
            key.delete(&mut writer, NLM_F_ACK, 1);
            prop_assert!(writer.as_bytes().len() <= LONGEST_REQUEST);
            let message = Messages::new(writer.as_bytes()).next().unwrap().unwrap();
            let kinds: Vec<_> = message.attributes().unwrap().map(|it| it.unwrap().kind).collect();
            let zone = (flow.reply_zone != 0).then_some(18);
            let want: Vec<u16> = [Some(2), zone, Some(12)].into_iter().flatten().collect();
            prop_assert_eq!(kinds, want);
        }

        #[test]
        fn arbitrary_answers_never_panic(datagram: Vec<u8>, first: u32, count in 0usize..9) {
            let mut answers = Answers::new(first, count);
            answers.read(&datagram);
            prop_assert_eq!(answers.into_verdicts(&[]).count(), 0);
        }
    }

    #[test]
    fn answers_find_their_requests_where_sequence_numbers_wrap() {
        let mut answers = Answers::new(u32::MAX - 1, 4);
        let mut writer = Writer::default();
        for (sequence, errno) in [(u32::MAX, libc::ENOENT), (0, libc::EBUSY), (2, 1), (1, 0)] {
            writer.error(sequence, errno);
        }
        answers.read(writer.as_bytes());
        assert!(answers.complete && answers.broken.is_none());
        let errnos: Vec<_> =
            answers.heard.iter().map(|it| it.as_ref().map(|it| it.errno)).collect();
        assert_eq!(errnos, [None, Some(libc::ENOENT), Some(libc::EBUSY), Some(0)]);
    }
}
