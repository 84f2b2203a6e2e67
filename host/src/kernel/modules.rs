//! Which kernel modules are loaded, built in or loadable, without loading any. Reads /proc and /lib/modules.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// How a module can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Module {
    /// It is loaded, or part of the kernel itself.
    There,
    /// The kernel will load it when it is asked for.
    Loadable,
    /// This kernel has none.
    Missing,
    /// Its folder of modules can't be read here, as in most containers: only asking tells.
    Unknown,
}

/// The modules of the running kernel.
#[derive(Clone, Debug, Default)]
pub struct Modules {
    there: BTreeSet<String>,
    loadable: Option<BTreeSet<String>>,
}

impl Modules {
    /// Those of the kernel of this release.
    #[must_use]
    pub fn read(release: &str) -> Self {
        Self::at(Path::new("/proc/modules"), &Path::new("/lib/modules").join(release))
    }

    fn at(proc: &Path, folder: &Path) -> Self {
        let mut there: BTreeSet<String> = fs::read_to_string(proc)
            .unwrap_or_default()
            .lines()
            .filter_map(|line| line.split(' ').next())
            .map(str::to_owned)
            .collect();
        if let Ok(builtin) = fs::read_to_string(folder.join("modules.builtin")) {
            there.extend(builtin.lines().map(name_of));
        }
        let dep = fs::read_to_string(folder.join("modules.dep")).ok();
        let loadable = dep.map(|dep| {
            let files = dep.lines().filter_map(|line| line.split(':').next());
            files.map(name_of).collect()
        });
        Self { there, loadable }
    }

    /// How a module can be had.
    #[must_use]
    pub fn find(&self, name: &str) -> Module {
        if self.there.contains(name) {
            return Module::There;
        }
        match &self.loadable {
            None => Module::Unknown,
            Some(files) if files.contains(name) => Module::Loadable,
            Some(_) => Module::Missing,
        }
    }
}

/// `kernel/net/netfilter/ipvs/ip_vs_rr.ko.xz` → `ip_vs_rr`; modules' names have no dashes.
pub(super) fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_loaded_built_in_loadable_and_missing_apart() {
        let dir = tempfile::tempdir().unwrap();
        let proc = dir.path().join("proc");
        fs::write(&proc, "ip_vs_rr 16384 0 - Live 0x0\n").unwrap();
        fs::write(dir.path().join("modules.builtin"), "kernel/net/ipv4/nf-tables.ko\n").unwrap();
        let dep =
            "kernel/net/netfilter/ipvs/ip_vs_mh.ko.xz: kernel/net/netfilter/ipvs/ip_vs.ko.xz\n";
        fs::write(dir.path().join("modules.dep"), dep).unwrap();
        let modules = Modules::at(&proc, dir.path());
        let names = ["ip_vs_rr", "nf_tables", "ip_vs_mh", "ip_vs_sh"];
        let want = [Module::There, Module::There, Module::Loadable, Module::Missing];
        assert_eq!(names.map(|name| modules.find(name)), want);
        let container = Modules::at(&proc, &dir.path().join("absent"));
        assert_eq!(container.find("ip_vs_mh"), Module::Unknown);
    }
}
