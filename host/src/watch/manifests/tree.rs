//! A document as written: values with the lines that they stand on. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

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

/// A tree out of JSON; serde_json tells no lines.
pub(super) struct FromJson(pub(super) Tree);

impl From<FromYaml> for Tree {
    fn from(from: FromYaml) -> Self {
        from.0
    }
}

impl From<FromJson> for Tree {
    fn from(from: FromJson) -> Self {
        from.0
    }
}

impl<'de> Deserialize<'de> for FromYaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Bare<Self>>::deserialize(deserializer)?;
        let line = usize::try_from(spanned.referenced.line()).ok().filter(|&line| line > 0);
        Ok(Self(Tree { line, node: spanned.value.node }))
    }
}

impl<'de> Deserialize<'de> for FromJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bare = Bare::<Self>::deserialize(deserializer)?;
        Ok(Self(Tree { line: None, node: bare.node }))
    }
}

/// A node whose children are read as `C`.
struct Bare<C> {
    node: Node,
    children: PhantomData<C>,
}

impl<'de, C: Deserialize<'de> + Into<Tree>> Deserialize<'de> for Bare<C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = deserializer.deserialize_any(NodeVisitor::<C>(PhantomData))?;
        Ok(Self { node, children: PhantomData })
    }
}

struct NodeVisitor<C>(PhantomData<C>);

impl<'de, C: Deserialize<'de> + Into<Tree>> Visitor<'de> for NodeVisitor<C> {
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
        while let Some(child) = seq.next_element::<C>()? {
            list.push(child.into());
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value::<C>()?.into();
            if fields.contains_key(&key) {
                return Err(de::Error::custom(format_args!("the key {key:?} stands here twice")));
            }
            fields.insert(key, value);
        }
        Ok(Node::Map(fields))
    }
}
