//! Machine code that this daemon compiled before, kept in a directory that nobody else can write.
//!
//! Not pure: files. wasmtime trusts machine code without looking at it, so the directory and the
//! file have to be ours and closed to others at the moment of reading; else they count as absent.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::digest::Digest;

/// Loads machine code that this program compiled itself, now or in an earlier run; nothing else may be
/// handed to it.
///
/// # Errors
/// The code is of another version or other settings than the engine's.
pub(crate) fn own(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    #[allow(unsafe_code, reason = "wasmtime has no checked way to load machine code")]
    // SAFETY: the code is what `Engine::precompile_component` returned. Version and settings of the
    // engine are checked by wasmtime.
    unsafe {
        Component::deserialize(engine, code)
    }
}

/// Permission bits of group and others, none of which may be set.
const OTHERS: u32 = 0o077;

/// The directory of one engine's machine code.
pub(crate) struct Precompiled {
    dir: PathBuf,
    /// Compiler settings and version: code of another engine is never found.
    engine: u64,
}

/// The directory can't be trusted or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("{}", .0.display())]
    Io(PathBuf, #[source] io::Error),
    #[error("{} must be a directory of this user with mode 0700, not of user {uid} with {mode:04o}", dir.display())]
    Open { dir: PathBuf, uid: u32, mode: u32 },
}

impl Precompiled {
    /// Opens `dir`, made with mode 0700 if it is absent.
    ///
    /// # Errors
    /// When it can't be made or written, or others could write in it.
    pub(crate) fn open(dir: &Path, engine: &Engine) -> Result<Self, Unusable> {
        let io = |e| Unusable::Io(dir.to_path_buf(), e);
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io)?;
        let ours = Self { dir: dir.to_path_buf(), engine: fingerprint(engine) };
        ours.check_dir()?;
        tempfile::Builder::new().prefix(".probe-").tempfile_in(dir).map_err(io)?;
        Ok(ours)
    }

    /// The component with this digest, when an earlier run compiled it.
    pub(crate) fn load(&self, engine: &Engine, digest: &Digest) -> Option<Component> {
        self.check_dir().ok()?;
        let code = self.read(&self.file(digest)).ok()?;
        // The bytes were read from a file that belongs to this user, as does its directory, and
        // neither could be written by another; only `store` puts files there, each complete and
        // moved into place. The name holds the digest of the component and the fingerprint of
        // the engine.
        own(engine, &code).ok()
    }

    /// Keeps what was compiled.
    ///
    /// # Errors
    /// When the file can't be written; nothing is left behind then.
    pub(crate) fn store(&self, digest: &Digest, code: &[u8]) -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(&self.dir)?;
        file.write_all(code)?;
        file.as_file().sync_data()?;
        file.persist(self.file(digest)).map_err(|e| e.error)?;
        Ok(())
    }

    /// Removes the code of components and engines that are no longer in use.
    pub(crate) fn keep_only<'a>(&self, digests: impl Iterator<Item = &'a Digest>) {
        let keep: Vec<PathBuf> = digests.map(|d| self.file(d)).collect();
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            let ours = path.extension().is_some_and(|e| e == "cwasm");
            if ours && !keep.contains(&path) && fs::remove_file(&path).is_err() {
                tracing::debug!(file = %path.display(), "old machine code stays");
            }
        }
    }

    fn file(&self, digest: &Digest) -> PathBuf {
        self.dir.join(format!("{digest}-{:016x}.cwasm", self.engine))
    }

    fn check_dir(&self) -> Result<(), Unusable> {
        let meta =
            fs::symlink_metadata(&self.dir).map_err(|e| Unusable::Io(self.dir.clone(), e))?;
        let (uid, mode) = (meta.uid(), meta.mode());
        if meta.is_dir() && is_private(&meta) {
            return Ok(());
        }
        Err(Unusable::Open { dir: self.dir.clone(), uid, mode: mode & 0o7777 })
    }

    /// Checks and reads through one descriptor, so that what was checked is what is read.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let flags = OFlags::NOFOLLOW.bits().cast_signed();
        let mut file: File = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() || !is_private(&meta) {
            return Err(io::Error::other("not a private file"));
        }
        let mut code = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0));
        file.read_to_end(&mut code)?;
        Ok(code)
    }
}

fn is_private(meta: &fs::Metadata) -> bool {
    meta.uid() == rustix::process::geteuid().as_raw() && meta.mode() & OTHERS == 0
}

fn fingerprint(engine: &Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    fn engine() -> Engine {
        Engine::default()
    }

    #[test]
    fn code_comes_back_from_a_private_directory_only() {
        let root = tempfile::tempdir().unwrap();
        let (dir, engine) = (root.path().join("code"), engine());
        let precompiled = Precompiled::open(&dir, &engine).unwrap();
        let digest = Digest::of(b"(component)");
        let code = engine.precompile_component(&wat::parse_str("(component)").unwrap()).unwrap();
        assert!(precompiled.load(&engine, &digest).is_none());
        precompiled.store(&digest, &code).unwrap();
        assert!(precompiled.load(&engine, &digest).is_some());

        fs::set_permissions(precompiled.file(&digest), Permissions::from_mode(0o620)).unwrap();
        assert!(precompiled.load(&engine, &digest).is_none(), "a file that the group can write");
        fs::set_permissions(precompiled.file(&digest), Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(&dir, Permissions::from_mode(0o770)).unwrap();
        assert!(precompiled.load(&engine, &digest).is_none(), "a directory open to the group");
        assert!(matches!(Precompiled::open(&dir, &engine), Err(Unusable::Open { .. })));
    }

    #[test]
    fn broken_code_and_links_count_as_absent() {
        let root = tempfile::tempdir().unwrap();
        let engine = engine();
        let precompiled = Precompiled::open(&root.path().join("code"), &engine).unwrap();
        let digest = Digest::of(b"x");
        let file = precompiled.file(&digest);
        fs::write(&file, b"\x7fELF but not code").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        assert!(precompiled.load(&engine, &digest).is_none());
        fs::rename(&file, root.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(root.path().join("elsewhere"), &file).unwrap();
        assert!(precompiled.load(&engine, &digest).is_none());
    }

    #[test]
    fn code_that_nobody_uses_goes() {
        let root = tempfile::tempdir().unwrap();
        let engine = engine();
        let precompiled = Precompiled::open(&root.path().join("code"), &engine).unwrap();
        let code = engine.precompile_component(&wat::parse_str("(component)").unwrap()).unwrap();
        let (kept, gone) = (Digest::of(b"kept"), Digest::of(b"gone"));
        precompiled.store(&kept, &code).unwrap();
        precompiled.store(&gone, &code).unwrap();
        precompiled.keep_only([&kept].into_iter());
        assert!(precompiled.load(&engine, &kept).is_some());
        assert!(precompiled.load(&engine, &gone).is_none());
    }
}
