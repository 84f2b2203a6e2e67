//! A YAML document as a tree in which every node knows its line. Pure.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer};
use serde_saphyr::Spanned;

use super::fault::{FieldPath, Step};

/// The largest file that is read; a configuration of a thousand policies is well below.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// A node and the line on which it starts (a map's entry: the line of its key).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) line: u64,
    pub(super) value: Value,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Taken out after it was reported; as if it had never been written.
    Removed,
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// Why a text is not one YAML document.
#[derive(Debug)]
pub(super) struct NotYaml {
    pub(super) line: Option<u64>,
    pub(super) text: String,
}

/// Reads one document.
pub(super) fn parse(text: &str) -> Result<Node, NotYaml> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_documents: 1, max_depth: 64, max_nodes: 20_000 },
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options::<Node>(text, options).map_err(|error| NotYaml {
        line: error.location().map(|at| at.line()).filter(|line| *line > 0),
        text: one_line(error.without_snippet()),
    })
}

/// The parser's words without its own mention of the place and of its options.
fn one_line(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::{Error, budget::BudgetBreach};
    match error {
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            return format!("`{key}` is written twice in one map");
        }
        Error::Budget { breach: BudgetBreach::Documents { .. }, .. }
        | Error::MultipleDocuments { .. } => {
            return "one document is expected, and here a second one starts".to_owned();
        }
        Error::Budget { .. } | Error::AliasError { .. } => {
            return "too large, too deep, or too many aliases".to_owned();
        }
        _ => {}
    }
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or(&text);
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(from)?;
        Ok(Self { line: spanned.referenced.line(), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> de::Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        Value::deserialize(from)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(u64::try_from(value).map_or(Value::Signed(value), Value::Unsigned))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Unsigned(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = from.next_element()? {
            list.push(node);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = from.next_key::<Spanned<String>>()? {
            let mut node: Node = from.next_value()?;
            node.line = key.referenced.line();
            map.push((key.value, node));
        }
        Ok(Value::Map(map))
    }
}

impl Node {
    /// The node at `path`, or the last one on the way there.
    pub(super) fn nearest(&self, path: &FieldPath) -> &Self {
        let mut node = self;
        for step in path.steps() {
            match node.child(step) {
                Some(child) => node = child,
                None => break,
            }
        }
        node
    }

    /// The node at `path`.
    pub(super) fn at(&self, path: &FieldPath) -> Option<&Self> {
        path.steps().iter().try_fold(self, |node, step| node.child(step))
    }

    fn child(&self, step: &Step) -> Option<&Self> {
        match (&self.value, step) {
            (Value::Map(map), Step::Key(key)) => {
                map.iter().find(|(name, _)| name == key).map(|(_, node)| node)
            }
            (Value::List(list), Step::Index(index)) => list.get(*index),
            _ => None,
        }
    }

    fn child_mut(&mut self, step: &Step) -> Option<&mut Self> {
        match (&mut self.value, step) {
            (Value::Map(map), Step::Key(key)) => {
                map.iter_mut().find(|(name, _)| name == key).map(|(_, node)| node)
            }
            (Value::List(list), Step::Index(index)) => list.get_mut(*index),
            _ => None,
        }
    }

    /// Takes the node at `path` out; other elements of a list keep their numbers. False if there
    /// is none.
    pub(super) fn remove(&mut self, path: &FieldPath) -> bool {
        let found = path.steps().iter().try_fold(self, |node, step| node.child_mut(step));
        let taken = found.map(|node| std::mem::replace(&mut node.value, Value::Removed));
        taken.is_some_and(|value| value != Value::Removed)
    }

    /// `path` with each element's number as it was written, where it counts only what is left of lists.
    pub(super) fn as_written(&self, path: &FieldPath) -> FieldPath {
        let (mut node, mut written) = (Some(self), FieldPath::default());
        for step in path.steps() {
            let step = match (node.map(|node| &node.value), step) {
                (Some(Value::List(list)), Step::Index(index)) => {
                    let left = list.iter().enumerate().filter(|(_, n)| n.value != Value::Removed);
                    Step::Index(left.map(|(at, _)| at).nth(*index).unwrap_or(*index))
                }
                _ => step.clone(),
            };
            node = node.and_then(|node| node.child(&step));
            written = written.then(step);
        }
        written
    }

    /// Takes one key out of a map and returns what it held.
    pub(super) fn take(&mut self, key: &str) -> Option<Self> {
        let Value::Map(map) = &mut self.value else { return None };
        let position = map.iter().position(|(name, _)| name == key)?;
        Some(map.remove(position).1)
    }

    /// Whether this is nothing, as Go's zero values are: null, false, 0, "", "0s", empty.
    pub(super) fn is_zero(&self) -> bool {
        match &self.value {
            Value::Removed | Value::Null | Value::Bool(false) | Value::Unsigned(0) => true,
            Value::Float(value) => *value == 0.0,
            Value::Text(text) => matches!(text.as_str(), "" | "0" | "0s"),
            Value::List(list) => list.is_empty(),
            Value::Map(map) => map.iter().all(|(_, node)| node.is_zero()),
            Value::Bool(true) | Value::Signed(_) | Value::Unsigned(_) => false,
        }
    }
}
