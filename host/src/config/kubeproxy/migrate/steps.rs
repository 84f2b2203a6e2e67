//! What is to be done on a node, in order, and what traffic notices of it. Pure.

use std::path::Path;

use serde::Serialize;

use super::ProxyMode;
use crate::config::{Config, HEALTH_PORT};

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Deed {
    /// What, and what for.
    pub what: String,
    /// The commands, as a shell takes them.
    pub run: Vec<String>,
    /// What traffic notices.
    pub traffic: &'static str,
}

const NOTHING: &str = "notices nothing.";
/// On a node where nothing but pods runs it.
const CLEANUP_BY_POD: &str = "kubectl -n kube-system debug node/NODE --profile=sysadmin --image=KUBE_PROXY_IMAGE -- kube-proxy --cleanup";
const BACK: [&str; 2] = ["weir cleanup", "kubectl label node NODE weir.dev/proxy-"];
const BACK_BY_POD: [&str; 3] = [
    "kubectl label node NODE weir.dev/proxy=none --overwrite",
    "kubectl -n weir-system debug node/NODE --profile=sysadmin --image=WEIR_IMAGE -- weir cleanup --run-dir /host/run/weir",
    "kubectl label node NODE weir.dev/proxy-",
];
/// Keeps the DaemonSet's pods off nodes of this label.
const KEEP_OFF: &str = r#"kubectl -n kube-system patch daemonset kube-proxy --type merge -p '{"spec":{"template":{"spec":{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"weir.dev/proxy","operator":"DoesNotExist"}]}]}}}}}}}'"#;

/// `in_pods`: kube-proxy is a DaemonSet, and weir is to be one.
pub(super) fn of(mode: ProxyMode, config: &Config, file: &Path, in_pods: bool) -> Vec<Deed> {
    let file = quoted(&file.to_string_lossy());
    let deed = |what: &str, run: &[&str], traffic| Deed {
        what: what.to_owned(),
        run: run.iter().map(|command| command.replace("FILE", &file)).collect(),
        traffic,
    };
    let mut sources = "Check what carries over. The API server must have an address that needs no \
                       proxy on this node: the one in the kubeconfig, or those in `apiServers`."
        .to_owned();
    if config.node_name.is_none() {
        sources.push_str(" The Node's name is the host's, unless `nodeName` says another.");
    }
    let health = config.health.address.get();
    if in_pods && (!health.ip().is_unspecified() || health.port() != HEALTH_PORT.get()) {
        let host = if health.ip().is_unspecified() { "" } else { "`host` and " };
        sources.push_str(&format!(
            " The probes of weir's pods must ask {health}, or the kubelet restarts them without end: the \
             chart sees to it; with kustomize patch {host}`port` of both."
        ));
    }
    vec![
        deed(&sources, &["weir config check FILE"], NOTHING),
        deed(
            "See what the kernel lacks, and who else works in it.",
            &["weir doctor --config FILE"],
            NOTHING,
        ),
        deed("See what weir will make.", &["weir plan --config FILE --against empty"], NOTHING),
        deed(
            "Stop kube-proxy on this node so that nothing starts it again. Where it is a unit of systemd: \
             `systemctl disable --now kube-proxy`. Where it is a DaemonSet, first keep that off nodes \
             with a label, once for the cluster (all its pods are replaced). Drain the node before, \
             where open connections matter.",
            &[KEEP_OFF, "kubectl label node NODE weir.dev/proxy=weir"],
            "goes on as it is; endpoints that come or go aren't followed until weir runs.",
        ),
        deed(
            "Remove what kube-proxy made, by a kube-proxy of the version that ran.",
            &[if in_pods { CLEANUP_BY_POD } else { "kube-proxy --cleanup" }],
            lost(mode),
        ),
        deed(
            "Start weir.",
            &["weir run --config FILE"],
            "services answer again after the first sync.",
        ),
        deed("See that all is well.", &["weir status", "weir doctor --config FILE"], NOTHING),
        deed(
            "The way back, should you need it: stop weir, remove what it made, and let kube-proxy run \
             again.",
            if in_pods { &BACK_BY_POD } else { &BACK },
            "services don't answer from the clean-up until kube-proxy has synced.",
        ),
    ]
}

/// As one word of a shell's.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// What the clean-up cuts off.
fn lost(mode: ProxyMode) -> &'static str {
    match mode {
        ProxyMode::Iptables => {
            "services don't answer new connections from here until weir has synced; open ones go on, \
             connection tracking translates them."
        }
        ProxyMode::Ipvs => {
            "services don't answer from here until weir has synced; open connections to them are cut, \
             since all of IPVS is flushed."
        }
        ProxyMode::Nftables => {
            "services don't answer new connections from here until weir has synced; open ones may be \
             reset, since what translates them goes with the table unless somebody else has a nat \
             chain."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_stays_one_word() {
        let cases = [
            ("/etc/weir/weir.yaml", "/etc/weir/weir.yaml"),
            ("my file.yaml", "'my file.yaml'"),
            ("it's", "'it'\\''s'"),
            ("", "''"),
        ];
        for (name, want) in cases {
            assert_eq!(quoted(name), want);
        }
    }
}
