//! The initramfs of a series: kept in the cache, rebuilt when anything that goes into it changes.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::{
    cache::Cache,
    error::{OnPath, Result},
    kernel::Kernel,
    programs,
    series::Series,
    tree::Tree,
};

const INIT: &str = include_str!("../guest/init.sh");
/// Raise it when the code that lays the tree out changes.
const FORMAT: u32 = 2;
const FOLDERS: [&str; 13] = [
    "proc",
    "sys",
    "dev",
    "tmp",
    "run",
    "etc",
    "root",
    "out",
    "share",
    "mnt",
    "var/lib",
    "usr/lib64",
    "job",
];
const FILES: [(&str, &str); 5] = [
    ("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ("etc/nsswitch.conf", "hosts: files\n"),
    // No dummy0, bond0, … appears before a test makes its own.
    ("etc/modprobe.d/weir.conf", "options dummy numdummies=0\noptions bonding max_bonds=0\n"),
];
const COPIES: [&str; 4] = ["etc/protocols", "etc/services", "etc/ethertypes", "etc/iproute2"];

/// What QEMU boots.
#[derive(Clone, Debug)]
pub struct Image {
    /// What `uname -r` says in the guest.
    pub release: String,
    pub(crate) kernel: PathBuf,
    pub(crate) initramfs: PathBuf,
}

impl Image {
    /// The image of `series`, made now if need be; runs side by side make it once.
    /// With `renew`, the newest kernel is downloaded even if one is there.
    pub fn ready(cache: &Cache, series: Series, renew: bool) -> Result<Self> {
        let _lock = cache.lock(&format!("kernel-{series}"))?;
        let kernel = match Kernel::cached(cache, series).filter(|_| !renew) {
            Some(kernel) => kernel,
            None => Kernel::fetch(cache, series)?,
        };
        let initramfs = cache.path(&format!("kernel-{series}/initramfs"));
        let stamp = cache.path(&format!("kernel-{series}/stamp"));
        let wanted = fingerprint(&kernel);
        if fs::read_to_string(&stamp).ok().as_deref() != Some(&wanted) || !initramfs.exists() {
            eprintln!("weir-vm: makes the image of {}", kernel.release);
            build(&kernel, &initramfs)?;
            fs::write(&stamp, &wanted).on("write", &stamp)?;
        }
        Ok(Self { kernel: kernel.image()?, release: kernel.release, initramfs })
    }
}

fn fingerprint(kernel: &Kernel) -> String {
    let mut hash = Sha256::new();
    for part in [kernel.release.as_str(), INIT, &FORMAT.to_string(), &programs::fingerprint()] {
        hash.update(part);
        hash.update([0]);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn build(kernel: &Kernel, initramfs: &Path) -> Result<()> {
    let modules = tempfile::tempdir().on("make folder in", &std::env::temp_dir())?;
    kernel.install_modules(modules.path())?;
    let mut tree = Tree::default();
    lay_out(&mut tree);
    tree.copy_all("usr/lib", &modules.path().join("lib"))?;
    programs::install(&mut tree)?;
    // Not compressed: QEMU loads it at once, the guest would unpack it slowly.
    let new = initramfs.with_extension("new");
    let mut to = BufWriter::new(File::create(&new).on("make", &new)?);
    tree.write(&mut to, &new)?;
    to.flush().on("write", &new)?;
    fs::rename(&new, initramfs).on("rename to", initramfs)
}

fn lay_out(tree: &mut Tree) {
    for folder in FOLDERS {
        tree.folder(folder);
    }
    for link in ["bin", "sbin", "lib", "lib64"] {
        tree.symlink(link, &format!("usr/{link}"));
    }
    tree.symlink("var/run", "../run");
    for (path, text) in FILES {
        tree.text(path, text, 0o644);
    }
    for path in COPIES {
        let from = Path::new("/").join(path);
        if from.is_file() {
            tree.copy(path, &from);
        }
    }
    tree.text("init", INIT, 0o755);
}
