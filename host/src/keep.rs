//! What must outlive the daemon but not the node: files in the run folder, written whole or not at all.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use weir_core::drain::{Drains, Saved};
use weir_core::leaving::{self, Leaving};
use weir_core::seen::FirstSeen;
use weir_core::state::VirtualKey;
use weir_core::wish::Wish;

/// The most that is kept of policies' answers, in bytes: 10,000 plain ones are about 4 MB.
const MOST_ANSWERS: usize = 32 << 20;
/// The largest file that is read: above what any of them is written with.
const LARGEST: u64 = 64 << 20;

/// The run folder's state.
#[derive(Debug)]
pub struct Keep {
    drains: PathBuf,
    leaving: PathBuf,
    seen: PathBuf,
    answers: PathBuf,
    virtuals: PathBuf,
    first_start: bool,
}

/// A policy's last good answer for a service port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The policy's name.
    pub policy: String,
    /// The service port, as the chain of policies names it.
    pub service_port: String,
    /// The answer, unchecked.
    pub wish: Wish,
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
        let leaving = folder.join("leaving.json");
        let left: Vec<leaving::Saved> = read(&leaving).unwrap_or_default();
        let known: Option<FirstSeen> = read(&seen);
        let answers = folder.join("last-good.json");
        let virtuals = folder.join("own-addresses.json");
        let keep = Self { drains, leaving, seen, answers, virtuals, first_start: known.is_none() };
        let mut drains = Drains::new(drain_limit, &kept);
        drains.leaving = Leaving::new(drain_limit, &left);
        (keep, drains, known.unwrap_or_default())
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
        write(&self.drains, &drains.saved())?;
        write(&self.leaving, &drains.leaving.saved())
    }

    /// Keeps the first-seen times: as long as the list of all endpoints.
    ///
    /// # Errors
    /// The folder can't be written.
    pub fn save_seen(&self, seen: &FirstSeen) -> Result<(), NotKept> {
        write(&self.seen, seen)
    }

    /// The virtual services that an earlier run made at addresses of the node's own.
    #[must_use]
    pub fn virtuals(&self) -> BTreeSet<VirtualKey> {
        read(&self.virtuals).unwrap_or_default()
    }

    /// Keeps them.
    ///
    /// # Errors
    /// The folder can't be written.
    pub fn save_virtuals(&self, virtuals: &BTreeSet<VirtualKey>) -> Result<(), NotKept> {
        write(&self.virtuals, virtuals)
    }

    /// Policies' last good answers of an earlier run.
    #[must_use]
    pub fn answers(&self) -> Vec<Answer> {
        read(&self.answers).unwrap_or_default()
    }

    /// Keeps policies' last good answers: as many of the first as fit.
    ///
    /// # Errors
    /// The folder can't be written.
    pub fn save_answers(&self, answers: &[Answer]) -> Result<(), NotKept> {
        let file = &self.answers;
        write_text(file, &fitting(answers, MOST_ANSWERS).map_err(|source| failed(file, source))?)
    }
}

/// The first answers as one list in JSON, of so many bytes at most.
fn fitting(answers: &[Answer], most: usize) -> io::Result<Vec<u8>> {
    let mut text = b"[".to_vec();
    for answer in answers {
        let one = serde_json::to_vec(answer)?;
        if text.len() + one.len() + 2 > most {
            break;
        }
        if text.len() > 1 {
            text.push(b',');
        }
        text.extend(one);
    }
    text.push(b']');
    Ok(text)
}

fn failed(file: &Path, source: io::Error) -> NotKept {
    NotKept { file: file.to_owned(), source }
}

/// Writes a state whole, unless it is there already.
pub(crate) fn write(file: &Path, state: &impl Serialize) -> Result<(), NotKept> {
    write_text(file, &serde_json::to_vec(state).map_err(|error| failed(file, error.into()))?)
}

fn write_text(file: &Path, text: &[u8]) -> Result<(), NotKept> {
    if std::fs::read(file).is_ok_and(|there| there == text) {
        return Ok(());
    }
    let beside = file.with_extension("json.new");
    let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, file));
    written.map_err(|source| failed(file, source))
}

/// Reads it; a file that can't be read is told in the log and counts as absent.
pub(crate) fn read<T: DeserializeOwned>(file: &Path) -> Option<T> {
    let text = match read_bytes(file) {
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

fn read_bytes(file: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    std::fs::File::open(file)?.take(LARGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::Error::other(format!("it has more than {LARGEST} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn a_server_that_left_nftables_is_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let (keep, mut drains, _) = Keep::open(dir.path(), 1000);
        let key = VirtualKey {
            address: [10, 96, 0, 1].into(),
            protocol: weir_core::net::Protocol::Tcp,
            port: weir_core::net::Port::new(80).unwrap(),
        };
        let to = "10.0.0.1:8080".parse().unwrap();
        drains.leaving = Leaving::new(1000, &[leaving::Saved { key, to, since: Some(7) }]);
        keep.save_drains(&drains).unwrap();
        let (_, again, _) = Keep::open(dir.path(), 1000);
        assert_eq!(again, drains);
        std::fs::write(dir.path().join("leaving.json"), "[{\"since\": 7}]").unwrap();
        assert!(!Keep::open(dir.path(), 1000).1.any(), "a broken file counts as absent");
    }

    fn answer(port: &str) -> Answer {
        let wish = Wish { scheduler: Some("lc".to_owned()), ..Wish::default() };
        Answer { policy: "balance".to_owned(), service_port: port.to_owned(), wish }
    }

    #[test]
    fn last_good_answers_are_there_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let (keep, ..) = Keep::open(dir.path(), 1000);
        assert!(keep.answers().is_empty());
        let answers = vec![answer("shop/web:80/tcp"), answer("shop/api:80/tcp")];
        keep.save_answers(&answers).unwrap();
        assert_eq!(Keep::open(dir.path(), 1000).0.answers(), answers);
        std::fs::write(dir.path().join("last-good.json"), "[{\"policy\": 7}]").unwrap();
        assert!(keep.answers().is_empty(), "a broken file counts as absent");
    }

    #[test]
    fn the_first_answers_that_fit_are_kept() {
        let all: Vec<Answer> = (0..9).map(|n| answer(&format!("shop/web-{n}:80/tcp"))).collect();
        let one = serde_json::to_vec(&all[0]).unwrap().len();
        let kept: Vec<Answer> =
            serde_json::from_slice(&fitting(&all, one * 3 + 4).unwrap()).unwrap();
        assert_eq!(kept, all[..3]);
        assert_eq!(fitting(&all, 0).unwrap(), b"[]");
    }

    #[test]
    fn a_file_too_large_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(dir.path().join("last-good.json")).unwrap();
        file.set_len(LARGEST + 1).unwrap();
        let error = read_bytes(&dir.path().join("last-good.json")).unwrap_err();
        assert!(error.to_string().contains("more than"), "{error}");
    }

    #[test]
    fn a_broken_file_counts_as_absent() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("first-seen.json"), "{").unwrap();
        assert!(Keep::open(dir.path(), 1000).0.is_first_start());
    }
}
