//! Requests: one question to rtnetlink at a time, blocking, never for ever.
//!
//! Talks to the kernel. Every answer has a deadline; a dump that changes cut (`NLM_F_DUMP_INTR`)
//! is asked for again; after a failure of the transport the socket is replaced, so that a late
//! answer can't be taken for another's. What the deadline can't bound is the kernel's own work
//! inside the send, where rtnetlink waits for its lock.

use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::answer::{Failure, outcome_of};
use crate::port::Port;
use crate::wire::{Malformed, Message, Messages, Writer};

/// Messages of one send. Even a batch of nothing but refusals then fits the receive queue.
const BATCH: usize = 1024;
/// `NLMSG_MIN_TYPE` (linux/netlink.h): kinds below it are netlink's own.
const FIRST_OWN_KIND: u16 = 16;
/// How often a dump is begun before [`Error::Interrupted`].
const DUMP_TRIES: u32 = 12;

/// What a socket has done since it was opened: tests and benchmarks count, they don't time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Dumps begun, torn ones included.
    pub dumps: u64,
    /// Send calls.
    pub sends: u64,
    /// Receive calls that returned a datagram.
    pub receives: u64,
}

/// Asks and waits; opens its socket when needed.
#[derive(Debug)]
pub(crate) struct Requests {
    port: Option<Port>,
    timeout: Duration,
    seq: u32,
    writer: Writer,
    traffic: Traffic,
}

impl Requests {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { port: None, timeout, seq: 0, writer: Writer::default(), traffic: Traffic::default() }
    }

    pub(crate) fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Opens the socket now rather than at the first request.
    pub(crate) fn open(&mut self) -> Result<(), Failure> {
        if self.port.is_none() {
            self.port = Some(Port::open(self.timeout)?);
        }
        Ok(())
    }

    /// Folds the messages of a whole dump; begins anew when changes cut it.
    pub(crate) fn dump<A: Default>(
        &mut self,
        encode: impl Fn(&mut Writer),
        mut each: impl FnMut(&mut A, Message<'_>) -> Result<(), Malformed>,
    ) -> Result<A, Failure> {
        for attempt in 0..DUMP_TRIES {
            // What cuts dumps is a burst of changes: give it a moment to end.
            std::thread::sleep(Duration::from_millis(u64::from(attempt * attempt)));
            let mut all = A::default();
            self.traffic.dumps += 1;
            let seq = self.ask(1, 0, |_, w| encode(w))?;
            let end = self.answers(seq, |message| each(&mut all, message));
            if !self.keep(end)? {
                return Ok(all);
            }
        }
        Err(Failure::Interrupted(DUMP_TRIES))
    }

    /// One message that isn't a dump, and what the kernel answers before its acknowledgement.
    pub(crate) fn call(
        &mut self,
        encode: impl Fn(&mut Writer),
        each: impl FnMut(Message<'_>) -> Result<(), Malformed>,
    ) -> Result<(), Failure> {
        let seq = self.ask(1, libc::NLM_F_ACK as u16, |_, w| encode(w))?;
        let end = self.answers(seq, each);
        self.keep(end).map(drop)
    }

    /// Many changes in few sends, one verdict each, in order. Only the last message of a send asks
    /// for an acknowledgement: silence about one before it is consent.
    pub(crate) fn submit(
        &mut self,
        count: usize,
        mut encode: impl FnMut(usize, &mut Writer),
    ) -> Vec<Result<(), Failure>> {
        let mut verdicts = Vec::with_capacity(count);
        let mut size = BATCH;
        while verdicts.len() < count {
            let range = verdicts.len()..count.min(verdicts.len() + size);
            match self.submit_range(range.clone(), &mut encode) {
                Ok(some) => verdicts.extend(some),
                // Refusals were lost. Changes can be repeated; in smaller numbers all are heard.
                Err(failure) if failure.is_overrun() && size > 1 => size = (size / 16).max(1),
                Err(failure) => verdicts.extend(range.map(|_| Err(failure.copy()))),
            }
        }
        verdicts
    }

    fn submit_range(
        &mut self,
        range: Range<usize>,
        encode: &mut impl FnMut(usize, &mut Writer),
    ) -> Result<Vec<Result<(), Failure>>, Failure> {
        let count = range.len();
        let first = self.ask(count, libc::NLM_F_ACK as u16, |i, w| encode(range.start + i, w))?;
        let mut verdicts: Vec<_> = std::iter::repeat_with(|| Ok(())).take(count).collect();
        let end = self.verdicts(first, &mut verdicts);
        self.keep(end)?;
        Ok(verdicts)
    }

    /// Sends `count` messages at once and returns the first's sequence number.
    fn ask(
        &mut self,
        count: usize,
        last_flags: u16,
        mut encode: impl FnMut(usize, &mut Writer),
    ) -> Result<u32, Failure> {
        self.open()?;
        let first = self.seq.wrapping_add(1);
        self.writer.clear();
        for i in 0..count {
            self.seq = self.seq.wrapping_add(1);
            encode(i, &mut self.writer);
            self.writer.close(self.seq, if i + 1 == count { last_flags } else { 0 });
        }
        let sent = self.port.as_ref().map_or(Ok(()), |port| port.send(self.writer.bytes()));
        self.traffic.sends += 1;
        self.keep(sent.map_err(Failure::from))?;
        Ok(first)
    }

    /// Drops the socket after a failure that may leave an answer on its way.
    fn keep<T>(&mut self, result: Result<T, Failure>) -> Result<T, Failure> {
        if result.as_ref().is_err_and(|failure| !matches!(failure, Failure::Refused(_))) {
            self.port = None;
        }
        result
    }

    /// Reads until the end of the answer to `seq`: true when it was cut by changes.
    fn answers(
        &mut self,
        seq: u32,
        mut each: impl FnMut(Message<'_>) -> Result<(), Malformed>,
    ) -> Result<bool, Failure> {
        let mut interrupted = false;
        self.read(|message| {
            if message.seq != seq {
                return Ok(false);
            }
            interrupted |= message.flags & libc::NLM_F_DUMP_INTR as u16 != 0;
            // Almost every message of a dump is of the protocol's own kinds.
            if message.kind < FIRST_OWN_KIND
                && let Some(outcome) = outcome_of(&message)?
            {
                return outcome.map(|()| true).map_err(Failure::Refused);
            }
            each(message)?;
            Ok(false)
        })?;
        Ok(interrupted)
    }

    fn verdicts(
        &mut self,
        first: u32,
        verdicts: &mut [Result<(), Failure>],
    ) -> Result<(), Failure> {
        self.read(|message| {
            let at = message.seq.wrapping_sub(first) as usize;
            let last = at + 1 == verdicts.len();
            let (Some(verdict), Some(outcome)) = (verdicts.get_mut(at), outcome_of(&message)?)
            else {
                return Ok(false);
            };
            *verdict = outcome.map_err(Failure::Refused);
            Ok(last)
        })
    }

    /// Feeds messages to `take` until it says that the last one came, or the time is over.
    fn read(
        &mut self,
        mut take: impl FnMut(Message<'_>) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + self.timeout;
        loop {
            let Some(port) = self.port.as_mut() else {
                return Err(Failure::Socket(io::ErrorKind::NotConnected.into()));
            };
            let datagram = match port.receive() {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    return Err(Failure::Timeout(self.timeout));
                }
                other => other?,
            };
            self.traffic.receives += 1;
            let mut messages = Messages::new(datagram);
            while let Some(message) = messages.step() {
                if take(message)? {
                    return Ok(());
                }
            }
            messages.end()?;
            if Instant::now() >= deadline {
                return Err(Failure::Timeout(self.timeout));
            }
        }
    }
}
