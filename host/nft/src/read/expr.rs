//! Expressions as the kernel lists them, as values that compare equal to what was written. Pure.
//!
//! An expression of a shape that this crate never writes is [`Expr::Other`], not an error: other
//! programs may add rules to any table.

use std::time::Duration;

use super::{attr::Attrs, object};
use crate::{
    DecodeError, Family, Name,
    expr::{
        CmpOp, Ct, CtDir, DynsetOp, Expr, Icmpx, Limit, Meta, Nat, NatFlags, NatKind, Numgen,
        PayloadBase, Reg, Reject,
    },
    uapi,
};

/// Reads one member of `NFTA_RULE_EXPRESSIONS`.
pub(super) fn read(attrs: Attrs<'_>) -> Result<Expr, DecodeError> {
    let name = attrs.need_text(uapi::NFTA_EXPR_NAME, "an expression's name")?;
    let data = attrs.nested(uapi::NFTA_EXPR_DATA)?.unwrap_or(Attrs::new(&[]));
    let known = match name {
        "meta" => meta(data)?,
        "payload" => payload(data)?,
        "ct" => ct(data)?,
        "cmp" => cmp(data)?,
        "bitwise" => bitwise(data)?,
        "byteorder" => byteorder(data)?,
        "lookup" => lookup(data)?,
        "immediate" => immediate(data)?,
        "nat" => nat(data)?,
        "numgen" => numgen(data)?,
        "hash" => hash(data)?,
        "dynset" => dynset(data)?,
        "fib" => fib(data)?,
        "limit" => limit(data)?,
        other => statement(other, data)?,
    };
    Ok(known.unwrap_or_else(|| Expr::Other { name: name.to_owned() }))
}

/// `None`: of a shape that this crate never writes.
type Known = Result<Option<Expr>, DecodeError>;

fn reg(data: Attrs<'_>, kind: u16) -> Result<Option<Reg>, DecodeError> {
    Ok(data.u32(kind)?.and_then(Reg::from_raw))
}

fn bytes(data: Attrs<'_>, kind: u16) -> Result<Option<Vec<u8>>, DecodeError> {
    match data.nested(kind)? {
        Some(value) => Ok(value.get(uapi::NFTA_DATA_VALUE)?.map(<[u8]>::to_vec)),
        None => Ok(None),
    }
}

fn set_name(data: Attrs<'_>, kind: u16) -> Result<Name, DecodeError> {
    data.need_text(kind, "the name of a set").map(Name::observed)
}

fn meta(data: Attrs<'_>) -> Known {
    let number = data.u32(2)?;
    let Some(key) = Meta::ALL.into_iter().find(|key| Some(*key as u32) == number) else {
        return Ok(None);
    };
    Ok(match (reg(data, 1)?, reg(data, 3)?) {
        (Some(to), None) => Some(Expr::Meta { key, to }),
        (None, Some(from)) => Some(Expr::MetaSet { key, from }),
        _ => None,
    })
}

fn payload(data: Attrs<'_>) -> Known {
    let base = match data.u32(2)? {
        Some(0) => PayloadBase::LinkLayer,
        Some(1) => PayloadBase::Network,
        Some(2) => PayloadBase::Transport,
        _ => return Ok(None),
    };
    let fields = (data.u32(3)?, data.u32(4)?, reg(data, 1)?);
    let (Some(offset), Some(len), Some(to)) = fields else { return Ok(None) };
    Ok(Some(Expr::Payload { base, offset, len, to }))
}

fn ct(data: Attrs<'_>) -> Known {
    let number = data.u32(2)?;
    let Some(key) = Ct::ALL.into_iter().find(|key| Some(*key as u32) == number) else {
        return Ok(None);
    };
    let dir = match data.get(3)? {
        Some([0]) => Some(CtDir::Original),
        Some([1]) => Some(CtDir::Reply),
        _ => None,
    };
    Ok(match (reg(data, 1)?, reg(data, 4)?) {
        (Some(to), None) => Some(Expr::Ct { key, dir, to }),
        (None, Some(from)) if dir.is_none() => Some(Expr::CtSet { key, from }),
        _ => None,
    })
}

fn cmp(data: Attrs<'_>) -> Known {
    let number = data.u32(2)?;
    let op = CmpOp::ALL.into_iter().find(|op| Some(*op as u32) == number);
    let (Some(from), Some(op), Some(data)) = (reg(data, 1)?, op, bytes(data, 3)?) else {
        return Ok(None);
    };
    Ok(Some(Expr::Cmp { from, op, data }))
}

fn bitwise(data: Attrs<'_>) -> Known {
    if data.u32(6)?.unwrap_or(0) != uapi::NFT_BITWISE_MASK_XOR {
        return Ok(None);
    }
    let fields = (reg(data, 1)?, reg(data, 2)?, bytes(data, 4)?, bytes(data, 5)?);
    let (Some(from), Some(to), Some(mask), Some(xor)) = fields else { return Ok(None) };
    Ok(Some(Expr::Bitwise { from, to, mask, xor }))
}

fn byteorder(data: Attrs<'_>) -> Known {
    if data.u32(3)? != Some(libc::NFT_BYTEORDER_HTON.cast_unsigned()) {
        return Ok(None);
    }
    let fields = (reg(data, 1)?, reg(data, 2)?, data.u32(4)?, data.u32(5)?);
    let (Some(from), Some(to), Some(len), Some(size)) = fields else { return Ok(None) };
    Ok(Some(Expr::Hton { from, to, len, size }))
}

fn lookup(data: Attrs<'_>) -> Known {
    let set = set_name(data, 1)?;
    let Some(key) = reg(data, 2)? else { return Ok(None) };
    let invert = data.u32(5)?.unwrap_or(0) & libc::NFT_LOOKUP_F_INV.cast_unsigned() != 0;
    Ok(match data.u32(3)? {
        None => Some(Expr::Lookup { key, set, invert }),
        Some(0) => Some(Expr::VerdictMap { key, map: set }),
        Some(raw) => Reg::from_raw(raw).map(|to| Expr::MapLookup { key, map: set, to }),
    })
}

fn immediate(data: Attrs<'_>) -> Known {
    let Some(value) = data.nested(2)? else { return Ok(None) };
    if value.get(uapi::NFTA_DATA_VERDICT)?.is_some() {
        return Ok(object::verdict(value).ok().map(Expr::Verdict));
    }
    let (Some(to), Some(data)) = (reg(data, 1)?, bytes(data, 2)?) else { return Ok(None) };
    Ok(Some(Expr::Immediate { data, to }))
}

fn nat(data: Attrs<'_>) -> Known {
    let kind = match data.u32(1)? {
        Some(0) => NatKind::Snat,
        Some(1) => NatKind::Dnat,
        _ => return Ok(None),
    };
    let family = data.u32(2)?.and_then(|raw| Family::from_raw(raw as u8));
    let (addr, port) = (reg(data, 3)?, reg(data, 5)?);
    // The kernel lists a single address or port as a range from it to itself.
    if reg(data, 4)?.is_some_and(|max| Some(max) != addr)
        || reg(data, 6)?.is_some_and(|max| Some(max) != port)
    {
        return Ok(None);
    }
    let (Some(family), Some(addr)) = (family, addr) else { return Ok(None) };
    let flags = NatFlags::from_raw(data.u32(7)?.unwrap_or(0));
    Ok(Some(Expr::Nat(Nat { kind, family, addr, port, flags })))
}

fn numgen(data: Attrs<'_>) -> Known {
    let kind = match data.u32(3)? {
        Some(0) => Numgen::Inc,
        Some(1) => Numgen::Random,
        _ => return Ok(None),
    };
    let (Some(to), Some(modulus)) = (reg(data, 1)?, data.u32(2)?) else { return Ok(None) };
    Ok(Some(Expr::Numgen { kind, modulus, offset: data.u32(4)?.unwrap_or(0), to }))
}

fn hash(data: Attrs<'_>) -> Known {
    let (Some(to), Some(modulus)) = (reg(data, 2)?, data.u32(4)?) else { return Ok(None) };
    let offset = data.u32(6)?.unwrap_or(0);
    if data.u32(7)? == Some(uapi::NFT_HASH_SYM) {
        return Ok(Some(Expr::Symhash { modulus, offset, to }));
    }
    let (Some(from), Some(len)) = (reg(data, 1)?, data.u32(3)?) else { return Ok(None) };
    Ok(Some(Expr::Jhash { from, len, modulus, seed: data.u32(5)?, offset, to }))
}

fn dynset(data: Attrs<'_>) -> Known {
    let op = match data.u32(3)? {
        Some(0) => DynsetOp::Add,
        Some(1) => DynsetOp::Update,
        Some(2) => DynsetOp::Delete,
        _ => return Ok(None),
    };
    // Expressions of its elements, or an inverted result.
    if data.get(7)?.is_some() || data.get(10)?.is_some() || data.u32(9)?.unwrap_or(0) & 1 != 0 {
        return Ok(None);
    }
    let Some(key) = reg(data, 4)? else { return Ok(None) };
    let timeout = data.u64(6)?.filter(|ms| *ms > 0).map(Duration::from_millis);
    Ok(Some(Expr::Dynset { op, set: set_name(data, 1)?, key, data: reg(data, 5)?, timeout }))
}

fn fib(data: Attrs<'_>) -> Known {
    let Some(to) = reg(data, 1)? else { return Ok(None) };
    Ok(match (data.u32(2)?, data.u32(3)?) {
        (Some(uapi::NFT_FIB_RESULT_ADDRTYPE), Some(uapi::NFTA_FIB_F_DADDR)) => {
            Some(Expr::FibAddrType { daddr: true, to })
        }
        (Some(uapi::NFT_FIB_RESULT_ADDRTYPE), Some(uapi::NFTA_FIB_F_SADDR)) => {
            Some(Expr::FibAddrType { daddr: false, to })
        }
        _ => None,
    })
}

fn limit(data: Attrs<'_>) -> Known {
    let (Some(rate), Some(unit)) = (data.u64(1)?, data.u64(2)?) else { return Ok(None) };
    if data.u32(4)?.unwrap_or(0) != libc::NFT_LIMIT_PKTS.cast_unsigned() {
        return Ok(None);
    }
    let over = data.u32(5)?.unwrap_or(0) & libc::NFT_LIMIT_F_INV.cast_unsigned() != 0;
    Ok(Some(Expr::Limit(Limit {
        rate,
        unit: Duration::from_secs(unit),
        burst: data.u32(3)?.unwrap_or(0),
        over,
    })))
}

fn statement(name: &str, data: Attrs<'_>) -> Known {
    Ok(match name {
        "masq" if data.get(2)?.is_none() => {
            Some(Expr::Masquerade { flags: NatFlags::from_raw(data.u32(1)?.unwrap_or(0)) })
        }
        "reject" => reject(data)?,
        "counter" => Some(Expr::Counter),
        "flow_offload" => Some(Expr::FlowOffload { flowtable: set_name(data, 1)? }),
        // With a group it goes to a listener instead of the log.
        "log" if data.get(1)?.is_none() => {
            Some(Expr::Log { prefix: data.text(2)?.unwrap_or_default().to_owned() })
        }
        "notrack" => Some(Expr::Notrack),
        // With a port it is more than that.
        "redir" if data.get(1)?.is_none() && data.u32(3)?.unwrap_or(0) == 0 => Some(Expr::Redirect),
        _ => None,
    })
}

fn reject(data: Attrs<'_>) -> Known {
    Ok(match (data.u32(1)?, data.get(2)?) {
        (Some(1), _) => Some(Expr::Reject(Reject::TcpReset)),
        (Some(2), Some([code])) => Icmpx::ALL
            .into_iter()
            .find(|known| *known as u8 == *code)
            .map(|code| Expr::Reject(Reject::Icmpx(code))),
        _ => None,
    })
}
