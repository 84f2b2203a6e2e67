//! What could not be done, to what, and why. Pure.

use std::fmt;
use std::io;

use crate::FlowKey;
use crate::netlink::{Ack, Malformed};

/// Something that was asked of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Opening the socket.
    Open,
    /// Dumping flows.
    Dump,
    /// Deleting a flow.
    Delete(FlowKey),
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open ctnetlink"),
            Self::Dump => f.write_str("dump conntrack flows"),
            Self::Delete(key) => write!(f, "delete conntrack flow {key}"),
        }
    }
}

/// An operation that failed. [`std::error::Error::source`] is the [`Cause`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {operation}")]
pub struct Error {
    // boxed: a batch answers with one result for each of many requests, most of them fine
    operation: Box<Operation>,
    #[source]
    cause: Box<Cause>,
}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The kernel refused it.
    #[error("{}{}", Errno(*.errno), .text.as_ref().map(|text| format!(": {text}")).unwrap_or_default())]
    Refused {
        /// `E*`.
        errno: i32,
        /// The kernel's own words, if it had any.
        text: Option<String>,
    },
    /// The caller may not: ctnetlink takes `CAP_NET_ADMIN` even for a dump.
    #[error("not permitted: it takes CAP_NET_ADMIN in the network namespace's user namespace")]
    NotPermitted,
    /// This kernel has no ctnetlink, neither built in nor as a module that it can load.
    #[error("this kernel has no ctnetlink: module nf_conntrack_netlink isn't loaded and can't be")]
    Unavailable,
    /// The request never left.
    #[error("not sent: {}", Errno(*.0))]
    NotSent(i32),
    /// No answer in time. A deletion may or may not have been made.
    #[error("no answer in time")]
    Timeout,
    /// The kernel dropped answers because the receive buffer was full. A deletion may or may not
    /// have been made.
    #[error("answers were lost: receive buffer overrun; smaller batches or a larger buffer help")]
    Overrun,
    /// An answer was longer than the buffer. Parts of it are lost.
    #[error("an answer of {length} bytes was cut")]
    Truncated {
        /// Bytes that the kernel sent.
        length: usize,
    },
    /// An answer that can't be read.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The socket failed.
    #[error("{}", Errno(*.0))]
    Io(i32),
}

struct Errno(i32);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        io::Error::from_raw_os_error(self.0).fmt(f)
    }
}

impl Cause {
    pub(crate) fn io(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENOBUFS) => Self::Overrun,
            _ if error.kind() == io::ErrorKind::WouldBlock => Self::Timeout,
            errno => Self::Io(errno.unwrap_or(libc::EIO)),
        }
    }

    pub(crate) fn open(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EPROTONOSUPPORT) => Self::Unavailable,
            errno => Self::Io(errno.unwrap_or(libc::EIO)),
        }
    }

    pub(crate) fn not_sent(error: &io::Error) -> Self {
        Self::NotSent(error.raw_os_error().unwrap_or(libc::EIO))
    }

    pub(crate) fn refused(ack: Ack) -> Self {
        match ack.errno {
            libc::EPERM => Self::NotPermitted,
            errno => Self::Refused { errno, text: ack.text },
        }
    }
}

impl Error {
    pub(crate) fn new(operation: Operation, cause: Cause) -> Self {
        Self { operation: Box::new(operation), cause: Box::new(cause) }
    }

    /// What was asked.
    #[must_use]
    pub fn operation(&self) -> &Operation {
        &self.operation
    }

    /// Why it failed.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// This kernel has no ctnetlink.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(*self.cause, Cause::Unavailable)
    }

    /// Whether a deletion may have been made or not. It can be repeated.
    #[must_use]
    pub fn is_outcome_unknown(&self) -> bool {
        use Cause::{Io, Malformed, Overrun, Timeout, Truncated};
        matches!(*self.cause, Timeout | Overrun | Truncated { .. } | Malformed(_) | Io(_))
    }

    /// A word for metrics: one of a fixed few.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match *self.cause {
            Cause::Refused { .. } => "refused",
            Cause::NotPermitted => "not_permitted",
            Cause::Unavailable => "unavailable",
            Cause::NotSent(_) => "not_sent",
            Cause::Timeout => "timeout",
            Cause::Overrun => "overrun",
            Cause::Truncated { .. } => "truncated",
            Cause::Malformed(_) => "malformed",
            Cause::Io(_) => "socket",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn the_deed_and_the_cause_print_once_each() {
        let ack = |errno| Ack { errno, text: Some("no".to_owned()) };
        let refused = Error::new(Operation::Dump, Cause::refused(ack(libc::EBUSY)));
        assert_eq!(refused.to_string(), "cannot dump conntrack flows");
        assert_eq!(
            refused.source().unwrap().to_string(),
            "Device or resource busy (os error 16): no"
        );
        assert_eq!((refused.kind(), refused.is_outcome_unknown()), ("refused", false));
        let forbidden = Error::new(Operation::Dump, Cause::refused(ack(libc::EPERM)));
        assert_eq!(forbidden.kind(), "not_permitted");
        let full = Cause::io(&io::Error::from_raw_os_error(libc::ENOBUFS));
        assert!(Error::new(Operation::Dump, full).is_outcome_unknown());
        let none = Cause::open(&io::Error::from_raw_os_error(libc::EPROTONOSUPPORT));
        assert!(Error::new(Operation::Open, none).is_unavailable());
    }
}
