//! The honoured fields of a kube-proxy configuration, typed as kube-proxy types them. Pure.
//!
//! Go's zero values mean "not set" there, so every type here has them: `""`, `0s`, null.

use serde::{Deserialize, Deserializer};

use crate::config::number::Within;
use crate::config::offload::Packets;
use crate::config::period::Period;

/// A C `int` that is never negative.
pub(super) type Count = Within<0, { i32::MAX as u64 }>;

/// The fields that are pointers in Go: left out by null, so that zero is a value of theirs.
pub(super) const OPTIONAL: [&str; 5] = [
    "nftables.fastpathPacketThreshold",
    "conntrack.maxPerCore",
    "conntrack.min",
    "conntrack.tcpEstablishedTimeout",
    "conntrack.tcpCloseWaitTimeout",
];

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) client_connection: ClientConnection,
    pub(super) logging: Logging,
    pub(super) hostname_override: String,
    pub(super) bind_address: String,
    pub(super) healthz_bind_address: String,
    pub(super) metrics_bind_address: String,
    pub(super) bind_address_hard_fail: bool,
    pub(super) enable_profiling: bool,
    pub(super) mode: Mode,
    pub(super) iptables: IpTables,
    pub(super) ipvs: Ipvs,
    pub(super) nftables: NfTables,
    pub(super) detect_local_mode: DetectLocalMode,
    #[serde(rename = "clusterCIDR")]
    pub(super) cluster_cidr: String,
    pub(super) node_port_addresses: Vec<String>,
    pub(super) conntrack: Conntrack,
    pub(super) config_sync_period: Period,
    pub(super) detect_local: DetectLocal,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ClientConnection {
    pub(super) kubeconfig: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct DetectLocal {
    pub(super) bridge_interface: String,
    pub(super) interface_name_prefix: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Logging {
    pub(super) format: LogFormat,
    pub(super) verbosity: Count,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogFormat {
    #[default]
    #[serde(alias = "")]
    Text,
    Json,
}

/// `kernelspace` is for Windows and refused as any other unknown mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    #[default]
    #[serde(rename = "")]
    Unset,
    Iptables,
    Ipvs,
    Nftables,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct IpTables {
    pub(super) masquerade_all: bool,
    pub(super) sync_period: Period,
    pub(super) min_sync_period: Period,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Ipvs {
    pub(super) sync_period: Period,
    pub(super) min_sync_period: Period,
    pub(super) scheduler: Scheduler,
    #[serde(rename = "strictARP")]
    pub(super) strict_arp: bool,
    pub(super) tcp_timeout: Period,
    pub(super) tcp_fin_timeout: Period,
    pub(super) udp_timeout: Period,
}

/// A known scheduler, or none where empty.
#[derive(Debug, Default)]
pub(super) struct Scheduler(pub(super) Option<crate::config::SchedulerName>);

impl<'de> Deserialize<'de> for Scheduler {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text.is_empty() {
            return Ok(Self(None));
        }
        text.parse().map(|name| Self(Some(name))).map_err(serde::de::Error::custom)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct NfTables {
    pub(super) masquerade_all: bool,
    pub(super) sync_period: Period,
    pub(super) min_sync_period: Period,
    pub(super) fastpath_packet_threshold: Option<Packets>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) enum DetectLocalMode {
    #[default]
    #[serde(alias = "")]
    ClusterCIDR,
    NodeCIDR,
    BridgeInterface,
    InterfaceNamePrefix,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Conntrack {
    pub(super) max_per_core: Option<Count>,
    pub(super) min: Option<Count>,
    pub(super) tcp_established_timeout: Option<Period>,
    pub(super) tcp_close_wait_timeout: Option<Period>,
    pub(super) tcp_be_liberal: bool,
    pub(super) udp_timeout: Period,
    pub(super) udp_stream_timeout: Period,
}
