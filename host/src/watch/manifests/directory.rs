//! What a directory of manifests says, as its files come, change and go. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use weir_core::model::Change;

use super::claims::Claims;
use super::limits::Limits;
use super::parse::{Format, parse};
use super::parsed::Parsed;
use crate::watch::key::Key;
use crate::watch::problem::{Problem, Report};

/// What was found under a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The whole file.
    Bytes(Vec<u8>),
    /// The file is there and can't be read; why.
    Unreadable(String),
}

/// What differs from the last look at the directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Files that came or changed.
    pub files: Vec<(PathBuf, Content)>,
    /// Files that are gone.
    pub gone: Vec<PathBuf>,
    /// All that is wrong with the directory itself at present: path and words.
    pub broken: Vec<(PathBuf, String)>,
}

/// What follows from a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// What is now different from what was told before, in the order of [`Key`].
    pub changes: Vec<Change>,
    /// Problems that came and went.
    pub report: Report,
}

#[derive(Clone, Debug, Default)]
struct File {
    keys: BTreeSet<Key>,
    problems: BTreeSet<Problem>,
    ignored: BTreeMap<String, usize>,
}

/// All files of a directory with the last good version of every object in them.
///
/// A document that can't be read, an object that is refused, and one of which a part that carries
/// traffic had to be left out, leave the earlier version in use.
/// While a file may be meant to hold more than can be seen in it (`Parsed::unknown`), no object
/// of it is taken away.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    limits: Limits,
    files: BTreeMap<PathBuf, File>,
    claims: Claims,
    duplicates: BTreeMap<Key, Vec<Problem>>,
    broken: BTreeSet<Problem>,
    told: BTreeSet<Problem>,
    told_ignored: BTreeMap<String, usize>,
}

impl Directory {
    /// An empty directory.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes in what changed.
    pub fn apply(&mut self, batch: Batch) -> Update {
        let mut touched = BTreeSet::new();
        for path in &batch.gone {
            let old = self.files.remove(path).unwrap_or_default();
            for key in old.keys {
                self.claims.drop(&key, path);
                touched.insert(key);
            }
        }
        for (path, content) in batch.files {
            self.put_file(&path, &content, &mut touched);
        }
        let broken = batch.broken.into_iter();
        self.broken = broken.map(|(path, message)| directory_problem(path, message)).collect();
        let changes = touched.iter().filter_map(|key| self.claims.settle(key)).collect();
        for key in touched {
            match self.claims.duplicates(&key) {
                none if none.is_empty() => drop(self.duplicates.remove(&key)),
                some => drop(self.duplicates.insert(key, some)),
            }
        }
        Update { changes, report: self.report() }
    }

    /// Everything that is wrong at present, by file.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.told.iter()
    }

    /// How many objects of each kind weir has no use for, by `apiVersion Kind`.
    #[must_use]
    pub fn ignored(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (kind, count) in self.files.values().flat_map(|file| &file.ignored) {
            *counts.entry(kind.clone()).or_default() += count;
        }
        counts
    }

    fn put_file(&mut self, path: &Path, content: &Content, touched: &mut BTreeSet<Key>) {
        let old = self.files.remove(path).unwrap_or_default();
        let mut parsed = read(path, content, &self.limits, !old.keys.is_empty());
        for (key, _) in parsed
            .objects
            .extract_if(.., |key, found| found.is_partial && self.claims.has_whole(key, path))
        {
            parsed.refused.insert(key);
        }
        let (kept, lost): (BTreeSet<Key>, BTreeSet<Key>) = old
            .keys
            .into_iter()
            .filter(|key| !parsed.objects.contains_key(key))
            .partition(|key| parsed.unknown || parsed.refused.contains(key));
        for key in lost {
            self.claims.drop(&key, path);
            touched.insert(key);
        }
        mark_kept(&mut parsed, &kept);
        let keys = kept.into_iter().chain(parsed.objects.keys().cloned()).collect();
        for (key, found) in parsed.objects {
            touched.insert(key.clone());
            self.claims.put(key, path, found);
        }
        let problems = parsed.problems.into_iter().collect();
        let file = File { keys, problems, ignored: parsed.ignored };
        self.files.insert(path.to_owned(), file);
    }

    fn report(&mut self) -> Report {
        let in_files = self.files.values().flat_map(|file| &file.problems);
        let twice = self.duplicates.values().flatten();
        let now: BTreeSet<Problem> = in_files.chain(twice).chain(&self.broken).cloned().collect();
        let ignored = Some(self.ignored()).filter(|it| *it != self.told_ignored);
        let report = Report {
            appeared: now.difference(&self.told).cloned().collect(),
            mended: self.told.difference(&now).cloned().collect(),
            ignored,
        };
        self.told = now;
        self.told_ignored = self.ignored();
        report
    }
}

fn read(path: &Path, content: &Content, limits: &Limits, had_objects: bool) -> Parsed {
    let bytes = match content {
        Content::Bytes(bytes) => bytes,
        Content::Unreadable(message) => return Parsed::unreadable(path, message),
    };
    if had_objects && bytes.trim_ascii().is_empty() {
        let message = "is empty, as a file is while it is being written; \
                       remove it to remove its objects";
        return Parsed::unreadable(path, message);
    }
    parse(path, Format::of(path).unwrap_or(Format::Yaml), bytes, limits)
}

/// Says of each problem whether an earlier version covers it up.
fn mark_kept(parsed: &mut Parsed, kept: &BTreeSet<Key>) {
    let names: BTreeSet<String> = kept.iter().map(ToString::to_string).collect();
    for problem in &mut parsed.problems {
        problem.kept_last_good = match &problem.object {
            Some(object) => names.contains(object),
            None => !names.is_empty(),
        };
    }
}

fn directory_problem(path: PathBuf, message: String) -> Problem {
    Problem { file: Some(path), message, ..Problem::default() }
}
