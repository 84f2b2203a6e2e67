//! What offload works with on this node: its interfaces, and the selections of them in use. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::interfaces::{Digest, IfName, Interfaces, Selection};
use crate::state::{Devices, OffloadClass};

/// The interfaces that take part, and what selections take of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surface {
    /// `None` before anybody has looked.
    interfaces: Option<Interfaces>,
    selections: BTreeMap<Digest, Selection>,
}

impl Surface {
    /// The interfaces that take part; `None` before anybody has looked.
    #[must_use]
    pub fn interfaces(&self) -> Option<&Interfaces> {
        self.interfaces.as_ref()
    }

    /// Replaces the interfaces. Says which names mean another interface by now.
    pub fn set_interfaces(&mut self, interfaces: Interfaces) -> BTreeSet<IfName> {
        let before = self.interfaces.iter().flat_map(Interfaces::iter);
        let lost = before
            .filter(|(name, part)| interfaces.get(name).is_some_and(|now| now.index != part.index));
        let lost = lost.map(|(name, _)| name.clone()).collect();
        self.interfaces = Some(interfaces);
        lost
    }

    /// Remembers a selection, so that a class may name it.
    pub fn note(&mut self, selection: &Selection) {
        self.selections.entry(selection.digest()).or_insert_with(|| selection.clone());
    }

    /// Forgets selections that no class names.
    pub fn keep_only(&mut self, classes: &BTreeSet<OffloadClass>) {
        let used: BTreeSet<Digest> = classes.iter().filter_map(|it| it.interfaces).collect();
        self.selections.retain(|digest, _| used.contains(digest));
    }

    /// The selection of this name.
    #[must_use]
    pub fn selection(&self, name: Digest) -> Option<&Selection> {
        self.selections.get(&name)
    }

    /// The interfaces that a selection takes: `before` as long as nobody has looked, and none for one
    /// that isn't known.
    #[must_use]
    pub fn taken_by(&self, selection: Digest, before: Option<&Devices>) -> Devices {
        let Some(interfaces) = &self.interfaces else {
            return before.cloned().unwrap_or_default();
        };
        let known = self.selections.get(&selection);
        known.map(|it| it.resolve(interfaces)).unwrap_or_default()
    }

    /// The devices of the flowtable for these classes: `before` as long as nobody has looked, and
    /// `None` where nothing is offloaded.
    #[must_use]
    pub fn devices(
        &self,
        classes: &BTreeSet<OffloadClass>,
        before: Option<&Devices>,
    ) -> Option<Devices> {
        if classes.is_empty() {
            return None;
        }
        let Some(interfaces) = &self.interfaces else {
            return Some(before.cloned().unwrap_or_default());
        };
        let names: Devices = if classes.iter().any(|class| class.interfaces.is_none()) {
            interfaces.iter().map(|(name, _)| name.clone()).collect()
        } else {
            let selections = classes.iter().filter_map(|it| it.interfaces);
            selections.flat_map(|it| self.taken_by(it, None)).collect()
        };
        Some(interfaces.with_ports(&names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Interface;
    use std::num::NonZeroU32;

    fn interfaces(names: &[(&str, u32)]) -> Interfaces {
        let one = |(name, index): &(&str, u32)| Interface {
            index: *index,
            name: (*name).to_owned(),
            kind: if name.starts_with("br") { "bridge".to_owned() } else { String::new() },
            master: name.starts_with("port").then(|| "br0".to_owned()),
            flags: vec!["up".to_owned()],
            ..Interface::default()
        };
        Interfaces::of(&names.iter().map(one).collect::<Vec<_>>(), |_| BTreeSet::new())
    }

    fn names(devices: &Devices) -> Vec<&str> {
        devices.iter().map(IfName::as_str).collect()
    }

    #[test]
    fn a_name_that_is_another_interface_by_now_is_lost() {
        let mut surface = Surface::default();
        assert!(surface.set_interfaces(interfaces(&[("eth0", 2), ("veth1", 3)])).is_empty());
        let lost = surface.set_interfaces(interfaces(&[("eth0", 2), ("veth1", 9), ("veth2", 4)]));
        assert_eq!(names(&lost), ["veth1"], "the kernel took it out of the flowtable");
        let lost = surface.set_interfaces(interfaces(&[("eth0", 2)]));
        assert_eq!(names(&lost), [""; 0], "what is gone is taken out");
    }

    #[test]
    fn before_anybody_has_looked_all_stays_as_it_is() {
        let surface = Surface::default();
        let class = OffloadClass { after: NonZeroU32::MIN, interfaces: None };
        let there = Devices::from(["eth0".parse().unwrap()]);
        assert_eq!(surface.devices(&[class].into(), Some(&there)), Some(there.clone()));
        assert_eq!(surface.devices(&[class].into(), None), Some(Devices::new()));
        assert_eq!(surface.taken_by(Digest(1), Some(&there)), there);
    }

    #[test]
    fn the_flowtable_has_what_the_classes_in_use_take() {
        let mut surface = Surface::default();
        surface.set_interfaces(interfaces(&[("br0", 1), ("eth0", 2), ("eth1", 3), ("port1", 4)]));
        let wish = |include: &[&str]| crate::wish::Interfaces {
            include: include.iter().map(|it| (*it).to_owned()).collect(),
            exclude: Vec::new(),
        };
        let [one, other] = [wish(&["eth0"]), wish(&["br0"])].map(|it| Selection::check(&it).0);
        surface.note(&one);
        surface.note(&other);
        let class = |of: Option<&Selection>| OffloadClass {
            after: NonZeroU32::MIN,
            interfaces: of.map(Selection::digest),
        };
        let devices =
            |classes: &[OffloadClass]| surface.devices(&classes.iter().copied().collect(), None);
        assert_eq!(devices(&[]), None);
        assert_eq!(names(&devices(&[class(Some(&one))]).unwrap()), ["eth0"]);
        let both = [class(Some(&one)), class(Some(&other))];
        assert_eq!(names(&devices(&both).unwrap()), ["br0", "eth0", "port1"], "with its ports");
        let all = [class(Some(&one)), class(None)];
        assert_eq!(names(&devices(&all).unwrap()), ["br0", "eth0", "eth1", "port1"]);
        assert_eq!(names(&surface.taken_by(other.digest(), None)), ["br0"], "rules see the bridge");
        surface.keep_only(&[class(Some(&one))].into());
        assert_eq!(surface.selection(other.digest()), None);
    }
}
