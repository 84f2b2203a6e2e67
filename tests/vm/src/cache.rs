//! The folder that everything downloaded and built is kept in, and the locks that guard it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use crate::error::{Error, OnPath, Result};

/// The cache folder: `$WEIR_CACHE`, else `$XDG_CACHE_HOME/weir`, else `~/.cache/weir`.
#[derive(Clone, Debug)]
pub struct Cache(PathBuf);

/// A lock held until it is dropped.
pub(crate) struct Lock(#[allow(dead_code, reason = "held for its lock, never read")] File);

/// A folder for one run, deleted with it. Its lock tells a running guest's from a dead one's.
pub(crate) struct RunFolder {
    folder: TempDir,
    _lock: Lock,
}

impl Cache {
    /// The one that the environment names.
    pub fn of_environment() -> Result<Self> {
        let variable =
            |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = variable("WEIR_CACHE")
            .or_else(|| variable("XDG_CACHE_HOME").map(|path| path.join("weir")))
            .or_else(|| variable("HOME").map(|path| path.join(".cache/weir")))
            .ok_or_else(|| {
                Error::Input("none of WEIR_CACHE, XDG_CACHE_HOME and HOME is set".into())
            })?;
        Self::at(&root)
    }

    /// The cache whose root is `root`; guests are kept in `vm` under it.
    pub fn at(root: &Path) -> Result<Self> {
        let path = root.join("vm");
        fs::create_dir_all(&path).on("make folder", &path)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Waits for the lock called `name`, so that guests started side by side build once.
    pub(crate) fn lock(&self, name: &str) -> Result<Lock> {
        let path = self.path(&format!("{name}.lock"));
        let file = File::create(&path).on("make", &path)?;
        flock(&file, FlockOperation::LockExclusive).map_err(Into::into).on("lock", &path)?;
        Ok(Lock(file))
    }

    /// A folder for one run. Folders of runs that were killed are removed on the way.
    pub(crate) fn run_folder(&self) -> Result<RunFolder> {
        let _making = self.lock("runs")?;
        self.sweep()?;
        let folder = tempfile::Builder::new()
            .prefix("run-")
            .tempdir_in(&self.0)
            .on("make folder in", &self.0)?;
        let path = folder.path().join("lock");
        let file = File::create(&path).on("make", &path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(Into::into)
            .on("lock", &path)?;
        Ok(RunFolder { folder, _lock: Lock(file) })
    }

    fn sweep(&self) -> Result<()> {
        for entry in fs::read_dir(&self.0).on("read", &self.0)?.flatten() {
            if !entry.file_name().to_string_lossy().starts_with("run-") {
                continue;
            }
            let path = entry.path();
            let dead = File::open(path.join("lock"))
                .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok());
            if dead {
                fs::remove_dir_all(&path).on("remove", &path)?;
            }
        }
        Ok(())
    }
}

impl RunFolder {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_runs_folder_is_swept_and_a_living_ones_is_not() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path()).unwrap();
        let living = cache.run_folder().unwrap();
        let dead = cache.path("run-dead");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join("lock"), "").unwrap();
        let _next = cache.run_folder().unwrap();
        assert!(!dead.exists());
        assert!(living.path("lock").exists());
    }
}
