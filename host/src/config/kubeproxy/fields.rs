//! What becomes of each field of a kube-proxy configuration: the one list behind the code, the
//! notices and the page docs/from-kube-proxy.md. Pure.

use std::fmt::Write as _;

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It decides this.
    Honoured(&'static str),
    /// It has no meaning here, because.
    Ignored(&'static str),
}

/// A field by its path and what becomes of it. A path names all that lies below it.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// For example `ipvs.scheduler`.
    pub path: &'static str,
    /// What becomes of it.
    pub fate: Fate,
}

const fn honoured(path: &'static str, by: &'static str) -> Field {
    Field { path, fate: Fate::Honoured(by) }
}

const fn ignored(path: &'static str, why: &'static str) -> Field {
    Field { path, fate: Fate::Ignored(why) }
}

const NO_MARK: &str = "weir masquerades by the original destination and marks no packet";
const JSON: &str = "objects are read as JSON";
const OWN_PACE: &str =
    "weir lists and watches five kinds of objects, and writes nothing but Events";
const WINDOWS: &str = "it is for Windows";
const KLOG: &str = "it belongs to kube-proxy's own log writer";

/// Every field, in the order of the upstream type.
pub const FIELDS: &[Field] = &[
    ignored("featureGates", "the gates switch parts of kube-proxy's own code; weir has none"),
    honoured("clientConnection.kubeconfig", "`kubeconfig`; empty, the pod's ServiceAccount"),
    ignored("clientConnection.acceptContentTypes", JSON),
    ignored("clientConnection.contentType", JSON),
    ignored("clientConnection.qps", OWN_PACE),
    ignored("clientConnection.burst", OWN_PACE),
    honoured("logging.format", "`log.format`"),
    ignored("logging.flushFrequency", "weir's log isn't buffered"),
    honoured("logging.verbosity", "`log.level`: up to 3 info, 4 and 5 debug, from 6 trace"),
    ignored("logging.vmodule", "it names files of kube-proxy's source; `log.level` is for all"),
    ignored("logging.options", KLOG),
    honoured("hostnameOverride", "`nodeName`, in lower case"),
    honoured(
        "bindAddress",
        "the family of the default addresses of `health` and `metrics`; nothing else, since the \
         node's addresses are read from the Node object",
    ),
    honoured("healthzBindAddress", "`health.address`; without a port, 10256"),
    honoured("metricsBindAddress", "`metrics.address`; without a port, 10249"),
    honoured("bindAddressHardFail", "`health.required` and `metrics.required`"),
    honoured(
        "enableProfiling",
        "`metrics.profiling`: a CPU profile at `/debug/pprof/profile`, and `PUT /debug/flags/v` to the \
         node itself; Go's other profiles have no counterpart",
    ),
    ignored("showHiddenMetricsForVersion", "weir hides no metrics"),
    honoured("mode", "`dataplane`: ipvs and nftables as they are, iptables or none as auto"),
    ignored("iptables.masqueradeBit", NO_MARK),
    honoured(
        "iptables.masqueradeAll",
        "`masquerade.all`, unless `mode` is nftables (as kube-proxy, which reads it for ipvs too)",
    ),
    ignored(
        "iptables.localhostNodePorts",
        "it concerns kube-proxy's iptables mode alone; no other mode serves node ports on loopback: \
         use an address of the node",
    ),
    honoured(
        "iptables.syncPeriod",
        "`sync.syncPeriod`; read only where `mode` is iptables or none",
    ),
    honoured(
        "iptables.minSyncPeriod",
        "`sync.minSyncPeriod`; read only where `mode` is iptables or none",
    ),
    honoured("ipvs.syncPeriod", "`sync.syncPeriod`; read only where `mode` is ipvs"),
    honoured("ipvs.minSyncPeriod", "`sync.minSyncPeriod`; read only where `mode` is ipvs"),
    honoured("ipvs.scheduler", "`ipvs.scheduler`; rr where empty, and an unknown one is an error"),
    ignored(
        "ipvs.excludeCIDRs",
        "weir removes only virtual services that it can prove to have made, so none needs protection",
    ),
    honoured("ipvs.strictARP", "`ipvs.strictARP`"),
    honoured("ipvs.tcpTimeout", "`ipvs.tcpTimeout`"),
    honoured("ipvs.tcpFinTimeout", "`ipvs.tcpFinTimeout`"),
    honoured("ipvs.udpTimeout", "`ipvs.udpTimeout`"),
    ignored("nftables.masqueradeBit", NO_MARK),
    honoured("nftables.masqueradeAll", "`masquerade.all`, where `mode` is nftables"),
    honoured("nftables.syncPeriod", "`sync.syncPeriod`; read only where `mode` is nftables"),
    honoured("nftables.minSyncPeriod", "`sync.minSyncPeriod`; read only where `mode` is nftables"),
    honoured(
        "nftables.fastpathPacketThreshold",
        "`offload.afterPackets` in every mode; 0 is never, and a negative one is an error",
    ),
    ignored("winkernel", WINDOWS),
    honoured("detectLocalMode", "`masquerade.detectLocal.mode`; ClusterCIDR where empty"),
    honoured(
        "detectLocal.bridgeInterface",
        "`masquerade.detectLocal.bridgeInterface`, where the mode is BridgeInterface",
    ),
    honoured(
        "detectLocal.interfaceNamePrefix",
        "`masquerade.detectLocal.interfaceNamePrefix`, where the mode is InterfaceNamePrefix",
    ),
    honoured("clusterCIDR", "`masquerade.detectLocal.clusterCIDRs`, where the mode is ClusterCIDR"),
    honoured(
        "nodePortAddresses",
        "`nodePortAddresses`; where empty, `primary` with mode nftables and all addresses (`0.0.0.0/0` \
         and `::/0`) with any other, as in kube-proxy",
    ),
    ignored(
        "oomScoreAdj",
        "it needs CAP_SYS_RESOURCE: priority class system-node-critical gives a pod -997, \
         OOMScoreAdjust= of its unit a service of systemd any",
    ),
    honoured("conntrack.maxPerCore", "`conntrack.maxPerCore`"),
    honoured("conntrack.min", "`conntrack.min`"),
    honoured("conntrack.tcpEstablishedTimeout", "`conntrack.tcpEstablishedTimeout`"),
    honoured("conntrack.tcpCloseWaitTimeout", "`conntrack.tcpCloseWaitTimeout`"),
    honoured("conntrack.tcpBeLiberal", "`conntrack.tcpBeLiberal`"),
    honoured("conntrack.udpTimeout", "`conntrack.udpTimeout`"),
    honoured("conntrack.udpStreamTimeout", "`conntrack.udpStreamTimeout`"),
    honoured("configSyncPeriod", "`sync.refreshPeriod`"),
    ignored("portRange", "kube-proxy itself doesn't use it any more"),
    ignored("windowsRunAsService", WINDOWS),
];

/// The fate of a field.
pub(super) fn find(path: &str) -> Option<Fate> {
    FIELDS.iter().find(|field| field.path == path).map(|field| field.fate)
}

/// Whether the path is a section with fields of its own in the list.
pub(super) fn has_children(path: &str) -> bool {
    let below = |field: &Field| field.path.strip_prefix(path).is_some_and(|r| r.starts_with('.'));
    FIELDS.iter().any(below)
}

/// The table of docs/from-kube-proxy.md.
#[must_use]
pub fn table() -> String {
    let mut text =
        "| field | here | what it decides, or why it doesn't |\n|---|---|---|\n".to_owned();
    for field in FIELDS {
        let (here, why) = match field.fate {
            Fate::Honoured(by) => ("honoured", by),
            Fate::Ignored(why) => ("ignored", why),
        };
        let _ = writeln!(text, "| `{}` | {here} | {why} |", field.path);
    }
    text
}
