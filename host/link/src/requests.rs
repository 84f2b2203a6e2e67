//! The request socket: one question to rtnetlink at a time, blocking, never for ever.
//!
//! Talks to the kernel. Every answer has a deadline; a dump that changes cut (`NLM_F_DUMP_INTR`)
//! is asked for again; after a failure of the transport the socket is replaced, so that a late
//! answer can't be taken for another's. What the deadline can't bound is the kernel's own work
//! inside the send, where rtnetlink waits for its lock.

use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::error::{Error, Refusal};
use crate::wire::{Attrs, Malformed, Message, Messages, Writer};

/// The kernel fills at most 32 KiB a datagram of a dump, and only if it saw room for it.
pub(crate) const RECEIVE_LEN: usize = 64 * 1024;
/// Room for the refusals of a whole batch: about 1 KiB each in the kernel's books.
const RECEIVE_QUEUE: usize = 4 * 1024 * 1024;
/// Messages of one send. Even a batch of nothing but refusals then fits the receive queue.
const BATCH: usize = 1024;
/// How often a dump is begun before [`Error::Interrupted`].
const DUMP_TRIES: u32 = 12;
const ACK_TLVS: u16 = libc::NLM_F_ACK_TLVS as u16;
const ACK_CAPPED: u16 = libc::NLM_F_CAPPED as u16;
/// `NLMSGERR_ATTR_MSG` (linux/netlink.h).
const ACK_WORDS: u16 = 1;

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

/// Why a request failed, before it's said what it was for.
#[derive(Debug)]
pub(crate) enum Failure {
    Refused(Refusal),
    Socket(io::Error),
    Timeout(Duration),
    Interrupted(u32),
    Malformed(Malformed),
}

impl From<Malformed> for Failure {
    fn from(cause: Malformed) -> Self {
        Self::Malformed(cause)
    }
}

impl From<io::Error> for Failure {
    fn from(cause: io::Error) -> Self {
        Self::Socket(cause)
    }
}

impl Failure {
    pub(crate) fn of(self, deed: impl std::fmt::Display) -> Error {
        let deed = deed.to_string();
        match self {
            Self::Refused(refusal) => Error::Refused { deed, refusal },
            Self::Socket(cause) => Error::Socket { deed, cause },
            Self::Timeout(after) => Error::Timeout { deed, after },
            Self::Interrupted(tries) => Error::Interrupted { deed, tries },
            Self::Malformed(cause) => Error::Malformed { deed, cause },
        }
    }

    /// The same failure for each operation that shared the request.
    pub(crate) fn copy(&self) -> Self {
        match self {
            Self::Refused(refusal) => Self::Refused(refusal.clone()),
            Self::Socket(e) => Self::Socket(match e.raw_os_error() {
                Some(errno) => io::Error::from_raw_os_error(errno),
                None => io::Error::new(e.kind(), e.to_string()),
            }),
            Self::Timeout(after) => Self::Timeout(*after),
            Self::Interrupted(tries) => Self::Interrupted(*tries),
            Self::Malformed(cause) => Self::Malformed(*cause),
        }
    }

    fn is_overrun(&self) -> bool {
        matches!(self, Self::Socket(e) if e.raw_os_error() == Some(libc::ENOBUFS))
    }
}

/// A socket with the buffer that it is read into.
#[derive(Debug)]
struct Port {
    socket: Socket,
    buffer: Box<[u8]>,
}

impl Port {
    fn open(timeout: Duration) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_netlink_get_strict_chk(true)?;
        socket.set_cap_ack(true)?;
        socket.set_ext_ack(true)?;
        let options = socket2::SockRef::from(&socket);
        options.set_read_timeout(Some(timeout))?;
        // Beyond rmem_max only with CAP_NET_ADMIN; less room means more, smaller batches.
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_QUEUE).or_else(
            |_| rustix::net::sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_QUEUE),
        )?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, buffer: vec![0; RECEIVE_LEN].into() })
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        match self.socket.send(bytes, 0)? {
            sent if sent == bytes.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    fn receive(&mut self) -> io::Result<&[u8]> {
        receive(&self.socket, &mut self.buffer).map(|len| &self.buffer[..len])
    }
}

/// One datagram from the kernel into `buffer`; `Err` where it was cut, as its rest is lost.
pub(crate) fn receive(socket: &Socket, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        let mut room = &mut *buffer;
        let (len, from) = match socket.recv_from(&mut room, libc::MSG_TRUNC) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        // Any process may have sent it that may administrate the network; only port 0 is the kernel.
        if from.port_number() != 0 {
            continue;
        }
        if len > buffer.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "netlink datagram was cut"));
        }
        return Ok(len);
    }
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
            if let Some(outcome) = outcome_of(&message)? {
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
            for message in Messages::new(datagram) {
                if take(message?)? {
                    return Ok(());
                }
            }
            if Instant::now() >= deadline {
                return Err(Failure::Timeout(self.timeout));
            }
        }
    }
}

/// What an acknowledgement, an error or the end of a dump says; `None` for any other message.
fn outcome_of(message: &Message<'_>) -> Result<Option<Result<(), Refusal>>, Malformed> {
    let kind = i32::from(message.kind);
    if kind != libc::NLMSG_ERROR && kind != libc::NLMSG_DONE {
        return Ok(None);
    }
    let errno = match message.body.first_chunk::<4>() {
        Some(number) => i32::from_ne_bytes(*number),
        // A dump may end without a number (linux/netlink.h leaves it to the protocol).
        None if kind == libc::NLMSG_DONE => 0,
        None => return Err(Malformed::new("netlink error", "shorter than its number")),
    };
    if errno >= 0 {
        return Ok(Some(Ok(())));
    }
    let words = words_in(message, kind == libc::NLMSG_ERROR)?;
    Ok(Some(Err(Refusal { errno: errno.saturating_neg(), words })))
}

fn words_in(message: &Message<'_>, repeats_request: bool) -> Result<Option<String>, Malformed> {
    if message.flags & ACK_TLVS == 0 {
        return Ok(None);
    }
    let mut at = 4;
    if repeats_request {
        let len =
            message.body.get(4..8).map_or(Ok(0), |b| crate::wire::u32_of("netlink error", b))?;
        let capped = message.flags & ACK_CAPPED != 0;
        at += if capped { crate::wire::HEADER_LEN } else { (len as usize).saturating_add(3) & !3 };
    }
    for attr in Attrs::new(message.body.get(at..).unwrap_or_default()) {
        if let (ACK_WORDS, value) = attr? {
            let text = value.strip_suffix(&[0]).unwrap_or(value);
            return Ok(Some(String::from_utf8_lossy(text).into_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn outcome(kind: i32, flags: u16, body: &[u8]) -> Option<Result<(), Refusal>> {
        outcome_of(&Message { kind: kind as u16, flags, seq: 1, body }).unwrap()
    }

    #[test]
    fn reads_what_the_kernel_says_of_a_request() {
        let refused = |errno: i32, words: Option<&str>| {
            Some(Err(Refusal { errno, words: words.map(str::to_owned) }))
        };
        let mut with_words = (-22i32).to_ne_bytes().to_vec();
        with_words.extend_from_slice(&[0; 16]);
        with_words.extend_from_slice(&[8, 0, 1, 0, b'N', b'o', b'!', 0]);
        let acked = 0i32.to_ne_bytes();
        assert_eq!(outcome(libc::NLMSG_ERROR, 0, &acked), Some(Ok(())));
        assert_eq!(outcome(libc::NLMSG_DONE, 0, &[]), Some(Ok(())));
        // The trap: a dump that failed half-way ends in DONE with the errno inside.
        let done = (-19i32).to_ne_bytes();
        assert_eq!(outcome(libc::NLMSG_DONE, 0, &done), refused(19, None));
        let flags = ACK_TLVS | ACK_CAPPED;
        assert_eq!(outcome(libc::NLMSG_ERROR, flags, &with_words), refused(22, Some("No!")));
        assert_eq!(outcome(libc::RTM_NEWADDR.into(), 0, &[]), None);
    }

    proptest! {
        #[test]
        fn arbitrary_answers_never_panic(kind in 0u16..5, flags: u16, body: Vec<u8>) {
            let _ = outcome_of(&Message { kind, flags, seq: 0, body: &body });
        }
    }
}
