//! The sysctls that service traffic needs: which values, read, and written only where they differ.
//!
//! /proc/sys is read-only in a container that isn't privileged, whatever its capabilities: then
//! every wrong value is named, and `weir init` in a privileged init container sets them.

use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use crate::config::{Config, Conntrack};

/// Whether connections' packets are counted.
pub const ACCOUNTING: &str = "net.netfilter.nf_conntrack_acct";

/// The value that a sysctl must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// This one.
    Exactly(u64),
    /// This one or more: a greater value is somebody's choice.
    AtLeast(u64),
}

impl Want {
    fn is_met(self, value: u64) -> bool {
        match self {
            Self::Exactly(want) => value == want,
            Self::AtLeast(want) => value >= want,
        }
    }

    /// The number itself.
    #[must_use]
    pub fn number(self) -> u64 {
        match self {
            Self::Exactly(want) | Self::AtLeast(want) => want,
        }
    }
}

/// One sysctl, what it must be, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name with dots, as sysctl(8) writes it.
    pub name: &'static str,
    /// Its value.
    pub want: Want,
    /// What goes wrong without.
    pub why: &'static str,
}

/// A sysctl that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its name.
    pub name: &'static str,
    /// Its value before.
    pub was: u64,
    /// Its value now.
    pub is: u64,
}

/// A sysctl that isn't as it must be, and could not be made so.
#[derive(Debug, thiserror::Error)]
#[error(
    "sysctl {name} must be {want}: {why}; {problem}. Set it with `sysctl -w {name}={want}`, or run `weir init` with the right to"
)]
pub struct Wrong {
    /// Its name.
    pub name: &'static str,
    /// What it must be.
    pub want: u64,
    /// What goes wrong without.
    pub why: &'static str,
    /// What it is, or why it can't be known.
    pub problem: Problem,
}

/// What is wrong with a sysctl.
#[derive(Debug)]
pub enum Problem {
    /// It can't be read.
    Unreadable(io::Error),
    /// It has this value and can't be written.
    ReadOnly {
        /// Its value.
        is: u64,
        /// Why it can't be written.
        error: io::Error,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "it can't be read ({error})"),
            Self::ReadOnly { is, error } => write!(f, "it is {is} and can't be written ({error})"),
        }
    }
}

/// What both dataplanes need.
#[must_use]
pub fn for_forwarding() -> Vec<Setting> {
    let why = "endpoints on other machines get no packets";
    vec![Setting { name: "net.ipv4.ip_forward", want: Want::Exactly(1), why }]
}

/// What IPVS needs, by kube-proxy's list.
#[must_use]
pub fn for_ipvs(config: &Config) -> Vec<Setting> {
    let exactly = |name, want, why| Setting { name, want: Want::Exactly(want), why };
    let mut settings = vec![
        exactly("net.ipv4.vs.conntrack", 1, "IPVS connections can't be masqueraded"),
        exactly("net.ipv4.vs.expire_nodest_conn", 1, "flows to a removed server are black-holed"),
        exactly(
            "net.ipv4.vs.expire_quiescent_template",
            1,
            "persistent clients keep going to a server that ends",
        ),
    ];
    if config.ipvs.strict_arp {
        settings.push(exactly(
            "net.ipv4.conf.all.arp_ignore",
            1,
            "ARP answers for service addresses",
        ));
        settings.push(exactly(
            "net.ipv4.conf.all.arp_announce",
            2,
            "ARP announces service addresses",
        ));
    }
    settings
}

/// All that a node needs, with IPVS or without.
#[must_use]
pub fn all(config: &Config, has_ipvs: bool, cpus: u32) -> Vec<Setting> {
    let ipvs = if has_ipvs { for_ipvs(config) } else { Vec::new() };
    [for_forwarding(), ipvs, for_conntrack(&config.conntrack, cpus)].concat()
}

/// What connection tracking needs.
#[must_use]
pub fn for_conntrack(conntrack: &Conntrack, cpus: u32) -> Vec<Setting> {
    let accounting = Setting {
        name: ACCOUNTING,
        want: Want::Exactly(1),
        why: "connections made before have no packet count",
    };
    let mut settings = vec![accounting];
    let per_core = conntrack.max_per_core.get() * u64::from(cpus);
    if per_core > 0 {
        let max = per_core.max(conntrack.min.get());
        let why = "new connections are dropped when the table is full";
        settings.push(Setting {
            name: "net.netfilter.nf_conntrack_max",
            want: Want::AtLeast(max),
            why,
        });
    }
    let timeouts = [
        ("net.netfilter.nf_conntrack_tcp_timeout_established", conntrack.tcp_established_timeout),
        ("net.netfilter.nf_conntrack_tcp_timeout_close_wait", conntrack.tcp_close_wait_timeout),
        ("net.netfilter.nf_conntrack_udp_timeout", conntrack.udp_timeout),
        ("net.netfilter.nf_conntrack_udp_timeout_stream", conntrack.udp_stream_timeout),
    ];
    for (name, timeout) in timeouts.into_iter().filter(|(_, timeout)| !timeout.is_zero()) {
        let want = Want::Exactly(timeout.get().as_secs());
        settings.push(Setting { name, want, why: "the configuration says so" });
    }
    if conntrack.tcp_be_liberal {
        let name = "net.netfilter.nf_conntrack_tcp_be_liberal";
        settings.push(Setting { name, want: Want::Exactly(1), why: "the configuration says so" });
    }
    settings
}

/// /proc/sys, or a folder that stands for it in tests.
#[derive(Clone, Debug)]
pub struct ProcSys {
    root: PathBuf,
}

impl Default for ProcSys {
    fn default() -> Self {
        Self { root: PathBuf::from("/proc/sys") }
    }
}

impl ProcSys {
    /// A folder laid out as /proc/sys is.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name.replace('.', "/"))
    }

    /// The value of a sysctl that is one number.
    ///
    /// # Errors
    /// It isn't there, can't be read, or is no number.
    pub fn read(&self, name: &str) -> io::Result<u64> {
        number(&self.path(name))
    }

    /// An IPv4 setting of one interface, whose name may have dots in it.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_of(&self, interface: &str, setting: &str) -> io::Result<u64> {
        number(&self.root.join("net/ipv4/conf").join(interface).join(setting))
    }

    /// Writes a sysctl that is one number.
    ///
    /// # Errors
    /// It isn't there, or can't be written.
    pub fn write(&self, name: &str, value: u64) -> io::Result<()> {
        fs::write(self.path(name), value.to_string())
    }

    /// Those settings that aren't as they must be, without writing any.
    #[must_use]
    pub fn wrong<'a>(&self, settings: &'a [Setting]) -> Vec<(&'a Setting, io::Result<u64>)> {
        let read = settings.iter().map(|setting| (setting, self.read(setting.name)));
        read.filter(|(setting, is)| !is.as_ref().is_ok_and(|is| setting.want.is_met(*is))).collect()
    }

    /// Writes the settings that differ. Says what it wrote, and which stay wrong.
    #[must_use]
    pub fn settle(&self, settings: &[Setting]) -> (Vec<Written>, Vec<Wrong>) {
        let mut written = Vec::new();
        let mut wrong = Vec::new();
        for (setting, is) in self.wrong(settings) {
            let problem = match is {
                Err(error) => Problem::Unreadable(error),
                Ok(is) => match self.write(setting.name, setting.want.number()) {
                    Ok(()) => {
                        let Setting { name, want, .. } = *setting;
                        written.push(Written { name, was: is, is: want.number() });
                        continue;
                    }
                    Err(error) => Problem::ReadOnly { is, error },
                },
            };
            let Setting { name, want, why } = *setting;
            wrong.push(Wrong { name, want: want.number(), why, problem });
        }
        (written, wrong)
    }
}

fn number(path: &Path) -> io::Result<u64> {
    let text = fs::read_to_string(path)?;
    text.trim()
        .parse()
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, text.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(values: &[(&str, &str)]) -> (tempfile::TempDir, ProcSys) {
        let dir = tempfile::tempdir().unwrap();
        let sys = ProcSys::at(dir.path());
        for (name, value) in values {
            let path = sys.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, value).unwrap();
        }
        (dir, sys)
    }

    const ACCT: Setting = Setting { name: "net.a.acct", want: Want::Exactly(1), why: "x" };
    const MAX: Setting = Setting { name: "net.a.max", want: Want::AtLeast(100), why: "y" };

    #[test]
    fn only_what_differs_is_written() {
        let (_dir, sys) = folder(&[("net.a.acct", "0\n"), ("net.a.max", "200\n")]);
        let (written, wrong) = sys.settle(&[ACCT, MAX]);
        assert_eq!(written, [Written { name: "net.a.acct", was: 0, is: 1 }]);
        assert_eq!(wrong.len(), 0);
        assert_eq!((sys.read("net.a.acct").unwrap(), sys.read("net.a.max").unwrap()), (1, 200));
        assert_eq!(sys.settle(&[ACCT, MAX]).0, [], "the second time nothing differs");
    }

    #[test]
    fn what_cannot_be_read_is_named_with_what_to_do() {
        let (_dir, sys) = folder(&[("net.a.max", "many\n")]);
        let (written, wrong) = sys.settle(&[ACCT, MAX]);
        assert_eq!(written, []);
        let text: Vec<_> = wrong.iter().map(ToString::to_string).collect();
        assert!(
            text[0].starts_with("sysctl net.a.acct must be 1: x; it can't be read (No such file"),
            "{text:?}"
        );
        assert!(text[1].contains("it can't be read (many)"), "{text:?}");
        assert!(text[1].contains("sysctl -w net.a.max=100"), "{text:?}");
    }

    #[test]
    fn the_limit_follows_the_cores_but_not_below_the_least() {
        let conntrack = Conntrack::default();
        let max = |cpus| {
            let all = for_conntrack(&conntrack, cpus);
            all.into_iter().find(|s| s.name.ends_with("_max")).unwrap().want
        };
        assert_eq!((max(2), max(8)), (Want::AtLeast(131_072), Want::AtLeast(262_144)));
    }
}
