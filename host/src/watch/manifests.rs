//! The source that reads a directory of manifests, once or for as long as weir runs.
//!
//! [`Directory`] is pure: contents of files in, changes and problems out. [`scan`] and [`watcher`]
//! are the I/O around it.

pub mod directory;
pub mod parse;
pub mod scan;
pub mod watcher;

mod claims;
mod de;
mod document;
mod limits;
mod parsed;
mod pieces;
mod settle;
mod tree;
mod words;

use std::path::Path;

use weir_core::model::Change;

use super::problem::Problem;
pub use directory::{Batch, Content, Directory, Update};
pub use limits::Limits;
pub use parse::{Format, parse};
pub use scan::DirectoryError;
pub use watcher::{Settings, Watch, watch_directory};

/// A directory as it was read once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The objects, in the order of [`super::Key`].
    pub changes: Vec<Change>,
    /// Everything that is wrong, by file.
    pub problems: Vec<Problem>,
    /// How many objects of each kind weir has no use for, by `apiVersion Kind`.
    pub ignored: Vec<(String, usize)>,
}

/// Reads a directory, or one file, once.
///
/// # Errors
/// Where nothing is there or the directory itself can't be read; what is wrong inside it is in
/// [`Reading::problems`].
pub fn read_directory(path: &Path) -> Result<Reading, DirectoryError> {
    let limits = Limits::default();
    let mut scanner = scan::Scanner::new(path, limits.file_bytes);
    let step = scanner.step()?;
    let mut directory = Directory::new(limits);
    let update = directory.apply(step.batch);
    Ok(Reading {
        changes: update.changes,
        problems: directory.problems().cloned().collect(),
        ignored: directory.ignored().into_iter().collect(),
    })
}

#[cfg(test)]
mod tests;
