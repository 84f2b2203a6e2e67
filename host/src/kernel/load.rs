//! Modules that the kernel was asked for and didn't load by itself: loads them from /lib/modules.
//! Needs CAP_SYS_MODULE. As modprobe(8) does, dependencies first.
//!
//! Most kernels load what they are asked for by running modprobe in the node's own root, wherever
//! the asking was done. Those that may not (`kernel.modprobe` empty, or no modprobe on the node)
//! have a folder of modules all the same.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::system::finit_module;
use weir_core::decision::Scheduler;

use super::modules::{Module, Modules, name_of};
use crate::config::{Config, Vips};

/// `MODULE_INIT_COMPRESSED_FILE` of linux/module.h, since 5.17.
const COMPRESSED: i32 = 4;

/// What a kernel loads when it is opened and tried, on each kernel where it isn't built in.
const ASKED_FOR: [&str; 3] = ["nf_conntrack", "ip_vs", "nf_tables"];

/// What the kernel is asked for later, by a service that needs it.
const LATER: [&str; 17] = [
    "nf_conntrack_netlink",
    "nft_chain_nat",
    "nft_ct",
    "nft_fib",
    "nft_fib_inet",
    "nft_fib_ipv4",
    "nft_fib_ipv6",
    "nft_flow_offload",
    "nft_hash",
    "nft_limit",
    "nft_masq",
    "nft_nat",
    "nft_numgen",
    "nft_redir",
    "nft_reject",
    "nft_reject_inet",
    "nf_flow_table_inet",
];

/// A module that couldn't be loaded.
#[derive(Debug, thiserror::Error)]
#[error("module {name} can't be loaded from {}{}", file.display(), hint(*source))]
pub struct NotLoaded {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: PathBuf,
    /// Why.
    #[source]
    pub source: Errno,
}

fn hint(why: Errno) -> &'static str {
    match why {
        Errno::PERM => " (CAP_SYS_MODULE is needed: is the container privileged?)",
        Errno::NOEXEC | Errno::OPNOTSUPP | Errno::INVAL => {
            " (can this kernel unpack it by itself? If not, run modprobe on the node)"
        }
        _ => "",
    }
}

/// What weir may come to need beside what it has asked for already.
fn wanted(config: &Config) -> Vec<String> {
    let schedulers = Scheduler::ALL.into_iter().filter(|it| it.on_ipvs());
    let mut all: Vec<String> = schedulers.map(|it| format!("ip_vs_{it}")).collect();
    all.extend(ASKED_FOR.into_iter().chain(LATER).map(str::to_owned));
    all.extend((config.ipvs.vips == Vips::Address).then(|| "dummy".to_owned()));
    all
}

/// After the kernel was asked for what weir needs: where it loaded that by itself, it will go on to, and
/// nothing is done. Else everything that weir may come to need is loaded; says what was, in order.
///
/// # Errors
/// A file that is there can't be loaded; what was loaded before it stays.
pub fn load_missing(config: &Config, release: &str) -> Result<Vec<String>, NotLoaded> {
    let modules = Modules::read(release);
    let is = |module| ASKED_FOR.iter().any(|it| modules.find(it) == module);
    // Where it loads some it was told not to load the others (modprobe.d(5)), and that is to hold.
    let may_be_loaded = is_switched_off() || !is(Module::There);
    if !is(Module::Loadable) || !may_be_loaded {
        return Ok(Vec::new());
    }
    let folder = Path::new("/lib/modules").join(release);
    let files = Files::read(&folder).unwrap_or_default();
    let mut loaded = Vec::new();
    for name in wanted(config).iter().filter(|it| modules.find(it) == Module::Loadable) {
        for file in files.in_order(name) {
            if insert(&folder.join(file))? {
                loaded.push(name_of(file));
            }
        }
    }
    Ok(loaded)
}

/// Whether the kernel was told to load no module by itself.
fn is_switched_off() -> bool {
    fs::read_to_string("/proc/sys/kernel/modprobe").is_ok_and(|program| program.trim().is_empty())
}

/// Each module's file and those of what it depends on, as modules.dep has them.
#[derive(Debug, Default)]
struct Files(BTreeMap<String, Vec<String>>);

impl Files {
    fn read(folder: &Path) -> io::Result<Self> {
        fs::read_to_string(folder.join("modules.dep")).map(|text| Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let (file, needs) = line.split_once(':')?;
            let all = [file].into_iter().chain(needs.split_whitespace());
            Some((name_of(file), all.map(str::to_owned).collect()))
        };
        Self(text.lines().filter_map(line).collect())
    }

    /// The files to load for a module, itself last: modules.dep(5) names the last needed first.
    fn in_order(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.get(name).into_iter().flatten().rev().map(String::as_str)
    }
}

/// Loads one file; false where it is loaded already.
fn insert(file: &Path) -> Result<bool, NotLoaded> {
    let failed = |source| NotLoaded {
        name: name_of(&file.to_string_lossy()),
        file: file.to_owned(),
        source,
    };
    let open = File::open(file)
        .map_err(|error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    let packed = file.extension().is_none_or(|it| it != "ko");
    match finit_module(&open, c"", if packed { COMPRESSED } else { 0 }) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(errno) => Err(failed(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_needs_comes_before_it() {
        let files = Files::parse(
            "net/ip_vs_rr.ko.xz: net/ip_vs.ko.xz net/nf_conntrack.ko.xz lib/crc.ko.xz\n\
             lib/crc.ko.xz:\n\
             not a line\n",
        );
        let order: Vec<_> = files.in_order("ip_vs_rr").collect();
        let want =
            ["lib/crc.ko.xz", "net/nf_conntrack.ko.xz", "net/ip_vs.ko.xz", "net/ip_vs_rr.ko.xz"];
        assert_eq!(order, want);
        assert_eq!(files.in_order("crc").collect::<Vec<_>>(), ["lib/crc.ko.xz"]);
        assert_eq!(files.in_order("absent").count(), 0);
    }

    #[test]
    fn every_scheduler_of_ipvs_is_wanted_and_the_dummy_where_addresses_are() {
        let mut config = Config::default();
        assert!(wanted(&config).contains(&"ip_vs_wlc".to_owned()));
        assert!(!wanted(&config).contains(&"ip_vs_random".to_owned()), "that is nftables' own");
        assert!(!wanted(&config).contains(&"dummy".to_owned()));
        config.ipvs.vips = Vips::Address;
        assert!(wanted(&config).contains(&"dummy".to_owned()));
    }

    #[test]
    fn a_kernel_that_has_no_folder_here_is_left_to_itself() {
        let loaded = load_missing(&Config::default(), "0.0.0-none").unwrap();
        assert_eq!(loaded, Vec::<String>::new());
    }

    #[test]
    fn a_file_that_cant_be_loaded_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ip_vs-x.ko");
        fs::write(&file, "text").unwrap();
        // Why differs: by the kernel, and by what this process may.
        let error = insert(&file).unwrap_err();
        assert_eq!(error.name, "ip_vs_x");
        let text = error.to_string();
        assert!(text.starts_with("module ip_vs_x can't be loaded from /"), "{text}");
        let absent = insert(&dir.path().join("absent.ko")).unwrap_err();
        assert_eq!(absent.source, Errno::NOENT);
    }

    #[test]
    fn a_refusal_says_what_may_help() {
        assert!(hint(Errno::PERM).contains("CAP_SYS_MODULE"));
        assert!(hint(Errno::NOEXEC).contains("run modprobe"), "a file that is packed");
        assert_eq!(hint(Errno::NOENT), "");
    }
}
