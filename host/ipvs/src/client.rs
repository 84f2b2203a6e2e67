//! The handle: one socket, one network namespace, one request or dump at a time. I/O.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::error::{Cause, Error, Operation};
use crate::netlink::{
    BUFFER, DecodeError, Message, Messages, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE,
    NLMSG_ERROR, NLMSG_OVERRUN, Socket, Transport, Wait, Writer,
};
use crate::request::encode_key;
use crate::uapi::{FAMILY, VERSION, cmd};
use crate::{Info, ServiceEntry, ServiceKey, Timeouts};

/// How an [`Ipvs`] handle behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// Most requests in one send. Held to what the receive buffer could take if all were refused.
    pub batch: NonZeroUsize,
    /// Wished size of the receive buffer in bytes.
    pub receive_buffer: usize,
    /// Most listings to make until two in a row agree.
    pub listings: NonZeroUsize,
}

impl Default for Options {
    /// 5 seconds, 512 requests a send, 4 MiB, 8 listings.
    fn default() -> Self {
        const BATCH: NonZeroUsize = NonZeroUsize::new(512).expect("not zero");
        const LISTINGS: NonZeroUsize = NonZeroUsize::new(8).expect("not zero");
        Self {
            timeout: Duration::from_secs(5),
            batch: BATCH,
            receive_buffer: 4 << 20,
            listings: LISTINGS,
        }
    }
}

/// IPVS in one network namespace.
///
/// Synchronous: a call returns when the kernel has answered, or [`Options::timeout`] passed. Changes
/// need `CAP_NET_ADMIN`, and so do all readings but [`Ipvs::table`].
#[derive(Debug)]
pub struct Ipvs<T = Socket> {
    pub(crate) transport: T,
    pub(crate) options: Options,
    pub(crate) family: u16,
    pub(crate) writer: Writer,
    pub(crate) buffer: Vec<u8>,
    /// `/proc/thread-self/net/ip_vs` of the namespace that the socket is in, or why not.
    pub(crate) proc: Result<File, i32>,
    sequence: u32,
    /// An answer was abandoned; what is left of it must be read before the next request.
    pub(crate) unread: bool,
}

impl Ipvs {
    /// Opens IPVS in the network namespace of the calling thread, and stays there. The kernel loads
    /// its module if it can; where there is none the error [is unavailable](Error::is_unavailable).
    pub fn open(options: Options) -> Result<Self, Error> {
        let socket = Socket::open(options.timeout, options.receive_buffer);
        let socket = socket.map_err(|error| Error::new(Operation::Open, Cause::io(&error)))?;
        let mut ipvs = Self::over(socket, options)?;
        // not /proc/net: that is the namespace of the process's first thread. After `over`, which
        // loads the module that makes the file.
        ipvs.proc = File::open("/proc/thread-self/net/ip_vs")
            .map_err(|error| error.raw_os_error().unwrap_or(libc::EIO));
        Ok(ipvs)
    }
}

impl<T: Transport> Ipvs<T> {
    /// Speaks to IPVS over something else than a socket of its own, for example in tests.
    pub fn over(transport: T, options: Options) -> Result<Self, Error> {
        let mut ipvs = Self {
            transport,
            options,
            family: 0,
            writer: Writer::default(),
            buffer: Vec::with_capacity(BUFFER),
            proc: Err(libc::ENOENT),
            sequence: 0,
            unread: false,
        };
        ipvs.family = ipvs.resolve().map_err(|cause| match cause {
            Cause::Refused { errno: libc::ENOENT, .. } => {
                Error::new(Operation::Open, Cause::Unavailable)
            }
            other => Error::new(Operation::Open, other),
        })?;
        Ok(ipvs)
    }

    /// Asks the generic netlink controller for the number of the IPVS family.
    fn resolve(&mut self) -> Result<u16, Cause> {
        const GENL_ID_CTRL: u16 = 0x10;
        const CTRL_CMD_GETFAMILY: u8 = 3;
        const CTRL_VERSION: u8 = 2;
        const CTRL_ATTR_FAMILY_ID: u16 = 1;
        const CTRL_ATTR_FAMILY_NAME: u16 = 2;
        let ask = |writer: &mut Writer, sequence| {
            writer.generic(
                (GENL_ID_CTRL, NLM_F_REQUEST, sequence),
                CTRL_CMD_GETFAMILY,
                CTRL_VERSION,
                |writer| {
                    writer.text(CTRL_ATTR_FAMILY_NAME, FAMILY);
                },
            );
        };
        self.read_one(ask, |message| {
            for attribute in message.attributes()? {
                let attribute = attribute?;
                if attribute.kind == CTRL_ATTR_FAMILY_ID {
                    return attribute.u16("family id");
                }
            }
            Err(DecodeError::Missing("family id"))
        })
    }

    /// Version of IPVS and size of its connection table.
    pub fn info(&mut self) -> Result<Info, Error> {
        self.get(cmd::GET_INFO, None, |message| Info::decode(message.attributes()?))
            .map_err(|cause| Error::new(Operation::GetInfo, cause))
    }

    /// The connection timeouts of the namespace.
    pub fn timeouts(&mut self) -> Result<Timeouts, Error> {
        self.get(cmd::GET_CONFIG, None, |message| Timeouts::decode(message.attributes()?))
            .map_err(|cause| Error::new(Operation::GetTimeouts, cause))
    }

    /// One service. [`Error::is_not_found`] if there is none.
    pub fn service(&mut self, key: &ServiceKey) -> Result<ServiceEntry, Error> {
        self.get(cmd::GET_SERVICE, Some(key), |message| ServiceEntry::decode(message.attributes()?))
            .map_err(|cause| Error::new(Operation::GetService(*key), cause))
    }

    fn get<R>(
        &mut self,
        command: u8,
        key: Option<&ServiceKey>,
        decode: impl FnMut(&Message<'_>) -> Result<R, DecodeError>,
    ) -> Result<R, Cause> {
        let family = self.family;
        let ask = |writer: &mut Writer, sequence| {
            writer.generic((family, NLM_F_REQUEST, sequence), command, VERSION, |writer| {
                key.into_iter().for_each(|key| encode_key(key, writer));
            });
        };
        self.read_one(ask, decode)
    }

    fn read_one<R>(
        &mut self,
        ask: impl FnOnce(&mut Writer, u32),
        decode: impl FnMut(&Message<'_>) -> Result<R, DecodeError>,
    ) -> Result<R, Cause> {
        let mut found = self.exchange(ask, false, decode)?;
        found.pop().ok_or(Cause::Malformed(DecodeError::Missing("answer")))
    }

    /// One dump: everything the kernel lists, read to its end even where something can't be decoded.
    pub(crate) fn dump<R>(
        &mut self,
        command: u8,
        key: Option<&ServiceKey>,
        decode: impl FnMut(&Message<'_>) -> Result<R, DecodeError>,
    ) -> Result<Vec<R>, Cause> {
        let family = self.family;
        let ask = |writer: &mut Writer, sequence| {
            writer.generic(
                (family, NLM_F_REQUEST | NLM_F_DUMP, sequence),
                command,
                VERSION,
                |writer| {
                    key.into_iter().for_each(|key| encode_key(key, writer));
                },
            );
        };
        self.exchange(ask, true, decode)
    }

    fn exchange<R>(
        &mut self,
        ask: impl FnOnce(&mut Writer, u32),
        many: bool,
        mut decode: impl FnMut(&Message<'_>) -> Result<R, DecodeError>,
    ) -> Result<Vec<R>, Cause> {
        self.settle();
        let sequence = self.next_sequence();
        self.writer.clear();
        ask(&mut self.writer, sequence);
        self.transport.send(self.writer.as_bytes()).map_err(|error| Cause::not_sent(&error))?;
        self.unread = true;
        let mut answer = Answer { found: Vec::new(), failed: None, ended: false };
        while !answer.ended {
            self.receive(Wait::Timeout)?;
            for message in Messages::new(&self.buffer) {
                let message = message?;
                if message.sequence == sequence && !answer.ended {
                    answer.take(&message, many, &mut decode);
                }
            }
        }
        self.unread = false;
        answer.failed.map_or(Ok(answer.found), Err)
    }

    pub(crate) fn receive(&mut self, wait: Wait) -> Result<(), Cause> {
        let length =
            self.transport.receive(&mut self.buffer, wait).map_err(|error| Cause::io(&error))?;
        if length > self.buffer.len() { Err(Cause::Truncated { length }) } else { Ok(()) }
    }

    /// Reads away what an abandoned answer left behind: a dump that isn't read to its end would make
    /// the next one fail as busy, and stale answers fill the buffer.
    pub(crate) fn settle(&mut self) {
        if !std::mem::take(&mut self.unread) {
            return;
        }
        loop {
            match self.transport.receive(&mut self.buffer, Wait::No) {
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                // a lasting failure of the socket shows again, and is reported, in what follows
                Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    /// Sequence numbers are never reused within 2³² requests, so late answers match nothing.
    pub(crate) fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        self.sequence
    }
}

struct Answer<R> {
    found: Vec<R>,
    failed: Option<Cause>,
    ended: bool,
}

impl<R> Answer<R> {
    fn take(
        &mut self,
        message: &Message<'_>,
        many: bool,
        decode: &mut impl FnMut(&Message<'_>) -> Result<R, DecodeError>,
    ) {
        match message.kind {
            NLMSG_ERROR | NLMSG_DONE => {
                let ack = if message.kind == NLMSG_DONE { message.done() } else { message.ack() };
                self.ended = true;
                match ack {
                    Ok(ack) if ack.errno == 0 => {}
                    Ok(ack) => self.fail(Cause::refused(ack)),
                    Err(error) => self.fail(error.into()),
                }
            }
            NLMSG_OVERRUN => self.fail(Cause::Overrun),
            _ => {
                // the kernel saw its table change under the dump
                if message.flags & NLM_F_DUMP_INTR != 0 {
                    self.fail(Cause::Unstable { attempts: 1 });
                }
                match decode(message) {
                    Ok(object) => self.found.push(object),
                    Err(error) => self.fail(error.into()),
                }
                self.ended |= !many;
            }
        }
    }

    /// The first failure is the one to tell.
    fn fail(&mut self, cause: Cause) {
        self.failed.get_or_insert(cause);
    }
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        Self::io(&error)
    }
}
