//! Expressions: the instructions of a rule, as the kernel's virtual machine runs them. Pure.
//!
//! [`crate::Rule`] writes them for the usual cases; they are public for the others.

mod ct;
mod field;
mod meta;
mod nat;
mod reg;
mod reject;
mod show;

pub use ct::{Ct, ct_state, ct_status};
pub(crate) use field::load_all as field_load_all;
pub use field::{CtAddr, CtDir, Field};
pub use meta::Meta;
pub use nat::{Nat, NatFlags, NatKind};
pub use reg::Reg;
pub use reject::{Icmpx, Reject};

use std::time::Duration;

use crate::{Name, Verdict};

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
    /// Translate the destination to this host: nat prerouting and output chains only.
    Redirect,
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
            Self::Redirect => "redir",
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
