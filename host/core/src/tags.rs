//! Labels and annotations, packed: a cluster has tens of thousands of objects with a handful each. Pure.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Labels or annotations, by name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tags {
    /// Names and values in turn, by name.
    text: Box<str>,
    /// Where in the text each name and each value ends.
    ends: Box<[u32]>,
}

impl Tags {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Names with their values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut from = 0;
        let mut next = move |end: u32| {
            let end = end as usize;
            &self.text[std::mem::replace(&mut from, end)..end]
        };
        self.ends.chunks_exact(2).map(move |ends| (next(ends[0]), next(ends[1])))
    }

    /// The same for whoever changes them.
    #[must_use]
    pub fn to_map(&self) -> BTreeMap<String, String> {
        self.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

impl From<BTreeMap<String, String>> for Tags {
    fn from(given: BTreeMap<String, String>) -> Self {
        let mut text = String::with_capacity(given.iter().map(|(n, v)| n.len() + v.len()).sum());
        let mut ends = Vec::with_capacity(2 * given.len());
        for (name, value) in &given {
            // The API server allows 256 KiB; a file of more than u32 can count isn't read.
            let Ok(end) = u32::try_from(text.len() + name.len() + value.len()) else { break };
            text.push_str(name);
            text.push_str(value);
            ends.extend([end - value.len() as u32, end]);
        }
        Self { text: text.into(), ends: ends.into() }
    }
}

impl FromIterator<(String, String)> for Tags {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(given: I) -> Self {
        BTreeMap::from_iter(given).into()
    }
}

impl<const N: usize> From<[(String, String); N]> for Tags {
    fn from(given: [(String, String); N]) -> Self {
        BTreeMap::from(given).into()
    }
}

impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Tags {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        BTreeMap::<String, String>::deserialize(from).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(given: BTreeMap<String, String>) {
            let tags = Tags::from(given.clone());
            prop_assert_eq!(tags.to_map(), given.clone());
            for (name, value) in &given {
                prop_assert_eq!(tags.get(name), Some(value.as_str()));
            }
            prop_assert_eq!(tags.get("no such name"), given.get("no such name").map(String::as_str));
            let json = serde_json::to_string(&tags).unwrap();
            prop_assert_eq!(&json, &serde_json::to_string(&given).unwrap());
            prop_assert_eq!(serde_json::from_str::<Tags>(&json).unwrap(), tags);
        }
    }
}
