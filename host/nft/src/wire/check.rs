//! What must hold of an operation before it is written into a message. Pure.
//!
//! Only what the message couldn't carry, or what the kernel would take and mean otherwise. The
//! rest is the kernel's to refuse.

use super::userdata::COMMENT_MAX;
use crate::{
    Data, DataType, Element, Flowtable, Ifname, Op, Rule, Set, SetKind, Unsendable, Value,
    expr::{Expr, Limit, Nat, Reg},
    value::{encode, join, width},
};

/// `NFT_RULE_MAXEXPRS`
const EXPRS_MAX: usize = 128;
/// `NFT_DATA_VALUE_MAXLEN`, and all registers together.
const DATA_MAX: usize = 64;
/// Fields that nft's number of a concatenated type has room for.
const FIELDS_MAX: usize = 5;
/// `NFT_NETDEVICE_MAX`
const DEVICES_MAX: usize = 256;
/// `NF_LOG_PREFIXLEN` less its NUL.
const PREFIX_MAX: usize = 127;

pub(crate) fn op(op: &Op) -> Result<(), Unsendable> {
    match op {
        Op::AddChain(chain) => comment(chain.comment.as_deref()),
        Op::AddRule { rule, .. } | Op::InsertRule { rule, .. } | Op::ReplaceRule { rule, .. } => {
            check_rule(rule)
        }
        Op::AddSet(set) => check_set(set),
        Op::AddElements { set, elements } | Op::CreateElements { set, elements } => {
            check_set(set)?;
            elements
                .iter()
                .enumerate()
                .try_for_each(|(at, element)| check_element(set, at, element))
        }
        Op::DeleteElements { set, elements } => {
            check_set(set)?;
            elements.iter().enumerate().try_for_each(|(at, element)| check_key(set, at, element))
        }
        Op::AddFlowtable(flowtable) => check_flowtable(flowtable),
        // Without a device the kernel would take it for the whole flowtable.
        Op::DeleteDevices(flowtable) if flowtable.devices.is_empty() => {
            Err(Unsendable::Device("no device".to_owned()))
        }
        Op::DeleteDevices(flowtable) => check_flowtable(flowtable),
        _ => Ok(()),
    }
}

fn comment(text: Option<&str>) -> Result<(), Unsendable> {
    match text {
        Some(text) if text.len() > COMMENT_MAX || text.contains(['"', '\0', '\n', '\\']) => {
            Err(Unsendable::Comment(text.to_owned()))
        }
        _ => Ok(()),
    }
}

fn check_set(set: &Set) -> Result<(), Unsendable> {
    check_fields(&set.key)?;
    if let SetKind::Map(data) = &set.kind {
        check_fields(data)?;
    }
    // The kernel orders keys as numbers in network order.
    match set.key.iter().find(|of| set.flags.interval && of.is_host_order()) {
        Some(of) => Err(Unsendable::IntervalType(*of)),
        None => comment(set.comment.as_deref()),
    }
}

fn check_fields(types: &[DataType]) -> Result<(), Unsendable> {
    let fine = (1..=FIELDS_MAX).contains(&types.len()) && width(types) <= DATA_MAX;
    if fine { Ok(()) } else { Err(Unsendable::Fields(types.len(), width(types))) }
}

fn check_element(set: &Set, at: usize, element: &Element) -> Result<(), Unsendable> {
    check_key(set, at, element)?;
    if element.timeout.is_some() && !set.flags.timeout {
        return Err(Unsendable::Timeout(at));
    }
    comment(element.comment.as_deref())?;
    let (want, got) = match (&set.kind, &element.data) {
        (SetKind::Set, Data::None) | (SetKind::VerdictMap, Data::Verdict(_)) => return Ok(()),
        (SetKind::Map(types), Data::Value(values)) => return check_types(types, at, values),
        (kind, data) => (kind_word(kind), data_word(data)),
    };
    Err(Unsendable::ElementType { element: at, want, got })
}

fn kind_word(kind: &SetKind) -> String {
    match kind {
        SetKind::Set => "no data".into(),
        SetKind::Map(types) => join(types),
        SetKind::VerdictMap => "a verdict".into(),
    }
}

fn data_word(data: &Data) -> String {
    match data {
        Data::None => "no data".into(),
        Data::Value(values) => join(values),
        Data::Verdict(verdict) => verdict.to_string(),
    }
}

fn check_key(set: &Set, at: usize, element: &Element) -> Result<(), Unsendable> {
    check_types(&set.key, at, &element.key)?;
    let Some(end) = &element.key_end else {
        return if set.flags.interval && set.is_concat() {
            Err(Unsendable::Range(at))
        } else {
            Ok(())
        };
    };
    check_types(&set.key, at, end)?;
    let ordered = element.key.iter().zip(end).all(|(from, to)| encode(&[*from]) <= encode(&[*to]));
    if set.flags.interval && ordered { Ok(()) } else { Err(Unsendable::Range(at)) }
}

fn check_types(types: &[DataType], at: usize, values: &[Value]) -> Result<(), Unsendable> {
    if types.iter().copied().eq(values.iter().map(Value::data_type)) {
        return Ok(());
    }
    let got: Vec<DataType> = values.iter().map(Value::data_type).collect();
    Err(Unsendable::ElementType { element: at, want: join(types), got: join(&got) })
}

fn check_rule(rule: &Rule) -> Result<(), Unsendable> {
    if rule.exprs.len() > EXPRS_MAX {
        return Err(Unsendable::RuleLength(rule.exprs.len()));
    }
    comment(rule.comment.as_deref())?;
    match rule.exprs.iter().position(|expr| !is_writable(expr)) {
        Some(index) => Err(Unsendable::Expr { index, expr: rule.exprs[index].to_string() }),
        None => Ok(()),
    }
}

fn is_writable(expr: &Expr) -> bool {
    match expr {
        Expr::Payload { len, to, .. } => fits(*to, *len as usize),
        Expr::Cmp { from, data, .. } => fits(*from, data.len()),
        Expr::Immediate { data, to } => fits(*to, data.len()),
        Expr::Bitwise { from, to, mask, xor } => {
            fits(*from, mask.len()) && fits(*to, mask.len()) && mask.len() == xor.len()
        }
        Expr::Hton { from, to, len, size } => {
            fits(*from, *len as usize) && fits(*to, *len as usize) && matches!(size, 2 | 4 | 8)
        }
        Expr::Numgen { modulus, .. } | Expr::Symhash { modulus, .. } => *modulus > 0,
        Expr::Jhash { from, len, modulus, .. } => *modulus > 0 && fits(*from, *len as usize),
        Expr::Nat(Nat { family, .. }) => *family != crate::Family::Inet,
        Expr::Limit(Limit { rate, unit, .. }) => *rate > 0 && unit.as_secs() > 0,
        Expr::Log { prefix } => prefix.len() <= PREFIX_MAX && !prefix.contains('\0'),
        Expr::Other { .. } => false,
        _ => true,
    }
}

fn fits(reg: Reg, len: usize) -> bool {
    len > 0 && usize::from(reg.slot()) * 4 + len <= DATA_MAX
}

fn check_flowtable(flowtable: &Flowtable) -> Result<(), Unsendable> {
    if flowtable.devices.len() > DEVICES_MAX {
        return Err(Unsendable::Device(format!("{} devices", flowtable.devices.len())));
    }
    match flowtable.devices.iter().find(|name| Ifname::new(name).is_none()) {
        Some(name) => Err(Unsendable::Device(name.clone())),
        None => Ok(()),
    }
}
