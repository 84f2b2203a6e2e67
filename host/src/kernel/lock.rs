//! The lock that keeps a second weir off the node: flock(2) on a file in the run folder.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Held as long as it lives; the kernel lets go when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why the lock wasn't had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another weir runs on this node.
    #[error(
        "another weir (process {holder}) holds {path}; stop it first, or give this one another run folder in a network namespace of its own"
    )]
    Held {
        /// The lock file.
        path: PathBuf,
        /// Its process id, as it wrote it; `unknown` where it didn't.
        holder: String,
    },
    /// The file can't be made or locked.
    #[error("lock {path}")]
    Io {
        /// The lock file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Lock {
    /// Takes the lock `weir.lock` in `folder`, making the folder where it is missing.
    ///
    /// # Errors
    /// Another process has it, or the file can't be made.
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let path = folder.join("weir.lock");
        let io = |source| LockError::Io { path: path.clone(), source };
        std::fs::create_dir_all(folder).map_err(io)?;
        let open =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.map_err(io)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                let read = file.read_to_string(&mut holder);
                let known = read.is_ok() && !holder.trim().is_empty();
                let holder = if known { holder.trim().to_owned() } else { "unknown".to_owned() };
                return Err(LockError::Held { path, holder });
            }
            Err(errno) => return Err(io(errno.into())),
        }
        file.set_len(0).map_err(io)?;
        file.rewind().map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_is_told_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::take(dir.path()).unwrap();
        let text = Lock::take(dir.path()).unwrap_err().to_string();
        assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
        drop(first);
        Lock::take(dir.path()).unwrap();
    }
}
