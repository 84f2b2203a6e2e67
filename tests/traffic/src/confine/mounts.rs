//! A mount namespace whose mounts are read-only, but for some.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind, mount_change, mount_remount,
};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Read-only in a container whose /proc is writable otherwise.
const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
/// Of no content in a container.
const MASKED: [&str; 9] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/scsi",
    "/proc/timer_list",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
/// Writable as far as permissions go.
const AS_THEY_ARE: [&str; 2] = ["/proc", "/dev"];

/// Moves this process into such a namespace.
pub(super) fn confine(writable: &[PathBuf]) -> Result<()> {
    #[allow(unsafe_code, reason = "rustix can't tell the flag that isn't safe from the others")]
    // SAFETY: what is unsafe about unshare(2) is CLONE_FILES, by which threads come to see other
    // file descriptors.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.context("make a mount namespace")?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .context("keep mounts to this namespace")?;
    writable.iter().try_for_each(|path| mount_on_itself(path))?;
    there(&READ_ONLY).try_for_each(mount_on_itself)?;
    there(&MASKED).try_for_each(mask)?;
    let exempt = |path: &Path| {
        writable.iter().any(|it| it == path)
            || AS_THEY_ARE
                .iter()
                .any(|it| path == Path::new(it) || (*it == "/dev" && path.starts_with(it)))
    };
    for path in mounts()?.into_iter().filter(|path| !exempt(path)) {
        mount_remount(&path, MountFlags::BIND | MountFlags::RDONLY, c"")
            .with_context(|| format!("make {} read-only", path.display()))?;
    }
    Ok(())
}

fn there(paths: &'static [&'static str]) -> impl Iterator<Item = &'static Path> {
    paths.iter().map(Path::new).filter(|path| path.exists())
}

/// What is mounted can be writable or not by itself.
fn mount_on_itself(path: &Path) -> Result<()> {
    mount_bind(path, path).with_context(|| format!("mount {} on itself", path.display()))
}

fn mask(path: &Path) -> Result<()> {
    let masked = if path.is_dir() {
        mount("tmpfs", path, "tmpfs", MountFlags::RDONLY, None)
    } else {
        mount_bind("/dev/null", path)
    };
    masked.with_context(|| format!("mask {}", path.display()))
}

/// Where something is mounted (proc_pid_mountinfo(5)), each place once.
fn mounts() -> Result<Vec<PathBuf>> {
    let text = fs::read("/proc/self/mountinfo").context("read /proc/self/mountinfo")?;
    let mut found: Vec<PathBuf> = text.split(|byte| *byte == b'\n').filter_map(place).collect();
    found.sort();
    found.dedup();
    Ok(found)
}

fn place(line: &[u8]) -> Option<PathBuf> {
    let escaped = line.split(|byte| *byte == b' ').nth(4)?;
    let mut path = Vec::new();
    let mut rest = escaped;
    while let Some((first, after)) = rest.split_first() {
        let octal = (*first == b'\\').then(|| after.get(..3)).flatten();
        let code = octal.and_then(|it| u8::from_str_radix(std::str::from_utf8(it).ok()?, 8).ok());
        path.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    Some(OsString::from_vec(path).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_the_kernel_escapes_them() {
        let line = |path: &str| format!("36 35 98:0 / {path} rw,noatime - ext4 /dev/root rw");
        let cases = [("/", "/"), ("/mnt/a\\040b", "/mnt/a b"), ("/x\\134", "/x\\")];
        for (escaped, want) in cases {
            assert_eq!(place(line(escaped).as_bytes()), Some(PathBuf::from(want)), "{escaped}");
        }
        assert_eq!(place(b""), None);
    }
}
