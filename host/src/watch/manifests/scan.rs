//! I/O in: looks at a directory and reads what differs from the last look.
//!
//! Names that begin with a dot are passed over, as the kubelet does it: editors keep their drafts
//! there, and a mounted ConfigMap its `..data`. Links are followed; each folder is read once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::directory::{Batch, Content};
use super::parse::Format;

/// How deep folders may nest.
const DEEPEST: usize = 32;
/// A file changed less than this before it was read may change again without a trace in its
/// times: kernels stamp them once a tick (1 to 10 ms), network file systems more coarsely.
const TRACELESS: Duration = Duration::from_millis(100);

/// The directory itself is out of reach.
#[derive(Debug, thiserror::Error)]
#[error("read the manifests in {}", path.display())]
pub struct DirectoryError {
    /// The directory.
    pub path: PathBuf,
    /// What the kernel said.
    pub source: io::Error,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fingerprint {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether a later change would surely show.
    fn is_settled(&self) -> bool {
        let (seconds, nanos) = self.changed;
        let since_epoch =
            Duration::new(u64::try_from(seconds).unwrap_or(0), u32::try_from(nanos).unwrap_or(0));
        let age = SystemTime::now().duration_since(UNIX_EPOCH + since_epoch);
        age.is_ok_and(|age| age >= TRACELESS)
    }
}

/// What is remembered of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Read(Fingerprint),
    Unreadable(String),
    /// To be read again whatever its fingerprint says.
    Unsettled,
}

/// A folder that events are wanted from, by its real path, and its device and inode.
pub type Folders = BTreeMap<PathBuf, (u64, u64)>;

/// What one look brought.
#[derive(Debug, Default)]
pub struct Step {
    /// What differs from the last look.
    pub batch: Batch,
    /// Every folder that files come from, those behind links included.
    pub folders: Folders,
    /// Whether a file was so young that it should be looked at again soon.
    pub unsettled: bool,
}

/// A directory, and what it looked like the last time.
#[derive(Debug)]
pub struct Scanner {
    root: PathBuf,
    file_bytes: u64,
    seen: BTreeMap<PathBuf, Seen>,
}

impl Scanner {
    /// A directory or single file not looked at yet; files of more than `file_bytes` aren't read.
    #[must_use]
    pub fn new(root: &Path, file_bytes: u64) -> Self {
        Self { root: root.to_owned(), file_bytes, seen: BTreeMap::new() }
    }

    /// Looks at the directory and reads the files that differ.
    ///
    /// # Errors
    /// Where the directory itself can't be read; then nothing is forgotten.
    pub fn step(&mut self) -> Result<Step, DirectoryError> {
        let mut walk = Walk::default();
        let failed = |source| DirectoryError { path: self.root.clone(), source };
        walk.root(&self.root).and_then(|()| walk.is_still_at(&self.root)).map_err(failed)?;
        walk.folders.append(&mut walk.behind_links);
        let mut step = Step { folders: walk.folders, ..Step::default() };
        step.batch.gone = self.gone(&walk.files, &walk.broken);
        for path in &step.batch.gone {
            self.seen.remove(path);
        }
        step.batch.broken = walk.broken;
        for (path, found) in walk.files {
            if self.seen.get(&path).is_some_and(|seen| *seen == found) {
                continue;
            }
            let (content, seen) = self.read(&path, found);
            step.unsettled |= seen == Seen::Unsettled;
            self.seen.insert(path.clone(), seen);
            step.batch.files.push((path, content));
        }
        Ok(step)
    }

    /// What was there and is no more. Nothing is known of what lies below a folder out of reach.
    fn gone(&self, files: &BTreeMap<PathBuf, Seen>, broken: &[(PathBuf, String)]) -> Vec<PathBuf> {
        let hidden = |path: &PathBuf| broken.iter().any(|(folder, _)| path.starts_with(folder));
        let missing = self.seen.keys().filter(|path| !files.contains_key(*path));
        missing.filter(|path| !hidden(path)).cloned().collect()
    }

    fn read(&self, path: &Path, found: Seen) -> (Content, Seen) {
        if let Seen::Unreadable(message) = &found {
            return (Content::Unreadable(message.clone()), found);
        }
        match self.contents(path) {
            Ok((bytes, fingerprint)) => {
                let same = found == Seen::Read(fingerprint) && fingerprint.is_settled();
                (Content::Bytes(bytes), if same { found } else { Seen::Unsettled })
            }
            Err(error) => {
                let message = format!("can't be read: {error}");
                (Content::Unreadable(message.clone()), Seen::Unreadable(message))
            }
        }
    }

    /// At most one byte more than the limit: the parser refuses it by its length.
    fn contents(&self, path: &Path) -> io::Result<(Vec<u8>, Fingerprint)> {
        let flags = libc::O_NONBLOCK | libc::O_CLOEXEC;
        let file = File::options().read(true).custom_flags(flags).open(path)?;
        let mut bytes = Vec::new();
        (&file).take(self.file_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
        Ok((bytes, Fingerprint::of(&file.metadata()?)))
    }
}

/// One pass over the tree, in the order of paths.
#[derive(Debug, Default)]
struct Walk {
    files: BTreeMap<PathBuf, Seen>,
    folders: Folders,
    /// Not to be walked, but events are wanted from them.
    behind_links: Folders,
    broken: Vec<(PathBuf, String)>,
}

impl Walk {
    fn root(&mut self, root: &Path) -> io::Result<()> {
        let metadata = fs::metadata(root)?;
        if !metadata.is_dir() {
            self.file(root.to_owned(), &metadata);
            return self.behind(root);
        }
        self.folder(root, 0)
    }

    /// A directory that was moved away while it was walked has names without files: these aren't gone.
    fn is_still_at(&self, root: &Path) -> io::Result<()> {
        let metadata = fs::metadata(root)?;
        let identity = (metadata.dev(), metadata.ino());
        if metadata.is_dir() && self.folders.get(&root.canonicalize()?) != Some(&identity) {
            return Err(io::Error::other("was replaced while it was read"));
        }
        Ok(())
    }

    fn folder(&mut self, folder: &Path, depth: usize) -> io::Result<()> {
        let real = folder.canonicalize()?;
        let metadata = fs::metadata(&real)?;
        if self.folders.insert(real, (metadata.dev(), metadata.ino())).is_some() {
            return Ok(());
        }
        let names: io::Result<BTreeSet<_>> =
            fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name())).collect();
        for name in names? {
            if !name.as_encoded_bytes().starts_with(b".") {
                self.entry(folder.join(name), depth + 1);
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: PathBuf, depth: usize) {
        let is_manifest = Format::of(&path).is_some();
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {
                let entered = match depth {
                    DEEPEST.. => Err(io::Error::other(format!("more than {DEEPEST} folders deep"))),
                    _ => self.folder(&path, depth),
                };
                if let Err(error) = entered {
                    self.broken.push((path, format!("can't be read: {error}")));
                }
            }
            Ok(metadata) if is_manifest => {
                if path.is_symlink()
                    && let Err(error) = self.behind(&path)
                {
                    self.broken.push((path.clone(), format!("can't be watched: {error}")));
                }
                self.file(path, &metadata);
            }
            Err(error) if is_manifest && error.kind() != io::ErrorKind::NotFound => {
                self.files.insert(path, Seen::Unreadable(format!("can't be read: {error}")));
            }
            Err(error) if is_manifest && path.is_symlink() => {
                let message = format!("is a link that leads nowhere: {error}");
                self.files.insert(path, Seen::Unreadable(message));
            }
            // Nothing of ours, or gone since its name was read.
            Ok(_) | Err(_) => {}
        }
    }

    fn file(&mut self, path: PathBuf, metadata: &Metadata) {
        let seen = match metadata.is_file() {
            true => Seen::Read(Fingerprint::of(metadata)),
            false => Seen::Unreadable("is not a regular file".to_owned()),
        };
        self.files.insert(path, seen);
    }

    /// Changes to a linked file happen in the folder that it really is in.
    fn behind(&mut self, path: &Path) -> io::Result<()> {
        let real = path.canonicalize()?;
        if let Some(folder) = real.parent()
            && !self.folders.contains_key(folder)
        {
            let metadata = fs::metadata(folder)?;
            self.behind_links.insert(folder.to_owned(), (metadata.dev(), metadata.ino()));
        }
        Ok(())
    }
}
