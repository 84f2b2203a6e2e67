//! Expressions as libnftnl objects. Pure but for memory.

use std::ffi::{CStr, CString};

use nftnl_sys as sys;

use super::raw;
use crate::{
    Name, Verdict,
    expr::{Expr, Limit, Nat, Reg, Reject},
    uapi,
};

/// An expression under construction.
struct Build(raw::Expr);

impl Build {
    fn new(name: &CStr) -> Self {
        Self(raw::Expr::new(name))
    }

    fn u32(mut self, attr: u32, value: u32) -> Self {
        self.0.u32(attr, value);
        self
    }

    fn u64(mut self, attr: u32, value: u64) -> Self {
        self.0.u64(attr, value);
        self
    }

    fn u8(mut self, attr: u32, value: u8) -> Self {
        self.0.u8(attr, value);
        self
    }

    fn reg(self, attr: u32, reg: Reg) -> Self {
        self.u32(attr, reg.raw())
    }

    fn name(mut self, attr: u32, name: &Name) -> Self {
        self.0.name(attr, name);
        self
    }

    fn data(mut self, attr: u32, data: &[u8]) -> Self {
        self.0.data(attr, data);
        self
    }
}

/// # Panics
/// On [`Expr::Other`], which `check` lets through nowhere.
pub(super) fn build(expr: &Expr) -> raw::Expr {
    match expr {
        Expr::Meta { .. }
        | Expr::MetaSet { .. }
        | Expr::Payload { .. }
        | Expr::Ct { .. }
        | Expr::CtSet { .. } => load(expr),
        Expr::Cmp { .. } | Expr::Bitwise { .. } | Expr::Hton { .. } | Expr::Immediate { .. } => {
            data(expr)
        }
        Expr::Lookup { .. }
        | Expr::MapLookup { .. }
        | Expr::VerdictMap { .. }
        | Expr::Dynset { .. } => set(expr),
        Expr::Numgen { .. }
        | Expr::Jhash { .. }
        | Expr::Symhash { .. }
        | Expr::FibAddrType { .. } => number(expr),
        statement => action(statement),
    }
    .0
}

fn load(expr: &Expr) -> Build {
    match expr {
        Expr::Meta { key, to } => Build::new(c"meta")
            .u32(sys::NFTNL_EXPR_META_KEY, *key as u32)
            .reg(sys::NFTNL_EXPR_META_DREG, *to),
        Expr::MetaSet { key, from } => Build::new(c"meta")
            .u32(sys::NFTNL_EXPR_META_KEY, *key as u32)
            .reg(sys::NFTNL_EXPR_META_SREG, *from),
        Expr::Payload { base, offset, len, to } => Build::new(c"payload")
            .reg(sys::NFTNL_EXPR_PAYLOAD_DREG, *to)
            .u32(sys::NFTNL_EXPR_PAYLOAD_BASE, *base as u32)
            .u32(sys::NFTNL_EXPR_PAYLOAD_OFFSET, *offset)
            .u32(sys::NFTNL_EXPR_PAYLOAD_LEN, *len),
        Expr::Ct { key, dir, to } => {
            let it = Build::new(c"ct")
                .u32(sys::NFTNL_EXPR_CT_KEY, *key as u32)
                .reg(sys::NFTNL_EXPR_CT_DREG, *to);
            match dir {
                Some(dir) => it.u8(sys::NFTNL_EXPR_CT_DIR, *dir as u8),
                None => it,
            }
        }
        Expr::CtSet { key, from } => Build::new(c"ct")
            .u32(sys::NFTNL_EXPR_CT_KEY, *key as u32)
            .reg(sys::NFTNL_EXPR_CT_SREG, *from),
        other => unreachable!("{other} isn't a load"),
    }
}

fn data(expr: &Expr) -> Build {
    match expr {
        Expr::Cmp { from, op, data } => Build::new(c"cmp")
            .reg(sys::NFTNL_EXPR_CMP_SREG, *from)
            .u32(sys::NFTNL_EXPR_CMP_OP, *op as u32)
            .data(sys::NFTNL_EXPR_CMP_DATA, data),
        Expr::Bitwise { from, to, mask, xor } => Build::new(c"bitwise")
            .reg(sys::NFTNL_EXPR_BITWISE_SREG, *from)
            .reg(sys::NFTNL_EXPR_BITWISE_DREG, *to)
            .u32(sys::NFTNL_EXPR_BITWISE_OP, uapi::NFT_BITWISE_MASK_XOR)
            .u32(sys::NFTNL_EXPR_BITWISE_LEN, mask.len() as u32)
            .data(sys::NFTNL_EXPR_BITWISE_MASK, mask)
            .data(sys::NFTNL_EXPR_BITWISE_XOR, xor),
        Expr::Hton { from, to, len, size } => Build::new(c"byteorder")
            .reg(sys::NFTNL_EXPR_BYTEORDER_SREG, *from)
            .reg(sys::NFTNL_EXPR_BYTEORDER_DREG, *to)
            .u32(sys::NFTNL_EXPR_BYTEORDER_OP, libc::NFT_BYTEORDER_HTON as u32)
            .u32(sys::NFTNL_EXPR_BYTEORDER_LEN, *len)
            .u32(sys::NFTNL_EXPR_BYTEORDER_SIZE, *size),
        Expr::Immediate { data, to } => Build::new(c"immediate")
            .reg(sys::NFTNL_EXPR_IMM_DREG, *to)
            .data(sys::NFTNL_EXPR_IMM_DATA, data),
        other => unreachable!("{other} carries no data"),
    }
}

fn set(expr: &Expr) -> Build {
    let lookup = |key: &Reg, set: &Name| {
        Build::new(c"lookup")
            .reg(sys::NFTNL_EXPR_LOOKUP_SREG, *key)
            .name(sys::NFTNL_EXPR_LOOKUP_SET, set)
    };
    match expr {
        Expr::Lookup { key, set, invert: false } => lookup(key, set),
        Expr::Lookup { key, set, invert: true } => {
            lookup(key, set).u32(sys::NFTNL_EXPR_LOOKUP_FLAGS, libc::NFT_LOOKUP_F_INV as u32)
        }
        Expr::MapLookup { key, map, to } => lookup(key, map).reg(sys::NFTNL_EXPR_LOOKUP_DREG, *to),
        Expr::VerdictMap { key, map } => {
            lookup(key, map).u32(sys::NFTNL_EXPR_LOOKUP_DREG, libc::NFT_REG_VERDICT as u32)
        }
        Expr::Dynset { op, set, key, data, timeout } => {
            let mut it = Build::new(c"dynset")
                .reg(sys::NFTNL_EXPR_DYNSET_SREG_KEY, *key)
                .u32(sys::NFTNL_EXPR_DYNSET_OP, *op as u32)
                .name(sys::NFTNL_EXPR_DYNSET_SET_NAME, set);
            if let Some(data) = data {
                it = it.reg(sys::NFTNL_EXPR_DYNSET_SREG_DATA, *data);
            }
            match timeout {
                Some(timeout) => it.u64(sys::NFTNL_EXPR_DYNSET_TIMEOUT, timeout.as_millis() as u64),
                None => it,
            }
        }
        other => unreachable!("{other} names no set"),
    }
}

fn number(expr: &Expr) -> Build {
    match expr {
        Expr::Numgen { kind, modulus, offset, to } => Build::new(c"numgen")
            .reg(sys::NFTNL_EXPR_NG_DREG, *to)
            .u32(sys::NFTNL_EXPR_NG_TYPE, *kind as u32)
            .u32(sys::NFTNL_EXPR_NG_MODULUS, *modulus)
            .u32(sys::NFTNL_EXPR_NG_OFFSET, *offset),
        Expr::Jhash { from, len, modulus, seed, offset, to } => {
            let it = hash(uapi::NFT_HASH_JENKINS, *modulus, *offset, *to)
                .reg(sys::NFTNL_EXPR_HASH_SREG, *from)
                .u32(sys::NFTNL_EXPR_HASH_LEN, *len);
            match seed {
                Some(seed) => it.u32(sys::NFTNL_EXPR_HASH_SEED, *seed),
                None => it,
            }
        }
        Expr::Symhash { modulus, offset, to } => hash(uapi::NFT_HASH_SYM, *modulus, *offset, *to),
        Expr::FibAddrType { daddr, to } => {
            let flag = if *daddr { uapi::NFTA_FIB_F_DADDR } else { uapi::NFTA_FIB_F_SADDR };
            Build::new(c"fib")
                .reg(sys::NFTNL_EXPR_FIB_DREG, *to)
                .u32(sys::NFTNL_EXPR_FIB_RESULT, uapi::NFT_FIB_RESULT_ADDRTYPE)
                .u32(sys::NFTNL_EXPR_FIB_FLAGS, flag)
        }
        other => unreachable!("{other} makes no number"),
    }
}

fn hash(kind: u32, modulus: u32, offset: u32, to: Reg) -> Build {
    Build::new(c"hash")
        .reg(sys::NFTNL_EXPR_HASH_DREG, to)
        .u32(sys::NFTNL_EXPR_HASH_TYPE, kind)
        .u32(sys::NFTNL_EXPR_HASH_MODULUS, modulus)
        .u32(sys::NFTNL_EXPR_HASH_OFFSET, offset)
}

fn action(expr: &Expr) -> Build {
    match expr {
        Expr::Verdict(verdict) => decide(verdict),
        Expr::Nat(nat) => translate(nat),
        Expr::Masquerade { flags } => match flags.raw() {
            0 => Build::new(c"masq"),
            flags => Build::new(c"masq").u32(sys::NFTNL_EXPR_MASQ_FLAGS, flags),
        },
        Expr::Reject(Reject::Icmpx(code)) => Build::new(c"reject")
            .u32(sys::NFTNL_EXPR_REJECT_TYPE, libc::NFT_REJECT_ICMPX_UNREACH as u32)
            .u8(sys::NFTNL_EXPR_REJECT_CODE, *code as u8),
        Expr::Reject(Reject::TcpReset) => {
            Build::new(c"reject").u32(sys::NFTNL_EXPR_REJECT_TYPE, libc::NFT_REJECT_TCP_RST as u32)
        }
        Expr::Counter => Build::new(c"counter"),
        Expr::Limit(limit) => bound(limit),
        Expr::FlowOffload { flowtable } => {
            Build::new(c"flow_offload").name(sys::NFTNL_EXPR_FLOW_TABLE_NAME, flowtable)
        }
        Expr::Log { prefix } => {
            let mut it = Build::new(c"log");
            it.0.text(
                sys::NFTNL_EXPR_LOG_PREFIX,
                &CString::new(prefix.as_str()).unwrap_or_default(),
            );
            it
        }
        Expr::Notrack => Build::new(c"notrack"),
        Expr::Redirect => Build::new(c"redir"),
        other => unreachable!("{other} can't be written"),
    }
}

fn decide(verdict: &Verdict) -> Build {
    let it = Build::new(c"immediate")
        .u32(sys::NFTNL_EXPR_IMM_DREG, libc::NFT_REG_VERDICT as u32)
        .u32(sys::NFTNL_EXPR_IMM_VERDICT, verdict.code() as u32);
    match verdict.chain() {
        Some(chain) => it.name(sys::NFTNL_EXPR_IMM_CHAIN, chain),
        None => it,
    }
}

fn translate(nat: &Nat) -> Build {
    let mut it = Build::new(c"nat")
        .u32(sys::NFTNL_EXPR_NAT_TYPE, nat.kind as u32)
        .u32(sys::NFTNL_EXPR_NAT_FAMILY, nat.family as u32)
        .reg(sys::NFTNL_EXPR_NAT_REG_ADDR_MIN, nat.addr);
    if let Some(port) = nat.port {
        it = it.reg(sys::NFTNL_EXPR_NAT_REG_PROTO_MIN, port);
    }
    match nat.flags.raw() {
        0 => it,
        flags => it.u32(sys::NFTNL_EXPR_NAT_FLAGS, flags),
    }
}

fn bound(limit: &Limit) -> Build {
    let flags = if limit.over { libc::NFT_LIMIT_F_INV as u32 } else { 0 };
    Build::new(c"limit")
        .u64(sys::NFTNL_EXPR_LIMIT_RATE, limit.rate)
        .u64(sys::NFTNL_EXPR_LIMIT_UNIT, limit.unit.as_secs())
        .u32(sys::NFTNL_EXPR_LIMIT_BURST, limit.burst)
        .u32(sys::NFTNL_EXPR_LIMIT_TYPE, libc::NFT_LIMIT_PKTS as u32)
        .u32(sys::NFTNL_EXPR_LIMIT_FLAGS, flags)
}
