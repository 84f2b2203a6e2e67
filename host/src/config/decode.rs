//! From a YAML tree to a typed value, with every fault found, each with its field and line. Pure.
//!
//! serde stops at the first fault. [`decode`] notes it, takes the faulty node out and starts again,
//! so that one reading names them all; every field that can be taken out has a default.

use std::fmt::{self, Display};

use serde::de::{self, DeserializeOwned, Deserializer, IntoDeserializer};

use super::fault::{FieldPath, Step, nearest};
use super::yaml::{Node, Value};

/// One fault in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) path: FieldPath,
    pub(super) line: u64,
    pub(super) text: String,
}

/// More faults than anybody reads at once.
const MAX_FAULTS: usize = 100;

/// Reads `root` as a `T`; faulty fields are taken out of `root` and reported. No value is returned
/// where the fault can't be taken out.
pub(super) fn decode<T: DeserializeOwned>(root: &mut Node) -> (Option<T>, Vec<Fault>) {
    let mut faults = Vec::new();
    while faults.len() < MAX_FAULTS {
        let error = match T::deserialize(&*root) {
            Ok(value) => return (Some(value), faults),
            Err(error) => error,
        };
        let silent = error.is_for_null(root) || error.is_known(root);
        let (text, line) = (error.text(), root.nearest(&error.path).line);
        let shown = error.shown_path();
        let removed = root.remove(&error.path);
        if !silent {
            faults.push(Fault { path: shown, line, text });
        }
        if !removed {
            return (None, faults);
        }
    }
    (None, faults)
}

#[derive(Debug)]
enum Kind {
    Unknown { name: String, known: Vec<String> },
    Missing(&'static str),
    Type { got: String, want: String },
    Other(String),
}

/// The first fault that serde met.
#[derive(Debug)]
pub(super) struct Stop {
    path: FieldPath,
    kind: Kind,
}

impl Stop {
    fn new(kind: Kind) -> Self {
        Self { path: FieldPath::default(), kind }
    }

    fn below(mut self, step: Step) -> Self {
        self.path.prepend(step);
        self
    }

    /// Whether a field that must be set was there, and was taken out with an error of its own.
    fn is_known(&self, root: &Node) -> bool {
        matches!(self.kind, Kind::Missing(_)) && root.at(&self.shown_path()).is_some()
    }

    /// A key with nothing after it counts as left out, as in Kubernetes.
    fn is_for_null(&self, root: &Node) -> bool {
        let by_key = matches!(self.path.steps().last(), Some(Step::Key(_)));
        let null = root.at(&self.path).is_some_and(|node| node.value == Value::Null);
        by_key && null && !matches!(self.kind, Kind::Unknown { .. })
    }

    fn shown_path(&self) -> FieldPath {
        match self.kind {
            Kind::Missing(name) => self.path.then(Step::Key(name.to_owned())),
            _ => self.path.clone(),
        }
    }

    fn text(&self) -> String {
        match &self.kind {
            Kind::Unknown { name, known } => {
                let meant = nearest(name, known.iter().map(String::as_str));
                let meant = meant.map(|name| format!("; did you mean `{name}`?"));
                let known = known.join(", ");
                format!("unknown field{} (known here: {known})", meant.unwrap_or_default())
            }
            Kind::Missing(_) => "must be set".to_owned(),
            Kind::Type { got, want } => format!("expected {want}, found {got}"),
            Kind::Other(text) => text.clone(),
        }
    }
}

impl Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.text())
    }
}

impl std::error::Error for Stop {}

impl de::Error for Stop {
    fn custom<T: Display>(text: T) -> Self {
        Self::new(Kind::Other(text.to_string()))
    }

    fn invalid_type(got: de::Unexpected<'_>, want: &dyn de::Expected) -> Self {
        Self::new(Kind::Type { got: found(got), want: wanted(want) })
    }

    fn invalid_value(got: de::Unexpected<'_>, want: &dyn de::Expected) -> Self {
        Self::new(Kind::Type { got: found(got), want: wanted(want) })
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        let known = known.iter().map(|name| (*name).to_owned()).collect();
        Self::new(Kind::Unknown { name: name.to_owned(), known })
    }

    fn unknown_variant(name: &str, known: &'static [&'static str]) -> Self {
        let meant = nearest(name, known.iter().copied());
        let meant = meant.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        let known: Vec<_> = known.iter().copied().filter(|name| !name.is_empty()).collect();
        let known = known.join(", ");
        Self::new(Kind::Other(format!("`{name}` is not allowed: expected one of {known}{meant}")))
    }

    fn missing_field(name: &'static str) -> Self {
        Self::new(Kind::Missing(name))
    }
}

fn found(got: de::Unexpected<'_>) -> String {
    match got {
        de::Unexpected::Bool(value) => format!("`{value}`"),
        de::Unexpected::Unsigned(value) => format!("the number {value}"),
        de::Unexpected::Signed(value) => format!("the number {value}"),
        de::Unexpected::Float(value) => format!("the number {value}"),
        de::Unexpected::Str(value) => format!("`{value}`"),
        de::Unexpected::Unit => "nothing".to_owned(),
        de::Unexpected::Seq => "a list".to_owned(),
        de::Unexpected::Map => "a map".to_owned(),
        other => other.to_string(),
    }
}

fn wanted(want: &dyn de::Expected) -> String {
    let want = want.to_string();
    match want.as_str() {
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a string" | "path string" => "a text (put it in quotes)".to_owned(),
        "i32" | "i64" | "u32" | "u64" => "a whole number".to_owned(),
        struct_name if struct_name.starts_with("struct ") => "a map of settings".to_owned(),
        enum_name if enum_name.starts_with("enum ") => "a text".to_owned(),
        _ => want,
    }
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Stop;

    fn deserialize_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        match &self.value {
            Value::Removed | Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Signed(value) => visitor.visit_i64(*value),
            Value::Unsigned(value) => visitor.visit_u64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(text) => visitor.visit_str(text),
            Value::List(list) => visitor.visit_seq(Elements { list, next: 0 }),
            Value::Map(map) => visitor.visit_map(Entries { map, next: 0 }),
        }
    }

    fn deserialize_option<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        match self.value {
            Value::Removed | Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        match &self.value {
            Value::Text(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            _ => {
                let want = format!("one of {}", names.join(", "));
                self.deserialize_any(Other(want)).map(|never| match never {})
            }
        }
    }

    /// Fields by position are for formats without names.
    fn deserialize_struct<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        match &self.value {
            Value::List(_) => Err(de::Error::invalid_type(de::Unexpected::Seq, &visitor)),
            _ => self.deserialize_any(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

/// Takes nothing: every value is of the wrong type.
struct Other(String);

/// The value of [`Other`], which there isn't.
enum Never {}

impl de::Visitor<'_> for Other {
    type Value = Never;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

struct Elements<'de> {
    list: &'de [Node],
    next: usize,
}

impl<'de> de::SeqAccess<'de> for Elements<'de> {
    type Error = Stop;

    fn next_element_seed<S: de::DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Stop> {
        let kept = self.list.iter().enumerate().skip(self.next);
        let Some((index, node)) = kept.into_iter().find(|(_, n)| n.value != Value::Removed) else {
            return Ok(None);
        };
        self.next = index + 1;
        seed.deserialize(node).map(Some).map_err(|stop| stop.below(Step::Index(index)))
    }
}

struct Entries<'de> {
    map: &'de [(String, Node)],
    next: usize,
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = Stop;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Stop> {
        let kept = self.map.iter().enumerate().skip(self.next);
        let found = kept.into_iter().find(|(_, (_, node))| node.value != Value::Removed);
        let Some((index, (key, _))) = found else { return Ok(None) };
        self.next = index + 1;
        let key_deserializer = key.as_str().into_deserializer();
        seed.deserialize(key_deserializer)
            .map(Some)
            .map_err(|s: Stop| s.below(Step::Key(key.clone())))
    }

    fn next_value_seed<S: de::DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Stop> {
        let entry = self.next.checked_sub(1).and_then(|index| self.map.get(index));
        let Some((key, node)) = entry else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(node).map_err(|stop| stop.below(Step::Key(key.clone())))
    }
}
