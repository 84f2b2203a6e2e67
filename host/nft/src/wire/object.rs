//! Tables, chains, rules, sets, elements and flowtables as libnftnl objects. Pure but for memory.

use std::ffi::CString;

use nftnl_sys as sys;

use super::{
    expr, raw,
    userdata::{COMMENT, SET_COMMENT, SET_DATA_BYTEORDER, SET_KEY_BYTEORDER, Userdata},
};
use crate::{
    Chain, Data, DataType, Element, Flowtable, Handle, Name, Rule, Set, SetKind, Table, Value,
    Verdict,
    uapi::{NFT_FLOWTABLE_COUNTER, NFT_SET_CONCAT},
    value::{encode, type_id, width},
};

pub(super) fn table(table: &Table) -> raw::Table {
    let mut it = raw::Table::new();
    it.u32(sys::NFTNL_TABLE_FAMILY, table.family as u32);
    it.name(sys::NFTNL_TABLE_NAME, &table.name);
    it
}

pub(super) fn chain_name(table: &Table, name: &Name) -> raw::Chain {
    let mut it = raw::Chain::new();
    it.u32(sys::NFTNL_CHAIN_FAMILY, table.family as u32);
    it.name(sys::NFTNL_CHAIN_TABLE, &table.name);
    it.name(sys::NFTNL_CHAIN_NAME, name);
    it
}

pub(super) fn chain(table: &Table, chain: &Chain) -> raw::Chain {
    let mut it = chain_name(table, &chain.name);
    if let Some(base) = &chain.base {
        let kind = CString::new(base.kind.as_str()).expect("a constant without NUL");
        it.text(sys::NFTNL_CHAIN_TYPE, &kind);
        it.u32(sys::NFTNL_CHAIN_HOOKNUM, base.hook as u32);
        it.i32(sys::NFTNL_CHAIN_PRIO, base.priority);
        it.u32(sys::NFTNL_CHAIN_POLICY, base.policy as u32);
    }
    if let Some(comment) = &chain.comment {
        it.data(sys::NFTNL_CHAIN_USERDATA, Userdata::comment(COMMENT, comment).bytes());
    }
    it
}

pub(super) fn rule_place(table: &Table, chain: &Name, handle: Option<Handle>) -> raw::Rule {
    let mut it = raw::Rule::new();
    it.u32(sys::NFTNL_RULE_FAMILY, table.family as u32);
    it.name(sys::NFTNL_RULE_TABLE, &table.name);
    it.name(sys::NFTNL_RULE_CHAIN, chain);
    if let Some(handle) = handle {
        it.u64(sys::NFTNL_RULE_HANDLE, handle);
    }
    it
}

pub(super) fn rule(table: &Table, chain: &Name, handle: Option<Handle>, rule: &Rule) -> raw::Rule {
    let mut it = rule_place(table, chain, handle);
    for one in &rule.exprs {
        it.add(expr::build(one));
    }
    if let Some(comment) = &rule.comment {
        it.data(sys::NFTNL_RULE_USERDATA, Userdata::comment(COMMENT, comment).bytes());
    }
    it
}

pub(super) fn set_name(table: &Table, name: &Name) -> raw::Set {
    let mut it = raw::Set::new();
    it.u32(sys::NFTNL_SET_FAMILY, table.family as u32);
    it.name(sys::NFTNL_SET_TABLE, &table.name);
    it.name(sys::NFTNL_SET_NAME, name);
    it
}

/// `id` must be unique in the batch: rules could name the set by it before it has a handle.
pub(super) fn set(table: &Table, set: &Set, id: u32) -> raw::Set {
    let mut it = set_name(table, &set.name);
    it.u32(sys::NFTNL_SET_ID, id);
    it.u32(sys::NFTNL_SET_FLAGS, set_flags(set));
    it.u32(sys::NFTNL_SET_KEY_TYPE, type_id(&set.key));
    it.u32(sys::NFTNL_SET_KEY_LEN, set.key_len() as u32);
    if set.is_concat() {
        let lens: Vec<u8> = set.key.iter().map(|field| field.len() as u8).collect();
        it.data(sys::NFTNL_SET_DESC_CONCAT, &lens);
    }
    match &set.kind {
        SetKind::Set => {}
        SetKind::Map(data) => {
            it.u32(sys::NFTNL_SET_DATA_TYPE, type_id(data));
            it.u32(sys::NFTNL_SET_DATA_LEN, width(data) as u32);
        }
        SetKind::VerdictMap => it.u32(sys::NFTNL_SET_DATA_TYPE, libc::NFT_DATA_VERDICT),
    }
    if let Some(timeout) = set.timeout {
        it.u64(sys::NFTNL_SET_TIMEOUT, timeout.as_millis() as u64);
    }
    if let Some(size) = set.size {
        it.u32(sys::NFTNL_SET_DESC_SIZE, size);
    }
    it.data(sys::NFTNL_SET_USERDATA, set_userdata(set).bytes());
    it
}

fn set_flags(set: &Set) -> u32 {
    let flags = set.flags;
    let bits = [
        (flags.constant, libc::NFT_SET_CONSTANT as u32),
        (flags.interval, libc::NFT_SET_INTERVAL as u32),
        (flags.timeout, libc::NFT_SET_TIMEOUT as u32),
        (flags.dynamic, libc::NFT_SET_EVAL as u32),
        (set.kind != SetKind::Set, libc::NFT_SET_MAP as u32),
        (set.is_concat(), NFT_SET_CONCAT),
    ];
    bits.into_iter().filter(|(on, _)| *on).fold(0, |all, (_, bit)| all | bit)
}

/// nft can't know the byte order of a number from its type alone.
fn set_userdata(set: &Set) -> Userdata {
    let mut it = Userdata::default();
    it.put_u32(SET_KEY_BYTEORDER, byteorder(&set.key));
    if let SetKind::Map(data) = &set.kind {
        it.put_u32(SET_DATA_BYTEORDER, byteorder(data));
    }
    if let Some(comment) = &set.comment {
        it.put_comment(SET_COMMENT, comment);
    }
    it
}

/// `enum byteorder` of nft: 0 for a concatenation, whose fields each have their own.
fn byteorder(types: &[DataType]) -> u32 {
    match types {
        [one] if one.is_host_order() => 1,
        [_] => 2,
        _ => 0,
    }
}

/// The element, and for a range of a single field the element that ends it.
pub(super) fn element(
    set: &Set,
    element: &Element,
    with_data: bool,
) -> (raw::Element, Option<raw::Element>) {
    let mut it = raw::Element::new();
    it.data(sys::NFTNL_SET_ELEM_KEY, &encode(&element.key));
    if let (Some(end), false) = (&element.key_end, set.is_split_interval()) {
        it.data(sys::NFTNL_SET_ELEM_KEY_END, &encode(end));
    }
    if with_data {
        element_data(&mut it, element);
    }
    (it, range_end(set, element))
}

fn element_data(it: &mut raw::Element, element: &Element) {
    match &element.data {
        Data::None => {}
        Data::Value(data) => it.data(sys::NFTNL_SET_ELEM_DATA, &encode(data)),
        Data::Verdict(verdict) => {
            it.u32(sys::NFTNL_SET_ELEM_VERDICT, verdict.code() as u32);
            if let Verdict::Jump(chain) | Verdict::Goto(chain) = verdict {
                it.name(sys::NFTNL_SET_ELEM_CHAIN, chain);
            }
        }
    }
    if let Some(timeout) = element.timeout {
        it.u64(sys::NFTNL_SET_ELEM_TIMEOUT, timeout.as_millis() as u64);
    }
    if let Some(comment) = &element.comment {
        it.data(sys::NFTNL_SET_ELEM_USERDATA, Userdata::comment(COMMENT, comment).bytes());
    }
}

/// The element after the range, unless the range reaches the last key there is.
fn range_end(set: &Set, element: &Element) -> Option<raw::Element> {
    let last: &[Value] = element.key_end.as_ref().unwrap_or(&element.key);
    let next = if set.is_split_interval() { successor(encode(last)) } else { None };
    next.map(|key| {
        let mut end = raw::Element::new();
        end.data(sys::NFTNL_SET_ELEM_KEY, &key);
        end.u32(sys::NFTNL_SET_ELEM_FLAGS, libc::NFT_SET_ELEM_INTERVAL_END as u32);
        end
    })
}

/// The next number in network order; `None` after the last.
pub(crate) fn successor(mut key: Vec<u8>) -> Option<Vec<u8>> {
    for byte in key.iter_mut().rev() {
        let (next, carry) = byte.overflowing_add(1);
        *byte = next;
        if !carry {
            return Some(key);
        }
    }
    None
}

pub(super) fn flowtable_name(table: &Table, name: &Name) -> raw::Flowtable {
    let mut it = raw::Flowtable::new();
    it.u32(sys::NFTNL_FLOWTABLE_FAMILY, table.family as u32);
    it.name(sys::NFTNL_FLOWTABLE_TABLE, &table.name);
    it.name(sys::NFTNL_FLOWTABLE_NAME, name);
    it
}

pub(super) fn flowtable(table: &Table, flowtable: &Flowtable) -> raw::Flowtable {
    /// `NF_NETDEV_INGRESS`, the only hook of flowtables.
    const INGRESS: u32 = 0;
    let mut it = flowtable_name(table, &flowtable.name);
    it.u32(sys::NFTNL_FLOWTABLE_HOOKNUM, INGRESS);
    it.i32(sys::NFTNL_FLOWTABLE_PRIO, flowtable.priority);
    let devices: Vec<CString> =
        flowtable.devices.iter().filter_map(|name| CString::new(name.as_str()).ok()).collect();
    it.devices(&devices);
    if flowtable.counter {
        it.u32(sys::NFTNL_FLOWTABLE_FLAGS, NFT_FLOWTABLE_COUNTER);
    }
    it
}
