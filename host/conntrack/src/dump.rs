//! A dump, flow by flow as it comes. I/O.
//!
//! The kernel walks a table that changes under it. A flow that lives all through the walk is in the
//! dump at least once, and twice at worst: where the entry at which a datagram ended is gone when
//! the next one begins, its bucket is sent again. Flows that begin or end meanwhile may be in it or
//! not. A resize of the table (`nf_conntrack_buckets`) during the walk can lose flows unseen.

use std::time::Instant;

use crate::error::{Cause, Error, Operation};
use crate::netlink::{
    Ack, Malformed, Message, Messages, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_OVERRUN,
    Transport, Wait,
};
use crate::uapi::msg;
use crate::{Conntrack, Family, Filter, Flow};

/// What a dump was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "a dump may be partial"]
pub struct Dumped {
    /// Flows that the kernel sent.
    pub looked: u64,
    /// Flows that passed the filter.
    pub matched: u64,
    /// Why flows may be missing; `None`: none are.
    pub partial: Option<Partial>,
    /// The kernel took a part of the filter, and sent the less for it.
    pub filtered_by_kernel: bool,
}

/// Why flows may be missing from a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Partial {
    /// The kernel says that its table changed in a way the dump couldn't follow (`NLM_F_DUMP_INTR`).
    #[error("interrupted by changes")]
    Interrupted,
    /// The kernel dropped datagrams (`ENOBUFS`).
    #[error("parts were lost: receive buffer overrun")]
    Overrun,
    /// A datagram was longer than the buffer.
    #[error("a datagram was cut")]
    Truncated,
    /// Something couldn't be read, and was left out.
    #[error("not all of it could be read: {0}")]
    Unreadable(Malformed),
}

impl<T: Transport> Conntrack<T> {
    /// Dumps the flows that pass `filter`, each handed to `each` as it comes; nothing is gathered.
    ///
    /// The kernel filters as far as it can, and every flow is checked again here. A kernel that
    /// refuses to filter isn't asked again by this handle.
    ///
    /// # Errors
    /// When the kernel refuses, or doesn't go on in time. `each` has then seen the flows before that.
    pub fn dump(&mut self, filter: &Filter, mut each: impl FnMut(&Flow)) -> Result<Dumped, Error> {
        let mut dumped = Dumped::default();
        for family in filter.dumps() {
            self.dump_family(filter, family, &mut each, &mut dumped)
                .map_err(|cause| Error::new(Operation::Dump, cause))?;
        }
        Ok(dumped)
    }

    fn dump_family(
        &mut self,
        filter: &Filter,
        family: Option<Family>,
        each: &mut dyn FnMut(&Flow),
        dumped: &mut Dumped,
    ) -> Result<(), Cause> {
        let mut pass = Pass { filter, each, dumped };
        let asks = self.filters && filter.asks_kernel(family);
        if asks {
            match self.walk(family, true, &mut pass) {
                Err(Cause::Refused { errno: libc::EINVAL | libc::EOPNOTSUPP, .. }) => {}
                other => {
                    pass.dumped.filtered_by_kernel |= other.is_ok();
                    return other;
                }
            }
        }
        let plain = self.walk(family, false, &mut pass);
        // without ctnetlink the kernel says EINVAL to everything: that tells nothing of filters
        if asks && plain.is_ok() {
            self.filters = false;
        }
        match plain {
            Err(Cause::Refused { errno: libc::EINVAL, .. }) => Err(Cause::Unavailable),
            other => other,
        }
    }

    /// One dump, read to its end.
    fn walk(
        &mut self,
        family: Option<Family>,
        by_kernel: bool,
        pass: &mut Pass<'_>,
    ) -> Result<(), Cause> {
        let deadline = Instant::now() + self.options.dump_timeout;
        self.settle()?;
        let sequence = self.sequences(1);
        let header = (msg::GET, NLM_F_REQUEST | NLM_F_DUMP, sequence);
        self.writer.clear();
        self.writer.netfilter(header, family.map_or(0, Family::number), |writer| {
            if by_kernel {
                pass.filter.encode(writer, family);
            }
        });
        self.transport.send(self.writer.as_bytes()).map_err(|error| Cause::not_sent(&error))?;
        self.unread = true;
        loop {
            match self.receive(Wait::Timeout) {
                Ok(()) => {}
                // what was queued before and comes after can still be read
                Err(Cause::Overrun) => {
                    pass.lose(Partial::Overrun);
                    self.buffer.clear();
                }
                Err(Cause::Truncated { .. }) => pass.lose(Partial::Truncated),
                Err(cause) => return Err(cause),
            }
            if let Some(end) = pass.take(&self.buffer, sequence) {
                self.unread = false;
                return if end.errno == 0 { Ok(()) } else { Err(Cause::refused(end)) };
            }
            if Instant::now() >= deadline {
                return Err(Cause::Timeout);
            }
        }
    }
}

/// Where the flows of a dump go.
struct Pass<'a> {
    filter: &'a Filter,
    each: &'a mut dyn FnMut(&Flow),
    dumped: &'a mut Dumped,
}

impl Pass<'_> {
    /// The first loss is the one to tell.
    fn lose(&mut self, partial: Partial) {
        self.dumped.partial.get_or_insert(partial);
    }

    /// Takes in a datagram; the dump's end if it is in it.
    fn take(&mut self, datagram: &[u8], sequence: u32) -> Option<Ack> {
        for message in Messages::new(datagram) {
            let taken = match message {
                Ok(message) if message.sequence == sequence => self.take_message(&message),
                Ok(_) => Ok(None), // a late answer to something that was given up
                Err(error) => Err(error),
            };
            match taken {
                Ok(None) => {}
                Ok(end) => return end,
                Err(error) => self.lose(Partial::Unreadable(error)),
            }
        }
        None
    }

    fn take_message(&mut self, message: &Message<'_>) -> Result<Option<Ack>, Malformed> {
        if message.flags & NLM_F_DUMP_INTR != 0 {
            self.lose(Partial::Interrupted);
        }
        if message.kind == NLMSG_OVERRUN {
            self.lose(Partial::Overrun);
        }
        if message.kind != msg::NEW {
            return message.outcome();
        }
        self.dumped.looked += 1;
        if let Some(flow) = Flow::decode(message)?
            && self.filter.matches(&flow)
        {
            self.dumped.matched += 1;
            (self.each)(&flow);
        }
        Ok(None)
    }
}
