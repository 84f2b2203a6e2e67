//! Messages (`struct nlmsghdr`) in a datagram, and what an acknowledgement says. Pure.

use super::{Attributes, DecodeError, Writer, align};

pub(crate) const NLMSG_ERROR: u16 = 2;
pub(crate) const NLMSG_DONE: u16 = 3;
pub(crate) const NLMSG_OVERRUN: u16 = 4;
pub(crate) const NLM_F_REQUEST: u16 = 0x1;
pub(crate) const NLM_F_ACK: u16 = 0x4;
pub(crate) const NLM_F_DUMP_INTR: u16 = 0x10;
pub(crate) const NLM_F_DUMP: u16 = 0x300;
/// On an acknowledgement: the request isn't repeated in it (`NETLINK_CAP_ACK`).
const NLM_F_CAPPED: u16 = 0x100;
/// On an acknowledgement: attributes follow (`NETLINK_EXT_ACK`).
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
const HEADER: usize = 16;
/// `struct genlmsghdr`: command, version, two reserved bytes.
const GENL_HEADER: usize = 4;

/// One message, borrowed from its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// `NLMSG_*`, or the id of a generic netlink family.
    pub kind: u16,
    /// `NLM_F_*`.
    pub flags: u16,
    /// The sequence number of the request that this answers.
    pub sequence: u32,
    /// What follows the header, without padding.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The attributes after the generic netlink header.
    pub fn attributes(&self) -> Result<Attributes<'a>, DecodeError> {
        let have = self.payload.len();
        let body = self.payload.get(GENL_HEADER..);
        body.map(Attributes::new).ok_or(DecodeError::Short {
            field: "generic netlink header",
            need: GENL_HEADER,
            have,
        })
    }

    /// Reads `NLMSG_ERROR`: zero or an error number, and the text that came with it.
    pub fn ack(&self) -> Result<Ack, DecodeError> {
        let errno = self.error_number()?;
        let echoed = match self.payload.get(4..8) {
            Some(length) if self.flags & NLM_F_CAPPED == 0 => {
                u32::from_ne_bytes(bytes(length)) as usize
            }
            _ => HEADER,
        };
        Ok(Ack { errno, text: self.text_after(4 + align(echoed.max(HEADER))) })
    }

    /// Reads `NLMSG_DONE`, in which a dump reports how it ended.
    pub fn done(&self) -> Result<Ack, DecodeError> {
        if self.payload.len() < 4 {
            return Ok(Ack { errno: 0, text: None });
        }
        Ok(Ack { errno: self.error_number()?, text: self.text_after(4) })
    }

    fn error_number(&self) -> Result<i32, DecodeError> {
        let short =
            DecodeError::Short { field: "netlink error", need: 4, have: self.payload.len() };
        let code = self.payload.get(..4).ok_or(short)?;
        // the kernel writes -errno; a number that isn't one is kept recognisable instead of wrapping
        Ok(i32::from_ne_bytes(bytes(code)).saturating_neg())
    }

    fn text_after(&self, offset: usize) -> Option<String> {
        let rest = self.payload.get(offset..).filter(|_| self.flags & NLM_F_ACK_TLVS != 0)?;
        let text = Attributes::new(rest)
            .flatten()
            .find(|attribute| attribute.kind == NLMSGERR_ATTR_MSG)?;
        text.text("extended acknowledgement").ok().map(str::to_owned)
    }
}

fn bytes<const N: usize>(slice: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(slice);
    out
}

/// What the kernel said of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Zero: done. Otherwise `E*`.
    pub errno: i32,
    /// The kernel's own words, if it has any (`NETLINK_EXT_ACK`).
    pub text: Option<String>,
}

/// Iterates over the messages of a datagram. After an error it yields nothing more.
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

    fn split(&mut self) -> Result<Message<'a>, DecodeError> {
        let rest = std::mem::take(&mut self.rest);
        let short = |need| DecodeError::Short { field: "netlink message", need, have: rest.len() };
        let header = rest.get(..HEADER).ok_or_else(|| short(HEADER))?;
        let length = u32::from_ne_bytes(bytes(&header[..4])) as usize;
        let payload = rest.get(HEADER..length).ok_or_else(|| short(length.max(HEADER)))?;
        self.rest = rest.get(align(length)..).unwrap_or_default();
        Ok(Message {
            kind: u16::from_ne_bytes(bytes(&header[4..6])),
            flags: u16::from_ne_bytes(bytes(&header[6..8])),
            sequence: u32::from_ne_bytes(bytes(&header[8..12])),
            payload,
        })
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.rest.is_empty()).then(|| self.split())
    }
}

impl Writer {
    /// A message whose payload is what `fill` writes, padded.
    pub fn message(&mut self, kind: u16, flags: u16, sequence: u32, fill: impl FnOnce(&mut Self)) {
        let start = self.len();
        let mut header = [0; HEADER]; // the port stays zero: the kernel knows the sender
        header[4..6].copy_from_slice(&kind.to_ne_bytes());
        header[6..8].copy_from_slice(&flags.to_ne_bytes());
        header[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.raw().extend_from_slice(&header);
        fill(self);
        let length = (self.len() - start) as u32;
        self.raw()[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// A generic netlink message: `command` of version `version`, then attributes.
    pub fn generic(
        &mut self,
        header: (u16, u16, u32),
        command: u8,
        version: u8,
        fill: impl FnOnce(&mut Self),
    ) {
        let (kind, flags, sequence) = header;
        self.message(kind, flags, sequence, |writer| {
            writer.raw().extend_from_slice(&[command, version, 0, 0]);
            fill(writer);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refusal(flags: u16, echoed: &[u8]) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.message(NLMSG_ERROR, flags, 9, |writer| {
            writer.raw().extend_from_slice(&(-libc::ENOENT).to_ne_bytes());
            writer.raw().extend_from_slice(&((HEADER + echoed.len()) as u32).to_ne_bytes());
            writer.raw().extend_from_slice(&[0; 12]);
            if flags & NLM_F_CAPPED == 0 {
                writer.raw().extend_from_slice(echoed);
            }
            writer.text(NLMSGERR_ATTR_MSG, "no such thing");
        });
        writer.as_bytes().to_vec()
    }

    #[test]
    fn an_acknowledgement_is_read_capped_or_not() {
        let cases = [
            ("capped", NLM_F_CAPPED | NLM_F_ACK_TLVS, Some("no such thing")),
            ("whole", NLM_F_ACK_TLVS, Some("no such thing")),
            ("no text promised", NLM_F_CAPPED, None),
        ];
        for (name, flags, text) in cases {
            let datagram = refusal(flags, &[1, 2, 3, 4, 5, 6, 7, 8]);
            let message = Messages::new(&datagram).next().unwrap().unwrap();
            assert_eq!(message.sequence, 9, "{name}");
            let want = Ack { errno: libc::ENOENT, text: text.map(str::to_owned) };
            assert_eq!(message.ack(), Ok(want), "{name}");
        }
    }

    #[test]
    fn several_messages_share_a_datagram() {
        let mut writer = Writer::default();
        writer.generic((30, NLM_F_REQUEST, 1), 5, 1, |writer| writer.u8(1, 1));
        writer.generic((30, NLM_F_REQUEST, 2), 6, 1, |_| {});
        let read: Vec<_> = Messages::new(writer.as_bytes()).map(Result::unwrap).collect();
        assert_eq!(
            read.iter().map(|m| (m.sequence, m.payload[0])).collect::<Vec<_>>(),
            [(1, 5), (2, 6)]
        );
        assert_eq!(read[0].attributes().unwrap().count(), 1);
    }

    proptest! {
        #[test]
        fn reading_never_panics(datagram: Vec<u8>) {
            for message in Messages::new(&datagram).flatten() {
                let _ = (message.ack(), message.done(), message.attributes().map(Iterator::count));
            }
        }

        #[test]
        fn reading_a_damaged_refusal_never_panics(at in 0usize..60, byte: u8, flags: u16) {
            let mut datagram = refusal(flags, &[0; 8]);
            if let Some(target) = datagram.get_mut(at) { *target = byte; }
            for message in Messages::new(&datagram).flatten() {
                let _ = (message.ack(), message.done());
            }
        }
    }
}
