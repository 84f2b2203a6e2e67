//! Which interfaces a service port's flows may be offloaded on: a policy's wish, checked. Pure.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::entry::{BadEntry, Entry};
use super::{IfName, Interfaces, LeftOut};
use crate::wish;

/// The most entries in each of the two lists.
pub const MAX_ENTRIES: usize = 64;

/// Interfaces to take and to leave out, in one form for all that were written alike: sorted, each
/// entry once, none in both lists.
///
/// An exclusion beats an inclusion; nothing included means all. A selection that takes nothing is
/// the one that leaves out `*`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "wish::Interfaces", from = "wish::Interfaces")]
pub struct Selection {
    include: BTreeSet<Entry>,
    exclude: BTreeSet<Entry>,
}

/// What of a wish was set aside, or comes to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An entry that can't be read.
    #[error("set aside: {0}")]
    Bad(#[from] BadEntry),
    /// Too many to take.
    #[error("{0} interfaces to take; the first {MAX_ENTRIES} are")]
    ManyToTake(usize),
    /// Too many to leave out.
    #[error("{0} interfaces to leave out, of at most {MAX_ENTRIES}: all are")]
    ManyToLeaveOut(usize),
    /// In both lists.
    #[error("{0} is both to be taken and to be left out; it is left out")]
    Both(Entry),
    /// None of what was to be taken could be.
    #[error("nothing to take is left, so no flow is offloaded")]
    NothingToTake,
    /// `*` is left out.
    #[error("every interface is to be left out, so no flow is offloaded")]
    AllLeftOut,
}

impl Selection {
    /// Checks a wish. What can't be read is set aside and the rest holds.
    ///
    /// Setting something aside never widens what was asked for: a policy keeps flows off the fast
    /// path because something has to see them. An entry that can't be read could have matched no
    /// interface; if nothing to take is left, none is taken; and if too much is to be left out,
    /// all is.
    #[must_use]
    pub fn check(wish: &wish::Interfaces) -> (Self, Vec<Fault>) {
        let mut faults = Vec::new();
        let mut include = read(&wish.include, &mut faults);
        let exclude = read(&wish.exclude, &mut faults);
        let everything = wish.include.is_empty() || include.iter().any(Entry::is_all);
        if everything {
            include.clear();
        }
        for entry in include.intersection(&exclude) {
            faults.push(Fault::Both(entry.clone()));
        }
        include.retain(|entry| !exclude.contains(entry));
        if wish.include.len() > MAX_ENTRIES {
            faults.push(Fault::ManyToTake(wish.include.len()));
        }
        let nothing = if wish.exclude.len() > MAX_ENTRIES {
            Some(Fault::ManyToLeaveOut(wish.exclude.len()))
        } else if exclude.iter().any(Entry::is_all) {
            Some(Fault::AllLeftOut)
        } else if include.is_empty() && !everything {
            Some(Fault::NothingToTake)
        } else {
            None
        };
        if let Some(fault) = nothing {
            faults.push(fault);
            return (Self::none(), faults);
        }
        (Self { include, exclude }, faults)
    }

    /// The same without these; says which of them it would have taken by the very words.
    #[must_use]
    pub fn without(mut self, entries: &BTreeSet<Entry>) -> (Self, Vec<Entry>) {
        let lost: Vec<_> = self.include.intersection(entries).cloned().collect();
        let everything = self.include.is_empty();
        self.include.retain(|entry| !entries.contains(entry));
        self.exclude.extend(entries.iter().cloned());
        let nothing = self.include.is_empty() && !everything;
        if nothing || self.exclude.iter().any(Entry::is_all) {
            return (Self::none(), lost);
        }
        (self, lost)
    }

    /// Takes no interface.
    #[must_use]
    pub fn none() -> Self {
        let all = "*".parse().into_iter().collect();
        Self { include: BTreeSet::new(), exclude: all }
    }

    /// Whether all interfaces are taken, as without a wish.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    /// Whether none can be taken, whatever the node has.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.exclude.iter().any(Entry::is_all)
    }

    /// The names of those that are meant, of the ones that take part.
    #[must_use]
    pub fn resolve(&self, on: &Interfaces) -> BTreeSet<IfName> {
        let meant = |list: &BTreeSet<Entry>, name: &IfName, groups: &BTreeSet<_>| {
            list.iter().any(|entry| entry.matches(name, groups))
        };
        let taken = on.iter().filter(|(name, part)| {
            (self.include.is_empty() || meant(&self.include, name, &part.groups))
                && !meant(&self.exclude, name, &part.groups)
        });
        taken.map(|(name, _)| name.clone()).collect()
    }

    /// The entries that mean no interface of this node, each with why.
    #[must_use]
    pub fn unmatched(&self, on: &Interfaces) -> Vec<Unmatched> {
        let all = self.include.iter().chain(&self.exclude);
        let idle = all.filter(|entry| {
            !entry.is_all() && !on.iter().any(|(name, part)| entry.matches(name, &part.groups))
        });
        let of = |entry: &Entry| {
            let left_out = match entry {
                Entry::Name(name) => on.left_out(name.as_str()).cloned(),
                Entry::Glob(_) | Entry::Group(_) => None,
            };
            Unmatched { entry: entry.clone(), left_out }
        };
        idle.map(of).collect()
    }

    /// The selection in one line that no other selection has. No entry holds a space or a slash.
    #[must_use]
    pub fn canonical(&self) -> String {
        format!("{}/{}", words(&self.include, " "), words(&self.exclude, " "))
    }

    /// A short name for it, the same on every node and in every version of weir.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.canonical())
    }
}

fn read(list: &[String], faults: &mut Vec<Fault>) -> BTreeSet<Entry> {
    let mut good = BTreeSet::new();
    for text in list.iter().take(MAX_ENTRIES) {
        match text.parse::<Entry>() {
            Ok(entry) => drop(good.insert(entry)),
            Err(bad) => faults.push(bad.into()),
        }
    }
    good
}

fn words(list: &BTreeSet<Entry>, between: &str) -> String {
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join(between)
}

impl From<Selection> for wish::Interfaces {
    fn from(of: Selection) -> Self {
        let texts = |list: &BTreeSet<Entry>| list.iter().map(ToString::to_string).collect();
        Self { include: texts(&of.include), exclude: texts(&of.exclude) }
    }
}

impl From<wish::Interfaces> for Selection {
    fn from(wish: wish::Interfaces) -> Self {
        Self::check(&wish).0
    }
}

/// `eth*, group:uplink, but not eth9`.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_str("no interface");
        }
        f.write_str(if self.include.is_empty() { "every interface" } else { "" })?;
        f.write_str(&words(&self.include, ", "))?;
        if self.exclude.is_empty() {
            return Ok(());
        }
        write!(f, ", but not {}", words(&self.exclude, ", "))
    }
}

/// An entry that means no interface of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmatched {
    /// The entry.
    pub entry: Entry,
    /// Why the interface of that name takes no part, where there is one.
    pub left_out: Option<LeftOut>,
}

impl fmt::Display for Unmatched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.entry, &self.left_out) {
            (name, Some(why)) => write!(f, "{name} takes no part in offload: {why}"),
            (Entry::Name(name), None) => write!(f, "no interface {name} on this node"),
            (Entry::Glob(glob), None) => {
                write!(f, "no interface that can take part matches {glob} on this node")
            }
            (Entry::Group(group), None) => {
                write!(f, "no interface that can take part is in group:{group} on this node")
            }
        }
    }
}

/// 64 bits of the SHA-256 of a selection, printed as 16 hexadecimal digits: a part of names in the
/// kernel. Tenants write selections; none must be able to write one that is taken for another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(pub u64);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Digest {
    fn of(text: &str) -> Self {
        let hash = Sha256::digest(text.as_bytes());
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(hash);
        Self(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }
}

#[cfg(test)]
#[path = "selection_tests.rs"]
mod tests;
