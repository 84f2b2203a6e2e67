//! Debian's kernel packages: fetched, unpacked beside the cache, never installed.

use std::{
    cmp::Reverse,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    apt::PrivateApt,
    cache::Cache,
    error::{Error, OnPath, Result},
    host,
    series::{Series, numbers},
    sources::Mirrors,
};

/// From 6.19 on Debian splits the kernel; `image` alone is then nearly empty.
const PARTS: [&str; 3] = ["image", "binary", "modules"];
/// Module folders a guest may load from: all that networking, disks and overlays may ask for.
const MODULES: [&str; 12] = [
    "net",
    "drivers/net",
    "drivers/block",
    "drivers/virtio",
    "drivers/char",
    "lib",
    "crypto",
    "arch/x86/crypto",
    "fs/overlayfs",
    "fs/ext4",
    "fs/jbd2",
    "fs/mbcache.ko.xz",
];
/// Hardware that no guest has and protocols that nothing here speaks; most of the bulk.
const LEFT_OUT: [&str; 12] = [
    "drivers/net/ethernet",
    "drivers/net/wireless",
    "drivers/net/can",
    "drivers/block/drbd",
    "drivers/char/ipmi",
    "net/sunrpc",
    "net/mac80211",
    "net/ceph",
    "net/tipc",
    "net/smc",
    "net/wireless",
    "net/bluetooth",
];
const MODULE_LISTS: [&str; 3] = ["modules.builtin", "modules.builtin.modinfo", "modules.order"];

/// An unpacked kernel.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// What `uname -r` says in the guest.
    pub release: String,
    folder: PathBuf,
}

impl Kernel {
    /// The kernel in the cache, if it has been fetched and still has its image.
    #[must_use]
    pub fn cached(cache: &Cache, series: Series) -> Option<Self> {
        let folder = cache.path(&format!("kernel-{series}"));
        let release = fs::read_to_string(folder.join("release")).ok()?;
        let kernel = Self { release, folder };
        kernel.image().is_ok().then_some(kernel)
    }

    /// Fetches the newest kernel of the series. The caller holds the series' lock.
    pub(crate) fn fetch(cache: &Cache, series: Series) -> Result<Self> {
        let mirrors = Mirrors::of_this_machine()?;
        let mut refused = None;
        for (group, suites) in series.suites().iter().enumerate() {
            let apt_folder = cache.path(&format!("apt-{series}-{group}"));
            let fetched = PrivateApt::update(&apt_folder, &mirrors, suites)
                .and_then(|apt| Self::fetch_from(&apt, cache, series, suites));
            match fetched {
                Ok(kernel) => return Ok(kernel),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Err(refused.unwrap_or(Error::NoMirror))
    }

    fn fetch_from(
        apt: &PrivateApt,
        cache: &Cache,
        series: Series,
        suites: &[&str],
    ) -> Result<Self> {
        let names = apt.names("linux-")?;
        let mut releases: Vec<&str> =
            names.iter().filter_map(|name| series.release(name)).collect();
        releases.sort_by_key(|release| Reverse(numbers(release)));
        for release in releases {
            // A name may only be mentioned, by a package that depends on it.
            if apt.versions(&format!("linux-image-{release}"))?.is_empty() {
                continue;
            }
            let packages = PARTS.map(|part| format!("linux-{part}-{release}"));
            let packages: Vec<String> =
                packages.into_iter().filter(|name| names.contains(name)).collect();
            return Self::unpack(apt, cache, series, release, &packages);
        }
        Err(Error::NoPackage {
            wanted: format!("linux-image-{series}…-cloud-amd64"),
            suites: suites.iter().map(ToString::to_string).collect(),
        })
    }

    fn unpack(
        apt: &PrivateApt,
        cache: &Cache,
        series: Series,
        release: &str,
        packages: &[String],
    ) -> Result<Self> {
        let new = cache.path(&format!("kernel-{series}.new"));
        let folder = cache.path(&format!("kernel-{series}"));
        remove(&new)?;
        apt.unpack(packages, &new)?;
        let mark = new.join("release");
        fs::write(&mark, release).on("write", &mark)?;
        remove(&folder)?;
        fs::rename(&new, &folder).on("rename to", &folder)?;
        Ok(Self { release: release.to_owned(), folder })
    }

    /// The bootable image.
    pub(crate) fn image(&self) -> Result<PathBuf> {
        let places = [
            self.folder.join(format!("boot/vmlinuz-{}", self.release)),
            self.folder.join(format!("usr/lib/modules/{}/vmlinuz", self.release)),
        ];
        let found = places.into_iter().find(|path| path.is_file());
        found.ok_or_else(|| self.lacks("bootable image"))
    }

    /// Copies the modules a guest may need to `root`, decompressed (the guest would take seconds
    /// over it) and indexed for modprobe.
    pub(crate) fn install_modules(&self, root: &Path) -> Result<()> {
        let inside = format!("lib/modules/{}", self.release);
        let places = [self.folder.join("usr").join(&inside), self.folder.join(&inside)];
        let from = places.iter().find(|path| path.join("kernel").is_dir());
        let from = from.ok_or_else(|| self.lacks("modules"))?;
        let to = root.join(&inside);
        let mut compressed = Vec::new();
        for part in MODULES {
            copy_modules(
                &from.join("kernel"),
                &to.join("kernel"),
                Path::new(part),
                &mut compressed,
            )?;
        }
        for list in MODULE_LISTS.iter().filter(|list| from.join(list).exists()) {
            fs::copy(from.join(list), to.join(list)).on("copy to", &to.join(list))?;
        }
        decompress(&compressed)?;
        host::finish(host::command("depmod").arg("-b").arg(root).arg(&self.release))?;
        Ok(())
    }

    fn lacks(&self, what: &'static str) -> Error {
        Error::KernelFile { version: self.release.clone(), what }
    }
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).on("remove", folder)?;
    }
    Ok(())
}

/// Copies `part` (a module or a folder of them), noting the compressed ones.
fn copy_modules(from: &Path, to: &Path, part: &Path, compressed: &mut Vec<PathBuf>) -> Result<()> {
    let source = from.join(part);
    if LEFT_OUT.iter().any(|left| part == Path::new(left)) || !source.exists() {
        return Ok(());
    }
    if source.is_dir() {
        for entry in fs::read_dir(&source).on("read", &source)? {
            let name = entry.on("read", &source)?.file_name();
            copy_modules(from, to, &part.join(name), compressed)?;
        }
        return Ok(());
    }
    let target = to.join(part);
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder).on("make folder", folder)?;
    }
    fs::copy(&source, &target).on("copy to", &target)?;
    if target.extension().is_some_and(|extension| extension != "ko") {
        compressed.push(target);
    }
    Ok(())
}

fn decompress(files: &[PathBuf]) -> Result<()> {
    for (extension, program, options) in
        [("xz", "xz", &["-d", "-T1"][..]), ("zst", "zstd", &["-dq", "--rm"])]
    {
        let mine: Vec<&PathBuf> = files
            .iter()
            .filter(|path| path.extension().is_some_and(|found| found == extension))
            .collect();
        if !mine.is_empty() {
            host::finish(host::command(program).args(options).args(mine))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_lost_its_image_is_fetched_again() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path()).unwrap();
        let boot = cache.path("kernel-6.12/boot");
        fs::create_dir_all(&boot).unwrap();
        fs::write(cache.path("kernel-6.12/release"), "6.12.1-cloud-amd64").unwrap();
        assert!(Kernel::cached(&cache, Series::DEFAULT).is_none());
        fs::write(boot.join("vmlinuz-6.12.1-cloud-amd64"), "code").unwrap();
        let kernel = Kernel::cached(&cache, Series::DEFAULT).unwrap();
        assert_eq!(kernel.release, "6.12.1-cloud-amd64");
    }
}
