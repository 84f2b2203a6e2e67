//! The kernel's answer to a request: done, or refused and why.
//!
//! Pure. `struct nlmsgerr` and the `NLMSGERR_` attributes (linux/netlink.h).

use std::io;
use std::time::Duration;

use crate::error::{Error, Refusal};
use crate::wire::{Attrs, HEADER_LEN, Malformed, Message, u32_of};

const ACK_TLVS: u16 = libc::NLM_F_ACK_TLVS as u16;
const ACK_CAPPED: u16 = libc::NLM_F_CAPPED as u16;
/// `NLMSGERR_ATTR_MSG` (linux/netlink.h).
const ACK_WORDS: u16 = 1;

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

    pub(crate) fn is_overrun(&self) -> bool {
        matches!(self, Self::Socket(e) if e.raw_os_error() == Some(libc::ENOBUFS))
    }
}

/// What an acknowledgement, an error or the end of a dump says; `None` for any other message.
pub(crate) fn outcome_of(message: &Message<'_>) -> Result<Option<Result<(), Refusal>>, Malformed> {
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
        let len = message.body.get(4..8).map_or(Ok(0), |b| u32_of("netlink error", b))?;
        let capped = message.flags & ACK_CAPPED != 0;
        at += if capped { HEADER_LEN } else { (len as usize).saturating_add(3) & !3 };
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
