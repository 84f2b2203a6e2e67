//! I/O: a thread that keeps an eye on a directory and tells what changed.
//!
//! Events of the file system only say that it is time to look; what changed is found by looking.
//! So lost events, links and renames need no care of their own, and a look now and then, events
//! or not, finds what events can't show.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use super::directory::{Batch, Directory};
use super::limits::Limits;
use super::scan::{DirectoryError, Folders, Scanner};
use super::settle::{Settle, Sign};
use crate::watch::Event;

/// How closely a directory is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long it must have been quiet before files are read.
    pub quiet: Duration,
    /// The longest that a change is put off because more keep coming or a writer doesn't finish.
    pub patience: Duration,
    /// How often to look without any sign of change.
    pub rescan: Duration,
    /// What a file may cost.
    pub limits: Limits,
}

impl Default for Settings {
    /// 100 ms, 2 s, 30 s.
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(100),
            patience: Duration::from_secs(2),
            rescan: Duration::from_secs(30),
            limits: Limits::default(),
        }
    }
}

/// How many events may wait for their taker before the watching thread waits too.
const QUEUE: usize = 64;

/// A directory being watched; it ends when this is dropped.
#[derive(Debug)]
pub struct Watch {
    requests: mpsc::Sender<Request>,
}

impl Watch {
    /// Looks now, whether or not there was a sign of change; [`Event::Rescanned`] follows what it
    /// finds. False where the watching thread has ended.
    pub fn rescan(&self) -> bool {
        self.requests.send(Request::Rescan).is_ok()
    }

    /// From now on looks this often without any sign of change.
    pub fn every(&self, period: Duration) {
        // Where the thread has ended nobody looks any more.
        drop(self.requests.send(Request::Every(period)));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.requests.send(Request::Stop));
    }
}

#[derive(Debug)]
enum Request {
    Sign(Sign),
    Rescan,
    Every(Duration),
    Stop,
}

/// Watches a directory, or one file, on a thread of its own.
///
/// First comes everything that is there, then [`Event::Synced`], then what changes. A directory
/// that goes away later is a problem told; its objects stay until it comes back.
///
/// # Errors
/// Where the directory can't be read now, or no thread can be had.
pub fn watch_directory(
    path: &Path,
    settings: Settings,
) -> Result<(Watch, tokio::sync::mpsc::Receiver<Event>), DirectoryError> {
    let failed = |source| DirectoryError { path: path.to_owned(), source };
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        std::fs::read_dir(path).map_err(failed)?;
    }
    let (requests, inbox) = mpsc::channel();
    let (events, outbox) = tokio::sync::mpsc::channel(QUEUE);
    let eye = Eye {
        scanner: Scanner::new(path, settings.limits.file_bytes),
        directory: Directory::new(settings.limits),
        settle: Settle::new(settings.quiet, settings.patience),
        watched: Watched::new(requests.clone()),
        root: path.to_owned(),
        settings,
        inbox,
        events,
    };
    let thread = thread::Builder::new().name("manifests".to_owned());
    thread.spawn(move || eye.run()).map_err(failed)?;
    Ok((Watch { requests }, outbox))
}

/// Why a wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// A sign of change, or the period.
    Time,
    /// Somebody asked for a look and wants to know when it is done.
    Asked,
    End,
}

/// Nobody takes events any more.
struct Unheard;

struct Eye {
    root: PathBuf,
    settings: Settings,
    scanner: Scanner,
    directory: Directory,
    settle: Settle,
    watched: Watched,
    inbox: mpsc::Receiver<Request>,
    events: tokio::sync::mpsc::Sender<Event>,
}

impl Eye {
    fn run(mut self) {
        let mut pause = self.look();
        if pause.is_ok() && self.tell(Event::Synced).is_err() {
            return;
        }
        while let Ok(longest) = pause {
            let reason = self.wait(longest);
            if reason == Reason::End {
                return;
            }
            pause = self.look();
            if reason == Reason::Asked && self.tell(Event::Rescanned).is_err() {
                return;
            }
        }
    }

    /// Looks, tells what changed, and says how long it may be until the next look.
    fn look(&mut self) -> Result<Duration, Unheard> {
        self.settle.reset();
        let (mut batch, mut next) = (Batch::default(), self.settings.rescan);
        match self.scanner.step() {
            Ok(step) => {
                batch = step.batch;
                if step.unsettled {
                    next = self.settings.quiet;
                }
                if self.watched.set(step.folders) {
                    // What happened between the look and the watch is found by looking again.
                    next = Duration::ZERO;
                }
            }
            Err(error) => {
                let message = format!("can't be read: {}", error.source);
                batch.broken.push((error.path, message));
            }
        }
        if let Some(message) = &self.watched.trouble {
            let seconds = self.settings.rescan.as_secs_f32();
            let message = format!("{message}; changes are looked for every {seconds} s");
            batch.broken.push((self.root.clone(), message));
        }
        let update = self.directory.apply(batch);
        if !update.report.is_empty() {
            self.tell(Event::Report(update.report))?;
        }
        if !update.changes.is_empty() {
            self.tell(Event::Changes(update.changes))?;
        }
        Ok(next.min(self.settings.rescan))
    }

    /// Waits for a reason to look, or to end.
    fn wait(&mut self, longest: Duration) -> Reason {
        let began = Instant::now();
        let mut planned = began + longest;
        loop {
            let left = self.settle.next(planned).saturating_duration_since(Instant::now());
            match self.inbox.recv_timeout(left) {
                Ok(Request::Sign(sign)) => {
                    self.watched.note(&sign);
                    self.settle.note(sign, Instant::now());
                    // A flood of signs must not keep the look away.
                    if left.is_zero() {
                        return Reason::Time;
                    }
                }
                Ok(Request::Rescan) => return Reason::Asked,
                Ok(Request::Every(period)) => {
                    self.settings.rescan = period;
                    planned = planned.min(began + period);
                }
                Err(RecvTimeoutError::Timeout) => return Reason::Time,
                Ok(Request::Stop) | Err(RecvTimeoutError::Disconnected) => return Reason::End,
            }
        }
    }

    fn tell(&self, event: Event) -> Result<(), Unheard> {
        self.events.blocking_send(event).map_err(|_| Unheard)
    }
}

/// The folders that the kernel sends events of.
struct Watched {
    requests: mpsc::Sender<Request>,
    watcher: Option<RecommendedWatcher>,
    folders: Folders,
    trouble: Option<String>,
}

impl Watched {
    fn new(requests: mpsc::Sender<Request>) -> Self {
        Self { requests, watcher: None, folders: Folders::new(), trouble: None }
    }

    /// Watches these folders and no other; says whether one of them is new.
    fn set(&mut self, wanted: Folders) -> bool {
        self.trouble = None;
        if let Err(error) = self.open() {
            self.trouble = Some(format!("can't be watched: {error}"));
            return false;
        }
        let Some(watcher) = &mut self.watcher else { return false };
        for (folder, _) in self.folders.iter().filter(|&(f, id)| wanted.get(f) != Some(id)) {
            // The kernel has dropped the watch itself where the folder is gone.
            drop(watcher.unwatch(folder));
        }
        self.folders.retain(|folder, id| wanted.get(folder) == Some(id));
        let mut grown = false;
        for (folder, id) in wanted {
            if self.folders.contains_key(&folder) {
                continue;
            }
            match watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.folders.insert(folder, id);
                    grown = true;
                }
                Err(error) => self.trouble = Some(format!("can't be watched: {error}")),
            }
        }
        grown
    }

    fn open(&mut self) -> Result<(), notify::Error> {
        if self.watcher.is_none() {
            let requests = self.requests.clone();
            let handler = move |event| {
                if let Some(sign) = sign_of(event) {
                    // The thread has ended: the watcher ends with it.
                    drop(requests.send(Request::Sign(sign)));
                }
            };
            self.watcher = Some(notify::recommended_watcher(handler)?);
        }
        Ok(())
    }

    /// Forgets the watches that a sign says are no more.
    fn note(&mut self, sign: &Sign) {
        match sign {
            Sign::Moved(paths) => self.folders.retain(|folder, _| !paths.contains(folder)),
            Sign::Lost => self.folders.clear(),
            Sign::Wrote(_) | Sign::Closed(_) => {}
        }
    }
}

fn sign_of(event: notify::Result<notify::Event>) -> Option<Sign> {
    let Ok(mut event) = event else { return Some(Sign::Lost) };
    if event.need_rescan() {
        return Some(Sign::Lost);
    }
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
            event.paths.pop().map(Sign::Closed)
        }
        // To read is no change: our own looks come back as events too.
        EventKind::Access(_) => None,
        EventKind::Modify(ModifyKind::Data(_)) => event.paths.pop().map(Sign::Wrote),
        _ => Some(Sign::Moved(event.paths)),
    }
}
