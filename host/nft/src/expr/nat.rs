//! Address translation. Pure.

use super::Reg;
use crate::Family;

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
