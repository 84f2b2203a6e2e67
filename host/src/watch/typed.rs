//! Reads Kubernetes' types, and says which fields are wrong or unknown. Pure.

use std::fmt::Display;

use serde::de::{Deserialize, Deserializer};
use serde_ignored::Path as Ignored;
use serde_path_to_error::Track;

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
pub(super) fn read<'de, T, D>(from: D) -> Result<ReadAs<T>, Mistyped>
where
    T: Deserialize<'de>,
    D: Deserializer<'de, Error: Display>,
{
    let (mut track, mut unknown) = (Track::new(), Vec::new());
    let mut note = |path: Ignored<'_>| {
        if unknown.len() < MOST {
            unknown.push(field(&path));
        }
    };
    let tracked = serde_path_to_error::Deserializer::new(from, &mut track);
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
