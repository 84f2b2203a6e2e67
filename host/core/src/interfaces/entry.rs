//! One entry of a selection: a name, a glob or a group. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::name::{BadGroupName, BadIfName, GroupName, IfName, MAX_NAME, is_refused};

/// What a group's entry begins with. No name can: the kernel refuses the colon.
const GROUP: &str = "group:";

/// What a policy wrote to name interfaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    /// The one interface of that name: `eth0`.
    Name(IfName),
    /// All whose names match: `eth*`.
    Glob(Glob),
    /// All of a group: `group:uplink`.
    Group(GroupName),
}

impl Entry {
    /// Whether an interface of that name, in these groups, is meant.
    #[must_use]
    pub fn matches(&self, name: &IfName, groups: &BTreeSet<GroupName>) -> bool {
        match self {
            Self::Name(wanted) => wanted == name,
            Self::Glob(glob) => glob.matches(name.as_str()),
            Self::Group(group) => groups.contains(group),
        }
    }

    /// Whether every interface is meant, whatever it is called.
    pub(super) fn is_all(&self) -> bool {
        matches!(self, Self::Glob(Glob(text)) if text == "*")
    }
}

/// A text that is no entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEntry {
    /// Not a name.
    #[error(transparent)]
    Name(#[from] BadIfName),
    /// A glob that no name could match.
    #[error(
        "{0:?} matches no interface's name: at most 15 bytes beside '*', no white space, no '/' or ':'"
    )]
    Glob(String),
    /// Not a group.
    #[error("group:{}", .0)]
    Group(#[from] BadGroupName),
}

impl FromStr for Entry {
    type Err = BadEntry;

    fn from_str(text: &str) -> Result<Self, BadEntry> {
        if let Some(group) = text.strip_prefix(GROUP) {
            Ok(Self::Group(group.parse()?))
        } else if text.contains(['*', '?']) {
            Ok(Self::Glob(Glob::parse(text)?))
        } else {
            Ok(Self::Name(text.parse()?))
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Glob(glob) => glob.fmt(f),
            Self::Group(group) => write!(f, "{GROUP}{group}"),
        }
    }
}

/// A pattern over names: `*` is any characters or none, `?` is one.
///
/// Kept in one form for all that match the same: a run of both is its `?`s, then at most one `*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Glob(String);

impl Glob {
    fn parse(text: &str) -> Result<Self, BadEntry> {
        let bad = || BadEntry::Glob(text.to_owned());
        // What a name can't hold, and longer than any name: it could never match.
        let literal = text.bytes().filter(|b| *b != b'*').count();
        let refused = text.bytes().any(is_refused) || text.contains(char::REPLACEMENT_CHARACTER);
        if refused || literal > MAX_NAME { Err(bad()) } else { Ok(Self(in_one_form(text))) }
    }

    /// Whether `name` matches as a whole.
    ///
    /// Goes back to the last `*` only, so the steps are at most the product of both lengths: 31
    /// characters of a pattern by 15 of a name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let (mut pattern, mut rest) = (self.0.as_str(), name);
        // Behind the last `*`, and what is left of the name if it takes one character more.
        let mut again: Option<(&str, &str)> = None;
        loop {
            let (wanted, is) = (pattern.chars().next(), rest.chars().next());
            match (wanted, is) {
                (None, None) => return true,
                (Some('*'), _) => {
                    pattern = &pattern[1..];
                    again = Some((pattern, rest));
                    continue;
                }
                (Some(w), Some(c)) if w == '?' || w == c => {
                    pattern = &pattern[w.len_utf8()..];
                    rest = &rest[c.len_utf8()..];
                    continue;
                }
                _ => {}
            }
            let Some((behind, from)) = again else { return false };
            let Some(skipped) = from.chars().next() else { return false };
            (pattern, rest) = (behind, &from[skipped.len_utf8()..]);
            again = Some((pattern, rest));
        }
    }
}

fn in_one_form(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut star = false;
    for c in text.chars() {
        match c {
            '*' => star = true,
            '?' => kept.push('?'),
            other => {
                if std::mem::take(&mut star) {
                    kept.push('*');
                }
                kept.push(other);
            }
        }
    }
    if star {
        kept.push('*');
    }
    kept
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[path = "entry_tests.rs"]
mod tests;
