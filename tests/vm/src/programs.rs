//! The programs and libraries that every guest has: busybox, then real tools over its applets.

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt, path::Path};

use crate::{
    error::{Error, OnPath, Result},
    host,
    tree::Tree,
};

/// Tests rely on these; a machine without one cannot build the guest.
const NEEDED: [&str; 15] = [
    "bash",
    "bridge",
    "conntrack",
    "ip",
    "ipvsadm",
    "jq",
    "kmod",
    "nft",
    "nstat",
    "ping",
    "ss",
    "tc",
    "timeout",
    "setsid",
    "curl",
];
/// Taken along where the machine has them.
const WELCOME: [&str; 8] =
    ["ethtool", "ipset", "iperf3", "iptables", "ip6tables", "socat", "strace", "tcpdump"];
/// What a Rust, C or C++ program built here may ask for, and what weir links.
const LIBRARIES: [&str; 10] = [
    "libc.so.6",
    "libm.so.6",
    "libgcc_s.so.1",
    "libstdc++.so.6",
    "libpthread.so.0",
    "libdl.so.2",
    "librt.so.1",
    "libresolv.so.2",
    "libmnl.so.0",
    "libnftnl.so.11",
];
const LIBRARY_FOLDERS: [&str; 2] = ["/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu"];
/// Names under which kmod is several programs. The kernel's autoload calls /sbin/modprobe.
const KMOD: [&str; 6] = ["depmod", "insmod", "lsmod", "modinfo", "modprobe", "rmmod"];

/// Puts all of them into the tree.
pub(crate) fn install(tree: &mut Tree) -> Result<()> {
    install_busybox(tree)?;
    for name in NEEDED {
        let path = host::find(name).ok_or_else(|| {
            Error::Input(format!("{name} is not on this machine; `make setup` installs it"))
        })?;
        install_program(tree, &path)?;
    }
    for path in WELCOME.into_iter().filter_map(host::find) {
        install_program(tree, &path)?;
    }
    for link in KMOD {
        tree.symlink(&format!("usr/sbin/{link}"), "/usr/bin/kmod");
    }
    for library in LIBRARIES {
        let found = LIBRARY_FOLDERS.map(|folder| Path::new(folder).join(library));
        if let Some(path) = found.iter().find(|path| path.exists()) {
            install_program(tree, path)?;
        }
    }
    Ok(())
}

/// Text that changes when a program, or a package of this machine, changes.
pub(crate) fn fingerprint() -> String {
    let mut text = String::new();
    let programs = NEEDED.into_iter().chain(WELCOME).chain(["busybox"]).filter_map(host::find);
    for path in programs.chain([Path::new("/var/lib/dpkg/status").to_owned()]) {
        if let Ok(data) = fs::metadata(&path) {
            text += &format!(
                "{} {} {}.{}\n",
                path.display(),
                data.len(),
                data.mtime(),
                data.mtime_nsec()
            );
        }
    }
    text
}

fn install_busybox(tree: &mut Tree) -> Result<()> {
    let busybox = host::find("busybox").ok_or_else(|| {
        Error::Input("busybox is not on this machine; install busybox-static".into())
    })?;
    let applets = host::text(host::command("busybox").arg("--list"))?;
    for applet in applets.lines().filter(|applet| !KMOD.contains(applet)) {
        tree.symlink(&format!("usr/bin/{applet}"), "busybox");
    }
    tree.copy("usr/bin/busybox", &busybox);
    Ok(())
}

/// A program or library, with the libraries it loads, each at the path it has here.
pub(crate) fn install_program(tree: &mut Tree, path: &Path) -> Result<()> {
    install_file(tree, path)?;
    for library in libraries(path)? {
        install_file(tree, Path::new(&library))?;
    }
    // A tool in /usr/sbin must also win over busybox's applet of its name in /usr/bin.
    if let Some(name) = path.file_name().filter(|_| path.starts_with("/usr/sbin")) {
        let applet = format!("usr/bin/{}", name.to_string_lossy());
        if tree.is_symlink(&applet, "busybox") {
            tree.symlink(&applet, &path.to_string_lossy());
        }
    }
    Ok(())
}

fn install_file(tree: &mut Tree, path: &Path) -> Result<()> {
    let real = path.canonicalize().on("resolve", path)?;
    let (name, target) = (path.to_string_lossy(), real.to_string_lossy().into_owned());
    tree.copy(&target, &real);
    if !same_after_merge(&name, &target) {
        tree.symlink(&name, &target);
    }
    Ok(())
}

/// /lib/x and /usr/lib/x are one file where /lib is a link.
fn same_after_merge(a: &str, b: &str) -> bool {
    a.trim_start_matches("/usr") == b.trim_start_matches("/usr")
}

/// The absolute paths in ldd's answer; a static program has none.
fn libraries(path: &Path) -> Result<BTreeSet<String>> {
    let output = host::command("ldd")
        .arg(path)
        .output()
        .map_err(|source| Error::Start { program: "ldd".into(), source })?;
    Ok(parse_ldd(&String::from_utf8_lossy(&output.stdout)))
}

fn parse_ldd(text: &str) -> BTreeSet<String> {
    let path =
        |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(str::to_owned);
    text.lines().filter(|line| line.starts_with('\t')).filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ldd_gives_absolute_paths_and_nothing_for_a_static_program() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibmnl.so.0 => /lib/x86_64-linux-gnu/libmnl.so.0 (0x1)\n\
             \t/lib64/ld-linux-x86-64.so.2 (0x2)\n\tlibgone.so => not found\n";
        let want = ["/lib/x86_64-linux-gnu/libmnl.so.0", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(parse_ldd(text).into_iter().collect::<Vec<_>>(), want);
        assert!(parse_ldd("\tnot a dynamic executable\n").is_empty());
    }

    #[test]
    fn merged_folders_are_the_same_place() {
        assert!(same_after_merge("/lib/a.so", "/usr/lib/a.so"));
        assert!(!same_after_merge("/usr/lib/a.so.1", "/usr/lib/a.so.1.2"));
    }
}
