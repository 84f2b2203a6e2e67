//! What differs from kube-proxy whatever is in its file: the one list behind the report of `weir migrate`
//! and the page docs/from-kube-proxy.md. Pure.

use std::fmt::Write as _;

use serde::Serialize;

use super::types;

/// How kube-proxy carries services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyMode {
    /// By rules of iptables; also where its file names no mode.
    Iptables,
    /// By IPVS.
    Ipvs,
    /// By a table of nftables.
    Nftables,
}

impl ProxyMode {
    /// As its file writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Iptables => "iptables",
            Self::Ipvs => "ipvs",
            Self::Nftables => "nftables",
        }
    }
}

impl From<types::Mode> for ProxyMode {
    fn from(mode: types::Mode) -> Self {
        match mode {
            types::Mode::Unset | types::Mode::Iptables => Self::Iptables,
            types::Mode::Ipvs => Self::Ipvs,
            types::Mode::Nftables => Self::Nftables,
        }
    }
}

/// One thing that differs.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Difference {
    /// What it is about, in a few words.
    pub about: &'static str,
    /// What differs, and what to do where that matters.
    pub text: &'static str,
    /// For whom: those who come from these modes.
    #[serde(skip)]
    pub modes: &'static [ProxyMode],
}

const ALL: &[ProxyMode] = &[ProxyMode::Iptables, ProxyMode::Ipvs, ProxyMode::Nftables];
const IPTABLES: &[ProxyMode] = &[ProxyMode::Iptables];
const IPVS: &[ProxyMode] = &[ProxyMode::Ipvs];
const NOT_IPTABLES: &[ProxyMode] = &[ProxyMode::Ipvs, ProxyMode::Nftables];
const NOT_IPVS: &[ProxyMode] = &[ProxyMode::Iptables, ProxyMode::Nftables];

const fn differs(
    about: &'static str,
    modes: &'static [ProxyMode],
    text: &'static str,
) -> Difference {
    Difference { about, text, modes }
}

/// Every difference, those that are met first first.
pub const DIFFERENCES: &[Difference] = &[
    differs(
        "Node ports",
        ALL,
        "kube-proxy's ipvs and iptables modes answer on all addresses of the node where \
         `nodePortAddresses` is empty, its nftables mode only on the primary ones. A file that is \
         taken keeps what its mode means, and a notice tells it; a file of weir's own without the \
         field has the primary ones.",
    ),
    differs(
        "Node ports on loopback",
        IPTABLES,
        "kube-proxy's iptables mode answers on 127.0.0.1 unless `iptables.localhostNodePorts` is \
         false; here, as in its other modes, an address of the node must be used.",
    ),
    differs("iptables mode", IPTABLES, "There is none; such a node gets `dataplane: auto`."),
    differs(
        "Scheduler",
        IPVS,
        "`ipvs.scheduler` is that of services on IPVS on which no policy has an opinion; `weir doctor` \
         says whether the kernel has it.",
    ),
    differs(
        "Fast path",
        ALL,
        "`nftables.fastpathPacketThreshold` is one threshold for all services; here it is the one of \
         services on which no policy has an opinion, 20 where it isn't set. `offload.afterPackets: 0` \
         offloads none.",
    ),
    differs(
        "Recognising pods",
        ALL,
        "With `detectLocalMode: NodeCIDR` weir follows the Node's `podCIDRs`; kube-proxy ends when \
         they change.",
    ),
    differs(
        "Connection tracking",
        ALL,
        "A limit that is greater already stays, as in kube-proxy; `net.netfilter.nf_conntrack_acct` is \
         switched on beside the sysctls that the file names.",
    ),
    differs(
        "Invalid packets",
        NOT_IPTABLES,
        "TCP packets that connection tracking calls invalid are dropped where they are forwarded to or \
         from pods, which kube-proxy does in its iptables mode alone; `conntrack.dropInvalid: false` \
         lets them pass.",
    ),
    differs(
        "Leaving servers",
        ALL,
        "kube-proxy lets a TCP server that left keep its connections without limit; here `drain.limit` \
         ends them, on either dataplane, 15 minutes unless configured otherwise.",
    ),
    differs(
        "Ping",
        NOT_IPVS,
        "Cluster addresses answer ICMP echo requests, which they don't by kube-proxy's iptables and \
         nftables modes; `clusterIPs.icmpEcho` says otherwise.",
    ),
    differs(
        "Feature gates",
        ALL,
        "None is read; hints for zones and nodes are followed without one.",
    ),
    differs(
        "Health and metrics",
        ALL,
        "The addresses are kube-proxy's, so both can't serve at once. Its metrics of syncs, \
         changes, network programming and probes have kept their names (`kubeproxy_…`) without the \
         label `ip_family`; those of iptables have no counterpart, and all others are weir's own \
         (`weir_…`). `/proxyMode` says the dataplane of services on which no policy has an opinion. A first write that never succeeds becomes unhealthy \
         after twice the sync period; kube-proxy stays healthy until one succeeded.",
    ),
];

/// What differs for those who come from a mode.
pub(super) fn from(mode: ProxyMode) -> Vec<Difference> {
    DIFFERENCES.iter().filter(|it| it.modes.contains(&mode)).copied().collect()
}

/// The list of docs/from-kube-proxy.md.
#[must_use]
pub fn list() -> String {
    let mut text = String::new();
    for Difference { about, text: what, modes } in DIFFERENCES {
        let names: Vec<&str> = modes.iter().map(|mode| mode.as_str()).collect();
        let of = if modes.len() == ALL.len() {
            String::new()
        } else {
            format!(" (from mode {})", names.join(" or "))
        };
        let _ = writeln!(text, "- **{about}**{of}: {what}");
    }
    text
}
