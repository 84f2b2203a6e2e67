//! Writes the "newc" cpio format that the kernel unpacks as its first file system.
//!
//! Source: Documentation/driver-api/early-userspace/buffer-format.rst. Pure over a `Write`.

use std::io::{self, Write};

const MAGIC: &str = "070701";
const TRAILER: &str = "TRAILER!!!";

/// What an entry is; the data of files and links is given beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    File { mode: u32 },
    Symlink,
}

impl Kind {
    const fn mode(self) -> u32 {
        match self {
            Self::Folder => 0o040_755,
            Self::File { mode } => 0o100_000 | (mode & 0o7777),
            Self::Symlink => 0o120_777,
        }
    }

    const fn links(self) -> u32 {
        if matches!(self, Self::Folder) { 2 } else { 1 }
    }
}

/// Writes entries, all owned by root and dated 0, so that equal input gives equal bytes.
pub(crate) struct Writer<W> {
    to: W,
    inode: u32,
}

impl<W: Write> Writer<W> {
    pub(crate) const fn new(to: W) -> Self {
        Self { to, inode: 0 }
    }

    /// Writes one entry. `name` is relative to the root; parents must come before their children.
    pub(crate) fn entry(&mut self, name: &str, kind: Kind, data: &[u8]) -> io::Result<()> {
        self.inode += 1;
        self.record(self.inode, kind.mode(), kind.links(), name, data)
    }

    /// Ends the archive. Another archive may follow it: the length is a multiple of four.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.record(0, 0, 1, TRAILER, &[])?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn record(
        &mut self,
        inode: u32,
        mode: u32,
        links: u32,
        name: &str,
        data: &[u8],
    ) -> io::Result<()> {
        let size = u32::try_from(data.len()).map_err(|_| {
            io::Error::new(io::ErrorKind::FileTooLarge, format!("{name}: over 4 GiB"))
        })?;
        let name_size = u32::try_from(name.len() + 1).map_err(io::Error::other)?;
        let fields = [inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0];
        let mut header = MAGIC.to_owned();
        for field in fields {
            header.push_str(&format!("{field:08x}"));
        }
        header.push_str(name);
        header.push('\0');
        self.to.write_all(header.as_bytes())?;
        self.pad(header.len())?;
        self.to.write_all(data)?;
        self.pad(data.len())
    }

    fn pad(&mut self, written: usize) -> io::Result<()> {
        self.to.write_all(&[0; 3][..written.wrapping_neg() % 4])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads what the writer wrote: (name, mode, data) up to the trailer.
    fn read(mut bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut entries = Vec::new();
        loop {
            let field = |n: usize| {
                let text = std::str::from_utf8(&bytes[6 + 8 * n..14 + 8 * n]).unwrap();
                u32::from_str_radix(text, 16).unwrap()
            };
            assert_eq!(&bytes[..6], MAGIC.as_bytes());
            let (mode, size, name_size) = (field(1), field(6) as usize, field(11) as usize);
            let name = String::from_utf8(bytes[110..110 + name_size - 1].to_vec()).unwrap();
            let data_at = (110 + name_size).next_multiple_of(4);
            if name == TRAILER {
                assert_eq!(data_at, bytes.len());
                return entries;
            }
            entries.push((name, mode, bytes[data_at..data_at + size].to_vec()));
            bytes = &bytes[(data_at + size).next_multiple_of(4)..];
        }
    }

    #[test]
    fn the_header_is_the_documented_one() {
        let mut writer = Writer::new(Vec::new());
        writer.entry("a", Kind::File { mode: 0o755 }, b"hello").unwrap();
        let bytes = writer.finish().unwrap();
        let header = "070701\
             00000001000081ed0000000000000000000000010000000000000005\
             000000000000000000000000000000000000000200000000a\0hello\0\0\x00070701";
        assert_eq!(String::from_utf8_lossy(&bytes[..header.len()]), header);
    }

    proptest! {
        #[test]
        fn entries_round_trip(files in proptest::collection::vec(("[a-z/]{1,40}", 0u32..0o1000, proptest::collection::vec(any::<u8>(), 0..50)), 0..8)) {
            let mut writer = Writer::new(Vec::new());
            for (name, mode, data) in &files {
                writer.entry(name, Kind::File { mode: *mode }, data).unwrap();
            }
            let want: Vec<_> = files.into_iter().map(|(name, mode, data)| (name, mode | 0o100_000, data)).collect();
            prop_assert_eq!(read(&writer.finish().unwrap()), want);
        }
    }
}
