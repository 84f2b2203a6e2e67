//! Attributes (`struct nlattr`): length, type and payload, padded to four bytes. Pure.

use std::net::IpAddr;

use super::{Malformed, align};

const HEADER: usize = 4;
/// `NLA_F_NESTED`. ctnetlink wants it on `CTA_FILTER` and takes it on every nest.
const NESTED: u16 = 1 << 15;
/// `NLA_TYPE_MASK`: the type without the nested and byte-order bits.
const TYPE_MASK: u16 = 0x3fff;

/// One attribute, borrowed from the datagram it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Attribute type, without its flag bits.
    pub kind: u16,
    /// Payload, without padding.
    pub payload: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The payload as exactly `N` bytes; `what` names it in the error.
    fn array<const N: usize>(&self, what: &'static str) -> Result<[u8; N], Malformed> {
        self.payload.try_into().map_err(|_| Malformed::new(what, "not of its length"))
    }

    /// An 8-bit number.
    ///
    /// # Errors
    /// When it isn't one byte. So with the others: when it isn't of its length.
    pub fn u8(&self, what: &'static str) -> Result<u8, Malformed> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    /// A 16-bit number in network order.
    ///
    /// # Errors
    /// When it isn't of its length.
    pub fn be16(&self, what: &'static str) -> Result<u16, Malformed> {
        self.array(what).map(u16::from_be_bytes)
    }

    /// A 32-bit number in network order.
    ///
    /// # Errors
    /// When it isn't of its length.
    pub fn be32(&self, what: &'static str) -> Result<u32, Malformed> {
        self.array(what).map(u32::from_be_bytes)
    }

    /// A 32-bit number in host order.
    ///
    /// # Errors
    /// When it isn't of its length.
    pub fn u32(&self, what: &'static str) -> Result<u32, Malformed> {
        self.array(what).map(u32::from_ne_bytes)
    }

    /// A 64-bit number in network order.
    ///
    /// # Errors
    /// When it isn't of its length.
    pub fn be64(&self, what: &'static str) -> Result<u64, Malformed> {
        self.array(what).map(u64::from_be_bytes)
    }

    /// An IPv4 address.
    ///
    /// # Errors
    /// When it isn't of its length.
    pub fn ipv4(&self, what: &'static str) -> Result<IpAddr, Malformed> {
        self.array::<4>(what).map(IpAddr::from)
    }

    /// An IPv6 address.
    ///
    /// # Errors
    /// When it isn't of its length.
    pub fn ipv6(&self, what: &'static str) -> Result<IpAddr, Malformed> {
        self.array::<16>(what).map(IpAddr::from)
    }

    /// The attributes inside this one.
    #[must_use]
    pub fn nested(&self) -> Attributes<'a> {
        Attributes::new(self.payload)
    }
}

/// The attributes of a payload, in order. After an error it yields nothing more.
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

    fn split(&mut self) -> Result<Attribute<'a>, Malformed> {
        let rest = std::mem::take(&mut self.rest);
        let [l0, l1, k0, k1, ..] = *rest else {
            return Err(Malformed::new("netlink attribute", "shorter than its header"));
        };
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let outside = Malformed::new("netlink attribute", "length outside the message");
        let payload = rest.get(HEADER..length).ok_or(outside)?;
        self.rest = rest.get(align(length)..).unwrap_or_default();
        Ok(Attribute { kind: u16::from_ne_bytes([k0, k1]) & TYPE_MASK, payload })
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, Malformed>;

    #[inline]
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

    /// Forgets what was written and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    pub(super) fn raw(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// An attribute of these bytes, padded.
    pub fn bytes(&mut self, kind: u16, payload: &[u8]) {
        self.bytes.extend_from_slice(&((HEADER + payload.len()) as u16).to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(payload);
        self.bytes.resize(align(self.bytes.len()), 0);
    }

    /// A 16-bit number in network order.
    pub fn be16(&mut self, kind: u16, value: u16) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// A 32-bit number in network order.
    pub fn be32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// A 64-bit number in network order.
    pub fn be64(&mut self, kind: u16, value: u64) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// An address: 4 or 16 bytes.
    pub fn ip(&mut self, kind: u16, ip: IpAddr) {
        match ip {
            IpAddr::V4(ip) => self.bytes(kind, &ip.octets()),
            IpAddr::V6(ip) => self.bytes(kind, &ip.octets()),
        }
    }

    /// An attribute whose payload is what `fill` writes.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes(kind | NESTED, &[]);
        fill(self);
        let length = (self.bytes.len() - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read() {
        let mut writer = Writer::default();
        writer.bytes(1, &[17]);
        writer.nest(2, |writer| {
            writer.be16(1, 53);
            writer.be64(2, 1 << 40);
            writer.ip(3, "fd00::1".parse().unwrap());
        });
        let all: Vec<_> = Attributes::new(writer.as_bytes()).map(Result::unwrap).collect();
        assert_eq!((all[0].kind, all[0].u8("number")), (1, Ok(17)));
        assert_eq!(all[1].kind, 2, "without the nested bit");
        let inner: Vec<_> = all[1].nested().map(Result::unwrap).collect();
        assert_eq!(inner[0].be16("port"), Ok(53));
        assert_eq!(inner[1].be64("count"), Ok(1 << 40));
        assert_eq!(inner[2].ipv6("address"), Ok("fd00::1".parse().unwrap()));
        assert!(inner[2].ipv4("address").is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_end_and_never_panic(bytes: Vec<u8>) {
            let read = Attributes::new(&bytes).count();
            prop_assert!(read <= bytes.len() / HEADER + 1);
        }
    }
}
