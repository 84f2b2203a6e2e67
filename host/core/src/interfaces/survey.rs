//! What was last found of the node's interfaces, and what policies said about each. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{BadGroupName, Changes, GroupName, Interfaces};
use crate::view::Interface;

/// The node's interfaces with their groups. Policies are asked about one again only when something
/// about it changed: cost follows the change.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    interfaces: Interfaces,
    /// By index, which is an interface's for its life.
    asked: BTreeMap<u32, Asked>,
}

#[derive(Clone, Debug)]
struct Asked {
    about: Interface,
    groups: BTreeSet<GroupName>,
    bad: Vec<BadGroupName>,
}

/// A group that a policy put an interface in and that can't be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadGroup {
    /// The interface.
    pub interface: String,
    /// What is wrong.
    pub why: BadGroupName,
}

impl fmt::Display for BadGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a policy's group of interface {} is set aside: {}", self.interface, self.why)
    }
}

impl Survey {
    /// Takes all interfaces as they are now, however many changed. `classify` gives the groups that
    /// policies name; it is asked about an interface that takes part and is new or has changed.
    pub fn take(
        &mut self,
        all: &[Interface],
        mut classify: impl FnMut(&Interface) -> BTreeSet<String>,
    ) -> Changes {
        let mut before = std::mem::take(&mut self.asked);
        let asked = &mut self.asked;
        let now = Interfaces::of(all, |one| {
            let known = before.remove(&one.index).filter(|known| known.about == *one);
            let known = known.unwrap_or_else(|| Asked::new(one, &classify(one)));
            asked.entry(one.index).insert_entry(known).get().groups.clone()
        });
        let changes = self.interfaces.changes(&now);
        self.interfaces = now;
        changes
    }

    /// Has policies asked again about every interface: after one of them changed.
    pub fn forget(&mut self) {
        self.asked.clear();
    }

    /// The interfaces as last found.
    #[must_use]
    pub fn interfaces(&self) -> &Interfaces {
        &self.interfaces
    }

    /// What policies named and can't be a group.
    pub fn bad_groups(&self) -> impl Iterator<Item = BadGroup> + '_ {
        let of = |asked: &Asked, why: &BadGroupName| BadGroup {
            interface: asked.about.name.clone(),
            why: why.clone(),
        };
        self.asked.values().flat_map(move |asked| asked.bad.iter().map(move |why| of(asked, why)))
    }
}

impl Asked {
    fn new(about: &Interface, named: &BTreeSet<String>) -> Self {
        let (mut groups, mut bad) = (BTreeSet::new(), Vec::new());
        for text in named {
            match text.parse() {
                Ok(group) => drop(groups.insert(group)),
                Err(why) => bad.push(why),
            }
        }
        Self { about: about.clone(), groups, bad }
    }
}
