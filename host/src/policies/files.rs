//! News of policies' files: events of the folders that they lie in.
//!
//! I/O: inotify, and a thread that waits until a writer is done. An event only says that it is time
//! to look. What no event tells (a network file system, a folder made later) the resync finds.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::drive::Command;

/// How long a folder must have been quiet before files are looked at.
const QUIET: Duration = Duration::from_millis(100);
/// The longest that a look is put off because more keeps coming.
const PATIENCE: Duration = Duration::from_secs(3);

/// The folders being watched, until it is dropped.
#[derive(Debug)]
pub struct FileWatch {
    _watcher: RecommendedWatcher,
}

/// Sends [`Command::Policies`] whenever one of `files` may have changed. A folder that can't be
/// watched is told in the log.
///
/// # Errors
/// This system gives no events, or no thread can be had.
pub fn watch_files<'a>(
    files: impl Iterator<Item = &'a Path>,
    commands: &Sender<Command>,
) -> Result<FileWatch, notify::Error> {
    let (signs, inbox) = mpsc::channel();
    let mut watcher = notify::recommended_watcher(move |event| {
        if is_sign(&event) {
            // The thread has ended: so does the daemon.
            let _ = signs.send(());
        }
    })?;
    for folder in folders(files) {
        if let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive) {
            tracing::warn!(folder = %folder.display(), %error, "policies here are looked at on the sync period only");
        }
    }
    let commands = commands.clone();
    let thread = thread::Builder::new().name("policy-files".to_owned());
    thread.spawn(move || tell(&inbox, &commands)).map_err(notify::Error::io)?;
    Ok(FileWatch { _watcher: watcher })
}

/// Where a file's name stands, and where the file is: a mounted ConfigMap is all links.
fn folders<'a>(files: impl Iterator<Item = &'a Path>) -> BTreeSet<PathBuf> {
    let parent = |file: &Path| match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let places = files.flat_map(|file| [Some(file.to_owned()), file.canonicalize().ok()]);
    places.flatten().map(|place| parent(&place)).collect()
}

/// To read is no change: our own looks come back as events too.
fn is_sign(event: &notify::Result<notify::Event>) -> bool {
    let reading = |kind| match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) => true,
        _ => false,
    };
    !event.as_ref().is_ok_and(|event| reading(event.kind))
}

fn tell(signs: &Receiver<()>, commands: &Sender<Command>) {
    while signs.recv().is_ok() {
        let first = Instant::now();
        while first.elapsed() < PATIENCE && signs.recv_timeout(QUIET).is_ok() {}
        if commands.send(Command::Policies).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(30);

    #[test]
    fn changes_are_told_and_reads_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let (file, real) = (dir.path().join("p.wasm"), dir.path().join("data/p.wasm"));
        std::fs::create_dir(dir.path().join("data")).unwrap();
        std::fs::write(&real, "1").unwrap();
        std::os::unix::fs::symlink(&real, &file).unwrap();
        let (commands, inbox) = mpsc::channel();
        let _watch = watch_files(std::iter::once(file.as_path()), &commands).unwrap();
        std::fs::read(&file).unwrap();
        let told = inbox.recv_timeout(QUIET * 5);
        assert!(told.is_err(), "a read was told: {told:?}");
        std::fs::write(&real, "2").unwrap();
        assert!(matches!(inbox.recv_timeout(SOON), Ok(Command::Policies)), "written in place");
        std::fs::write(dir.path().join("next"), "3").unwrap();
        while inbox.recv_timeout(QUIET * 5).is_ok() {}
        std::fs::rename(dir.path().join("next"), &file).unwrap();
        assert!(matches!(inbox.recv_timeout(SOON), Ok(Command::Policies)), "renamed over");
    }
}
