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
        "another weir ({holder}) holds {path}; stop it first, or give this one another run folder in a network namespace of its own"
    )]
    Held {
        /// The lock file.
        path: PathBuf,
        /// Who it is, as it wrote it: [`holder`].
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
                let holder = if known { holder.trim() } else { "it doesn't say which" }.to_owned();
                return Err(LockError::Held { path, holder });
            }
            Err(errno) => return Err(io(errno.into())),
        }
        file.set_len(0).map_err(io)?;
        file.rewind().map_err(io)?;
        writeln!(file, "{}", holder(|name| std::env::var(name).ok())).map_err(io)?;
        Ok(Self { _file: file })
    }
}

/// Who this process is, to whom it may be in the way: `process 812 on node-1`. In a pod, where every
/// daemon is process 1, `process 1 of pod weir-system/weir-x7k2p`, as `POD_NAMESPACE` and `POD_NAME` say.
fn holder(variable: impl Fn(&str) -> Option<String>) -> String {
    let (process, name) = (std::process::id(), variable("POD_NAME").filter(|it| !it.is_empty()));
    let Some(pod) = name else {
        let host = rustix::system::uname();
        return format!("process {process} on {}", host.nodename().to_string_lossy());
    };
    let namespace = variable("POD_NAMESPACE").map(|it| it + "/").unwrap_or_default();
    format!("process {process} of pod {namespace}{pod}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_is_told_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::take(dir.path()).unwrap();
        let text = Lock::take(dir.path()).unwrap_err().to_string();
        let me = holder(|name| std::env::var(name).ok());
        assert!(text.contains(&format!("another weir ({me}) holds ")), "{text}");
        drop(first);
        Lock::take(dir.path()).unwrap();
    }

    #[test]
    fn a_holder_in_a_pod_is_named_by_it() {
        let of = |known: &[(&str, &str)]| {
            holder(|name| known.iter().find(|it| it.0 == name).map(|it| it.1.to_owned()))
        };
        let process = format!("process {}", std::process::id());
        let pod = ("POD_NAME", "weir-x7k2p");
        assert_eq!(of(&[pod]), format!("{process} of pod weir-x7k2p"));
        assert_eq!(
            of(&[pod, ("POD_NAMESPACE", "weir-system")]),
            format!("{process} of pod weir-system/weir-x7k2p")
        );
        let alone = of(&[("POD_NAME", "")]);
        let host = alone.strip_prefix(&format!("{process} on ")).unwrap();
        assert!(!host.is_empty(), "{alone}");
    }
}
