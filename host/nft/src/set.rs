//! A set, map or verdict map: the type of its keys, what it holds for each, and how. Pure.

use std::{fmt, time::Duration};

use crate::{
    DataType, Name,
    value::{join, width},
};

/// A named set, map or verdict map.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Set {
    /// Its name, unique in the table.
    pub name: Name,
    /// The fields of a key: 1 to 5, together at most 64 bytes.
    pub key: Vec<DataType>,
    /// What a key leads to.
    pub kind: SetKind,
    /// How it is kept.
    pub flags: SetFlags,
    /// How long an element lives that names no time of its own.
    pub timeout: Option<Duration>,
    /// At most so many elements. A dynamic set without a size gets 65,535.
    pub size: Option<u32>,
    /// At most 127 bytes, shown by nft.
    pub comment: Option<String>,
}

/// What a key leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SetKind {
    /// Nothing: a key is in the set or isn't.
    Set,
    /// A value of these fields.
    Map(Vec<DataType>),
    /// A verdict.
    VerdictMap,
}

/// How a set is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SetFlags {
    /// No element may be added once it is bound to a rule.
    pub constant: bool,
    /// Elements are ranges.
    pub interval: bool,
    /// Elements may have a lifetime.
    pub timeout: bool,
    /// Rules may add and update elements.
    pub dynamic: bool,
}

impl Set {
    /// A set of keys.
    #[must_use]
    pub fn new(name: Name, key: &[DataType]) -> Self {
        Self::of(name, key, SetKind::Set)
    }

    /// A map from keys to values.
    #[must_use]
    pub fn map(name: Name, key: &[DataType], data: &[DataType]) -> Self {
        Self::of(name, key, SetKind::Map(data.to_vec()))
    }

    /// A map from keys to verdicts.
    #[must_use]
    pub fn verdict_map(name: Name, key: &[DataType]) -> Self {
        Self::of(name, key, SetKind::VerdictMap)
    }

    fn of(name: Name, key: &[DataType], kind: SetKind) -> Self {
        let flags = SetFlags::default();
        Self { name, key: key.to_vec(), kind, flags, timeout: None, size: None, comment: None }
    }

    /// The same, its elements ranges.
    #[must_use]
    pub fn interval(mut self) -> Self {
        self.flags.interval = true;
        self
    }

    /// The same, its elements living for `default` unless they say otherwise.
    #[must_use]
    pub fn timeout(mut self, default: Option<Duration>) -> Self {
        self.flags.timeout = true;
        self.timeout = default;
        self
    }

    /// The same, filled by rules.
    #[must_use]
    pub fn dynamic(mut self) -> Self {
        self.flags.dynamic = true;
        self
    }

    /// The same, bounded.
    #[must_use]
    pub fn size(mut self, elements: u32) -> Self {
        self.size = Some(elements);
        self
    }

    /// The same with a comment.
    #[must_use]
    pub fn comment(mut self, text: impl Into<String>) -> Self {
        self.comment = Some(text.into());
        self
    }

    /// Whether a key has several fields.
    pub(crate) fn is_concat(&self) -> bool {
        self.key.len() > 1
    }

    /// Intervals of several fields carry both ends in one element (pipapo); those of a single
    /// field are two elements (rbtree).
    pub(crate) fn is_split_interval(&self) -> bool {
        self.flags.interval && !self.is_concat()
    }

    /// Length of a key in bytes.
    pub(crate) fn key_len(&self) -> usize {
        width(&self.key)
    }

    /// `set` or `map`.
    pub(crate) fn word(&self) -> &'static str {
        if self.kind == SetKind::Set { "set" } else { "map" }
    }
}

impl fmt::Display for Set {
    /// The name and the definition: `masq4 { type ipv4_addr . inet_proto . inet_service; }`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {{ type {}", self.name, join(&self.key))?;
        match &self.kind {
            SetKind::Set => {}
            SetKind::Map(data) => write!(f, " : {}", join(data))?,
            SetKind::VerdictMap => f.write_str(" : verdict")?,
        }
        write!(f, ";{}", self.flags)?;
        if let Some(timeout) = self.timeout {
            write!(f, " timeout {}ms;", timeout.as_millis())?;
        }
        if let Some(size) = self.size {
            write!(f, " size {size};")?;
        }
        f.write_str(" }")
    }
}

impl fmt::Display for SetFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { constant, interval, timeout, dynamic } = *self;
        let words = [
            (constant, "constant"),
            (interval, "interval"),
            (dynamic, "dynamic"),
            (timeout, "timeout"),
        ];
        let words: Vec<&str> =
            words.into_iter().filter_map(|(on, word)| on.then_some(word)).collect();
        if words.is_empty() {
            return Ok(());
        }
        write!(f, " flags {};", words.join(","))
    }
}
