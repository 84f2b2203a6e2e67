//! Netlink framing: which bytes are which message and which attribute, and how to write them.
//!
//! Pure and borrowed: nothing is copied, and no input makes it panic. Layouts are those of
//! `struct nlmsghdr` and `struct rtattr` (linux/netlink.h, linux/rtnetlink.h), in host byte order.

/// Bytes of `struct nlmsghdr`.
pub const HEADER_LEN: usize = 16;
const ATTR_LEN: usize = 4;
/// The two top bits of an attribute's type are flags (`NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`).
const ATTR_TYPE_MASK: u16 = 0x3fff;

/// Bytes that are not the netlink they claim to be: what was being read, and why it can't be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {what}: {why}")]
pub struct Malformed {
    /// The structure that was being read.
    pub what: &'static str,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Malformed {
    pub(crate) fn new(what: &'static str, why: &'static str) -> Self {
        Self { what, why }
    }
}

/// One message, borrowed from the datagram that held it.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// `nlmsg_type`, such as `RTM_NEWADDR`.
    pub kind: u16,
    /// `nlmsg_flags`, such as `NLM_F_DUMP_INTR`.
    pub flags: u16,
    /// `nlmsg_seq`, copied by the kernel from the request.
    pub seq: u32,
    /// What follows the header, without padding.
    pub body: &'a [u8],
}

/// The messages of one datagram, in order. Ends after the first malformed one.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    /// Reads what one receive call returned.
    #[must_use]
    pub fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }

    /// Takes off the next message that is whole. At `None` either none is left or what is left
    /// isn't one: [`Messages::end`] tells. Dumps of thousands go by this; it's the iterator's step
    /// without a `Result` to build and take apart.
    #[inline]
    pub(crate) fn step(&mut self) -> Option<Message<'a>> {
        let rest = self.rest;
        let head = rest.first_chunk::<HEADER_LEN>()?;
        let len = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]) as usize;
        if len < HEADER_LEN || len > rest.len() {
            return None;
        }
        self.rest = &rest[align(len).min(rest.len())..];
        Some(Message {
            kind: u16::from_ne_bytes([head[4], head[5]]),
            flags: u16::from_ne_bytes([head[6], head[7]]),
            seq: u32::from_ne_bytes([head[8], head[9], head[10], head[11]]),
            body: &rest[HEADER_LEN..len],
        })
    }

    /// Whether everything was read.
    ///
    /// # Errors
    /// When what is left isn't a message.
    #[inline]
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.fault()) }
    }

    #[cold]
    fn fault(&self) -> Malformed {
        let short = self.rest.len() < HEADER_LEN;
        let why = if short { "shorter than its header" } else { "length outside the datagram" };
        Malformed::new("netlink message", why)
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(message) = self.step() {
            return Some(Ok(message));
        }
        let fault = self.end().err();
        self.rest = &[];
        fault.map(Err)
    }
}

/// The attributes of a message, in order. Ends after the first malformed one.
#[derive(Clone, Debug)]
pub struct Attrs<'a> {
    rest: &'a [u8],
}

impl<'a> Attrs<'a> {
    /// Reads attributes from the first byte of `bytes` on.
    #[must_use]
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Takes off the next attribute that is whole. At `None` either none is left or what is left
    /// isn't one: [`Attrs::end`] tells. Dumps of thousands go by this; it's the iterator's step
    /// without a `Result` to build and take apart. The type is as it came, flag bits included.
    #[inline]
    pub(crate) fn step(&mut self) -> Option<(u16, &'a [u8])> {
        let rest = self.rest;
        let head = rest.first_chunk::<ATTR_LEN>()?;
        let len = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        if len < ATTR_LEN || len > rest.len() {
            return None;
        }
        self.rest = &rest[align(len).min(rest.len())..];
        Some((u16::from_ne_bytes([head[2], head[3]]), &rest[ATTR_LEN..len]))
    }

    /// Whether everything was read.
    ///
    /// # Errors
    /// When what is left isn't an attribute.
    #[inline]
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.fault()) }
    }

    #[cold]
    fn fault(&self) -> Malformed {
        let short = self.rest.len() < ATTR_LEN;
        let why = if short { "shorter than its header" } else { "length outside the message" };
        Malformed::new("netlink attribute", why)
    }
}

impl<'a> Iterator for Attrs<'a> {
    /// Type without its flag bits, and the value without padding.
    type Item = Result<(u16, &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some((kind, value)) = self.step() {
            return Some(Ok((kind & ATTR_TYPE_MASK, value)));
        }
        let fault = self.end().err();
        self.rest = &[];
        fault.map(Err)
    }
}

/// An attribute's value as a number in host order; `what` names it in the error.
#[inline]
pub(crate) fn u32_of(what: &'static str, value: &[u8]) -> Result<u32, Malformed> {
    value.try_into().map(u32::from_ne_bytes).map_err(|_| Malformed::new(what, "not four bytes"))
}

/// An attribute's value as an address of the family that its length tells.
#[inline]
pub(crate) fn ip_of(what: &'static str, value: &[u8]) -> Result<std::net::IpAddr, Malformed> {
    if let Ok(octets) = <[u8; 4]>::try_from(value) {
        return Ok(octets.into());
    }
    let octets = <[u8; 16]>::try_from(value);
    octets.map(Into::into).map_err(|_| Malformed::new(what, "neither 4 nor 16 bytes"))
}

/// Address bytes in network order, as an attribute carries them.
pub(crate) fn with_octets<R>(ip: std::net::IpAddr, f: impl FnOnce(&[u8]) -> R) -> R {
    match ip {
        std::net::IpAddr::V4(v4) => f(&v4.octets()),
        std::net::IpAddr::V6(v6) => f(&v6.octets()),
    }
}

/// Several messages one after the other, ready for one send.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
    start: usize,
}

impl Writer {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.start = 0;
    }

    /// Opens a message whose fixed part is `fixed`; [`Writer::close`] ends it.
    pub(crate) fn open(&mut self, kind: u16, flags: u16, fixed: &[u8]) {
        self.start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 8]);
        self.bytes.extend_from_slice(fixed);
        self.pad();
    }

    pub(crate) fn attr(&mut self, kind: u16, value: &[u8]) {
        debug_assert!(value.len() <= usize::from(u16::MAX) - ATTR_LEN);
        self.bytes.extend_from_slice(&((ATTR_LEN + value.len()) as u16).to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.pad();
    }

    pub(crate) fn attr_u32(&mut self, kind: u16, value: u32) {
        self.attr(kind, &value.to_ne_bytes());
    }

    pub(crate) fn attr_ip(&mut self, kind: u16, ip: std::net::IpAddr) {
        with_octets(ip, |octets| self.attr(kind, octets));
    }

    pub(crate) fn nest(&mut self, kind: u16, inner: impl FnOnce(&mut Self)) {
        let at = self.bytes.len();
        self.attr(kind, &[]);
        inner(self);
        let len = (self.bytes.len() - at) as u16;
        self.bytes[at..at + 2].copy_from_slice(&len.to_ne_bytes());
    }

    /// Ends the open message: writes its length, its sequence number and further flags.
    pub(crate) fn close(&mut self, seq: u32, more_flags: u16) {
        let (start, end) = (self.start, self.bytes.len());
        self.bytes[start..start + 4].copy_from_slice(&((end - start) as u32).to_ne_bytes());
        let [low, high] = more_flags.to_ne_bytes();
        self.bytes[start + 6] |= low;
        self.bytes[start + 7] |= high;
        self.bytes[start + 8..start + 12].copy_from_slice(&seq.to_ne_bytes());
    }

    fn pad(&mut self) {
        self.bytes.resize(align(self.bytes.len()), 0);
    }
}

const fn align(len: usize) -> usize {
    // Only of lengths that were found inside a buffer: they can't overflow.
    (len + 3) & !3
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written() -> Writer {
        let mut w = Writer::default();
        w.open(20, 1, &[2, 32, 0, 0, 7, 0, 0, 0]);
        w.attr(1, &[10, 0, 0, 1]);
        w.nest(18, |w| w.attr(1, b"dummy\0"));
        w.close(5, 4);
        w.open(21, 0, &[9; 8]);
        w.close(6, 0);
        w
    }

    #[test]
    fn reads_back_what_it_wrote() {
        let w = written();
        let all: Vec<_> = Messages::new(w.bytes()).collect::<Result<_, _>>().unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].kind, all[0].flags, all[0].seq), (20, 5, 5));
        assert_eq!((all[1].kind, all[1].seq, all[1].body), (21, 6, &[9u8; 8][..]));
        let attrs: Vec<_> = Attrs::new(&all[0].body[8..]).collect::<Result<_, _>>().unwrap();
        assert_eq!(attrs[0], (1, &[10u8, 0, 0, 1][..]));
        let inner: Vec<_> = Attrs::new(attrs[1].1).collect::<Result<_, _>>().unwrap();
        assert_eq!(inner, [(1, &b"dummy\0"[..])]);
    }

    #[test]
    fn every_cut_is_an_error_or_a_whole_message() {
        let w = written();
        let first = u32::from_ne_bytes(w.bytes()[..4].try_into().unwrap()) as usize;
        for cut in 1..w.bytes().len() {
            let bad = Messages::new(&w.bytes()[..cut]).any(|m| m.is_err());
            assert_eq!(bad, cut != first, "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            for message in Messages::new(&bytes).flatten() {
                Attrs::new(message.body).for_each(drop);
            }
            Attrs::new(&bytes).for_each(drop);
        }
    }
}
