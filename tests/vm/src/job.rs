//! What one run adds to a guest: its command, files, disks and settings.
//!
//! They travel as a second cpio archive behind the image's; the kernel unpacks both.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, OnPath, Result},
    host,
    tree::Tree,
};

const KIB: u64 = 1024;
/// Free space on a share's disk, for what the guest writes into it.
const ROOM: u64 = 64 * 1024 * KIB;

/// A folder or disk image of this machine and where the guest has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The folder (copied) or ext4 image (written to a throw-away layer).
    pub from: PathBuf,
    /// The mount point in the guest.
    pub at: String,
}

/// A disk as QEMU and the guest's first process know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    pub(crate) image: PathBuf,
    pub(crate) serial: String,
    pub(crate) at: String,
    pub(crate) throw_away: bool,
}

/// All that the guest's first process reads under /job.
#[derive(Clone, Debug, Default)]
pub(crate) struct Job {
    pub(crate) command: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) modules: Vec<String>,
    pub(crate) files: Vec<Mount>,
}

impl Job {
    /// The image's archive followed by this job's.
    pub(crate) fn write_initramfs(&self, image: &Path, disks: &[Disk], to: &Path) -> Result<()> {
        let mut out = BufWriter::new(File::create(to).on("make", to)?);
        let mut base = File::open(image).on("open", image)?;
        io::copy(&mut base, &mut out).on("write", to)?;
        self.tree(disks)?.write(&mut out, to)?;
        out.flush().on("write", to)
    }

    fn tree(&self, disks: &[Disk]) -> Result<Tree> {
        let mut tree = Tree::default();
        let mounts: String =
            disks.iter().map(|disk| format!("{} {}\n", disk.serial, disk.at)).collect();
        tree.text("job/command", self.script()?, 0o755);
        tree.text("job/mounts", mounts, 0o644);
        tree.text("job/modules", self.modules.join("\n"), 0o644);
        for file in &self.files {
            fs::metadata(&file.from).on("read", &file.from)?;
            if file.from.is_dir() {
                tree.copy_all(&file.at, &file.from)?;
            } else {
                tree.copy(&file.at, &file.from);
            }
        }
        Ok(tree)
    }

    /// One word is a line of bash; several are a program and its arguments.
    fn script(&self) -> Result<String> {
        let mut script = String::new();
        for (name, value) in &self.environment {
            let ok = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(ok) {
                return Err(Error::Input(format!("{name:?} can't be the name of a variable")));
            }
            script += &format!("export {name}={}\n", quote(value));
        }
        match self.command.as_slice() {
            [] => return Err(Error::Input("no command to run in the guest".into())),
            [line] => script += line,
            words => script.push_str(&quoted(words)),
        }
        Ok(script + "\n")
    }
}

/// Makes `folder` an ext4 disk at `image`; `mke2fs -d` needs neither a mount nor root.
pub(crate) fn make_disk(folder: &Path, image: &Path) -> Result<()> {
    let (bytes, files) = measure(folder)?;
    let inodes = files + 4096;
    // A tenth for ext4's own tables, 256 bytes an inode, a block for each file's rounded-up end.
    let size = bytes + bytes / 10 + inodes * 256 + files * 4 * KIB + ROOM;
    let mut make = host::command("mke2fs");
    make.args(["-q", "-F", "-t", "ext4", "-O", "^has_journal,^resize_inode"])
        .args([
            "-E",
            "lazy_itable_init=1,root_owner=0:0",
            "-m",
            "0",
            "-N",
            &inodes.to_string(),
            "-d",
        ])
        .args([folder, image])
        .arg(format!("{}k", size / KIB));
    host::finish(&mut make).map(drop)
}

/// Bytes on disk and entries below `folder`.
fn measure(folder: &Path) -> Result<(u64, u64)> {
    let (mut bytes, mut files) = (0, 0);
    for entry in fs::read_dir(folder).on("read", folder)? {
        let entry = entry.on("read", folder)?;
        let data = entry.metadata().on("read", &entry.path())?;
        files += 1;
        bytes += data.len().min(data.blocks() * 512).max(if data.is_file() { 0 } else { 4 * KIB });
        if data.is_dir() {
            let (more_bytes, more_files) = measure(&entry.path())?;
            bytes += more_bytes;
            files += more_files;
        }
    }
    Ok((bytes, files))
}

fn quoted(words: &[String]) -> String {
    words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

/// The word as bash reads it back unchanged.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(command: &[&str], environment: &[(&str, &str)]) -> Job {
        Job {
            command: command.iter().map(ToString::to_string).collect(),
            environment: environment.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
            ..Job::default()
        }
    }

    #[test]
    fn one_word_is_a_line_and_several_are_a_command() {
        assert_eq!(job(&["a | b"], &[]).script().unwrap(), "a | b\n");
        assert_eq!(job(&["echo", "it's $x"], &[]).script().unwrap(), "'echo' 'it'\\''s $x'\n");
        assert_eq!(job(&["true"], &[("K", "a b")]).script().unwrap(), "export K='a b'\ntrue\n");
    }

    #[test]
    fn a_name_that_would_run_as_code_is_refused() {
        assert!(job(&["true"], &[("A;reboot", "1")]).script().is_err());
        assert!(job(&["true"], &[("", "1")]).script().is_err());
        assert!(job(&[], &[]).script().is_err());
    }

    #[test]
    fn a_folder_becomes_a_disk_that_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        fs::write(folder.path().join("sub/file"), vec![7; 3_000_000]).unwrap();
        let image = folder.path().join("../").join(format!("{}.img", std::process::id()));
        make_disk(folder.path(), &image).unwrap();
        assert!(fs::metadata(&image).unwrap().len() > ROOM + 3_000_000);
        fs::remove_file(image).unwrap();
    }
}
