//! An element of a set, map or verdict map. Pure.

use std::{fmt, time::Duration};

use crate::{Value, Verdict, value::join};

/// One element.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Element {
    /// The key, field by field; in an interval set the first key of the range.
    pub key: Vec<Value>,
    /// In an interval set the last key of the range (included), field by field.
    pub key_end: Option<Vec<Value>>,
    /// What the key leads to.
    pub data: Data,
    /// How long it lives, from when it was added. Whole milliseconds.
    pub timeout: Option<Duration>,
    /// How long it still lives: filled in by observation, ignored when it is added.
    pub expires: Option<Duration>,
    /// At most 127 bytes, shown by nft.
    pub comment: Option<String>,
}

/// What a key leads to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Data {
    /// An element of a set.
    None,
    /// An element of a map.
    Value(Vec<Value>),
    /// An element of a verdict map.
    Verdict(Verdict),
}

impl Element {
    /// An element of a set.
    #[must_use]
    pub fn new(key: impl Into<Vec<Value>>) -> Self {
        Self::with(key.into(), Data::None)
    }

    /// An element of a map.
    #[must_use]
    pub fn value(key: impl Into<Vec<Value>>, data: impl Into<Vec<Value>>) -> Self {
        Self::with(key.into(), Data::Value(data.into()))
    }

    /// An element of a verdict map.
    #[must_use]
    pub fn verdict(key: impl Into<Vec<Value>>, verdict: Verdict) -> Self {
        Self::with(key.into(), Data::Verdict(verdict))
    }

    fn with(key: Vec<Value>, data: Data) -> Self {
        Self { key, key_end: None, data, timeout: None, expires: None, comment: None }
    }

    /// The same up to `end`, which is included: for interval sets.
    #[must_use]
    pub fn to(mut self, end: impl Into<Vec<Value>>) -> Self {
        self.key_end = Some(end.into());
        self
    }

    /// The same with a lifetime.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The same with a comment.
    #[must_use]
    pub fn comment(mut self, text: impl Into<String>) -> Self {
        self.comment = Some(text.into());
        self
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key_end {
            None => f.write_str(&join(&self.key))?,
            Some(end) => f.write_str(&join(&ranges(&self.key, end)))?,
        }
        if let Some(timeout) = self.timeout {
            write!(f, " timeout {}ms", timeout.as_millis())?;
        }
        if let Some(comment) = &self.comment {
            write!(f, " comment {comment:?}")?;
        }
        match &self.data {
            Data::None => Ok(()),
            Data::Value(data) => write!(f, " : {}", join(data)),
            Data::Verdict(verdict) => write!(f, " : {verdict}"),
        }
    }
}

fn ranges(from: &[Value], to: &[Value]) -> Vec<String> {
    let field = |(from, to): (&Value, &Value)| {
        if from == to { from.to_string() } else { format!("{from}-{to}") }
    };
    from.iter().zip(to).map(field).collect()
}
