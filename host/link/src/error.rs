//! What can go wrong between us and the kernel: the deed, the thing, and why.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::name::LinkName;
use crate::wire::Malformed;

/// A netlink request that didn't do what it was for. `Display` names the deed and the thing; the
/// cause is the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel answered no.
    #[error("{deed}")]
    Refused {
        /// What was asked for.
        deed: String,
        /// The kernel's answer.
        #[source]
        refusal: Refusal,
    },
    /// The socket couldn't be opened, written or read.
    #[error("{deed}")]
    Socket {
        /// What was asked for.
        deed: String,
        /// The system call's error.
        #[source]
        cause: io::Error,
    },
    /// The kernel's answer didn't come in time.
    #[error("{deed}: no answer within {after:?}")]
    Timeout {
        /// What was asked for.
        deed: String,
        /// How long was waited.
        after: Duration,
    },
    /// Changes cut every try at a dump (`NLM_F_DUMP_INTR`), so no answer would be whole.
    #[error("{deed}: interrupted by changes {tries} times in a row")]
    Interrupted {
        /// What was asked for.
        deed: String,
        /// How often the dump was begun.
        tries: u32,
    },
    /// The kernel's answer couldn't be read.
    #[error("{deed}")]
    Malformed {
        /// What was asked for.
        deed: String,
        /// What couldn't be read.
        #[source]
        cause: Malformed,
    },
    /// There is a device of that name which isn't a dummy: it was left alone.
    #[error("{name} is a device of kind {kind:?}, not a dummy: left alone")]
    NotDummy {
        /// Its name.
        name: LinkName,
        /// Its kind; empty for hardware and loopback.
        kind: String,
    },
}

/// The kernel's refusal of one message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// Positive errno, such as `ENODEV`.
    pub errno: i32,
    /// The kernel's own words (`NLMSGERR_ATTR_MSG`), where it has some.
    pub words: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause = io::Error::from_raw_os_error(self.errno);
        match &self.words {
            Some(words) => write!(f, "{cause}: {words}"),
            None => write!(f, "{cause}"),
        }
    }
}

impl Error {
    /// The thing isn't there: no such link, address or route.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        let absent = [libc::ENODEV, libc::ENOENT, libc::ESRCH, libc::EADDRNOTAVAIL, libc::ENXIO];
        self.errno().is_some_and(|errno| absent.contains(&errno))
    }

    /// There is such a thing already.
    #[must_use]
    pub fn is_exists(&self) -> bool {
        self.errno() == Some(libc::EEXIST)
    }

    /// The kernel's errno, where it refused.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal.errno),
            _ => None,
        }
    }

    /// A word for metrics: one of a fixed few.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Refused { .. } if self.is_not_found() => "not_found",
            Self::Refused { .. } if self.is_exists() => "exists",
            Self::Refused { refusal, .. } if refusal.errno == libc::EPERM => "not_permitted",
            Self::Refused { .. } => "refused",
            Self::Socket { .. } => "socket",
            Self::Timeout { .. } => "timeout",
            Self::Interrupted { .. } => "interrupted",
            Self::Malformed { .. } => "malformed",
            Self::NotDummy { .. } => "not_dummy",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn each_cause_prints_once_and_has_its_kind() {
        let refused = |errno| Error::Refused {
            deed: "bind 10.0.0.1 to link 4".to_owned(),
            refusal: Refusal { errno, words: None },
        };
        let cases = [
            (libc::ENODEV, "not_found"),
            (libc::EADDRNOTAVAIL, "not_found"),
            (libc::ESRCH, "not_found"),
            (libc::EEXIST, "exists"),
            (libc::EPERM, "not_permitted"),
            (libc::EINVAL, "refused"),
        ];
        for (errno, kind) in cases {
            let error = refused(errno);
            assert_eq!(error.kind(), kind, "{errno}");
            assert_eq!(error.to_string(), "bind 10.0.0.1 to link 4");
            let cause = error.source().expect("a cause").to_string();
            assert_eq!(cause, io::Error::from_raw_os_error(errno).to_string());
        }
        let words = Refusal { errno: libc::EINVAL, words: Some("Invalid prefsrc".to_owned()) };
        assert!(words.to_string().ends_with(": Invalid prefsrc"));
    }
}
