//! Netlink messages in a datagram. Pure.

use super::attr::Attrs;
use crate::DecodeError;

/// Length of `struct nlmsghdr`.
pub(crate) const HEADER: usize = 16;
/// Length of `struct nfgenmsg`.
const NFGEN: usize = 4;

/// One message, borrowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) seq: u32,
    /// Port of the socket that it belongs to.
    pub(crate) port: u32,
    pub(crate) payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// Its number within nf_tables, or `None` if it is of another subsystem.
    pub(crate) fn nft(&self) -> Option<i32> {
        let subsystem = i32::from(self.kind >> 8);
        (subsystem == libc::NFNL_SUBSYS_NFTABLES).then_some(i32::from(self.kind & 0xff))
    }

    /// The address family and the attributes of an nf_tables message.
    pub(crate) fn body(&self) -> Result<(u8, Attrs<'a>), DecodeError> {
        match self.payload {
            [family, _, _, _, attrs @ ..] => Ok((*family, Attrs::new(attrs))),
            _ => Err(DecodeError::Width { want: NFGEN, got: self.payload.len() }),
        }
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        i32::from(self.flags) & libc::NLM_F_DUMP_INTR != 0
    }
}

/// The messages of a datagram; stops after the first error.
pub(crate) struct Messages<'a>(&'a [u8]);

impl<'a> Messages<'a> {
    pub(crate) fn new(datagram: &'a [u8]) -> Self {
        Self(datagram)
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let one = first(self.0);
        self.0 = match &one {
            Ok((_, rest)) => rest,
            Err(_) => &[],
        };
        Some(one.map(|(message, _)| message))
    }
}

fn first(bytes: &[u8]) -> Result<(Message<'_>, &[u8]), DecodeError> {
    let header = bytes.first_chunk::<HEADER>().ok_or(DecodeError::Truncated)?;
    let word = |at: usize| {
        u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let half = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
    let len = word(0) as usize;
    let payload = bytes.get(HEADER..len).ok_or(DecodeError::Truncated)?;
    let rest = bytes.get(len.next_multiple_of(4)..).unwrap_or(&[]);
    let message = Message { kind: half(4), flags: half(6), seq: word(8), port: word(12), payload };
    Ok((message, rest))
}
