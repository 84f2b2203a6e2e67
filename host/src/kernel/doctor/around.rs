//! Who else works in this kernel: kube-proxy and what it left, others' virtual services, a firewall,
//! and strict reverse path filters. Looks; changes nothing.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::{fs, io};

use weir_core::interfaces::{BuiltIn, Interfaces};
use weir_core::kernel::Kernel as _;
use weir_core::net::Protocol;
use weir_core::state::VirtualKey;
use weir_nft::{Chain, Family, Socket, Table};

use super::{Findings, Verdict};
use crate::config::Config;
use crate::kernel::neighbours::{self, few};
use crate::kernel::sysctl::ProcSys;
use crate::kernel::virtuals::chain;
use crate::kernel::{LinuxKernel, firewall, interfaces, reverse_path};

pub(super) fn look(all: &mut Findings, config: &Config, has_ipvs: bool) {
    let is_alone = config.service_proxy_name.is_none();
    kube_proxy(all, is_alone);
    legacy(all, Path::new("/proc/net"));
    if has_ipvs {
        virtual_services(all, config);
    }
    firewalls(all);
    reverse_paths(all);
}

fn unknown(all: &mut Findings, what: &str, doing: &str, error: &str) {
    let advice = "run as root or with CAP_NET_ADMIN";
    all.push(what, Verdict::Warning, format!("{doing} ({error})"), advice);
}

fn kube_proxy(all: &mut Findings, is_alone: bool) {
    let signs = neighbours::kube_proxy(is_alone);
    if signs.iter().all(|sign| sign.there == Ok(None)) {
        let found =
            if is_alone { "no sign of it" } else { "no sign of one that weir can't run beside" };
        return all.push("kube-proxy", Verdict::Ok, found, "");
    }
    for neighbours::Sign { what, there, advice } in signs {
        match there {
            Ok(None) => {}
            Ok(Some(found)) => all.push(&what, Verdict::Warning, found, advice),
            Err(error) => unknown(all, &what, "can't be looked for", &error),
        }
    }
}

/// What the older iptables holds can't be read by nftables.
fn legacy(all: &mut Findings, proc: &Path) {
    for (file, command) in [("ip_tables_names", "iptables"), ("ip6_tables_names", "ip6tables")] {
        let what = format!("{command}-legacy");
        let names = match fs::read_to_string(proc.join(file)) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                unknown(all, &what, "can't be looked for", &chain(&error));
                continue;
            }
        };
        let names: Vec<&str> = names.lines().collect();
        if names.is_empty() {
            continue;
        }
        let found =
            format!("in use, and its rules can't be looked into: tables {}", names.join(", "));
        let advice = format!(
            "look for kube-proxy's: `{command}-legacy-save | grep KUBE-`, removed by `kube-proxy \
             --cleanup` or `{command}-legacy-save | grep -v KUBE- | {command}-legacy-restore`; and \
             for a firewall: `{command}-legacy-save | grep -E '^:.* DROP'`"
        );
        all.push(&what, Verdict::Warning, found, advice);
    }
}

fn virtual_services(all: &mut Findings, config: &Config) {
    let what = "virtual services of others";
    let seen = LinuxKernel::open(crate::app::how(config))
        .map_err(|error| chain(&error))
        .and_then(|mut kernel| kernel.observe().map_err(|error| chain(&error)));
    let foreign: Vec<VirtualKey> = match seen {
        Ok(seen) => seen.foreign.into_iter().collect(),
        Err(error) => return unknown(all, what, "can't be listed", &error),
    };
    if foreign.is_empty() {
        return all.push(what, Verdict::Ok, "none in IPVS", "");
    }
    let names: Vec<String> = foreign.iter().map(ToString::to_string).collect();
    if config.service_proxy_name.is_some() {
        return all.push(what, Verdict::Ok, few(&names), "");
    }
    let removals: Vec<String> = foreign.iter().take(3).map(removal).collect();
    let advice = format!(
        "weir leaves them alone and can't serve the same addresses and ports by IPVS; remove those \
         of nobody: {}; kube-proxy's go with `kube-proxy --cleanup`",
        removals.join(", ")
    );
    all.push(what, Verdict::Warning, few(&names), advice);
}

fn removal(key: &VirtualKey) -> String {
    let protocol = match key.protocol {
        Protocol::Tcp => "-t",
        Protocol::Udp => "-u",
        Protocol::Sctp => "--sctp-service",
    };
    format!("`ipvsadm -D {protocol} {}`", SocketAddr::new(key.address, key.port.get()))
}

fn firewalls(all: &mut Findings) {
    let what = "firewall";
    let mut nft = match Socket::open() {
        Ok(nft) => nft,
        Err(error) => return unknown(all, what, "chains can't be listed", &chain(&error)),
    };
    let before = all.findings.len();
    let mut refusing = Vec::new();
    for family in [Family::Inet, Family::Ip, Family::Ip6] {
        match nft.chains(family) {
            Ok(chains) => {
                let looked =
                    chains.iter().map(|(table, chain)| firewall(all, &mut nft, table, chain));
                refusing.extend(looked.flatten());
            }
            Err(error) => {
                let doing = format!("chains of {family} can't be listed");
                unknown(all, what, &doing, &chain(&error));
            }
        }
    }
    if all.findings.len() == before {
        let found = "no chain of others drops all that it doesn't accept";
        all.push(what, Verdict::Ok, found, "");
    }
    if !refusing.is_empty() {
        let found = format!(
            "rules of others drop or refuse some packets, and whether a service's isn't read; chains \
             with such rules, {}",
            few(&refusing)
        );
        all.push(what, Verdict::Ok, found, "");
    }
}

/// Says if a chain refuses all that it doesn't accept. One that refuses only some is returned, to be named with others.
fn firewall(all: &mut Findings, nft: &mut Socket, table: &Table, of: &Chain) -> Option<String> {
    let what = "firewall";
    if !firewall::is_passed(table, of) {
        return None;
    }
    let rules = nft.rules(table, &of.name).unwrap_or_else(|error| {
        let doing = format!("rules of chain {} of table {table} can't be read", of.name);
        unknown(all, what, &doing, &chain(&error));
        Vec::new()
    });
    let Some(closed) = firewall::closed(table, of, &rules) else {
        return firewall::refusing(table, of, &rules);
    };
    if closed.is_opened() {
        let found = format!("{}; what weir translated is accepted", closed.found());
        all.push(what, Verdict::Ok, found, "");
    } else {
        all.push(what, Verdict::Warning, closed.found(), closed.advice());
    }
    None
}

fn reverse_paths(all: &mut Findings) {
    let what = "reverse path filter";
    let view = match interfaces::look() {
        Ok(view) => view,
        Err(error) => return unknown(all, what, "links can't be listed", &chain(&error)),
    };
    let sorted = Interfaces::of(&interfaces::interfaces(&view), |_| BTreeSet::new());
    let group = BuiltIn::Uplink.name();
    let is_uplink = |name| group.as_ref() == Some(name);
    let uplinks = sorted.iter().filter(|(_, part)| part.groups.iter().any(is_uplink));
    let uplinks: Vec<&str> = uplinks.map(|(name, _)| name.as_str()).collect();
    match reverse_path::strict(&uplinks, &ProcSys::default()) {
        Ok(strict) if strict.is_empty() => {
            all.push(what, Verdict::Ok, "not strict, or there is one uplink at most", "");
        }
        Ok(strict) => {
            let found = format!(
                "strict (1) on {}, of {} uplinks: packets to node ports and load balancer addresses \
                 are dropped where they come in by another uplink than the way back to their sender",
                strict.join(", "),
                uplinks.len()
            );
            let advice = "sysctl -w net.ipv4.conf.all.rp_filter=2 (loose; the greater of it and an \
                          interface's own counts)";
            all.push(what, Verdict::Warning, found, advice);
        }
        Err(error) => unknown(all, what, "sysctls can't be read", &chain(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_tables_are_named_with_what_to_run() {
        let dir = tempfile::tempdir().unwrap();
        let mut all = Findings::default();
        legacy(&mut all, dir.path());
        fs::write(dir.path().join("ip_tables_names"), "").unwrap();
        legacy(&mut all, dir.path());
        assert_eq!(all, Findings::default(), "without the file, and with nothing in it");
        fs::write(dir.path().join("ip6_tables_names"), "filter\nnat\n").unwrap();
        legacy(&mut all, dir.path());
        let [finding] = all.findings.as_slice() else { panic!("{all:?}") };
        let head = (finding.what.as_str(), finding.verdict);
        assert_eq!(head, ("ip6tables-legacy", Verdict::Warning));
        assert!(finding.found.ends_with("tables filter, nat"), "{}", finding.found);
        let advice = &finding.advice;
        assert!(advice.contains("`ip6tables-legacy-save | grep KUBE-`"), "{advice}");
    }

    #[test]
    fn each_protocol_is_removed_by_its_option() {
        let key = |protocol, address: &str| VirtualKey {
            address: address.parse().unwrap(),
            protocol,
            port: weir_core::net::Port::new(53).unwrap(),
        };
        let cases = [
            (key(Protocol::Tcp, "10.96.0.10"), "`ipvsadm -D -t 10.96.0.10:53`"),
            (key(Protocol::Udp, "fd00::10"), "`ipvsadm -D -u [fd00::10]:53`"),
            (key(Protocol::Sctp, "10.96.0.10"), "`ipvsadm -D --sctp-service 10.96.0.10:53`"),
        ];
        for (key, want) in cases {
            assert_eq!(removal(&key), want);
        }
    }
}
