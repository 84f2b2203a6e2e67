//! Many changes in few sends, one verdict each. I/O.
//!
//! The requests of a batch travel in one datagram and the kernel handles them in order while it is
//! being sent. Only the last asks for an acknowledgement; of the others the refused ones answer. So a
//! batch that goes well costs two system calls, and each refusal is told apart by sequence number.

use crate::error::{Cause, Error, Operation};
use crate::netlink::{
    Ack, DecodeError, Messages, NLM_F_ACK, NLM_F_REQUEST, NLMSG_ERROR, NLMSG_OVERRUN, Transport,
    Wait,
};
use crate::{Ipvs, Request};

/// Memory of the receive buffer that one refusal takes: `struct sk_buff`, the smallest data area the
/// kernel allocates for one, and room for a text.
const ANSWER_COST: usize = 1280;

/// Most bytes of a send: within what an unprivileged socket may have queued.
const DATAGRAM: usize = 256 * 1024;

/// No request is longer.
const LONGEST_REQUEST: usize = 256;

impl<T: Transport> Ipvs<T> {
    /// Makes the changes in the order given, and answers one verdict for each in the same order.
    ///
    /// A refused change doesn't stop the ones after it. When the socket fails, the changes in flight
    /// have an [unknown outcome](Error::is_outcome_unknown) and the rest aren't sent.
    pub fn apply(&mut self, requests: &[Request]) -> Vec<Result<(), Error>> {
        let mut verdicts = Vec::with_capacity(requests.len());
        let most = self.batch_size();
        let mut rest = requests;
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(rest.len().min(most));
            let outcome = self.send_batch(batch);
            let broken = outcome.broken.clone();
            verdicts.extend(outcome.into_verdicts(batch));
            rest = later;
            if let Some(cause) = broken {
                let unsent = unsent(&cause);
                verdicts.extend(rest.iter().map(|request| Err(error(request, unsent.clone()))));
                break;
            }
        }
        verdicts
    }

    /// Makes one change.
    pub fn apply_one(&mut self, request: &Request) -> Result<(), Error> {
        self.apply(std::slice::from_ref(request)).pop().unwrap_or(Ok(()))
    }

    /// Makes the changes whatever was there: a new object that exists is set, one to set that doesn't
    /// exist is made new, and one to delete that is gone is fine. Costs a second round for those that
    /// the first refused so.
    ///
    /// After a first round with such refusals the later changes have been tried already: use it where
    /// the requests name different objects, or the same one in an order that can be repeated.
    pub fn apply_idempotent(&mut self, requests: &[Request]) -> Vec<Result<(), Error>> {
        let mut verdicts = self.apply(requests);
        let mut again = Vec::new();
        for (index, (request, verdict)) in requests.iter().zip(&mut verdicts).enumerate() {
            let Err(error) = verdict else { continue };
            let deletes =
                matches!(request, Request::DeleteService(_) | Request::DeleteDestination(..));
            if deletes && error.is_not_found() {
                *verdict = Ok(());
            } else if error.is_exists() || error.is_not_found() {
                again.extend(second_try(request, error).map(|request| (index, request)));
            }
        }
        let (indices, requests): (Vec<_>, Vec<_>) = again.into_iter().unzip();
        for (index, verdict) in indices.into_iter().zip(self.apply(&requests)) {
            verdicts[index] = verdict;
        }
        verdicts
    }

    fn batch_size(&self) -> usize {
        let buffer = self.transport.receive_buffer().unwrap_or(0);
        self.options.batch.get().min(buffer / ANSWER_COST).clamp(1, DATAGRAM / LONGEST_REQUEST)
    }

    fn send_batch(&mut self, batch: &[Request]) -> Outcome {
        self.settle();
        let family = self.family;
        self.writer.clear();
        let first = self.next_sequence();
        let mut last = first;
        for (index, request) in batch.iter().enumerate() {
            if index > 0 {
                last = self.next_sequence();
            }
            let ack = if index + 1 == batch.len() { NLM_F_ACK } else { 0 };
            request.message(&mut self.writer, family, NLM_F_REQUEST | ack, last);
        }
        let mut outcome = Outcome::new(first, last);
        if let Err(error) = self.transport.send(self.writer.as_bytes()) {
            outcome.broken = Some(Cause::not_sent(&error));
            return outcome;
        }
        self.unread = true;
        self.collect(&mut outcome);
        self.unread = outcome.broken.is_some();
        outcome
    }

    fn collect(&mut self, outcome: &mut Outcome) {
        let mut wait = Wait::Timeout;
        while !outcome.acknowledged {
            match self.receive(wait) {
                Ok(()) => outcome.read(&self.buffer),
                // what was queued before the overrun can still be read, and tells some verdicts
                Err(Cause::Overrun) => {
                    outcome.broken.get_or_insert(Cause::Overrun);
                    wait = Wait::No;
                }
                Err(cause) => {
                    outcome.broken.get_or_insert(cause);
                    return;
                }
            }
        }
    }
}

/// A request that asks the same of an object that does, or doesn't, exist.
fn second_try(request: &Request, error: &Error) -> Option<Request> {
    match request {
        // its service may be made again in this very round: then as new, else it is refused again
        Request::NewDestination(..) if error.is_not_found() => Some(request.clone()),
        _ => request.counterpart(),
    }
}

fn error(request: &Request, cause: Cause) -> Error {
    Error::new(Operation::Apply(request.clone()), cause)
}

/// What later requests hear when the socket broke: they weren't sent, for whatever reason.
fn unsent(cause: &Cause) -> Cause {
    match *cause {
        Cause::NotSent(errno) | Cause::Io(errno) => Cause::NotSent(errno),
        Cause::Timeout => Cause::NotSent(libc::ETIMEDOUT),
        Cause::Overrun => Cause::NotSent(libc::ENOBUFS),
        _ => Cause::NotSent(libc::EPROTO),
    }
}

/// What is known of the requests of one send.
struct Outcome {
    first: u32,
    last: u32,
    refused: Vec<(u32, Ack)>,
    acknowledged: bool,
    broken: Option<Cause>,
}

impl Outcome {
    fn new(first: u32, last: u32) -> Self {
        Self { first, last, refused: Vec::new(), acknowledged: false, broken: None }
    }

    fn read(&mut self, datagram: &[u8]) {
        for message in Messages::new(datagram) {
            let taken = message.and_then(|message| {
                let ours =
                    message.sequence.wrapping_sub(self.first) <= self.last.wrapping_sub(self.first);
                match message.kind {
                    NLMSG_ERROR if ours => self.take(message.sequence, message.ack()?),
                    NLMSG_OVERRUN => self.broken = Some(Cause::Overrun),
                    _ => {} // a late answer to something that was given up
                }
                Ok::<_, DecodeError>(())
            });
            if let Err(error) = taken {
                self.broken.get_or_insert(error.into());
            }
        }
    }

    fn take(&mut self, sequence: u32, ack: Ack) {
        self.acknowledged |= sequence == self.last;
        if ack.errno != 0 {
            self.refused.push((sequence, ack));
        }
    }

    fn into_verdicts(mut self, batch: &[Request]) -> impl Iterator<Item = Result<(), Error>> {
        self.refused.sort_by_key(|(sequence, _)| sequence.wrapping_sub(self.first));
        let mut refused = self.refused.into_iter().peekable();
        let mut sequence = self.first;
        batch.iter().map(move |request| {
            let mine = sequence;
            sequence = sequence.wrapping_add(1).max(1);
            if let Some((_, ack)) = refused.next_if(|(refused, _)| *refused == mine) {
                return Err(error(request, Cause::refused(ack)));
            }
            match &self.broken {
                Some(cause) if !(self.acknowledged && mine == self.last) => {
                    Err(error(request, cause.clone()))
                }
                _ => Ok(()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::Writer;
    use crate::strategy;
    use proptest::prelude::*;

    #[test]
    fn refusals_find_their_requests_where_sequence_numbers_wrap() {
        // four requests: MAX - 1, MAX, 1, 2; zero is left out
        let mut outcome = Outcome::new(u32::MAX - 1, 2);
        for (sequence, errno) in [(u32::MAX, libc::EEXIST), (1, libc::ESRCH), (2, 0)] {
            outcome.take(sequence, Ack { errno, text: None });
        }
        assert!(outcome.acknowledged);
        let requests = vec![Request::Flush; 4];
        let errnos: Vec<_> = outcome
            .into_verdicts(&requests)
            .map(|verdict| verdict.err().and_then(|error| error.errno()))
            .collect();
        assert_eq!(errnos, [None, Some(libc::EEXIST), Some(libc::ESRCH), None]);
    }

    proptest! {
        #[test]
        fn no_request_is_longer_than_reckoned(
            service in strategy::service(), destination in strategy::destination(),
        ) {
            let key = *service.key();
            for request in [Request::NewService(service), Request::NewDestination(key, destination)] {
                let mut writer = Writer::default();
                request.message(&mut writer, 30, 0, 1);
                prop_assert!(writer.len() <= LONGEST_REQUEST, "{}", writer.len());
            }
        }

        #[test]
        fn arbitrary_answers_never_panic(datagram: Vec<u8>, first: u32, count in 1u32..9) {
            let mut outcome = Outcome::new(first, first.wrapping_add(count));
            outcome.read(&datagram);
            let _ = outcome.into_verdicts(&[Request::Flush, Request::ZeroAll]).count();
        }
    }
}
