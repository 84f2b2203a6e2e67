//! Expressions: the instructions of a rule, as the kernel's virtual machine runs them. Pure.
//!
//! [`crate::Rule`] writes them for the usual cases; they are public for the others.

mod field;
mod show;

pub(crate) use field::load_all as field_load_all;
pub use field::{CtAddr, CtDir, Field};

use std::time::Duration;

use crate::{Family, Name, Verdict};

/// A 32-bit register, `NFT_REG32_00` and up. A wider value fills the ones that follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reg(u8);

impl Reg {
    /// Registers there are.
    pub const COUNT: u8 = 16;
    /// The first.
    pub const FIRST: Self = Self(0);

    /// The register `slot` places after the first; `None` beyond the last.
    #[must_use]
    pub fn new(slot: u8) -> Option<Self> {
        (slot < Self::COUNT).then_some(Self(slot))
    }

    /// Its place, 0 to 15.
    #[must_use]
    pub fn slot(self) -> u8 {
        self.0
    }

    /// `NFT_REG_1` to `NFT_REG_4` name the same storage in steps of four.
    pub(crate) fn from_raw(raw: u32) -> Option<Self> {
        match raw {
            1..=4 => Some(Self((raw as u8 - 1) * 4)),
            8..=23 => Some(Self(raw as u8 - 8)),
            _ => None,
        }
    }

    pub(crate) fn raw(self) -> u32 {
        libc::NFT_REG32_00 as u32 + u32::from(self.0)
    }
}

/// One instruction. Names and meanings are those of the kernel's `nft_*` modules.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Expr {
    /// Load a property of the packet.
    Meta {
        /** Which. */
        key: Meta,
        /** Where to. */
        to: Reg,
    },
    /// Set a property of the packet.
    MetaSet {
        /** Which. */
        key: Meta,
        /** Where from. */
        from: Reg,
    },
    /// Load bytes of the packet.
    Payload {
        /// The header that `offset` counts from.
        base: PayloadBase,
        /// In bytes.
        offset: u32,
        /// In bytes.
        len: u32,
        /// Where to.
        to: Reg,
    },
    /// Load a property of the connection.
    Ct {
        /** Which. */
        key: Ct,
        /** Of which direction. */
        dir: Option<CtDir>,
        /** Where to. */
        to: Reg,
    },
    /// Set a property of the connection.
    CtSet {
        /** Which. */
        key: Ct,
        /** Where from. */
        from: Reg,
    },
    /// The rule ends here unless the comparison holds.
    Cmp {
        /** Left side. */
        from: Reg,
        /** How. */
        op: CmpOp,
        /** Right side, at most 64 bytes. */
        data: Vec<u8>,
    },
    /// `to = (from & mask) ^ xor`.
    Bitwise {
        /** Where from. */
        from: Reg,
        /** Where to. */
        to: Reg,
        /** As long as `xor`. */
        mask: Vec<u8>,
        /** As long as `mask`. */
        xor: Vec<u8>,
    },
    /// Turn numbers of `size` bytes from host to network order.
    Hton {
        /** Where from. */
        from: Reg,
        /** Where to. */
        to: Reg,
        /** Of all numbers, in bytes. */
        len: u32,
        /** 2, 4 or 8. */
        size: u32,
    },
    /// The rule ends here unless the key is in the set.
    Lookup {
        /** The key. */
        key: Reg,
        /** The set. */
        set: Name,
        /** Or unless it isn't. */
        invert: bool,
    },
    /// Load what the map holds for the key; the rule ends here if nothing.
    MapLookup {
        /** The key. */
        key: Reg,
        /** The map. */
        map: Name,
        /** Where to. */
        to: Reg,
    },
    /// Do what the verdict map holds for the key; go on if nothing.
    VerdictMap {
        /** The key. */
        key: Reg,
        /** The map. */
        map: Name,
    },
    /// Load a constant of at most 64 bytes.
    Immediate {
        /** The bytes. */
        data: Vec<u8>,
        /** Where to. */
        to: Reg,
    },
    /// Decide on the packet.
    Verdict(Verdict),
    /// Translate an address: nat chains only.
    Nat(Nat),
    /// Translate the source to the outgoing interface's address: nat postrouting chains only.
    Masquerade {
        /** How ports are chosen. */
        flags: NatFlags,
    },
    /// Answer with an error and drop: input, forward and output only.
    Reject(Reject),
    /// Count packets and bytes. The counts aren't part of the value.
    Counter,
    /// A number from 0 to `modulus` - 1, plus `offset`.
    Numgen {
        /** How it is chosen. */
        kind: Numgen,
        /** Not 0. */
        modulus: u32,
        /** Added. */
        offset: u32,
        /** Where to. */
        to: Reg,
    },
    /// Jenkins hash of `len` bytes of registers, modulo `modulus`, plus `offset`.
    Jhash {
        /** Where from. */
        from: Reg,
        /** In bytes. */
        len: u32,
        /** Not 0. */
        modulus: u32,
        /** `None` lets the kernel draw one, a new one each time the rule is added. */
        seed: Option<u32>,
        /** Added. */
        offset: u32,
        /** Where to. */
        to: Reg,
    },
    /// Hash of the connection's two ends, alike in both directions, modulo `modulus`, plus `offset`.
    Symhash {
        /** Not 0. */
        modulus: u32,
        /** Added. */
        offset: u32,
        /** Where to. */
        to: Reg,
    },
    /// Put an element into a dynamic set or map.
    Dynset {
        /** Add or refresh. */
        op: DynsetOp,
        /** The set or map. */
        set: Name,
        /** The key. */
        key: Reg,
        /** What a map's key leads to. */
        data: Option<Reg>,
        /** Its lifetime, whole milliseconds. */
        timeout: Option<Duration>,
    },
    /// Load the type of an address (`RTN_*`), as the routing table sees it.
    FibAddrType {
        /** The destination; else the source. */
        daddr: bool,
        /** Where to. */
        to: Reg,
    },
    /// The rule ends here once the rate is passed.
    Limit(Limit),
    /// Let the connection skip the rule set: forward chains only.
    FlowOffload {
        /** The flowtable. */
        flowtable: Name,
    },
    /// Write the packet's headers to the kernel log.
    Log {
        /** At most 127 bytes. */
        prefix: String,
    },
    /// Don't track this packet's connection: chains before -200 only.
    Notrack,
    /// An expression that this crate has no word for: observed only.
    Other {
        /** The kernel's name of it. */
        name: String,
    },
}

/// Properties of a packet (`NFT_META_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Meta {
    /// Length in bytes; 4 bytes, host order.
    Length = 0,
    /// EtherType; 2 bytes, network order.
    Protocol = 1,
    /// The packet mark; 4 bytes, host order.
    Mark = 3,
    /// Index of the incoming interface; 4 bytes, host order.
    Iif = 4,
    /// Index of the outgoing interface; 4 bytes, host order.
    Oif = 5,
    /// Name of the incoming interface; 16 bytes.
    IifName = 6,
    /// Name of the outgoing interface; 16 bytes.
    OifName = 7,
    /// `NFPROTO_IPV4` or `NFPROTO_IPV6`; 1 byte.
    NfProto = 15,
    /// The transport protocol; 1 byte.
    L4Proto = 16,
}

impl Meta {
    pub(crate) const ALL: [Self; 9] = [
        Self::Length,
        Self::Protocol,
        Self::Mark,
        Self::Iif,
        Self::Oif,
        Self::IifName,
        Self::OifName,
        Self::NfProto,
        Self::L4Proto,
    ];
}

/// Properties of a connection (`NFT_CT_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Ct {
    /// Bits of [`ct_state`]; 4 bytes, host order.
    State = 0,
    /// 0 original, 1 reply; 1 byte.
    Direction = 1,
    /// Bits of [`ct_status`]; 4 bytes, host order.
    Status = 2,
    /// The connection mark; 4 bytes, host order.
    Mark = 3,
    /// Network protocol (`NFPROTO_*`); 1 byte.
    L3Proto = 7,
    /// Transport protocol; 1 byte. Wants a direction.
    Protocol = 10,
    /// Source port; 2 bytes. Wants a direction.
    ProtoSrc = 11,
    /// Destination port; 2 bytes. Wants a direction.
    ProtoDst = 12,
    /// Packets; 8 bytes, host order. Both directions together without one.
    Packets = 14,
    /// Bytes; 8 bytes, host order. Both directions together without one.
    Bytes = 15,
    /// Source IPv4 address; 4 bytes. Wants a direction. Linux 4.17.
    SrcIp = 19,
    /// Destination IPv4 address; 4 bytes. Wants a direction.
    DstIp = 20,
    /// Source IPv6 address; 16 bytes. Wants a direction.
    SrcIp6 = 21,
    /// Destination IPv6 address; 16 bytes. Wants a direction.
    DstIp6 = 22,
}

impl Ct {
    pub(crate) const ALL: [Self; 14] = [
        Self::State,
        Self::Direction,
        Self::Status,
        Self::Mark,
        Self::L3Proto,
        Self::Protocol,
        Self::ProtoSrc,
        Self::ProtoDst,
        Self::Packets,
        Self::Bytes,
        Self::SrcIp,
        Self::DstIp,
        Self::SrcIp6,
        Self::DstIp6,
    ];
}

/// Bits of `ct state` (`NF_CT_STATE_BIT`).
pub mod ct_state {
    /// Belongs to no connection.
    pub const INVALID: u32 = 1;
    /// Of a connection that both sides know.
    pub const ESTABLISHED: u32 = 2;
    /// Of a connection that another expected.
    pub const RELATED: u32 = 4;
    /// The first of a connection.
    pub const NEW: u32 = 8;
    /// Not tracked on purpose.
    pub const UNTRACKED: u32 = 64;
}

/// Bits of `ct status` (`enum ip_conntrack_status`).
pub mod ct_status {
    /// Its source is translated.
    pub const SNAT: u32 = 1 << 4;
    /// Its destination is translated.
    pub const DNAT: u32 = 1 << 5;
}

/// The header that a payload offset counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PayloadBase {
    /// Ethernet.
    LinkLayer = 0,
    /// IPv4 or IPv6.
    Network = 1,
    /// TCP, UDP, SCTP, ICMP.
    Transport = 2,
}

/// How a comparison is made; bytes are compared from the first on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CmpOp {
    /// Equal.
    Eq = 0,
    /// Not equal.
    Neq = 1,
    /// Less.
    Lt = 2,
    /// Less or equal.
    Lte = 3,
    /// Greater.
    Gt = 4,
    /// Greater or equal.
    Gte = 5,
}

impl CmpOp {
    pub(crate) const ALL: [Self; 6] =
        [Self::Eq, Self::Neq, Self::Lt, Self::Lte, Self::Gt, Self::Gte];
}

/// A translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nat {
    /// Which side.
    pub kind: NatKind,
    /// Of the address: [`Family::Ip`] or [`Family::Ip6`].
    pub family: Family,
    /// Where the address is.
    pub addr: Reg,
    /// Where the port is; without one the port stays.
    pub port: Option<Reg>,
    /// How the mapping is chosen.
    pub flags: NatFlags,
}

/// Which side of a connection is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum NatKind {
    /// The source.
    Snat = 0,
    /// The destination.
    Dnat = 1,
}

/// How a translation's port and address are chosen (`NF_NAT_RANGE_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NatFlags {
    /// Random port, from a hash.
    pub random: bool,
    /// Random port, from a random number.
    pub fully_random: bool,
    /// The same address for all connections of a client.
    pub persistent: bool,
}

impl NatFlags {
    const RANDOM: u32 = 1 << 2;
    const PERSISTENT: u32 = 1 << 3;
    const FULLY_RANDOM: u32 = 1 << 4;

    pub(crate) fn raw(self) -> u32 {
        let bit = |on, bit| if on { bit } else { 0 };
        bit(self.random, Self::RANDOM)
            | bit(self.persistent, Self::PERSISTENT)
            | bit(self.fully_random, Self::FULLY_RANDOM)
    }

    pub(crate) fn from_raw(raw: u32) -> Self {
        Self {
            random: raw & Self::RANDOM != 0,
            persistent: raw & Self::PERSISTENT != 0,
            fully_random: raw & Self::FULLY_RANDOM != 0,
        }
    }
}

/// The answer to a rejected packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reject {
    /// An ICMP or ICMPv6 error, whichever fits (`NFT_REJECT_ICMPX_*`): inet tables only.
    Icmpx(Icmpx),
    /// A TCP reset: after a match on TCP only.
    TcpReset,
}

/// ICMP errors that both IP versions have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Icmpx {
    /// No route to the destination.
    NoRoute = 0,
    /// Port unreachable.
    PortUnreachable = 1,
    /// Host unreachable.
    HostUnreachable = 2,
    /// Administratively prohibited.
    AdminProhibited = 3,
}

impl Icmpx {
    pub(crate) const ALL: [Self; 4] =
        [Self::NoRoute, Self::PortUnreachable, Self::HostUnreachable, Self::AdminProhibited];
}

/// How a number is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Numgen {
    /// One more than last time. The counter belongs to the rule, whatever else it matches.
    Inc = 0,
    /// At random.
    Random = 1,
}

/// What a rule does to a dynamic set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DynsetOp {
    /// Add; leave one that is there.
    Add = 0,
    /// Add, or start the lifetime of one that is there anew; its data stays as it was.
    Update = 1,
    /// Remove. Linux 5.4.
    Delete = 2,
}

/// A rate: `rate` packets every `unit`, with `burst` more at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    /// Packets.
    pub rate: u64,
    /// The span that `rate` is for, whole seconds.
    pub unit: Duration,
    /// Packets above the rate.
    pub burst: u32,
    /// Match what is above the rate instead of what is below.
    pub over: bool,
}

impl Expr {
    /// The kernel's name of it: the module that must be there is `nft_` and this, mostly.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Meta { .. } | Self::MetaSet { .. } => "meta",
            Self::Payload { .. } => "payload",
            Self::Ct { .. } | Self::CtSet { .. } => "ct",
            Self::Cmp { .. } => "cmp",
            Self::Bitwise { .. } => "bitwise",
            Self::Hton { .. } => "byteorder",
            Self::Lookup { .. } | Self::MapLookup { .. } | Self::VerdictMap { .. } => "lookup",
            Self::Immediate { .. } | Self::Verdict(_) => "immediate",
            Self::Nat(_) => "nat",
            Self::Masquerade { .. } => "masq",
            Self::Reject(_) => "reject",
            Self::Counter => "counter",
            Self::Numgen { .. } => "numgen",
            Self::Jhash { .. } | Self::Symhash { .. } => "hash",
            Self::Dynset { .. } => "dynset",
            Self::FibAddrType { .. } => "fib",
            Self::Limit(_) => "limit",
            Self::FlowOffload { .. } => "flow_offload",
            Self::Log { .. } => "log",
            Self::Notrack => "notrack",
            Self::Other { name } => name,
        }
    }

    /// The set, map or flowtable that it names.
    #[must_use]
    pub fn refers_to(&self) -> Option<&Name> {
        match self {
            Self::Lookup { set, .. } | Self::Dynset { set, .. } => Some(set),
            Self::MapLookup { map, .. } | Self::VerdictMap { map, .. } => Some(map),
            Self::FlowOffload { flowtable } => Some(flowtable),
            _ => None,
        }
    }
}
