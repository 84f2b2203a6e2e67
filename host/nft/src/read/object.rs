//! Chains, rules, sets, elements, flowtables and generations as values. Pure.

use std::time::Duration;

use super::{
    attr::{Attrs, lossy, text},
    expr,
};
use crate::{
    Base, Chain, ChainType, Data, DataType, DecodeError, Element, Flowtable, Hook, Name, Policy,
    Rule, RuleState, Set, SetFlags, SetKind, Verdict, uapi,
    value::{decode, from_type_id, width},
    wire::{COMMENT, SET_COMMENT, comment_of},
};

/// Which table an attribute list is of.
pub(crate) fn table_of<'a>(attrs: Attrs<'a>, kind: u16) -> Result<&'a str, DecodeError> {
    attrs.need_text(kind, "the table's name")
}

fn name(attrs: Attrs<'_>, kind: u16) -> Result<Name, DecodeError> {
    attrs.need_text(kind, "the name").map(Name::observed)
}

fn comment(attrs: Attrs<'_>, kind: u16, comment: u8) -> Result<Option<String>, DecodeError> {
    Ok(attrs.get(kind)?.and_then(|userdata| comment_of(comment, userdata)))
}

/// Something of the kernel's that this crate may have no words for.
pub(crate) type OrForeign<T> = Result<T, Name>;

/// A chain, or the name of one on a hook or of a type that is none of ours.
pub(crate) fn chain(attrs: Attrs<'_>) -> Result<OrForeign<Chain>, DecodeError> {
    let name = name(attrs, uapi::NFTA_CHAIN_NAME)?;
    let comment = comment(attrs, uapi::NFTA_CHAIN_USERDATA, COMMENT)?;
    let Some(hook) = attrs.nested(uapi::NFTA_CHAIN_HOOK)? else {
        return Ok(Ok(Chain { name, base: None, comment }));
    };
    let kind = attrs.need_text(uapi::NFTA_CHAIN_TYPE, "the chain's type")?;
    let number = hook.need_u32(uapi::NFTA_HOOK_HOOKNUM, "the hook")?;
    let priority = hook.need_u32(uapi::NFTA_HOOK_PRIORITY, "the priority")?.cast_signed();
    let policy = match attrs.u32(uapi::NFTA_CHAIN_POLICY)? {
        Some(0) => Policy::Drop,
        _ => Policy::Accept,
    };
    let kind = ChainType::ALL.into_iter().find(|known| known.as_str() == kind);
    Ok(match (kind, Hook::from_raw(number)) {
        (Some(kind), Some(hook)) => {
            Ok(Chain { name, base: Some(Base { kind, hook, priority, policy }), comment })
        }
        _ => Err(name),
    })
}

/// A rule and the chain that it is in.
pub(crate) fn rule(attrs: Attrs<'_>) -> Result<(Name, RuleState), DecodeError> {
    let chain = name(attrs, uapi::NFTA_RULE_CHAIN)?;
    let handle =
        attrs.u64(uapi::NFTA_RULE_HANDLE)?.ok_or(DecodeError::Missing("the rule's handle"))?;
    let comment = comment(attrs, uapi::NFTA_RULE_USERDATA, COMMENT)?;
    let mut exprs = Vec::new();
    for one in attrs.nested(uapi::NFTA_RULE_EXPRESSIONS)?.into_iter().flat_map(Attrs::iter) {
        exprs.push(expr::read(Attrs::new(one?.1))?);
    }
    Ok((chain, RuleState { handle, rule: Rule { exprs, comment } }))
}

/// A set or map, or the name of one whose types are none of ours.
pub(crate) fn set(attrs: Attrs<'_>) -> Result<OrForeign<Set>, DecodeError> {
    let name = name(attrs, uapi::NFTA_SET_NAME)?;
    let flags = attrs.u32(uapi::NFTA_SET_FLAGS)?.unwrap_or(0);
    let key = types(attrs, uapi::NFTA_SET_KEY_TYPE, uapi::NFTA_SET_KEY_LEN)?;
    let has = |bit: i32| flags & bit.cast_unsigned() != 0;
    let kind = if has(libc::NFT_SET_MAP) { map_kind(attrs)? } else { Some(SetKind::Set) };
    let (Some(key), Some(kind), false) =
        (key, kind, has(libc::NFT_SET_ANONYMOUS) || flags & NFT_SET_OBJECT != 0)
    else {
        return Ok(Err(name));
    };
    let flags = SetFlags {
        constant: has(libc::NFT_SET_CONSTANT),
        interval: has(libc::NFT_SET_INTERVAL),
        timeout: has(libc::NFT_SET_TIMEOUT),
        dynamic: has(libc::NFT_SET_EVAL),
    };
    let size = match attrs.nested(uapi::NFTA_SET_DESC)? {
        Some(desc) => desc.u32(uapi::NFTA_SET_DESC_SIZE)?,
        None => None,
    };
    let timeout = millis(attrs.u64(uapi::NFTA_SET_TIMEOUT)?);
    let comment = comment(attrs, uapi::NFTA_SET_USERDATA, SET_COMMENT)?;
    Ok(Ok(Set { name, key, kind, flags, timeout, size, comment }))
}

const NFT_SET_OBJECT: u32 = 0x40;

fn map_kind(attrs: Attrs<'_>) -> Result<Option<SetKind>, DecodeError> {
    if attrs.u32(uapi::NFTA_SET_DATA_TYPE)? == Some(libc::NFT_DATA_VERDICT) {
        return Ok(Some(SetKind::VerdictMap));
    }
    Ok(types(attrs, uapi::NFTA_SET_DATA_TYPE, uapi::NFTA_SET_DATA_LEN)?.map(SetKind::Map))
}

fn types(attrs: Attrs<'_>, id: u16, len: u16) -> Result<Option<Vec<DataType>>, DecodeError> {
    let id = attrs.u32(id)?.unwrap_or(0);
    let len = attrs.need_u32(len, "the length of a key or of data")? as usize;
    let types = from_type_id(id).filter(|types| !types.is_empty());
    Ok(types.filter(|types| width(types) == len))
}

fn millis(value: Option<u64>) -> Option<Duration> {
    value.filter(|ms| *ms > 0).map(Duration::from_millis)
}

/// An element as the kernel keeps it: of a range of one field, one of its two ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) key: Vec<u8>,
    pub(crate) is_end: bool,
    pub(crate) element: Option<Element>,
}

/// The elements of one message.
pub(crate) fn elements(set: &Set, attrs: Attrs<'_>) -> Result<Vec<Chunk>, DecodeError> {
    let list = attrs.nested(uapi::NFTA_SET_ELEM_LIST_ELEMENTS)?;
    list.into_iter().flat_map(Attrs::iter).map(|one| element(set, Attrs::new(one?.1))).collect()
}

fn element(set: &Set, attrs: Attrs<'_>) -> Result<Chunk, DecodeError> {
    let flags = attrs.u32(uapi::NFTA_SET_ELEM_FLAGS)?.unwrap_or(0);
    if flags & uapi::NFT_SET_ELEM_CATCHALL != 0 {
        return Err(DecodeError::Unknown { what: "element (a catch-all)", value: flags.into() });
    }
    let bytes =
        value(attrs, uapi::NFTA_SET_ELEM_KEY)?.ok_or(DecodeError::Missing("an element's key"))?;
    let key = decode(&set.key, bytes)?;
    if flags & libc::NFT_SET_ELEM_INTERVAL_END.cast_unsigned() != 0 {
        return Ok(Chunk { key: bytes.to_vec(), is_end: true, element: None });
    }
    let key_end =
        value(attrs, uapi::NFTA_SET_ELEM_KEY_END)?.map(|end| decode(&set.key, end)).transpose()?;
    let element = Element {
        key,
        key_end,
        data: data(set, attrs)?,
        timeout: millis(attrs.u64(uapi::NFTA_SET_ELEM_TIMEOUT)?),
        expires: millis(attrs.u64(uapi::NFTA_SET_ELEM_EXPIRATION)?),
        comment: comment(attrs, uapi::NFTA_SET_ELEM_USERDATA, COMMENT)?,
    };
    Ok(Chunk { key: bytes.to_vec(), is_end: false, element: Some(element) })
}

fn value(attrs: Attrs<'_>, kind: u16) -> Result<Option<&[u8]>, DecodeError> {
    match attrs.nested(kind)? {
        Some(data) => Ok(Some(data.need(uapi::NFTA_DATA_VALUE, "a value")?)),
        None => Ok(None),
    }
}

fn data(set: &Set, attrs: Attrs<'_>) -> Result<Data, DecodeError> {
    match &set.kind {
        SetKind::Set => Ok(Data::None),
        SetKind::Map(types) => {
            let bytes = value(attrs, uapi::NFTA_SET_ELEM_DATA)?
                .ok_or(DecodeError::Missing("an element's data"))?;
            decode(types, bytes).map(Data::Value)
        }
        SetKind::VerdictMap => {
            let data = attrs
                .nested(uapi::NFTA_SET_ELEM_DATA)?
                .ok_or(DecodeError::Missing("an element's verdict"))?;
            verdict(data).map(Data::Verdict)
        }
    }
}

/// The verdict in `NFTA_DATA_VERDICT`.
pub(super) fn verdict(data: Attrs<'_>) -> Result<Verdict, DecodeError> {
    let verdict = data.nested(uapi::NFTA_DATA_VERDICT)?.ok_or(DecodeError::Missing("a verdict"))?;
    let code = verdict.need_u32(uapi::NFTA_VERDICT_CODE, "a verdict's code")?.cast_signed();
    let chain = verdict.text(uapi::NFTA_VERDICT_CHAIN)?.map(Name::observed);
    Verdict::from_raw(code, chain)
        .ok_or(DecodeError::Unknown { what: "verdict", value: code.into() })
}

/// The elements of a set from the kernel's: the two ends of a range become one element; sorted.
pub(crate) fn join_ranges(set: &Set, mut chunks: Vec<Chunk>) -> Result<Vec<Element>, DecodeError> {
    // At one key an end comes before the start that follows it.
    chunks.sort_by(|a, b| (&a.key, !a.is_end).cmp(&(&b.key, !b.is_end)));
    let mut elements: Vec<Element> = Vec::with_capacity(chunks.len());
    let mut open = false;
    for chunk in chunks {
        match chunk.element {
            Some(element) => {
                close(set, &mut elements, open, &chunk.key)?;
                open = set.is_split_interval();
                elements.push(element);
            }
            None => {
                close(set, &mut elements, open, &chunk.key)?;
                open = false;
            }
        }
    }
    close(set, &mut elements, open, &[])?;
    elements.sort();
    Ok(elements)
}

/// Ends the open range before `next`; an empty `next` means the last key there is.
fn close(set: &Set, elements: &mut [Element], open: bool, next: &[u8]) -> Result<(), DecodeError> {
    let (true, Some(element)) = (open, elements.last_mut()) else { return Ok(()) };
    let last = if next.is_empty() { vec![0xff; set.key_len()] } else { predecessor(next.to_vec()) };
    let end = decode(&set.key, &last)?;
    element.key_end = (end != element.key).then_some(end);
    Ok(())
}

fn predecessor(mut key: Vec<u8>) -> Vec<u8> {
    for byte in key.iter_mut().rev() {
        let (next, borrow) = byte.overflowing_sub(1);
        *byte = next;
        if !borrow {
            break;
        }
    }
    key
}

/// A flowtable.
pub(crate) fn flowtable(attrs: Attrs<'_>) -> Result<Flowtable, DecodeError> {
    let hook = attrs
        .nested(uapi::NFTA_FLOWTABLE_HOOK)?
        .ok_or(DecodeError::Missing("a flowtable's hook"))?;
    let mut devices = Vec::new();
    for device in hook.nested(uapi::NFTA_FLOWTABLE_HOOK_DEVS)?.into_iter().flat_map(Attrs::iter) {
        let (kind, value) = device?;
        if kind == uapi::NFTA_DEVICE_NAME {
            devices.push(text(value)?.to_owned());
        }
    }
    devices.sort();
    Ok(Flowtable {
        name: name(attrs, uapi::NFTA_FLOWTABLE_NAME)?,
        priority: hook.u32(uapi::NFTA_FLOWTABLE_HOOK_PRIORITY)?.unwrap_or(0).cast_signed(),
        devices,
        counter: attrs.u32(uapi::NFTA_FLOWTABLE_FLAGS)?.unwrap_or(0) & uapi::NFT_FLOWTABLE_COUNTER
            != 0,
    })
}

/// The name of an ipset. It may be any bytes: those that aren't UTF-8 are replaced.
pub(crate) fn ipset(attrs: Attrs<'_>) -> Result<String, DecodeError> {
    attrs.need(uapi::IPSET_ATTR_SETNAME, "an ipset's name").map(lossy)
}

/// A change of the rule set, of any table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Its number.
    pub id: u32,
    /// The netlink port of the socket that made it: compare with [`crate::Socket::port`].
    pub port: u32,
    /// The thread that made it, by its number in the first PID namespace.
    pub pid: Option<u32>,
    /// The name of that thread. It may be any bytes: those that aren't UTF-8 are replaced.
    pub process: Option<String>,
}

pub(crate) fn generation(attrs: Attrs<'_>, port: u32) -> Result<Generation, DecodeError> {
    Ok(Generation {
        id: attrs.need_u32(uapi::NFTA_GEN_ID, "the generation")?,
        port,
        pid: attrs.u32(uapi::NFTA_GEN_PROC_PID)?,
        process: attrs.get(uapi::NFTA_GEN_PROC_NAME)?.map(lossy),
    })
}
