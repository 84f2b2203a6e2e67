//! Which file an object is taken from, where several have it: the first by path. Pure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use weir_core::model::Change;

use super::parsed::Found;
use crate::watch::key::Key;
use crate::watch::problem::Problem;

/// The objects of all files, by object and file.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    by_key: BTreeMap<Key, BTreeMap<PathBuf, Found>>,
    told: BTreeMap<Key, Change>,
}

impl Claims {
    /// This file has this object.
    pub(super) fn put(&mut self, key: Key, file: &Path, found: Found) {
        self.by_key.entry(key).or_default().insert(file.to_owned(), found);
    }

    /// This file has this object no more.
    pub(super) fn drop(&mut self, key: &Key, file: &Path) {
        let Some(files) = self.by_key.get_mut(key) else { return };
        files.remove(file);
        if files.is_empty() {
            self.by_key.remove(key);
        }
    }

    /// Whether this file has told this object with nothing left out of it.
    pub(super) fn has_whole(&self, key: &Key, file: &Path) -> bool {
        let found = self.by_key.get(key).and_then(|files| files.get(file));
        found.is_some_and(|found| !found.is_partial)
    }

    /// What is to be told of this object since it was last asked for, if anything.
    pub(super) fn settle(&mut self, key: &Key) -> Option<Change> {
        let winner = self.by_key.get(key).and_then(|files| files.values().next());
        match winner {
            Some(found) if self.told.get(key) == Some(&found.change) => None,
            Some(found) => {
                self.told.insert(key.clone(), found.change.clone());
                Some(found.change.clone())
            }
            None => self.told.remove(key).map(|_| key.gone()),
        }
    }

    /// One problem for each file that has this object in vain.
    pub(super) fn duplicates(&self, key: &Key) -> Vec<Problem> {
        let mut files = self.by_key.get(key).into_iter().flatten();
        let Some((first, _)) = files.next() else { return Vec::new() };
        let later = files.map(|(file, found)| Problem {
            file: Some(file.clone()),
            document: Some(found.document),
            line: found.line,
            object: Some(key.to_string()),
            field: None,
            message: format!("stands in {} already; this one is left out", first.display()),
            kept_last_good: false,
            is_refusal: false,
        });
        later.collect()
    }
}
