//! The handle: one socket, one network namespace, one request or dump at a time. I/O.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use crate::error::{Cause, Error, Operation};
use crate::netlink::{BUFFER, Socket, Transport, Wait, Writer};

/// How a [`Conntrack`] handle behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Longest wait for an answer, or for the next part of a dump.
    pub timeout: Duration,
    /// Longest time for a whole dump, with what its reader does with each flow.
    pub dump_timeout: Duration,
    /// Most deletions in one send. Held to what the receive buffer could take if all were refused.
    pub batch: NonZeroUsize,
    /// Wished size of the receive buffer in bytes.
    pub receive_buffer: usize,
}

impl Default for Options {
    /// 5 seconds, 60 seconds, 512 deletions a send, 4 MiB.
    fn default() -> Self {
        const BATCH: NonZeroUsize = NonZeroUsize::new(512).expect("not zero");
        Self {
            timeout: Duration::from_secs(5),
            dump_timeout: Duration::from_secs(60),
            batch: BATCH,
            receive_buffer: 4 << 20,
        }
    }
}

/// The connection tracking table of one network namespace.
///
/// Synchronous: a call returns when the kernel has answered, or the time is over. Everything takes
/// `CAP_NET_ADMIN`; lacking it shows at the first dump or deletion, and so does a kernel without
/// ctnetlink, which it loads if it can.
#[derive(Debug)]
pub struct Conntrack<T = Socket> {
    pub(crate) transport: T,
    pub(crate) options: Options,
    pub(crate) writer: Writer,
    pub(crate) buffer: Vec<u8>,
    sequence: u32,
    /// An answer was abandoned; what is left of it must be read before the next request.
    pub(crate) unread: bool,
    /// The kernel hasn't refused to filter a dump yet.
    pub(crate) filters: bool,
}

impl Conntrack {
    /// Opens the table of the network namespace of the calling thread, and stays there.
    ///
    /// # Errors
    /// When the kernel has no nfnetlink ([`Error::is_unavailable`]) or refuses the socket.
    pub fn open(options: Options) -> Result<Self, Error> {
        let socket = Socket::open(options.timeout, options.receive_buffer);
        let socket = socket.map_err(|error| Error::new(Operation::Open, Cause::open(&error)))?;
        Ok(Self::over(socket, options))
    }
}

impl<T: Transport> Conntrack<T> {
    /// Speaks to ctnetlink over something else than a socket of its own, for example in tests.
    pub fn over(transport: T, options: Options) -> Self {
        Self {
            transport,
            options,
            writer: Writer::default(),
            buffer: Vec::with_capacity(BUFFER),
            sequence: 0,
            unread: false,
            filters: true,
        }
    }

    /// One datagram into the buffer. After [`Cause::Truncated`] its first part is there.
    pub(crate) fn receive(&mut self, wait: Wait) -> Result<(), Cause> {
        let received = self.transport.receive(&mut self.buffer, wait);
        let length = received.map_err(|error| Cause::io(&error))?;
        if length > self.buffer.len() { Err(Cause::Truncated { length }) } else { Ok(()) }
    }

    /// Reads away what an abandoned answer left behind: a dump that isn't read to its end would make
    /// the next one fail as busy, and stale answers fill the buffer.
    pub(crate) fn settle(&mut self) -> Result<(), Cause> {
        let deadline = Instant::now() + self.options.dump_timeout;
        while self.unread {
            match self.transport.receive(&mut self.buffer, Wait::No) {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                // empty; a lasting failure of the socket shows again, and is told, in what follows
                Err(_) => self.unread = false,
            }
            if Instant::now() >= deadline {
                return Err(Cause::Timeout);
            }
        }
        Ok(())
    }

    /// The first of `count` sequence numbers in a row. None is used again within 2³² requests, so
    /// late answers match nothing.
    pub(crate) fn sequences(&mut self, count: usize) -> u32 {
        let first = self.sequence.wrapping_add(1);
        self.sequence = self.sequence.wrapping_add(count as u32);
        first
    }
}
