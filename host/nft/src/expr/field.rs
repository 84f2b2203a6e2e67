//! What can be loaded into a register, by the words of the nft language. Pure.

use std::fmt;

use super::{Ct, Expr, Meta, Numgen, PayloadBase, Reg};
use crate::value::join;

/// Something of a packet, of its connection or of chance that fits into registers.
///
/// Payload fields of IPv4 and IPv6 want a match on [`Field::NfProto`] before them in an inet
/// table, ports one on [`Field::L4Proto`]: the kernel loads the bytes whatever they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// `meta nfproto`, 1 byte.
    NfProto,
    /// `meta l4proto`, 1 byte ([`crate::Value::Proto`]).
    L4Proto,
    /// `iifname`, 16 bytes.
    IifName,
    /// `oifname`, 16 bytes.
    OifName,
    /// `meta mark`, 4 bytes.
    Mark,
    /// `ip saddr`, 4 bytes.
    Ip4Saddr,
    /// `ip daddr`, 4 bytes.
    Ip4Daddr,
    /// `ip6 saddr`, 16 bytes.
    Ip6Saddr,
    /// `ip6 daddr`, 16 bytes.
    Ip6Daddr,
    /// `th sport`, 2 bytes.
    ThSport,
    /// `th dport`, 2 bytes.
    ThDport,
    /// `icmp type`, 1 byte.
    IcmpType,
    /// `icmpv6 type`, 1 byte.
    Icmpv6Type,
    /// `ct original ip saddr` and its like.
    CtAddr(CtDir, CtAddr),
    /// `ct original protocol`, 1 byte.
    CtProtocol(CtDir),
    /// `ct original proto-src`, 2 bytes.
    CtProtoSrc(CtDir),
    /// `ct original proto-dst`, 2 bytes.
    CtProtoDst(CtDir),
    /// `ct state`, bits of [`super::ct_state`].
    CtState,
    /// `ct status`, bits of [`super::ct_status`].
    CtStatus,
    /// `ct direction`, 1 byte: 0 original, 1 reply.
    CtDirection,
    /// `ct mark`, 4 bytes.
    CtMark,
    /// `ct packets`, 8 bytes in host order; both directions together without one. The first rule
    /// that loads it switches `nf_conntrack_acct` on.
    CtPackets(Option<CtDir>),
    /// `numgen random mod 3`, 4 bytes.
    Numgen(Numgen, /** Modulus, not 0. */ u32),
    /// `jhash ip saddr . th sport mod 3 seed 1`, 4 bytes.
    Jhash {
        /** What is hashed. */
        of: Vec<Field>,
        /** Not 0. */
        modulus: u32,
        /** `None` lets the kernel draw one. */
        seed: Option<u32>,
    },
    /// `symhash mod 3`, 4 bytes.
    Symhash(/** Modulus, not 0. */ u32),
    /// `fib daddr type`, 4 bytes (`RTN_*`).
    FibDaddrType,
    /// `fib saddr type`, 4 bytes (`RTN_*`).
    FibSaddrType,
}

/// A direction of a connection (`enum ip_conntrack_dir`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum CtDir {
    /// As its first packet went.
    Original = 0,
    /// The other.
    Reply = 1,
}

/// An address of a connection, in one direction's tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CtAddr {
    /// `ip saddr`, 4 bytes.
    Ip4Saddr,
    /// `ip daddr`, 4 bytes.
    Ip4Daddr,
    /// `ip6 saddr`, 16 bytes.
    Ip6Saddr,
    /// `ip6 daddr`, 16 bytes.
    Ip6Daddr,
}

impl Field {
    /// Length in bytes, unpadded.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "the width of a field, which is never zero")]
    pub fn len(&self) -> u32 {
        match self {
            Self::NfProto | Self::L4Proto | Self::IcmpType | Self::Icmpv6Type => 1,
            Self::CtProtocol(_) | Self::CtDirection => 1,
            Self::ThSport | Self::ThDport | Self::CtProtoSrc(_) | Self::CtProtoDst(_) => 2,
            Self::Mark
            | Self::Ip4Saddr
            | Self::Ip4Daddr
            | Self::CtState
            | Self::CtStatus
            | Self::CtMark => 4,
            Self::CtAddr(_, CtAddr::Ip4Saddr | CtAddr::Ip4Daddr) => 4,
            Self::Numgen(..) | Self::Jhash { .. } | Self::Symhash(_) => 4,
            Self::FibDaddrType | Self::FibSaddrType => 4,
            Self::CtPackets(_) => 8,
            Self::IifName | Self::OifName | Self::Ip6Saddr | Self::Ip6Daddr | Self::CtAddr(..) => {
                16
            }
        }
    }

    /// 32-bit registers that it fills.
    #[must_use]
    pub fn slots(&self) -> u8 {
        self.len().div_ceil(4) as u8
    }

    /// The instructions that load it into `to` and the registers after it.
    ///
    /// `None` when they run past the last register.
    #[must_use]
    pub fn load(&self, to: Reg) -> Option<Vec<Expr>> {
        Reg::new(to.slot() + self.slots() - 1)?;
        if let Self::Jhash { of, modulus, seed } = self {
            // The inputs pass through the registers that the result then takes, as nft lays it out.
            let (mut exprs, slots) = load_all(of, to)?;
            let len = match of.as_slice() {
                [one] => one.len(),
                _ => u32::from(slots) * 4,
            };
            exprs.push(Expr::Jhash {
                from: to,
                len,
                modulus: *modulus,
                seed: *seed,
                offset: 0,
                to,
            });
            return Some(exprs);
        }
        Some(vec![self.single(to)])
    }

    fn single(&self, to: Reg) -> Expr {
        let network =
            |offset| Expr::Payload { base: PayloadBase::Network, offset, len: self.len(), to };
        let transport =
            |offset| Expr::Payload { base: PayloadBase::Transport, offset, len: self.len(), to };
        let meta = |key| Expr::Meta { key, to };
        let ct = |key, dir| Expr::Ct { key, dir, to };
        match self {
            Self::NfProto => meta(Meta::NfProto),
            Self::L4Proto => meta(Meta::L4Proto),
            Self::IifName => meta(Meta::IifName),
            Self::OifName => meta(Meta::OifName),
            Self::Mark => meta(Meta::Mark),
            Self::Ip4Saddr => network(12),
            Self::Ip4Daddr => network(16),
            Self::Ip6Saddr => network(8),
            Self::Ip6Daddr => network(24),
            Self::ThSport | Self::IcmpType | Self::Icmpv6Type => transport(0),
            Self::ThDport => transport(2),
            Self::CtAddr(dir, addr) => ct(addr.key(), Some(*dir)),
            Self::CtProtocol(dir) => ct(Ct::Protocol, Some(*dir)),
            Self::CtProtoSrc(dir) => ct(Ct::ProtoSrc, Some(*dir)),
            Self::CtProtoDst(dir) => ct(Ct::ProtoDst, Some(*dir)),
            Self::CtState => ct(Ct::State, None),
            Self::CtStatus => ct(Ct::Status, None),
            Self::CtDirection => ct(Ct::Direction, None),
            Self::CtMark => ct(Ct::Mark, None),
            Self::CtPackets(dir) => ct(Ct::Packets, *dir),
            Self::Numgen(kind, modulus) => {
                Expr::Numgen { kind: *kind, modulus: *modulus, offset: 0, to }
            }
            Self::Jhash { modulus, .. } | Self::Symhash(modulus) => {
                Expr::Symhash { modulus: *modulus, offset: 0, to }
            }
            Self::FibDaddrType => Expr::FibAddrType { daddr: true, to },
            Self::FibSaddrType => Expr::FibAddrType { daddr: false, to },
        }
    }
}

/// Loads fields side by side; also how many registers they fill.
pub(crate) fn load_all(fields: &[Field], to: Reg) -> Option<(Vec<Expr>, u8)> {
    let mut exprs = Vec::with_capacity(fields.len());
    let mut slots = 0;
    for field in fields {
        exprs.extend(field.load(Reg::new(to.slot() + slots)?)?);
        slots += field.slots();
    }
    Some((exprs, slots))
}

impl CtAddr {
    fn key(self) -> Ct {
        match self {
            Self::Ip4Saddr => Ct::SrcIp,
            Self::Ip4Daddr => Ct::DstIp,
            Self::Ip6Saddr => Ct::SrcIp6,
            Self::Ip6Daddr => Ct::DstIp6,
        }
    }
}

impl fmt::Display for CtDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Original => "original",
            Self::Reply => "reply",
        })
    }
}

impl fmt::Display for CtAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ip4Saddr => "ip saddr",
            Self::Ip4Daddr => "ip daddr",
            Self::Ip6Saddr => "ip6 saddr",
            Self::Ip6Daddr => "ip6 daddr",
        })
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CtAddr(dir, addr) => write!(f, "ct {dir} {addr}"),
            Self::CtProtocol(dir) => write!(f, "ct {dir} protocol"),
            Self::CtProtoSrc(dir) => write!(f, "ct {dir} proto-src"),
            Self::CtProtoDst(dir) => write!(f, "ct {dir} proto-dst"),
            Self::CtPackets(Some(dir)) => write!(f, "ct {dir} packets"),
            Self::Numgen(Numgen::Inc, modulus) => write!(f, "numgen inc mod {modulus}"),
            Self::Numgen(Numgen::Random, modulus) => write!(f, "numgen random mod {modulus}"),
            Self::Jhash { of, modulus, seed: None } => {
                write!(f, "jhash {} mod {modulus}", join(of))
            }
            Self::Jhash { of, modulus, seed: Some(seed) } => {
                write!(f, "jhash {} mod {modulus} seed {seed:#x}", join(of))
            }
            Self::Symhash(modulus) => write!(f, "symhash mod {modulus}"),
            plain => f.write_str(plain.word()),
        }
    }
}

impl Field {
    fn word(&self) -> &'static str {
        match self {
            Self::NfProto => "meta nfproto",
            Self::L4Proto => "meta l4proto",
            Self::IifName => "iifname",
            Self::OifName => "oifname",
            Self::Mark => "meta mark",
            Self::Ip4Saddr => "ip saddr",
            Self::Ip4Daddr => "ip daddr",
            Self::Ip6Saddr => "ip6 saddr",
            Self::Ip6Daddr => "ip6 daddr",
            Self::ThSport => "th sport",
            Self::ThDport => "th dport",
            Self::IcmpType => "icmp type",
            Self::Icmpv6Type => "icmpv6 type",
            Self::CtState => "ct state",
            Self::CtStatus => "ct status",
            Self::CtDirection => "ct direction",
            Self::CtMark => "ct mark",
            Self::CtPackets(_) => "ct packets",
            Self::FibDaddrType => "fib daddr type",
            Self::FibSaddrType => "fib saddr type",
            Self::CtAddr(..) | Self::CtProtocol(_) | Self::CtProtoSrc(_) | Self::CtProtoDst(_) => {
                "ct"
            }
            Self::Numgen(..) => "numgen",
            Self::Jhash { .. } => "jhash",
            Self::Symhash(_) => "symhash",
        }
    }
}
