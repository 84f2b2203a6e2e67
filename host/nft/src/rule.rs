//! A rule, built in the words of the nft language. Pure.

use std::{fmt, time::Duration};

use crate::{
    Family, Name, Value, Verdict,
    expr::{
        CmpOp, CtDir, DynsetOp, Expr, Field, Icmpx, Limit, Nat, NatFlags, NatKind, Reg, Reject,
        field_load_all,
    },
};

/// A rule: instructions that run one after the other until one ends it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rule {
    /// The instructions.
    pub exprs: Vec<Expr>,
    /// At most 127 bytes, shown by nft and given back by observation.
    pub comment: Option<String>,
}

/// `NFPROTO_IPV4`.
const NFPROTO_IPV4: u8 = 2;
/// `NFPROTO_IPV6`.
const NFPROTO_IPV6: u8 = 10;
/// `RTN_LOCAL` of `linux/rtnetlink.h`.
const RTN_LOCAL: u32 = 2;

impl Rule {
    /// A rule that does nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An instruction as it is.
    #[must_use]
    pub fn expr(mut self, expr: Expr) -> Self {
        self.exprs.push(expr);
        self
    }

    /// The comment.
    #[must_use]
    pub fn comment(mut self, text: impl Into<String>) -> Self {
        self.comment = Some(text.into());
        self
    }

    /// `meta nfproto ipv4` or `ipv6`. Anything else of a family matches everything.
    #[must_use]
    pub fn nfproto(self, family: Family) -> Self {
        match family {
            Family::Ip => self.matches(Field::NfProto, CmpOp::Eq, [NFPROTO_IPV4]),
            Family::Ip6 => self.matches(Field::NfProto, CmpOp::Eq, [NFPROTO_IPV6]),
            Family::Inet => self,
        }
    }

    /// `field == value`.
    #[must_use]
    pub fn eq(self, field: Field, value: Value) -> Self {
        self.matches(field, CmpOp::Eq, value.to_bytes())
    }

    /// `field != value`.
    #[must_use]
    pub fn neq(self, field: Field, value: Value) -> Self {
        self.matches(field, CmpOp::Neq, value.to_bytes())
    }

    /// `field OP bytes`; fewer bytes than the field has compare its beginning.
    #[must_use]
    pub fn matches(self, field: Field, op: CmpOp, bytes: impl Into<Vec<u8>>) -> Self {
        self.load(&[field]).expr(Expr::Cmp { from: Reg::FIRST, op, data: bytes.into() })
    }

    /// `field & bits != 0`, for fields of 32 bits in host order: `ct state`, `ct status`, marks.
    #[must_use]
    pub fn any_bit(self, field: Field, bits: u32) -> Self {
        self.masked(field, bits).expr(Expr::Cmp {
            from: Reg::FIRST,
            op: CmpOp::Neq,
            data: vec![0; 4],
        })
    }

    /// `field & bits == 0`, the opposite of [`Rule::any_bit`].
    #[must_use]
    pub fn no_bit(self, field: Field, bits: u32) -> Self {
        self.masked(field, bits).expr(Expr::Cmp {
            from: Reg::FIRST,
            op: CmpOp::Eq,
            data: vec![0; 4],
        })
    }

    fn masked(self, field: Field, bits: u32) -> Self {
        let mask = bits.to_ne_bytes().to_vec();
        let xor = vec![0; mask.len()];
        self.load(&[field]).expr(Expr::Bitwise { from: Reg::FIRST, to: Reg::FIRST, mask, xor })
    }

    /// `ct packets > count`; `dir` as in [`Field::CtPackets`].
    #[must_use]
    pub fn packets_over(self, dir: Option<CtDir>, count: u64) -> Self {
        // Comparison goes byte by byte from the first on, the counter is in host order.
        self.load(&[Field::CtPackets(dir)])
            .expr(Expr::Hton { from: Reg::FIRST, to: Reg::FIRST, len: 8, size: 8 })
            .expr(Expr::Cmp { from: Reg::FIRST, op: CmpOp::Gt, data: count.to_be_bytes().to_vec() })
    }

    /// `fib daddr type local`: the destination is an address of this host.
    #[must_use]
    pub fn to_local(self) -> Self {
        self.matches(Field::FibDaddrType, CmpOp::Eq, RTN_LOCAL.to_ne_bytes())
    }

    /// `fib saddr type local`: the source is an address of this host.
    #[must_use]
    pub fn from_local(self) -> Self {
        self.matches(Field::FibSaddrType, CmpOp::Eq, RTN_LOCAL.to_ne_bytes())
    }

    /// `a . b . c @set`
    #[must_use]
    pub fn in_set(self, fields: &[Field], set: &Name) -> Self {
        self.load(fields).expr(Expr::Lookup { key: Reg::FIRST, set: set.clone(), invert: false })
    }

    /// `a . b . c != @set`
    #[must_use]
    pub fn not_in_set(self, fields: &[Field], set: &Name) -> Self {
        self.load(fields).expr(Expr::Lookup { key: Reg::FIRST, set: set.clone(), invert: true })
    }

    /// `a . b . c vmap @map`
    #[must_use]
    pub fn vmap(self, fields: &[Field], map: &Name) -> Self {
        self.load(fields).expr(Expr::VerdictMap { key: Reg::FIRST, map: map.clone() })
    }

    /// `dnat ip to a . b . c map @map`, of a map whose data is an address, or an address and a port.
    #[must_use]
    pub fn dnat_map(self, family: Family, fields: &[Field], map: &Name, port: bool) -> Self {
        self.nat_map(NatKind::Dnat, family, fields, map, port)
    }

    /// `snat ip to a . b . c map @map`, of a map whose data is an address, or an address and a port.
    #[must_use]
    pub fn snat_map(self, family: Family, fields: &[Field], map: &Name, port: bool) -> Self {
        self.nat_map(NatKind::Snat, family, fields, map, port)
    }

    fn nat_map(
        self,
        kind: NatKind,
        family: Family,
        fields: &[Field],
        map: &Name,
        port: bool,
    ) -> Self {
        self.load(fields).map_at(0, map, 0).nat_loaded(kind, family, port)
    }

    fn nat_loaded(self, kind: NatKind, family: Family, port: bool) -> Self {
        let addr = Reg::FIRST;
        let port = if port { Reg::new(addr_slots(family)) } else { None };
        self.expr(Expr::Nat(Nat { kind, family, addr, port, flags: NatFlags::default() }))
    }

    /// What `map` holds for what was loaded `key` places after the first register, into the registers
    /// `to` places after the first and on; the rule ends here if nothing.
    #[must_use]
    pub fn map_at(self, key: u8, map: &Name, to: u8) -> Self {
        self.at(key, |rule, key| {
            rule.at(to, |rule, to| rule.expr(Expr::MapLookup { key, map: map.clone(), to }))
        })
    }

    /// The rule ends here unless what was loaded `key` places after the first register is in `set`.
    #[must_use]
    pub fn in_set_at(self, key: u8, set: &Name) -> Self {
        self.at(key, |rule, key| rule.expr(Expr::Lookup { key, set: set.clone(), invert: false }))
    }

    /// `dnat` to the address, or the address and the port, that is loaded from the first register on.
    #[must_use]
    pub fn dnat_loaded(self, family: Family, port: bool) -> Self {
        self.nat_loaded(NatKind::Dnat, family, port)
    }

    /// `masquerade`, or `masquerade fully-random`.
    #[must_use]
    pub fn masquerade(self, flags: NatFlags) -> Self {
        self.expr(Expr::Masquerade { flags })
    }

    /// `masquerade fully-random`
    #[must_use]
    pub fn masquerade_fully_random(self) -> Self {
        self.masquerade(NatFlags { fully_random: true, ..NatFlags::default() })
    }

    /// `redirect`: the destination becomes this host.
    #[must_use]
    pub fn redirect(self) -> Self {
        self.expr(Expr::Redirect)
    }

    /// `reject with icmpx admin-prohibited`
    #[must_use]
    pub fn reject_prohibited(self) -> Self {
        self.expr(Expr::Reject(Reject::Icmpx(Icmpx::AdminProhibited)))
    }

    /// `reject`: an ICMP or ICMPv6 port unreachable.
    #[must_use]
    pub fn reject(self) -> Self {
        self.expr(Expr::Reject(Reject::Icmpx(Icmpx::PortUnreachable)))
    }

    /// `reject with tcp reset`, after a match on TCP.
    #[must_use]
    pub fn reject_tcp_reset(self) -> Self {
        self.expr(Expr::Reject(Reject::TcpReset))
    }

    /// `counter`
    #[must_use]
    pub fn counter(self) -> Self {
        self.expr(Expr::Counter)
    }

    /// `limit rate N/second burst M packets`
    #[must_use]
    pub fn limit_per_second(self, rate: u64, burst: u32) -> Self {
        self.expr(Expr::Limit(Limit { rate, unit: Duration::from_secs(1), burst, over: false }))
    }

    /// `update @set { a . b timeout T }`
    #[must_use]
    pub fn update_set(self, fields: &[Field], set: &Name, timeout: Option<Duration>) -> Self {
        let (key, op) = (Reg::FIRST, DynsetOp::Update);
        self.load(fields).expr(Expr::Dynset { op, set: set.clone(), key, data: None, timeout })
    }

    /// `flow add @flowtable`
    #[must_use]
    pub fn flow_add(self, flowtable: &Name) -> Self {
        self.expr(Expr::FlowOffload { flowtable: flowtable.clone() })
    }

    /// `accept`, `drop`, `jump chain`, …
    #[must_use]
    pub fn verdict(self, verdict: Verdict) -> Self {
        self.expr(Expr::Verdict(verdict))
    }

    /// Loads fields side by side from the first register on.
    ///
    /// Too many for the registers leave an instruction that no batch accepts, so that the
    /// builder needs no `Result` at each step.
    #[must_use]
    pub fn load(self, fields: &[Field]) -> Self {
        self.load_at(fields, 0)
    }

    /// The same from the register `slot` places after the first on.
    #[must_use]
    pub fn load_at(mut self, fields: &[Field], slot: u8) -> Self {
        match Reg::new(slot).and_then(|first| field_load_all(fields, first)) {
            Some((exprs, _)) => self.exprs.extend(exprs),
            None => return self.beyond(),
        }
        self
    }

    fn at(self, slot: u8, then: impl FnOnce(Self, Reg) -> Self) -> Self {
        match Reg::new(slot) {
            Some(reg) => then(self, reg),
            None => self.beyond(),
        }
    }

    fn beyond(self) -> Self {
        self.expr(Expr::Other { name: "too many fields for the registers".into() })
    }
}

fn addr_slots(family: Family) -> u8 {
    if family == Family::Ip6 { 4 } else { 1 }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, expr) in self.exprs.iter().enumerate() {
            let gap = if at == 0 { "" } else { "; " };
            write!(f, "{gap}{expr}")?;
        }
        match &self.comment {
            Some(comment) => write!(f, " # {comment}"),
            None => Ok(()),
        }
    }
}
