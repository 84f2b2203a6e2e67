//! Messages (`struct nlmsghdr`, `struct nfgenmsg`), acknowledgements and the end of a dump. Pure.

use super::{Attributes, Malformed, NLMSG_DONE, NLMSG_ERROR, Writer, align};

/// Bytes of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Bytes of `struct nfgenmsg`: family, version, resource id.
const NETFILTER_HEADER: usize = 4;
const NLM_F_CAPPED: u16 = libc::NLM_F_CAPPED as u16;
const NLM_F_ACK_TLVS: u16 = libc::NLM_F_ACK_TLVS as u16;
/// `NLMSGERR_ATTR_MSG`.
const WORDS: u16 = 1;

/// One message, borrowed from its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// `NLMSG_*`, or netfilter's subsystem in the upper byte and its message in the lower.
    pub kind: u16,
    /// `NLM_F_*`.
    pub flags: u16,
    /// The sequence number of the request that this answers.
    pub sequence: u32,
    /// What follows the header, without padding.
    pub payload: &'a [u8],
}

/// What the kernel said of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Zero: done. Otherwise `E*`.
    pub errno: i32,
    /// The kernel's own words, if it has any (`NETLINK_EXT_ACK`).
    pub text: Option<String>,
}

impl<'a> Message<'a> {
    /// The attributes after the netfilter header.
    ///
    /// # Errors
    /// When the header isn't whole.
    pub fn attributes(&self) -> Result<Attributes<'a>, Malformed> {
        let body = self.payload.get(NETFILTER_HEADER..);
        body.map(Attributes::new).ok_or(Malformed::new("netfilter message", "without its header"))
    }

    /// The address family in the netfilter header: `AF_INET`, `AF_INET6` or 0.
    #[must_use]
    pub fn family(&self) -> u8 {
        self.payload.first().copied().unwrap_or(0)
    }

    /// What an acknowledgement, an error or the end of a dump says; `None` for any other message.
    ///
    /// # Errors
    /// When an error is shorter than its number.
    pub fn outcome(&self) -> Result<Option<Ack>, Malformed> {
        let errno = match (self.kind, self.payload.first_chunk::<4>()) {
            (NLMSG_ERROR | NLMSG_DONE, Some(number)) => i32::from_ne_bytes(*number),
            // linux/netlink.h leaves it to the protocol whether a dump's end carries a number
            (NLMSG_DONE, None) => 0,
            (NLMSG_ERROR, None) => {
                return Err(Malformed::new("netlink error", "shorter than its number"));
            }
            _ => return Ok(None),
        };
        // the kernel writes -errno; a number that isn't one is kept recognisable instead of wrapping
        Ok(Some(Ack { errno: errno.saturating_neg(), text: self.words() }))
    }

    fn words(&self) -> Option<String> {
        if self.flags & NLM_F_ACK_TLVS == 0 {
            return None;
        }
        // an error repeats the request before its words, all of it or only the header
        let repeated = match self.payload.get(4..8) {
            _ if self.kind == NLMSG_DONE => 0,
            Some(&[a, b, c, d]) if self.flags & NLM_F_CAPPED == 0 => {
                u32::from_ne_bytes([a, b, c, d]) as usize
            }
            _ => HEADER,
        };
        let at = repeated.checked_add(3)? & !3;
        let rest = self.payload.get(at.checked_add(4)?..)?;
        let text = Attributes::new(rest).flatten().find(|attribute| attribute.kind == WORDS)?;
        let text = text.payload.strip_suffix(&[0]).unwrap_or(text.payload);
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

/// The messages of a datagram, in order. After an error it yields nothing more.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    /// Messages packed in `datagram`.
    #[must_use]
    pub fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }

    fn split(&mut self) -> Result<Message<'a>, Malformed> {
        let rest = std::mem::take(&mut self.rest);
        let Some(head) = rest.first_chunk::<HEADER>() else {
            return Err(Malformed::new("netlink message", "shorter than its header"));
        };
        let length = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let outside = Malformed::new("netlink message", "length outside the datagram");
        let payload = rest.get(HEADER..length).ok_or(outside)?;
        self.rest = rest.get(align(length)..).unwrap_or_default();
        Ok(Message {
            kind: u16::from_ne_bytes([head[4], head[5]]),
            flags: u16::from_ne_bytes([head[6], head[7]]),
            sequence: u32::from_ne_bytes([head[8], head[9], head[10], head[11]]),
            payload,
        })
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        (!self.rest.is_empty()).then(|| self.split())
    }
}

impl Writer {
    /// A message whose payload is what `fill` writes. `header` is kind, flags and sequence number.
    pub fn message(&mut self, header: (u16, u16, u32), fill: impl FnOnce(&mut Self)) {
        let (kind, flags, sequence) = header;
        let start = self.as_bytes().len();
        let mut bytes = [0; HEADER]; // the port stays zero: the kernel knows the sender
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.raw().extend_from_slice(&bytes);
        fill(self);
        let length = (self.as_bytes().len() - start) as u32;
        self.raw()[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// A netfilter message: address family, version 0, no resource, then attributes.
    pub fn netfilter(&mut self, header: (u16, u16, u32), family: u8, fill: impl FnOnce(&mut Self)) {
        self.message(header, |writer| {
            writer.raw().extend_from_slice(&[family, 0, 0, 0]);
            fill(writer);
        });
    }

    /// `NLMSG_ERROR` as the kernel answers: what it says of the request of this number, 0 being
    /// done. For those who play the kernel.
    pub fn error(&mut self, sequence: u32, errno: i32) {
        self.message((NLMSG_ERROR, NLM_F_CAPPED, sequence), |writer| {
            writer.raw().extend_from_slice(&errno.saturating_neg().to_ne_bytes());
            writer.raw().extend_from_slice(&[0; HEADER]);
        });
    }

    /// `NLMSG_DONE` as the kernel ends a dump. For those who play the kernel.
    pub fn done(&mut self, flags: u16, sequence: u32) {
        self.message((NLMSG_DONE, flags, sequence), |writer| {
            writer.raw().extend_from_slice(&[0; 4]);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refusal(flags: u16, repeated: &[u8]) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.message((NLMSG_ERROR, flags, 9), |writer| {
            writer.raw().extend_from_slice(&(-libc::ENOENT).to_ne_bytes());
            writer.raw().extend_from_slice(&((HEADER + repeated.len()) as u32).to_ne_bytes());
            writer.raw().extend_from_slice(&[0; 12]);
            if flags & NLM_F_CAPPED == 0 {
                writer.raw().extend_from_slice(repeated);
            }
            writer.bytes(WORDS, b"no such flow\0");
        });
        writer.as_bytes().to_vec()
    }

    #[test]
    fn a_refusal_is_read_capped_or_not() {
        let cases = [
            ("capped", NLM_F_CAPPED | NLM_F_ACK_TLVS, Some("no such flow")),
            ("whole", NLM_F_ACK_TLVS, Some("no such flow")),
            ("no words promised", NLM_F_CAPPED, None),
        ];
        for (name, flags, text) in cases {
            let datagram = refusal(flags, &[1, 2, 3, 4, 5, 6, 7, 8]);
            let message = Messages::new(&datagram).next().unwrap().unwrap();
            assert_eq!(message.sequence, 9, "{name}");
            let want = Ack { errno: libc::ENOENT, text: text.map(str::to_owned) };
            assert_eq!(message.outcome(), Ok(Some(want)), "{name}");
        }
    }

    #[test]
    fn a_dump_that_failed_half_way_is_no_good_end() {
        let ended = |payload: &[u8]| {
            let message = Message { kind: NLMSG_DONE, flags: 0, sequence: 1, payload };
            message.outcome().unwrap().unwrap().errno
        };
        assert_eq!(ended(&(-libc::EMSGSIZE).to_ne_bytes()), libc::EMSGSIZE);
        assert_eq!(ended(&[0; 4]), 0);
        assert_eq!(ended(&[]), 0);
    }

    #[test]
    fn several_messages_share_a_datagram() {
        let mut writer = Writer::default();
        writer.netfilter((256, 1, 1), 2, |writer| writer.be16(18, 5));
        writer.netfilter((258, 5, 2), 10, |_| {});
        writer.error(3, libc::EPERM);
        writer.done(0, 4);
        let read: Vec<_> = Messages::new(writer.as_bytes()).map(Result::unwrap).collect();
        let heads: Vec<_> = read.iter().map(|m| (m.kind, m.flags, m.sequence)).collect();
        assert_eq!(heads[..2], [(256, 1, 1), (258, 5, 2)]);
        assert_eq!((read[0].family(), read[1].family()), (2, 10));
        assert_eq!(read[0].attributes().unwrap().count(), 1);
        assert_eq!(read[0].outcome(), Ok(None));
        assert_eq!(read[2].outcome().unwrap().unwrap().errno, libc::EPERM);
        assert_eq!(read[3].outcome().unwrap().unwrap().errno, 0);
    }

    #[test]
    fn every_cut_is_an_error() {
        let mut writer = Writer::default();
        writer.netfilter((256, 1, 1), 2, |writer| writer.be16(18, 5));
        for cut in 1..writer.as_bytes().len() {
            assert!(Messages::new(&writer.as_bytes()[..cut]).any(|m| m.is_err()), "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(datagram: Vec<u8>) {
            for message in Messages::new(&datagram).flatten() {
                let _ = (message.outcome(), message.attributes().map(Iterator::count));
            }
        }

        #[test]
        fn reading_a_damaged_refusal_never_panics(at in 0usize..60, byte: u8, flags: u16) {
            let mut datagram = refusal(flags, &[0; 8]);
            if let Some(target) = datagram.get_mut(at) { *target = byte; }
            for message in Messages::new(&datagram).flatten() {
                let _ = message.outcome();
            }
        }
    }
}
