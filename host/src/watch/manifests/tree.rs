//! A document as written: values with the lines that they stand on. Pure.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::limits::Limits;

/// One value and its line, counted from 1 in the text it was read from.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) line: Option<usize>,
    pub(super) node: Node,
}

/// What JSON can say; YAML says no more that matters here.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    List(Vec<Tree>),
    Map(BTreeMap<String, Tree>),
}

impl Tree {
    /// The value of a field of a mapping; nothing where it is null or absent.
    pub(super) fn get(&self, field: &str) -> Option<&Self> {
        let Node::Map(map) = &self.node else { return None };
        map.get(field).filter(|tree| !matches!(tree.node, Node::Null))
    }

    /// The text of a field of a mapping.
    pub(super) fn text(&self, field: &str) -> Option<&str> {
        match &self.get(field)?.node {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// How many values there are, this one included.
    pub(super) fn count(&self) -> usize {
        1 + match &self.node {
            Node::List(list) => list.iter().map(Self::count).sum(),
            Node::Map(map) => map.values().map(Self::count).sum(),
            _ => 0,
        }
    }

    /// The line of `path`, as `spec.ports[1].port`; of the innermost part of it that is there.
    pub(super) fn line_of(&self, path: &str) -> Option<usize> {
        let mut tree = self;
        for step in path.split(['.', '[', ']']).filter(|step| !step.is_empty()) {
            let next = match &tree.node {
                Node::List(list) => step.parse().ok().and_then(|i: usize| list.get(i)),
                Node::Map(map) => map.get(step),
                _ => None,
            };
            let Some(next) = next else { break };
            tree = next;
        }
        tree.line
    }
}

/// A tree out of YAML, with lines.
pub(super) struct FromYaml(pub(super) Tree);

impl From<FromYaml> for Tree {
    fn from(from: FromYaml) -> Self {
        from.0
    }
}

impl<'de> Deserialize<'de> for FromYaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Bare>::deserialize(deserializer)?;
        let line = usize::try_from(spanned.referenced.line()).ok().filter(|&line| line > 0);
        Ok(Self(Tree { line, node: spanned.value.0 }))
    }
}

/// Reads one value. Of JSON no lines are known; what it may cost is counted as it is read.
///
/// # Errors
/// What is wrong with the text, or which limit it goes beyond.
pub(super) fn from_json<'de, D: Deserializer<'de>>(
    from: D,
    limits: &Limits,
    values_left: usize,
) -> Result<Tree, D::Error> {
    let left = Cell::new(values_left);
    FromJson { limits, left: &left, depth: 0 }.deserialize(from)
}

/// A value so deep in its document.
#[derive(Clone, Copy)]
struct FromJson<'a> {
    limits: &'a Limits,
    left: &'a Cell<usize>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for FromJson<'_> {
    type Value = Tree;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Tree, D::Error> {
        let Some(left) = self.left.get().checked_sub(1) else {
            let words = format_args!("the file holds more than {} values", self.limits.values);
            return Err(de::Error::custom(words));
        };
        self.left.set(left);
        if self.depth > self.limits.depth {
            let words = format_args!("nests deeper than {} lists and mappings", self.limits.depth);
            return Err(de::Error::custom(words));
        }
        let child = Self { depth: self.depth + 1, ..self };
        Ok(Tree { line: None, node: from.deserialize_any(NodeVisitor(child))? })
    }
}

/// A node of YAML.
struct Bare(Node);

impl<'de> Deserialize<'de> for Bare {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor(PhantomData::<FromYaml>)).map(Self)
    }
}

/// Reads a node; its children with the seed.
struct NodeVisitor<S>(S);

impl<'de, S> Visitor<'de> for NodeVisitor<S>
where
    S: DeserializeSeed<'de, Value: Into<Tree>> + Copy,
{
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON can hold")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Signed(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Unsigned(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(child) = seq.next_element_seed(self.0)? {
            list.push(child.into());
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(self.0)?.into();
            if fields.contains_key(&key) {
                return Err(de::Error::custom(format_args!("the key {key:?} stands here twice")));
            }
            fields.insert(key, value);
        }
        Ok(Node::Map(fields))
    }
}
