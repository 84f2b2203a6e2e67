//! Typed values of set keys, map data and comparisons, and their bytes. Pure.
//!
//! Addresses and ports are in network order, numbers that the kernel computes (marks, slots) in
//! host order. In a concatenation each field is padded to four bytes (a 32-bit register).

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crate::DecodeError;

/// Room for an interface name, its NUL counted (`IFNAMSIZ`).
pub const IFNAME_LEN: usize = 16;

/// The type of one field of a key or of map data, by the name that nft gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DataType {
    /// `ipv4_addr`, 4 bytes.
    Ipv4Addr,
    /// `ipv6_addr`, 16 bytes.
    Ipv6Addr,
    /// `inet_proto`, 1 byte.
    InetProto,
    /// `inet_service`: a port, 2 bytes.
    InetService,
    /// `mark`: 4 bytes in host order. Also the type of a slot (numgen, jhash, symhash): nft has no
    /// name for a plain 32-bit integer in a declared key.
    Mark,
    /// `ifname`: 16 bytes, NUL-padded.
    Ifname,
}

impl DataType {
    pub(crate) const ALL: [Self; 6] = [
        Self::Ipv4Addr,
        Self::Ipv6Addr,
        Self::InetProto,
        Self::InetService,
        Self::Mark,
        Self::Ifname,
    ];

    /// Length in bytes, unpadded.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "the width of a type, which is never zero")]
    pub fn len(self) -> usize {
        match self {
            Self::Ipv4Addr | Self::Mark => 4,
            Self::Ipv6Addr => 16,
            Self::InetProto => 1,
            Self::InetService => 2,
            Self::Ifname => IFNAME_LEN,
        }
    }

    /// The number that libnftables gives the type (`enum datatypes` in nft's datatype.h): the
    /// kernel only stores it, for listings.
    pub(crate) fn id(self) -> u32 {
        match self {
            Self::Ipv4Addr => 7,
            Self::Ipv6Addr => 8,
            Self::InetProto => 12,
            Self::InetService => 13,
            Self::Mark => 19,
            Self::Ifname => 41,
        }
    }

    pub(crate) fn is_host_order(self) -> bool {
        matches!(self, Self::Mark | Self::Ifname)
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4Addr => "ipv4_addr",
            Self::Ipv6Addr => "ipv6_addr",
            Self::InetProto => "inet_proto",
            Self::InetService => "inet_service",
            Self::Mark => "mark",
            Self::Ifname => "ifname",
        })
    }
}

/// One field of a key, of map data or of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// An IPv4 address.
    Ipv4(Ipv4Addr),
    /// An IPv6 address.
    Ipv6(Ipv6Addr),
    /// An IP protocol number (`IPPROTO_*`).
    Proto(u8),
    /// A port.
    Port(u16),
    /// A mark or a slot, 32 bits.
    Mark(u32),
    /// The name of an interface.
    Ifname(Ifname),
}

/// The name of an interface: 1 to 15 bytes, no space, no `/`, NUL-padded as in a register.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ifname([u8; IFNAME_LEN]);

impl Ifname {
    /// Checks `name` as `dev_valid_name` in net/core/dev.c does. `None` when it isn't one.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let bytes = name.as_bytes();
        let bad = |b: &u8| b.is_ascii_whitespace() || matches!(b, 0 | b'/' | b':');
        if bytes.is_empty()
            || bytes.len() >= IFNAME_LEN
            || bytes.iter().any(bad)
            || matches!(name, "." | "..")
        {
            return None;
        }
        let mut padded = [0; IFNAME_LEN];
        padded[..bytes.len()].copy_from_slice(bytes);
        Some(Self(padded))
    }

    /// The name without its padding; bytes that aren't UTF-8 are replaced.
    #[must_use]
    pub fn to_text(self) -> String {
        let end = self.0.iter().position(|b| *b == 0).unwrap_or(IFNAME_LEN);
        String::from_utf8_lossy(&self.0[..end]).into_owned()
    }
}

impl fmt::Debug for Ifname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_text())
    }
}

impl Value {
    /// Its type.
    #[must_use]
    pub fn data_type(&self) -> DataType {
        match self {
            Self::Ipv4(_) => DataType::Ipv4Addr,
            Self::Ipv6(_) => DataType::Ipv6Addr,
            Self::Proto(_) => DataType::InetProto,
            Self::Port(_) => DataType::InetService,
            Self::Mark(_) => DataType::Mark,
            Self::Ifname(_) => DataType::Ifname,
        }
    }

    /// Its bytes in a register, unpadded.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(IFNAME_LEN);
        self.put(&mut bytes);
        bytes
    }

    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::Ipv4(addr) => to.extend(addr.octets()),
            Self::Ipv6(addr) => to.extend(addr.octets()),
            Self::Proto(proto) => to.push(*proto),
            Self::Port(port) => to.extend(port.to_be_bytes()),
            Self::Mark(mark) => to.extend(mark.to_ne_bytes()),
            Self::Ifname(name) => to.extend(name.0),
        }
    }

    fn from_bytes(of: DataType, bytes: &[u8]) -> Result<Self, DecodeError> {
        let short = DecodeError::Width { want: of.len(), got: bytes.len() };
        Ok(match of {
            DataType::Ipv4Addr => Self::Ipv4(Ipv4Addr::from(fixed::<4>(bytes).ok_or(short)?)),
            DataType::Ipv6Addr => Self::Ipv6(Ipv6Addr::from(fixed::<16>(bytes).ok_or(short)?)),
            DataType::InetProto => Self::Proto(fixed::<1>(bytes).ok_or(short)?[0]),
            DataType::InetService => Self::Port(u16::from_be_bytes(fixed(bytes).ok_or(short)?)),
            DataType::Mark => Self::Mark(u32::from_ne_bytes(fixed(bytes).ok_or(short)?)),
            DataType::Ifname => Self::Ifname(Ifname(fixed(bytes).ok_or(short)?)),
        })
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

impl From<IpAddr> for Value {
    fn from(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(addr) => Self::Ipv4(addr),
            IpAddr::V6(addr) => Self::Ipv6(addr),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipv4(addr) => addr.fmt(f),
            Self::Ipv6(addr) => addr.fmt(f),
            Self::Proto(libc_proto::TCP) => f.write_str("tcp"),
            Self::Proto(libc_proto::UDP) => f.write_str("udp"),
            Self::Proto(libc_proto::SCTP) => f.write_str("sctp"),
            Self::Proto(proto) => proto.fmt(f),
            Self::Port(port) => port.fmt(f),
            Self::Mark(mark) => write!(f, "{mark:#x}"),
            Self::Ifname(name) => write!(f, "{name:?}"),
        }
    }
}

mod libc_proto {
    pub(super) const TCP: u8 = libc::IPPROTO_TCP as u8;
    pub(super) const UDP: u8 = libc::IPPROTO_UDP as u8;
    pub(super) const SCTP: u8 = libc::IPPROTO_SCTP as u8;
}

/// A concatenation as nft writes it: `10.0.0.1 . tcp . 80`.
pub(crate) fn join<T: fmt::Display>(fields: &[T]) -> String {
    let fields: Vec<String> = fields.iter().map(ToString::to_string).collect();
    fields.join(" . ")
}

/// The bytes of a key or of map data: one field bare, several each padded to a register.
#[must_use]
pub fn encode(values: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() * 4);
    for value in values {
        value.put(&mut bytes);
        if values.len() > 1 {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
    }
    bytes
}

/// The values in the bytes of a key or of map data.
///
/// # Errors
/// When the length isn't that of the types.
pub fn decode(types: &[DataType], bytes: &[u8]) -> Result<Vec<Value>, DecodeError> {
    let want = width(types);
    if bytes.len() != want {
        return Err(DecodeError::Width { want, got: bytes.len() });
    }
    let mut rest = bytes;
    let mut values = Vec::with_capacity(types.len());
    for of in types {
        values.push(Value::from_bytes(*of, &rest[..of.len()])?);
        let used = if types.len() > 1 { of.len().next_multiple_of(4) } else { of.len() };
        rest = &rest[used..];
    }
    Ok(values)
}

/// Length in bytes of a key or of map data.
pub(crate) fn width(types: &[DataType]) -> usize {
    match types {
        [one] => one.len(),
        many => many.iter().map(|of| of.len().next_multiple_of(4)).sum(),
    }
}

/// Bits of one field in the number of a concatenated type (`TYPE_BITS` in nft's datatype.h).
const TYPE_BITS: u32 = 6;

/// The number by which nft knows a type or concatenation when it lists a set.
pub(crate) fn type_id(types: &[DataType]) -> u32 {
    types.iter().fold(0, |id, of| id << TYPE_BITS | of.id())
}

/// The types behind such a number. `None` when there is one that this crate has no word for.
pub(crate) fn from_type_id(mut id: u32) -> Option<Vec<DataType>> {
    let mut types = Vec::new();
    while id != 0 {
        let field = id & ((1 << TYPE_BITS) - 1);
        types.push(DataType::ALL.into_iter().find(|of| of.id() == field)?);
        id >>= TYPE_BITS;
    }
    types.reverse();
    Some(types)
}
