//! Expressions as text, for logs and golden files. Pure.

use std::fmt;

use super::{
    CmpOp, Ct, CtDir, DynsetOp, Expr, Icmpx, Limit, Meta, Nat, NatFlags, NatKind, Numgen,
    PayloadBase, Reg, Reject,
};

impl fmt::Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.slot())
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Meta { key, to } => write!(f, "{to} = meta {key}"),
            Self::MetaSet { key, from } => write!(f, "meta {key} set {from}"),
            Self::Payload { base, offset, len, to } => {
                write!(f, "{to} = {}", Bytes(*base, *offset, *len))
            }
            Self::Ct { key, dir, to } => write!(f, "{to} = ct {}{key}", Direction(*dir)),
            Self::CtSet { key, from } => write!(f, "ct {key} set {from}"),
            Self::Cmp { from, op, data } => write!(f, "{from} {op} {}", Hex(data)),
            Self::Bitwise { from, to, mask, xor } => {
                write!(f, "{to} = ({from} & {}) ^ {}", Hex(mask), Hex(xor))
            }
            Self::Hton { from, to, len, size } => write!(f, "{to} = hton({from}, {len}, {size})"),
            Self::Lookup { key, set, invert: false } => write!(f, "{key} in @{set}"),
            Self::Lookup { key, set, invert: true } => write!(f, "{key} not in @{set}"),
            Self::MapLookup { key, map, to } => write!(f, "{to} = {key} map @{map}"),
            Self::VerdictMap { key, map } => write!(f, "{key} vmap @{map}"),
            Self::Immediate { data, to } => write!(f, "{to} = {}", Hex(data)),
            _ => self.fmt_statement(f),
        }
    }
}

impl Expr {
    fn fmt_statement(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verdict(verdict) => write!(f, "{verdict}"),
            Self::Nat(nat) => write!(f, "{nat}"),
            Self::Masquerade { flags } => write!(f, "masquerade{flags}"),
            Self::Redirect => f.write_str("redirect"),
            Self::Reject(reject) => write!(f, "{reject}"),
            Self::Numgen { kind, modulus, offset, to } => {
                write!(f, "{to} = numgen {kind} mod {modulus}{}", Offset(*offset))
            }
            Self::Jhash { from, len, modulus, seed, offset, to } => {
                write!(f, "{to} = jhash {from} {len}b mod {modulus}")?;
                if let Some(seed) = seed {
                    write!(f, " seed {seed:#x}")?;
                }
                write!(f, "{}", Offset(*offset))
            }
            Self::Symhash { modulus, offset, to } => {
                write!(f, "{to} = symhash mod {modulus}{}", Offset(*offset))
            }
            Self::Dynset { op, set, key, data, timeout } => {
                write!(f, "{op} @{set} {{ {key}")?;
                if let Some(timeout) = timeout {
                    write!(f, " timeout {}ms", timeout.as_millis())?;
                }
                if let Some(data) = data {
                    write!(f, " : {data}")?;
                }
                f.write_str(" }")
            }
            Self::FibAddrType { daddr, to } => {
                write!(f, "{to} = fib {} type", if *daddr { "daddr" } else { "saddr" })
            }
            Self::Limit(limit) => write!(f, "{limit}"),
            Self::FlowOffload { flowtable } => write!(f, "flow add @{flowtable}"),
            Self::Log { prefix } => write!(f, "log prefix {prefix:?}"),
            other => f.write_str(other.name()),
        }
    }
}

struct Bytes(PayloadBase, u32, u32);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(base, offset, len) = self;
        let base = match base {
            PayloadBase::LinkLayer => "ll",
            PayloadBase::Network => "nh",
            PayloadBase::Transport => "th",
        };
        write!(f, "@{base},{offset},{len}b")
    }
}

struct Direction(Option<CtDir>);

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |dir| write!(f, "{dir} "))
    }
}

struct Offset(u32);

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { Ok(()) } else { write!(f, " offset {}", self.0) }
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for Nat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, family, addr, port, flags } = self;
        let kind = match kind {
            NatKind::Snat => "snat",
            NatKind::Dnat => "dnat",
        };
        write!(f, "{kind} {family} to {addr}")?;
        if let Some(port) = port {
            write!(f, ":{port}")?;
        }
        write!(f, "{flags}")
    }
}

impl fmt::Display for NatFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            (self.random, "random"),
            (self.fully_random, "fully-random"),
            (self.persistent, "persistent"),
        ];
        let words: Vec<&str> =
            words.into_iter().filter_map(|(on, word)| on.then_some(word)).collect();
        if words.is_empty() { Ok(()) } else { write!(f, " {}", words.join(",")) }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Icmpx(Icmpx::NoRoute) => "reject with icmpx no-route",
            Self::Icmpx(Icmpx::PortUnreachable) => "reject with icmpx port-unreachable",
            Self::Icmpx(Icmpx::HostUnreachable) => "reject with icmpx host-unreachable",
            Self::Icmpx(Icmpx::AdminProhibited) => "reject with icmpx admin-prohibited",
            Self::TcpReset => "reject with tcp reset",
        })
    }
}

impl fmt::Display for Numgen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inc => "inc",
            Self::Random => "random",
        })
    }
}

impl fmt::Display for DynsetOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "add",
            Self::Update => "update",
            Self::Delete => "delete",
        })
    }
}

impl fmt::Display for CmpOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eq => "==",
            Self::Neq => "!=",
            Self::Lt => "<",
            Self::Lte => "<=",
            Self::Gt => ">",
            Self::Gte => ">=",
        })
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rate, unit, burst, over } = self;
        let over = if *over { "over " } else { "" };
        write!(f, "limit rate {over}{rate} packets each {}s burst {burst} packets", unit.as_secs())
    }
}

impl fmt::Display for Meta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "length",
            Self::Protocol => "protocol",
            Self::Mark => "mark",
            Self::Iif => "iif",
            Self::Oif => "oif",
            Self::IifName => "iifname",
            Self::OifName => "oifname",
            Self::NfProto => "nfproto",
            Self::L4Proto => "l4proto",
        })
    }
}

impl fmt::Display for Ct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::State => "state",
            Self::Direction => "direction",
            Self::Status => "status",
            Self::Mark => "mark",
            Self::L3Proto => "l3proto",
            Self::Protocol => "protocol",
            Self::ProtoSrc => "proto-src",
            Self::ProtoDst => "proto-dst",
            Self::Packets => "packets",
            Self::Bytes => "bytes",
            Self::SrcIp => "ip saddr",
            Self::DstIp => "ip daddr",
            Self::SrcIp6 => "ip6 saddr",
            Self::DstIp6 => "ip6 daddr",
        })
    }
}
