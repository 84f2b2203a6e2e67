//! A file tree in memory, as it will be in the guest; written as one cpio archive.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::{
    cpio::{Kind, Writer},
    error::{OnPath, Result},
};

/// Folders that Debian keeps under /usr and links from the root.
const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Folder,
    Text { data: Vec<u8>, mode: u32 },
    Copy { from: PathBuf },
    Symlink { to: String },
}

/// Paths are kept without a leading slash and with /bin, /lib, … written as /usr/bin, /usr/lib, …:
/// an entry below a link would make the kernel replace the link by a folder.
#[derive(Debug, Default)]
pub(crate) struct Tree(BTreeMap<String, Node>);

impl Tree {
    pub(crate) fn folder(&mut self, path: &str) {
        self.put(path, Node::Folder);
    }

    pub(crate) fn text(&mut self, path: &str, data: impl Into<Vec<u8>>, mode: u32) {
        self.put(path, Node::Text { data: data.into(), mode });
    }

    /// The file `from` of this machine, with its permissions.
    pub(crate) fn copy(&mut self, path: &str, from: &Path) {
        self.put(path, Node::Copy { from: from.to_owned() });
    }

    pub(crate) fn symlink(&mut self, path: &str, to: &str) {
        self.put(path, Node::Symlink { to: to.to_owned() });
    }

    pub(crate) fn is_symlink(&self, path: &str, to: &str) -> bool {
        self.0.get(&merged(path)).is_some_and(|node| *node == Node::Symlink { to: to.to_owned() })
    }

    /// Every file and link below `from`, at the same places below `path`.
    pub(crate) fn copy_all(&mut self, path: &str, from: &Path) -> Result<()> {
        for entry in fs::read_dir(from).on("read", from)? {
            let entry = entry.on("read", from)?;
            let inside = format!("{path}/{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type().on("read", &entry.path())?;
            if kind.is_dir() {
                self.copy_all(&inside, &entry.path())?;
            } else if kind.is_file() {
                self.copy(&inside, &entry.path());
            }
        }
        Ok(())
    }

    /// Writes the archive; parents first, since their names sort first.
    pub(crate) fn write(&self, to: impl Write, shown_as: &Path) -> Result<()> {
        let mut writer = Writer::new(to);
        for (path, node) in &self.0 {
            let written = match node {
                Node::Folder => writer.entry(path, Kind::Folder, &[]),
                Node::Symlink { to } => writer.entry(path, Kind::Symlink, to.as_bytes()),
                Node::Text { data, mode } => writer.entry(path, Kind::File { mode: *mode }, data),
                Node::Copy { from } => {
                    let data = fs::read(from).on("read", from)?;
                    let mode = fs::metadata(from).on("read", from)?.permissions().mode();
                    writer.entry(path, Kind::File { mode }, &data)
                }
            };
            written.on("write", shown_as)?;
        }
        writer.finish().on("write", shown_as)?;
        Ok(())
    }

    fn put(&mut self, path: &str, node: Node) {
        let path = merged(path);
        for (at, _) in path.match_indices('/') {
            self.0.entry(path[..at].to_owned()).or_insert(Node::Folder);
        }
        self.0.insert(path, node);
    }
}

/// The path as kept: relative, and below usr where Debian merged it.
fn merged(path: &str) -> String {
    let path = path.trim_start_matches('/');
    match path.split_once('/') {
        Some((first, _)) if MERGED.contains(&first) => format!("usr/{path}"),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_appear_before_children_and_never_below_a_link() {
        let mut tree = Tree::default();
        tree.symlink("/bin", "usr/bin");
        tree.text("/bin/a", "x", 0o755);
        tree.text("/weir/tests/a.sh", "x", 0o644);
        let paths: Vec<&str> = tree.0.keys().map(String::as_str).collect();
        assert_eq!(
            paths,
            ["bin", "usr", "usr/bin", "usr/bin/a", "weir", "weir/tests", "weir/tests/a.sh"]
        );
        assert!(tree.is_symlink("bin", "usr/bin") && !tree.is_symlink("bin/a", "usr/bin"));
    }
}
