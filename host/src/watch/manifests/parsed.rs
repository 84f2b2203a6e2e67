//! What was found in a file: objects, problems, and whether more may be meant. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use weir_core::model::Change;

use crate::watch::key::Key;
use crate::watch::problem::Problem;

/// An object, and where in its file it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The object as it is now.
    pub change: Change,
    /// The document, counted from 1.
    pub document: usize,
    /// The line that it starts on, counted from 1.
    pub line: Option<usize>,
    /// Whether something that carries traffic had to be left out of it.
    pub is_partial: bool,
}

/// Everything that one file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The objects that can be used.
    pub objects: BTreeMap<Key, Found>,
    /// The objects that are there, but too wrong to be used.
    pub refused: BTreeSet<Key>,
    /// Whether more objects may be meant than can be seen: something can't be read, or the last
    /// document is refused, as it is where a file was cut off.
    pub unknown: bool,
    /// What is wrong, in the order of the file.
    pub problems: Vec<Problem>,
    /// How many objects of each kind weir has no use for, by `apiVersion Kind`.
    pub ignored: BTreeMap<String, usize>,
}

impl Parsed {
    /// A file of which nothing can be said but what is wrong with it.
    #[must_use]
    pub fn unreadable(file: &Path, message: impl Into<String>) -> Self {
        let mut parsed = Self::default();
        parsed.lose(file, None, None, message);
        parsed
    }

    /// Something of the file can't be read, and nobody knows which objects that were.
    pub(super) fn lose(
        &mut self,
        file: &Path,
        document: Option<usize>,
        line: Option<usize>,
        message: impl Into<String>,
    ) {
        self.unknown = true;
        let (file, message) = (Some(file.to_owned()), message.into());
        self.problems.push(Problem { file, document, line, message, ..Problem::default() });
    }
}
