//! News of the files that are read again while the daemon runs, policies' and the configuration: events of the
//! folders that they lie in.
//!
//! I/O: inotify, and a thread that waits until a writer is done. An event only says that it is time
//! to look. What no event tells (a network file system, a folder made later) the resync finds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::drive::Command;

/// How long a folder must have been quiet before files are looked at.
const QUIET: Duration = Duration::from_millis(100);
/// The longest that a look is put off because more keeps coming.
const PATIENCE: Duration = Duration::from_secs(3);

/// What tells one version of a file from another without reading it: device, inode, length, time of the last
/// write. `None` where there is none.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

/// The files that are followed, each as it was when it was looked at last.
type Stamps = Arc<Mutex<BTreeMap<PathBuf, Stamp>>>;

/// The folders that are watched, each with its device and inode: one made anew under a name must be watched
/// anew, also where it got the same inode.
type Folders = Arc<Mutex<BTreeMap<PathBuf, (u64, u64)>>>;

/// The folders being watched, until it is dropped.
#[derive(Debug)]
pub struct FileWatch {
    watcher: RecommendedWatcher,
    folders: Folders,
    /// Folders that can't be watched: told once.
    unwatched: BTreeSet<PathBuf>,
    stamps: Stamps,
}

impl FileWatch {
    /// Sends [`Command::Files`] whenever one of the files that are followed may be another one.
    ///
    /// # Errors
    /// This system gives no events, or no thread can be had.
    pub fn start(commands: &Sender<Command>) -> Result<Self, notify::Error> {
        let (signs, inbox) = mpsc::channel();
        let folders = Folders::default();
        let watched = Arc::clone(&folders);
        let watcher = notify::recommended_watcher(move |event| {
            if is_sign(&event) {
                forget_lost(&event, &watched);
                // The thread has ended: so does the daemon.
                let _ = signs.send(());
            }
        })?;
        let (commands, stamps) = (commands.clone(), Stamps::default());
        let known = Arc::clone(&stamps);
        let thread = thread::Builder::new().name("files".to_owned());
        thread.spawn(move || tell(&inbox, &known, &commands)).map_err(notify::Error::io)?;
        Ok(Self { watcher, folders, unwatched: BTreeSet::new(), stamps })
    }

    /// Follows these files, wherever links lead them by now, and no others. A folder that can't be watched is
    /// told in the log.
    pub fn follow<'a>(&mut self, files: impl Iterator<Item = &'a Path>) {
        let files: BTreeSet<&Path> = files.collect();
        let wanted = folders(files.iter().copied());
        let watched = locked(&self.folders).clone();
        for (folder, _) in watched.iter().filter(|(folder, id)| wanted.get(*folder) != Some(*id)) {
            locked(&self.folders).remove(folder);
            // The kernel has dropped the watch itself where the folder is gone.
            drop(self.watcher.unwatch(folder));
        }
        self.unwatched.retain(|folder| wanted.contains_key(folder));
        for (folder, id) in wanted {
            if watched.get(&folder) != Some(&id) {
                self.watch(&folder, id);
            }
        }
        let mut stamps = locked(&self.stamps);
        stamps.retain(|file, _| files.contains(file.as_path()));
        for file in files {
            // Not how it is now: it may have changed since it was read.
            stamps.entry(file.to_owned()).or_default();
        }
    }

    /// Nothing is locked while the watcher's thread is asked: it may be telling of an event.
    fn watch(&mut self, folder: &Path, id: (u64, u64)) {
        locked(&self.folders).insert(folder.to_owned(), id);
        let Err(error) = self.watcher.watch(folder, RecursiveMode::NonRecursive) else { return };
        locked(&self.folders).remove(folder);
        if self.unwatched.insert(folder.to_owned()) {
            tracing::warn!(folder = %folder.display(), %error, "files here are looked at on the sync period only");
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a file's name stands, and where the file is: a mounted ConfigMap is all links.
fn folders<'a>(files: impl Iterator<Item = &'a Path>) -> BTreeMap<PathBuf, (u64, u64)> {
    let parent = |file: &Path| match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let places = files.flat_map(|file| [Some(file.to_owned()), file.canonicalize().ok()]);
    let folders = places.flatten().map(|place| parent(&place));
    // One that isn't there is tried all the same, and told.
    let id = |it: &Path| fs::metadata(it).map_or((0, 0), |it| (it.dev(), it.ino()));
    folders.map(|folder| (folder.clone(), id(&folder))).collect()
}

fn stamp(file: &Path) -> Stamp {
    let it = fs::metadata(file).ok()?;
    Some((it.dev(), it.ino(), it.len(), it.mtime(), it.mtime_nsec()))
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

/// A folder that was removed or moved takes its watch along.
fn forget_lost(event: &notify::Result<notify::Event>, folders: &Folders) {
    match event {
        Ok(event) if event.need_rescan() => locked(folders).clear(),
        Ok(notify::Event {
            kind: EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)),
            paths,
            ..
        }) => locked(folders).retain(|folder, _| !paths.contains(folder)),
        _ => {}
    }
}

fn tell(signs: &Receiver<()>, stamps: &Stamps, commands: &Sender<Command>) {
    while signs.recv().is_ok() {
        let first = Instant::now();
        while first.elapsed() < PATIENCE && signs.recv_timeout(QUIET).is_ok() {}
        // Others may write into these folders all the time, and to read every policy costs.
        if is_any_other(stamps) && commands.send(Command::Files).is_err() {
            return;
        }
    }
}

/// Whether any file is another one than when it was looked at last. Takes note of how they are now.
fn is_any_other(stamps: &Stamps) -> bool {
    let mut stamps = locked(stamps);
    let mut other = false;
    for (file, known) in stamps.iter_mut() {
        let now = stamp(file);
        other |= std::mem::replace(known, now) != now;
    }
    other
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const SOON: Duration = Duration::from_secs(30);

    struct Subject {
        dir: tempfile::TempDir,
        inbox: Receiver<Command>,
        watch: FileWatch,
    }

    impl Subject {
        fn new() -> Self {
            let (commands, inbox) = mpsc::channel();
            let watch = FileWatch::start(&commands).unwrap();
            Self { dir: tempfile::tempdir().unwrap(), inbox, watch }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn follow(&mut self, names: &[&str]) {
            let files: Vec<_> = names.iter().map(|name| self.path(name)).collect();
            self.watch.follow(files.iter().map(PathBuf::as_path));
        }

        /// Whether it was told; nothing more is under way then.
        fn is_told(&self) -> bool {
            let told = matches!(self.inbox.recv_timeout(SOON), Ok(Command::Files));
            while self.inbox.recv_timeout(QUIET * 5).is_ok() {}
            told
        }

        fn is_silent(&self) -> bool {
            self.inbox.recv_timeout(QUIET * 5).is_err()
        }
    }

    #[test]
    fn changes_are_told_and_reads_are_not() {
        let mut it = Subject::new();
        let (file, real) = (it.path("p.wasm"), it.path("data/p.wasm"));
        fs::create_dir(it.path("data")).unwrap();
        fs::write(&real, "1").unwrap();
        symlink(&real, &file).unwrap();
        it.follow(&["p.wasm"]);
        fs::read(&file).unwrap();
        assert!(it.is_silent(), "a read was told");
        fs::write(&real, "22").unwrap();
        assert!(it.is_told(), "written in place");
        fs::write(it.path("next"), "3").unwrap();
        assert!(it.is_silent(), "a file of others");
        fs::rename(it.path("next"), &file).unwrap();
        assert!(it.is_told(), "renamed over");
        fs::remove_file(&file).unwrap();
        assert!(it.is_told(), "gone");
    }

    /// As the kubelet does it: `weir.yaml` → `..data/weir.yaml`, `..data` → `..1`, later `..2`.
    #[test]
    fn the_swap_of_a_config_map_s_folder_is_told() {
        let mut it = Subject::new();
        for (folder, text) in [("..1", "1"), ("..2", "2")] {
            fs::create_dir(it.path(folder)).unwrap();
            fs::write(it.path(folder).join("weir.yaml"), text).unwrap();
        }
        symlink("..1", it.path("..data")).unwrap();
        symlink("..data/weir.yaml", it.path("weir.yaml")).unwrap();
        it.follow(&["weir.yaml"]);
        symlink("..2", it.path("..data_tmp")).unwrap();
        fs::rename(it.path("..data_tmp"), it.path("..data")).unwrap();
        fs::remove_dir_all(it.path("..1")).unwrap();
        assert!(it.is_told());
        it.follow(&["weir.yaml"]);
        fs::write(it.path("..2/weir.yaml"), "written in place").unwrap();
        assert!(it.is_told(), "where the link leads now is watched");
    }

    #[test]
    fn other_files_are_followed_in_place_of_those_before() {
        let mut it = Subject::new();
        for folder in ["a", "b"] {
            fs::create_dir(it.path(folder)).unwrap();
        }
        it.follow(&["a/p.wasm"]);
        it.follow(&["b/p.wasm"]);
        fs::write(it.path("a/p.wasm"), "1").unwrap();
        assert!(it.is_silent());
        fs::write(it.path("b/p.wasm"), "1").unwrap();
        assert!(it.is_told(), "a file that wasn't there");
        fs::remove_dir_all(it.path("b")).unwrap();
        fs::create_dir(it.path("b")).unwrap();
        assert!(it.is_told());
        it.follow(&["b/p.wasm"]);
        fs::write(it.path("b/p.wasm"), "1").unwrap();
        assert!(it.is_told(), "a folder made anew is watched anew");
    }
}
