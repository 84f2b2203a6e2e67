//! The node as weir found it: values that weir set, and modules that it loaded, that aren't its own to remove. Kept in the run folder:
//! both are gone when the node starts anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ipvs_rs::Timeouts;
use serde::{Deserialize, Serialize};

use super::sysctl::Written;
use crate::keep::{self, NotKept};

/// Something of the whole node's that weir gave a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Place {
    Sysctl(String),
    /// A time-out of IPVS, in the words of `ipvsadm --set`, in seconds.
    IpvsTimeout(String),
    /// A module that wasn't loaded.
    Module(String),
}

/// What was there before, each with the value that it had.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AsFound {
    values: Vec<(Place, u64)>,
}

impl AsFound {
    /// What earlier runs noted in `folder`.
    #[must_use]
    pub fn read(folder: &Path) -> Self {
        keep::read(&file(folder)).unwrap_or_default()
    }

    /// These sysctls were written.
    #[must_use]
    pub fn with_sysctls(mut self, written: &[Written]) -> Self {
        written.iter().for_each(|it| self.note(Place::Sysctl(it.name.to_owned()), it.was));
        self
    }

    /// The time-outs of IPVS were these before they were set.
    #[must_use]
    pub fn with_timeouts(mut self, before: Timeouts) -> Self {
        for (name, seconds) in by_name(before) {
            self.note(Place::IpvsTimeout(name.to_owned()), seconds);
        }
        self
    }

    /// These modules were loaded, which the kernel didn't do by itself.
    pub fn note_modules(&mut self, loaded: &[String]) {
        loaded.iter().for_each(|name| self.note(Place::Module(name.clone()), 0));
    }

    /// What a value was before the first time that it was written is what it was before weir.
    fn note(&mut self, place: Place, was: u64) {
        if self.values.iter().all(|(known, _)| *known != place) {
            self.values.push((place, was));
        }
    }

    /// Keeps it, beside what is there already.
    ///
    /// # Errors
    /// The folder can't be written.
    pub fn keep(self, folder: &Path) -> Result<(), NotKept> {
        let mut all = Self::read(folder);
        self.values.into_iter().for_each(|(place, was)| all.note(place, was));
        keep::write(&file(folder), &all)
    }

    /// Says in words what isn't as it was before weir, and what sets it back.
    #[must_use]
    pub fn differences(
        &self,
        sysctl: impl Fn(&str) -> Option<u64>,
        timeouts: Option<Timeouts>,
        is_loaded: impl Fn(&str) -> bool,
    ) -> Vec<String> {
        let timeouts: BTreeMap<_, _> = timeouts.into_iter().flat_map(by_name).collect();
        let differs = self.values.iter().filter_map(|(place, was)| match place {
            Place::Sysctl(name) => {
                let is = sysctl(name).filter(|is| is != was)?;
                Some(format!("{name} is {is}, and was {was} before weir: sysctl -w {name}={was}"))
            }
            Place::IpvsTimeout(name) => {
                let is = timeouts.get(name.as_str()).filter(|is| *is != was)?;
                Some(format!(
                    "the {name} time-out of IPVS is {is} s, and was {was} s before weir: ipvsadm --set"
                ))
            }
            Place::Module(name) => is_loaded(name).then(|| {
                format!("module {name} is loaded, and wasn't before weir: modprobe -r {name}")
            }),
        });
        differs.collect()
    }
}

fn by_name(timeouts: Timeouts) -> [(&'static str, u64); 3] {
    let Timeouts { tcp, tcp_fin, udp } = timeouts;
    [("tcp", tcp.into()), ("tcpfin", tcp_fin.into()), ("udp", udp.into())]
}

fn file(folder: &Path) -> PathBuf {
    folder.join("as-found.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_first_counts_and_what_is_as_before_is_not_told() {
        let dir = tempfile::tempdir().unwrap();
        let written = |name, was, is| Written { name, was, is };
        let before = Timeouts { tcp: 900, tcp_fin: 120, udp: 300 };
        let first = AsFound::default()
            .with_sysctls(&[written("net.a", 0, 1), written("net.b", 5, 6)])
            .with_timeouts(before);
        first.keep(dir.path()).unwrap();
        let mut second = AsFound::default().with_sysctls(&[written("net.a", 1, 2)]);
        second.note_modules(&["ip_vs_rr".to_owned(), "ip_vs_sh".to_owned()]);
        second.keep(dir.path()).unwrap();
        let found = AsFound::read(dir.path());
        let is =
            |name: &str| [("net.a", 2), ("net.b", 5)].iter().find(|it| it.0 == name).map(|it| it.1);
        assert_eq!(
            found.differences(is, Some(Timeouts { udp: 60, ..before }), |name| name == "ip_vs_sh"),
            [
                "net.a is 2, and was 0 before weir: sysctl -w net.a=0",
                "the udp time-out of IPVS is 60 s, and was 300 s before weir: ipvsadm --set",
                "module ip_vs_sh is loaded, and wasn't before weir: modprobe -r ip_vs_sh",
            ]
        );
        assert_eq!(
            found.differences(|_| None, None, |_| false),
            Vec::<String>::new(),
            "gone with its module"
        );
    }
}
