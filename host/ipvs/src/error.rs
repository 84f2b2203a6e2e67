//! What could not be done, to what, and why. Pure.

use std::fmt;
use std::io;

use crate::netlink::{Ack, DecodeError};
use crate::{Request, ServiceKey};

/// Something that was asked of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Opening the socket and finding the IPVS family.
    Open,
    /// A change.
    Apply(Request),
    /// Listing all services.
    ListServices,
    /// Listing the destinations of a service.
    ListDestinations(ServiceKey),
    /// Reading one service.
    GetService(ServiceKey),
    /// Reading the timeouts.
    GetTimeouts,
    /// Reading version and table size.
    GetInfo,
    /// Reading `/proc/net/ip_vs`.
    ReadTable,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open IPVS"),
            Self::Apply(request) => request.fmt(f),
            Self::ListServices => f.write_str("list services"),
            Self::ListDestinations(key) => write!(f, "list destinations of {key}"),
            Self::GetService(key) => write!(f, "get service {key}"),
            Self::GetTimeouts => f.write_str("get timeouts"),
            Self::GetInfo => f.write_str("get information"),
            Self::ReadTable => f.write_str("read /proc/net/ip_vs"),
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
    /// This kernel has no IPVS, neither built in nor as a module that it can load.
    #[error("this kernel has no IPVS: module ip_vs is not loaded and can't be")]
    Unavailable,
    /// The request never left.
    #[error("not sent: {}", Errno(*.0))]
    NotSent(i32),
    /// No answer in time. A change may or may not have been made.
    #[error("no answer in time")]
    Timeout,
    /// The kernel dropped answers because the receive buffer was full. A change may or may not have
    /// been made.
    #[error("answers were lost: receive buffer overrun")]
    Overrun,
    /// An answer was longer than the buffer. Parts of it are lost.
    #[error("an answer of {length} bytes was cut")]
    Truncated {
        /// Bytes that the kernel sent.
        length: usize,
    },
    /// An answer that can't be read.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// A line of `/proc/net/ip_vs` that can't be read.
    #[error("line {line}: {what}")]
    MalformedLine {
        /// Counted from 1.
        line: usize,
        /// What could not be read.
        what: &'static str,
    },
    /// No two listings in a row were the same: something is writing all the time.
    #[error("no two of {attempts} listings in a row agree")]
    Unstable {
        /// Listings made.
        attempts: usize,
    },
    /// The socket or file failed.
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

    pub(crate) fn not_sent(error: &io::Error) -> Self {
        Self::NotSent(error.raw_os_error().unwrap_or(libc::EIO))
    }

    pub(crate) fn refused(ack: Ack) -> Self {
        Self::Refused { errno: ack.errno, text: ack.text }
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

    /// The kernel's error number, if the kernel refused.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match *self.cause {
            Cause::Refused { errno, .. } => Some(errno),
            _ => None,
        }
    }

    /// The service or the destination doesn't exist. For a destination,
    /// [`Error::is_service_not_found`] tells which of the two.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.kind() == "not_found"
    }

    /// The service doesn't exist, for an operation on it or on one of its destinations.
    #[must_use]
    pub fn is_service_not_found(&self) -> bool {
        self.errno() == Some(libc::ESRCH)
    }

    /// The service or the destination exists already.
    #[must_use]
    pub fn is_exists(&self) -> bool {
        self.errno() == Some(libc::EEXIST)
    }

    /// The kernel has no such scheduler or persistence engine.
    #[must_use]
    pub fn is_unknown_scheduler(&self) -> bool {
        // the same number as for a missing destination, hence by operation
        let names_one = matches!(
            *self.operation,
            Operation::Apply(Request::NewService(_) | Request::SetService(_))
        );
        names_one && self.errno() == Some(libc::ENOENT)
    }

    /// This kernel has no IPVS.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        *self.cause == Cause::Unavailable
    }

    /// The change was sent, and whether it was made isn't known: read the state back.
    #[must_use]
    pub fn is_outcome_unknown(&self) -> bool {
        let change = matches!(*self.operation, Operation::Apply(_));
        change && !matches!(*self.cause, Cause::Refused { .. } | Cause::NotSent(_))
    }

    /// A short word for the kind of failure, from a fixed set: a metric label.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match *self.cause {
            Cause::Refused { .. } if self.is_unknown_scheduler() => "unknown_scheduler",
            Cause::Refused { errno, .. } => refusal_kind(errno),
            Cause::Unavailable => "unavailable",
            Cause::NotSent(_) => "not_sent",
            Cause::Timeout => "timeout",
            Cause::Overrun => "overrun",
            Cause::Truncated { .. } => "truncated",
            Cause::Malformed(_) | Cause::MalformedLine { .. } => "malformed",
            Cause::Unstable { .. } => "unstable",
            Cause::Io(_) => "io",
        }
    }
}

fn refusal_kind(errno: i32) -> &'static str {
    match errno {
        libc::ENOENT | libc::ESRCH => "not_found",
        libc::EEXIST => "exists",
        libc::EPERM | libc::EACCES => "permission",
        libc::EINVAL | libc::ERANGE | libc::EAFNOSUPPORT => "invalid",
        libc::ENOMEM => "memory",
        _ => "refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DestinationKey, Scheduler, Service};
    use std::error::Error as _;

    fn refused(request: Request, errno: i32) -> Error {
        Error::new(Operation::Apply(request), Cause::Refused { errno, text: None })
    }

    #[test]
    fn one_number_means_different_things() {
        let key: ServiceKey = "tcp 10.0.0.1:80".parse().unwrap();
        let service = Service::new(key, Scheduler::RoundRobin);
        let gone = Request::DeleteDestination(key, DestinationKey::new(([10, 0, 1, 1], 80)));
        let cases = [
            (
                refused(Request::NewService(service.clone()), libc::ENOENT),
                "unknown_scheduler",
                false,
            ),
            (refused(Request::SetService(service.clone()), libc::ESRCH), "not_found", true),
            (refused(gone.clone(), libc::ENOENT), "not_found", true),
            (refused(gone, libc::ESRCH), "not_found", true),
            (refused(Request::NewService(service), libc::EEXIST), "exists", false),
        ];
        for (error, kind, not_found) in cases {
            assert_eq!((error.kind(), error.is_not_found()), (kind, not_found), "{error}");
            assert!(!error.is_outcome_unknown());
        }
    }

    #[test]
    fn the_deed_and_the_cause_print_once_each() {
        let error = refused(Request::Flush, libc::EPERM);
        assert_eq!(error.to_string(), "cannot delete all services");
        assert_eq!(error.source().unwrap().to_string(), "Operation not permitted (os error 1)");
        let text = Some("try later".to_owned());
        assert!(Cause::Refused { errno: libc::EBUSY, text }.to_string().ends_with(": try later"));
    }

    #[test]
    fn a_lost_answer_leaves_the_outcome_open() {
        let lost = Error::new(Operation::Apply(Request::Flush), Cause::Overrun);
        assert!(lost.is_outcome_unknown());
        let unsent = Error::new(Operation::Apply(Request::Flush), Cause::NotSent(libc::ENOBUFS));
        assert!(!unsent.is_outcome_unknown());
        assert!(!Error::new(Operation::ListServices, Cause::Timeout).is_outcome_unknown());
    }
}
