//! Reads a policy's file whole, though somebody may be writing it.
//!
//! Not pure: one file.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use crate::{Limits, LoadError};

/// Times that a file which changes under the reader is read before it is taken as it is.
const TRIES: usize = 3;

/// The bytes of a regular file.
///
/// A file that is replaced (renamed over) is read in its old or its new form, never mixed. One
/// that is written in place is read again while it changes; what is then still torn fails later
/// as a broken component, and the next change of the file brings another look.
///
/// # Errors
/// [`LoadError::Read`] and, before anything is read, [`LoadError::TooBig`].
pub fn read_component(file: &Path, limits: &Limits) -> Result<Vec<u8>, LoadError> {
    let failed = |source| LoadError::Read { file: file.to_path_buf(), source };
    for _ in 1..TRIES {
        let (bytes, stable) = read_once(file, limits).map_err(failed)??;
        if stable {
            return Ok(bytes);
        }
    }
    let (bytes, _) = read_once(file, limits).map_err(failed)??;
    Ok(bytes)
}

type Read1 = Result<(Vec<u8>, bool), LoadError>;

fn read_once(path: &Path, limits: &Limits) -> io::Result<Read1> {
    // A FIFO under this name must not hold up the daemon.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let before = file.metadata()?;
    if !before.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let limit = limits.component_bytes;
    if before.len() > limit {
        return Ok(Err(LoadError::TooBig { size: before.len(), limit }));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(before.len()).unwrap_or(0));
    (&mut file).take(limit + 1).read_to_end(&mut bytes)?;
    let size = bytes.len() as u64;
    if size > limit {
        return Ok(Err(LoadError::TooBig { size, limit }));
    }
    let stable = size == before.len() && is_same(&before, &file)?;
    Ok(Ok((bytes, stable)))
}

fn is_same(before: &Metadata, file: &File) -> io::Result<bool> {
    let after = file.metadata()?;
    let stamp = |m: &Metadata| (m.len(), m.mtime(), m.mtime_nsec());
    Ok(stamp(before) == stamp(&after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_that_fit_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p.wasm");
        let limits = Limits { component_bytes: 4, ..Limits::default() };
        assert_eq!(read_component(&file, &limits).unwrap_err().kind(), "read");
        std::fs::write(&file, b"1234").unwrap();
        assert_eq!(read_component(&file, &limits).unwrap(), b"1234");
        std::fs::write(&file, b"12345").unwrap();
        assert_eq!(read_component(&file, &limits).unwrap_err().kind(), "too-big");
        let error = read_component(dir.path(), &limits).unwrap_err();
        assert_eq!(error.kind(), "read");
    }

    #[test]
    fn a_fifo_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("p.wasm");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, mode, 0).unwrap();
        let error = read_component(&fifo, &Limits::default()).unwrap_err();
        assert!(crate::failure::one_line(&error).contains("not a regular file"));
    }
}
