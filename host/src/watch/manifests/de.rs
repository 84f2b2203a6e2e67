//! Reads Kubernetes' types out of a [`Tree`]. Pure.

use serde::Deserialize;
use serde::de::value::{Error, MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_ignored::Path as Ignored;
use serde_path_to_error::Track;

use super::tree::{Node, Tree};

/// A field that has a value of the wrong type.
pub(super) struct Mistyped {
    /// As `spec.ports[1].port`; empty for the document itself.
    pub(super) field: String,
    /// What was expected and found.
    pub(super) message: String,
}

/// What was read.
pub(super) struct ReadAs<T> {
    pub(super) object: T,
    /// Fields that a `T` doesn't have, as `spec.ports[1].prot`; at most [`MOST`].
    pub(super) unknown: Vec<String>,
}

/// The most unknown fields told of one object.
const MOST: usize = 16;

/// Reads a `T`.
pub(super) fn read<'de, T: Deserialize<'de>>(tree: &'de Tree) -> Result<ReadAs<T>, Mistyped> {
    let (mut track, mut unknown) = (Track::new(), Vec::new());
    let mut note = |path: Ignored<'_>| {
        if unknown.len() < MOST {
            unknown.push(field(&path));
        }
    };
    let tracked = serde_path_to_error::Deserializer::new(tree, &mut track);
    let read = T::deserialize(serde_ignored::Deserializer::new(tracked, &mut note));
    match read {
        Ok(object) => Ok(ReadAs { object, unknown }),
        Err(error) => {
            let path = track.path().to_string();
            let field = Some(path).filter(|path| path != ".").unwrap_or_default();
            Err(Mistyped { field, message: error.to_string() })
        }
    }
}

/// The words for a path that serde_path_to_error would use.
fn field(path: &Ignored<'_>) -> String {
    match path {
        Ignored::Root => String::new(),
        Ignored::Seq { parent, index } => format!("{}[{index}]", field(parent)),
        Ignored::Map { parent, key } => {
            let parent = field(parent);
            let dot = if parent.is_empty() { "" } else { "." };
            format!("{parent}{dot}{key}")
        }
        Ignored::Some { parent }
        | Ignored::NewtypeStruct { parent }
        | Ignored::NewtypeVariant { parent } => field(parent),
    }
}

impl<'de> IntoDeserializer<'de, Error> for &'de Tree {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for &'de Tree {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node {
            Node::Null => visitor.visit_unit(),
            Node::Bool(value) => visitor.visit_bool(*value),
            Node::Signed(value) => visitor.visit_i64(*value),
            Node::Unsigned(value) => visitor.visit_u64(*value),
            Node::Float(value) => visitor.visit_f64(*value),
            Node::Text(text) => visitor.visit_borrowed_str(text),
            Node::List(list) => visitor.visit_seq(SeqDeserializer::new(list.iter())),
            Node::Map(map) => {
                let fields = map.iter().map(|(key, value)| (key.as_str(), value));
                visitor.visit_map(MapDeserializer::new(fields))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node {
            Node::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
