//! What must outlive the daemon but not the node: files in the run folder, written whole or not at all.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use weir_core::drain::{Drains, Saved};
use weir_core::seen::FirstSeen;

/// The run folder's state.
#[derive(Debug)]
pub struct Keep {
    drains: PathBuf,
    seen: PathBuf,
    first_start: bool,
}

/// The state can't be kept.
#[derive(Debug, thiserror::Error)]
#[error("write {file}")]
pub struct NotKept {
    file: PathBuf,
    #[source]
    source: io::Error,
}

impl Keep {
    /// What an earlier run kept in `folder`. A file that can't be read is told in the log and counts
    /// as absent: it holds nothing that traffic depends on.
    #[must_use]
    pub fn open(folder: &Path, drain_limit: u64) -> (Self, Drains, FirstSeen) {
        let (drains, seen) = (folder.join("drains.json"), folder.join("first-seen.json"));
        let kept: Vec<Saved> = read(&drains).unwrap_or_default();
        let known: Option<FirstSeen> = read(&seen);
        let keep = Self { drains, seen, first_start: known.is_none() };
        (keep, Drains::new(drain_limit, &kept), known.unwrap_or_default())
    }

    /// Whether no earlier run on this node kept anything: what is there now is old.
    #[must_use]
    pub fn is_first_start(&self) -> bool {
        self.first_start
    }

    /// Keeps which servers end since when.
    ///
    /// # Errors
    /// The folder can't be written.
    pub fn save_drains(&self, drains: &Drains) -> Result<(), NotKept> {
        write(&self.drains, &drains.saved())
    }

    /// Keeps the first-seen times: as long as the list of all endpoints.
    ///
    /// # Errors
    /// The folder can't be written.
    pub fn save_seen(&self, seen: &FirstSeen) -> Result<(), NotKept> {
        write(&self.seen, seen)
    }
}

fn write(file: &Path, state: &impl Serialize) -> Result<(), NotKept> {
    let failed = |source| NotKept { file: file.to_owned(), source };
    let text = serde_json::to_vec(state).map_err(|error| failed(error.into()))?;
    if std::fs::read(file).is_ok_and(|there| there == text) {
        return Ok(());
    }
    let beside = file.with_extension("json.new");
    std::fs::write(&beside, &text).and_then(|()| std::fs::rename(&beside, file)).map_err(failed)
}

fn read<T: DeserializeOwned>(file: &Path) -> Option<T> {
    let text = match std::fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(file = %file.display(), %error, "state of an earlier run can't be read");
            return None;
        }
    };
    serde_json::from_slice(&text)
        .inspect_err(|error| {
            tracing::warn!(file = %file.display(), %error, "state of an earlier run makes no sense");
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use weir_core::net::ObjectName;

    #[test]
    fn what_was_kept_is_there_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let (keep, drains, mut seen) = Keep::open(dir.path(), 1000);
        assert!(keep.is_first_start());
        let web = ObjectName::new("shop", "web");
        seen.note(&web, &BTreeSet::from(["10.0.0.1:80".parse().unwrap()]), Some(5));
        keep.save_drains(&drains).unwrap();
        keep.save_seen(&seen).unwrap();
        let (again, _, known) = Keep::open(dir.path(), 1000);
        assert!(!again.is_first_start());
        assert_eq!(known, seen);
    }

    #[test]
    fn a_broken_file_counts_as_absent() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("first-seen.json"), "{").unwrap();
        assert!(Keep::open(dir.path(), 1000).0.is_first_start());
    }
}
