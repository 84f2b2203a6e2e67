//! What this kernel has for weir, what is missing, and how to get it. Looks; changes nothing.

mod around;

use std::fmt;

use serde::Serialize;
use weir_core::decision::Scheduler;
use weir_core::view::KernelAbilities;
use weir_link::Links;
use weir_nft::Nftables;

use super::bridges::past_translation;
use super::modules::{Module, Modules};
use super::sysctl::{self, ProcSys};
use super::virtuals::chain;
use super::{probe, processors};
use crate::config::Config;

/// The oldest kernel that is tested: Debian 12's.
const OLDEST: (u32, u32) = (6, 1);
/// Where schedulers and flowtables come from where they are missing.
const FULL_KERNEL: &str = "install a kernel with all modules (Debian: linux-image-amd64; \
     Ubuntu: linux-modules-extra-$(uname -r))";

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// weir works, with less.
    Warning,
    /// weir can't work.
    Missing,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub what: String,
    /// How bad it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it; empty where nothing is to be done.
    pub advice: String,
}

/// All findings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// In the order of looking.
    pub findings: Vec<Finding>,
}

impl Findings {
    /// The worst verdict.
    #[must_use]
    pub fn worst(&self) -> Verdict {
        self.findings.iter().map(|it| it.verdict).max().unwrap_or(Verdict::Ok)
    }

    fn push(
        &mut self,
        what: &str,
        verdict: Verdict,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.findings.push(Finding {
            what: what.into(),
            verdict,
            found: found.into(),
            advice: advice.into(),
        });
    }
}

/// Looks at the running kernel, for this configuration.
#[must_use]
pub fn examine(config: &Config) -> Findings {
    let mut all = Findings::default();
    let release = release();
    let modules = Modules::read(&release);
    version(&mut all, &release);
    let mut found = Findings::default();
    let nftables = nftables(&mut found);
    let ipvs = ipvs(&mut all, &modules, nftables);
    if ipvs {
        schedulers(&mut all, &modules, config);
    }
    all.findings.append(&mut found.findings);
    dummy(&mut all, &modules, config);
    sysctls(&mut all, config, ipvs);
    bridged(&mut all);
    around::look(&mut all, config, ipvs);
    all
}

/// The running kernel's release, as uname(2) has it.
#[must_use]
pub fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// What decisions may build on, before anything was tried: a scheduler whose module can't be looked
/// up counts as there until the kernel refuses it.
#[must_use]
pub fn abilities(has_ipvs: bool, nftables: &probe::Found) -> KernelAbilities {
    let release = release();
    let modules = Modules::read(&release);
    let can = |s: &Scheduler| modules.find(&format!("ip_vs_{s}")) != Module::Missing;
    let schedulers = Scheduler::ALL.into_iter().filter(|s| has_ipvs && s.on_ipvs() && can(s));
    KernelAbilities {
        ipvs_schedulers: schedulers.map(|s| s.to_string()).collect(),
        dataplanes: [(has_ipvs, "ipvs"), (!nftables.schedulers.is_empty(), "nftables")]
            .into_iter()
            .filter(|(has, _)| *has)
            .map(|(_, name)| name.to_owned())
            .collect(),
        nftables_schedulers: nftables.schedulers.iter().map(ToString::to_string).collect(),
        flowtable: nftables.flowtable,
        release,
    }
}

fn version(all: &mut Findings, release: &str) {
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let is = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let (verdict, advice) = if is >= OLDEST {
        (Verdict::Ok, String::new())
    } else {
        (Verdict::Warning, format!("the oldest that is tested is {}.{}", OLDEST.0, OLDEST.1))
    };
    all.push("kernel", verdict, release, advice);
}

fn ipvs(all: &mut Findings, modules: &Modules, nftables: bool) -> bool {
    // With nftables every service is carried, if not by every scheduler.
    let verdict = if nftables { Verdict::Warning } else { Verdict::Missing };
    match ipvs_rs::Ipvs::open(ipvs_rs::Options::default()).and_then(|mut ipvs| ipvs.info()) {
        Ok(info) => {
            all.push("IPVS", Verdict::Ok, format!("version {}", info.version), "");
            true
        }
        Err(error) if error.is_unavailable() => {
            let found = match modules.find("ip_vs") {
                Module::Missing => "this kernel has no module ip_vs",
                _ => "module ip_vs can't be loaded",
            };
            let found = if nftables {
                format!("{found}: services are on nftables, by its schedulers")
            } else {
                found.to_owned()
            };
            all.push("IPVS", verdict, found, FULL_KERNEL);
            false
        }
        Err(error) => {
            let advice = "run as root or with CAP_NET_ADMIN";
            all.push("IPVS", verdict, chain(&error), advice);
            false
        }
    }
}

fn schedulers(all: &mut Findings, modules: &Modules, config: &Config) {
    let default = config.ipvs.scheduler.as_str();
    for scheduler in Scheduler::ALL.into_iter().filter(|s| s.on_ipvs()) {
        let what = format!("scheduler {scheduler}");
        let missing =
            if scheduler.as_str() == default { Verdict::Missing } else { Verdict::Warning };
        let (verdict, found, advice) = match modules.find(&format!("ip_vs_{scheduler}")) {
            Module::There => (Verdict::Ok, "loaded", ""),
            Module::Loadable => (Verdict::Ok, "loaded when a service asks for it", ""),
            Module::Unknown => {
                (Verdict::Ok, "not known before a service asks for it: no /lib/modules here", "")
            }
            Module::Missing => {
                (missing, "missing; services that ask for it get the default", FULL_KERNEL)
            }
        };
        all.push(&what, verdict, format!("{} ({found})", scheduler.describe()), advice);
    }
}

/// Tries what services on nftables take; says whether they can be carried at all.
fn nftables(all: &mut Findings) -> bool {
    let root = "run as root or with CAP_NET_ADMIN, on a kernel with nf_tables";
    let opened = weir_nft::Socket::open().map_err(|error| chain(&error));
    let answers = opened.and_then(|mut nft| match nft.generation() {
        Ok(_) => Ok(nft),
        Err(error) => Err(chain(&error)),
    });
    let mut nft = match answers {
        Ok(nft) => nft,
        Err(error) => {
            all.push("nftables", Verdict::Missing, error, root);
            return false;
        }
    };
    let found = probe::probe(&mut nft, &ProcSys::default());
    if found.schedulers.is_empty() {
        let missing = found.missing.join("; ");
        let found = format!("answers, but can't carry services: {missing}");
        all.push("nftables", Verdict::Warning, found, FULL_KERNEL);
        return false;
    }
    let names: Vec<&str> = found.schedulers.iter().map(|it| it.as_str()).collect();
    all.push("nftables", Verdict::Ok, format!("carries services by {}", names.join(", ")), "");
    for missing in &found.missing {
        all.push("nftables", Verdict::Warning, format!("lacks {missing}"), FULL_KERNEL);
    }
    if found.flowtable {
        all.push("flowtables", Verdict::Ok, "there: flows can be offloaded", "");
    } else {
        let found = "missing: no flow is ever offloaded";
        all.push("flowtables", Verdict::Warning, found, FULL_KERNEL);
    }
    true
}

fn dummy(all: &mut Findings, modules: &Modules, config: &Config) {
    let wanted = config.ipvs.vips == crate::config::Vips::Address;
    let (verdict, found) = match (modules.find("dummy"), wanted) {
        (Module::Missing, true) => (Verdict::Missing, "missing; `ipvs.vips: address` needs it"),
        (Module::Missing, false) => (Verdict::Ok, "missing; `ipvs.vips: route` does without"),
        _ => (Verdict::Ok, "there"),
    };
    all.push("dummy device", verdict, found, if verdict == Verdict::Ok { "" } else { FULL_KERNEL });
}

fn sysctls(all: &mut Findings, config: &Config, has_ipvs: bool) {
    let cpus = processors::online();
    let settings = sysctl::all(config, has_ipvs, cpus);
    let wrong = ProcSys::default().wrong(&settings);
    for setting in &settings {
        let Some((_, is)) = wrong.iter().find(|(other, _)| other.name == setting.name) else {
            all.push(setting.name, Verdict::Ok, "as it must be", "");
            continue;
        };
        let found = match is {
            Ok(is) => format!("is {is}: {}", setting.why),
            Err(error) => format!("can't be read ({error}): {}", setting.why),
        };
        let advice = format!(
            "`weir run` sets it where it may; else run `weir init`, or sysctl -w {}={}",
            setting.name,
            setting.want.number()
        );
        all.push(setting.name, Verdict::Warning, found, advice);
    }
}

/// Whether pods on one bridge reach each other by services.
fn bridged(all: &mut Findings) {
    let links = Links::open(weir_link::DEFAULT_TIMEOUT).and_then(|mut links| links.dump_links());
    let what = "bridged packets";
    match links.map(|links| past_translation(&links, &ProcSys::default())) {
        Ok(None) => all.push(what, Verdict::Ok, "none goes past translation", ""),
        Ok(Some(past)) => all.push(what, Verdict::Warning, past.found, past.advice),
        Err(error) => {
            let found = format!("links can't be listed ({})", chain(&error));
            all.push(what, Verdict::Warning, found, "");
        }
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { what, verdict, found, advice } in &self.findings {
            let mark = match verdict {
                Verdict::Ok => "ok     ",
                Verdict::Warning => "WARNING",
                Verdict::Missing => "MISSING",
            };
            writeln!(f, "{mark} {what}: {found}")?;
            if !advice.is_empty() {
                writeln!(f, "        -> {advice}")?;
            }
        }
        Ok(())
    }
}
