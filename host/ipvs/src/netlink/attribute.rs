//! Attributes (`struct nlattr`): type, length and payload, padded to four bytes. Pure.

use super::{DecodeError, align};

const HEADER: usize = 4;
/// `NLA_F_NESTED`; the kernel sets it on some nests and ignores it on all of ours.
const NESTED: u16 = 1 << 15;
/// `NLA_TYPE_MASK`: the type without the nested and byte-order bits.
const TYPE_MASK: u16 = !(NESTED | 1 << 14);

/// One attribute, borrowed from the datagram it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Attribute type, without its flag bits.
    pub kind: u16,
    /// Payload, without padding.
    pub payload: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The payload as exactly `N` bytes; `field` names it in the error.
    pub fn array<const N: usize>(&self, field: &'static str) -> Result<[u8; N], DecodeError> {
        self.payload.try_into().map_err(|_| DecodeError::Short {
            field,
            need: N,
            have: self.payload.len(),
        })
    }

    /// An 8-bit number.
    pub fn u8(&self, field: &'static str) -> Result<u8, DecodeError> {
        Ok(u8::from_ne_bytes(self.array(field)?))
    }

    /// A 16-bit number in host order.
    pub fn u16(&self, field: &'static str) -> Result<u16, DecodeError> {
        Ok(u16::from_ne_bytes(self.array(field)?))
    }

    /// A 16-bit number in network order, such as a port.
    pub fn be16(&self, field: &'static str) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array(field)?))
    }

    /// A 32-bit number in host order.
    pub fn u32(&self, field: &'static str) -> Result<u32, DecodeError> {
        Ok(u32::from_ne_bytes(self.array(field)?))
    }

    /// A counter that is 32 or 64 bits wide, in host order.
    pub fn counter(&self, field: &'static str) -> Result<u64, DecodeError> {
        if self.payload.len() == 4 {
            self.u32(field).map(u64::from)
        } else {
            self.array(field).map(u64::from_ne_bytes)
        }
    }

    /// Text up to its first NUL.
    pub fn text(&self, field: &'static str) -> Result<&'a str, DecodeError> {
        let text = self.payload.split(|byte| *byte == 0).next().unwrap_or_default();
        std::str::from_utf8(text)
            .map_err(|_| DecodeError::meaningless(field, format!("{text:02x?}").as_str()))
    }

    /// The attributes inside this one.
    #[must_use]
    pub fn nested(&self) -> Attributes<'a> {
        Attributes::new(self.payload)
    }
}

/// Iterates over the attributes of a payload. After an error it yields nothing more.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// Attributes packed in `payload`.
    #[must_use]
    pub fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    fn split(&mut self) -> Result<Attribute<'a>, DecodeError> {
        let rest = std::mem::take(&mut self.rest);
        let short = |need| DecodeError::Short { field: "attribute", need, have: rest.len() };
        let [l0, l1, k0, k1, ..] = *rest else { return Err(short(HEADER)) };
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let payload = rest.get(HEADER..length).ok_or_else(|| short(length.max(HEADER)))?;
        self.rest = rest.get(align(length)..).unwrap_or_default();
        Ok(Attribute { kind: u16::from_ne_bytes([k0, k1]) & TYPE_MASK, payload })
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.rest.is_empty()).then(|| self.split())
    }
}

/// Appends messages and attributes to a buffer; lengths are filled in when a nest closes.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// What was written.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Forgets what was written and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// An attribute with a payload of at most 65,531 bytes; all of ours are under 32.
    pub fn bytes(&mut self, kind: u16, payload: &[u8]) {
        self.header(kind, payload.len());
        self.bytes.extend_from_slice(payload);
        self.pad();
    }

    fn header(&mut self, kind: u16, payload: usize) {
        debug_assert!(payload <= usize::from(u16::MAX) - HEADER, "payload of {payload} bytes");
        let [l0, l1] = ((HEADER + payload) as u16).to_ne_bytes();
        let [k0, k1] = kind.to_ne_bytes();
        self.bytes.extend_from_slice(&[l0, l1, k0, k1]);
    }

    /// An 8-bit number.
    pub fn u8(&mut self, kind: u16, value: u8) {
        self.word(kind, 1, [value, 0, 0, 0]);
    }

    /// A 16-bit number in host order.
    pub fn u16(&mut self, kind: u16, value: u16) {
        let [v0, v1] = value.to_ne_bytes();
        self.word(kind, 2, [v0, v1, 0, 0]);
    }

    /// A 16-bit number in network order.
    pub fn be16(&mut self, kind: u16, value: u16) {
        let [v0, v1] = value.to_be_bytes();
        self.word(kind, 2, [v0, v1, 0, 0]);
    }

    /// A 32-bit number in host order.
    pub fn u32(&mut self, kind: u16, value: u32) {
        self.word(kind, 4, value.to_ne_bytes());
    }

    /// A number with its padding. Most of what is sent are such: one copy of a known size each is a
    /// third of the cost of [`Writer::bytes`].
    fn word(&mut self, kind: u16, length: u16, padded: [u8; 4]) {
        let [l0, l1] = (HEADER as u16 + length).to_ne_bytes();
        let [k0, k1] = kind.to_ne_bytes();
        let [p0, p1, p2, p3] = padded;
        self.bytes.extend_from_slice(&[l0, l1, k0, k1, p0, p1, p2, p3]);
    }

    /// NUL-terminated text.
    pub fn text(&mut self, kind: u16, value: &str) {
        self.header(kind, value.len() + 1);
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
        self.pad();
    }

    /// An attribute that holds what `fill` writes.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.header(kind | NESTED, 0);
        fill(self);
        let length = self.bytes.len() - start;
        self.bytes[start..start + 2].copy_from_slice(&(length as u16).to_ne_bytes());
    }

    pub(super) fn raw(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    fn pad(&mut self) {
        let padding = align(self.bytes.len()) - self.bytes.len();
        self.bytes.extend_from_slice(&[0; 3][..padding]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read() {
        let mut writer = Writer::default();
        writer.u8(1, 7);
        writer.be16(2, 80);
        writer.nest(3, |inner| {
            inner.u32(4, 0xdead_beef);
            inner.text(5, "rr");
        });
        let read: Vec<_> = Attributes::new(writer.as_bytes()).map(Result::unwrap).collect();
        assert_eq!(read.iter().map(|a| a.kind).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(read[0].u8("a"), Ok(7));
        assert_eq!(read[1].payload, [0, 80]);
        let inner: Vec<_> = read[2].nested().map(Result::unwrap).collect();
        assert_eq!(inner[0].u32("b"), Ok(0xdead_beef));
        assert_eq!(inner[1].text("c"), Ok("rr"));
        assert_eq!(inner[1].payload, b"rr\0");
    }

    #[test]
    fn lengths_that_lie_are_errors() {
        let cases: [(&str, &[u8]); 3] = [
            ("no header", &[4, 0, 1]),
            ("under its header", &[3, 0, 1, 0]),
            ("past the end", &[9, 0, 1, 0, 0, 0, 0, 0]),
        ];
        for (name, bytes) in cases {
            let mut attributes = Attributes::new(bytes);
            assert!(attributes.next().is_some_and(|first| first.is_err()), "{name}");
            assert_eq!(attributes.next(), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics_and_ends(bytes: Vec<u8>) {
            let read = Attributes::new(&bytes).flatten().inspect(|a| {
                let _ = (a.u8("x"), a.be16("x"), a.counter("x"), a.text("x"), a.nested().count());
            }).count();
            prop_assert!(read <= bytes.len() / HEADER + 1);
        }
    }
}
