//! What was told of one kind of object, and what follows from what a watch says. Pure.

use std::collections::{BTreeMap, BTreeSet};

use kube::runtime::watcher;
use weir_core::model::Change;
use weir_core::pack::pack;

use super::arrival::Arrival;
use crate::watch::convert::{Fault, Verdict};
use crate::watch::key::Key;
use crate::watch::kinds::Kind;
use crate::watch::problem::{Problem, Report};

/// What follows from one thing that a watch said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Update {
    pub(super) changes: Vec<Change>,
    pub(super) report: Report,
    /// Fields that weir doesn't know, of a version of an object that wasn't there before.
    pub(super) unknown: usize,
    /// A list is whole.
    pub(super) listed: bool,
}

/// Which objects of a kind were told, in which version, and what is wrong at present.
///
/// Of an object nothing is kept but that. While a list is read, what it doesn't show is not gone:
/// only its end says so.
#[derive(Debug, Default)]
pub(super) struct Told {
    versions: BTreeMap<Key, u64>,
    /// The objects that the list that is being read has shown; `None` while none is read.
    shown: Option<BTreeSet<Key>>,
    problems: BTreeMap<Key, Vec<Problem>>,
    /// The versions of objects with fields that weir doesn't know.
    unknown: BTreeMap<Key, u64>,
}

impl Told {
    /// Takes in what a watch said.
    pub(super) fn take<K: Kind>(&mut self, event: watcher::Event<Arrival<K>>) -> Update {
        let mut update = Update::default();
        match event {
            watcher::Event::Init => self.shown = Some(BTreeSet::new()),
            watcher::Event::InitApply(arrival) => {
                let key = self.apply(arrival, &mut update);
                self.shown.get_or_insert_default().insert(key);
            }
            watcher::Event::InitDone => {
                self.end_of_list(&mut update);
                update.listed = true;
            }
            watcher::Event::Apply(arrival) => drop(self.apply(arrival, &mut update)),
            watcher::Event::Delete(arrival) => self.remove(&arrival.key(), &mut update),
        }
        update
    }

    /// There is nothing of this kind: the server doesn't serve it.
    pub(super) fn clear(&mut self) -> Update {
        let mut update = Update { listed: true, ..Update::default() };
        self.shown = Some(BTreeSet::new());
        self.end_of_list(&mut update);
        update
    }

    fn end_of_list(&mut self, update: &mut Update) {
        let shown = self.shown.take().unwrap_or_default();
        let known = self.versions.keys().chain(self.problems.keys()).chain(self.unknown.keys());
        let gone: BTreeSet<Key> = known.filter(|key| !shown.contains(key)).cloned().collect();
        for key in gone {
            self.remove(&key, update);
        }
        pack(&mut self.versions);
    }

    fn apply<K: Kind>(&mut self, arrival: Arrival<K>, update: &mut Update) -> Key {
        let (key, version) = (arrival.key(), arrival.version());
        self.count_unknown(&key, version, arrival.unknown, update);
        if self.versions.get(&key) == Some(&version) {
            return key;
        }
        let faults = arrival.object.faults;
        let is_refused = matches!(arrival.object.verdict, Verdict::Refused);
        match arrival.object.verdict {
            Verdict::Object(change) => {
                // The change has the same name: one text serves both.
                self.versions.insert(Key::of(&change), version);
                update.changes.push(change);
            }
            Verdict::LeftOut => self.forget(&key, update),
            // What was told last stays in use.
            Verdict::Refused => {}
        }
        self.settle(&key, &faults, is_refused, &mut update.report);
        key
    }

    /// A list shows again what is known already.
    fn count_unknown(&mut self, key: &Key, version: u64, fields: usize, update: &mut Update) {
        if fields == 0 {
            self.unknown.remove(key);
        } else if self.unknown.insert(key.clone(), version) != Some(version) {
            update.unknown += fields;
        }
    }

    fn remove(&mut self, key: &Key, update: &mut Update) {
        self.unknown.remove(key);
        self.forget(key, update);
        self.settle(key, &[], false, &mut update.report);
    }

    fn forget(&mut self, key: &Key, update: &mut Update) {
        if self.versions.remove(key).is_some() {
            update.changes.push(key.gone());
        }
    }

    /// These are the faults of an object now.
    fn settle(&mut self, key: &Key, faults: &[Fault], is_refused: bool, report: &mut Report) {
        let kept_last_good = is_refused && self.versions.contains_key(key);
        let problem = |fault: &Fault| Problem {
            object: Some(key.to_string()),
            field: Some(fault.field.clone()).filter(|field| !field.is_empty()),
            message: fault.message.clone(),
            kept_last_good,
            ..Problem::default()
        };
        let now: Vec<Problem> = faults.iter().map(problem).collect();
        let before = if now.is_empty() {
            self.problems.remove(key)
        } else {
            self.problems.insert(key.clone(), now.clone())
        };
        let before = before.unwrap_or_default();
        report.mended.extend(before.iter().filter(|it| !now.contains(it)).cloned());
        report.appeared.extend(now.into_iter().filter(|it| !before.contains(it)));
    }
}
