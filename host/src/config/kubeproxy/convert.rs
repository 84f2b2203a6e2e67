//! From a kube-proxy file's honoured fields to weir's configuration, with kube-proxy's defaults. Pure.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU16;
use std::path::PathBuf;

use super::types::{DetectLocalMode, File, LogFormat, Mode};
use crate::config::decode::Fault;
use crate::config::fault::{FieldPath, Notice, NoticeKind};
use crate::config::node_port_addresses::{NodePortAddresses, PRIMARY};
use crate::config::period::Period;
use crate::config::text::{Cidr, InterfaceName, ListenAddress, NodeName};
use crate::config::yaml::Node;
use crate::config::{self, Config, Dataplane, HEALTH_PORT, LogLevel, METRICS_PORT};

const NODE_PORT_ADDRESSES: &str = "nodePortAddresses";

/// One conversion and what it has to say.
pub(super) struct Conversion<'a> {
    root: &'a Node,
    pub(super) notices: Vec<Notice>,
    pub(super) faults: Vec<Fault>,
}

impl<'a> Conversion<'a> {
    pub(super) fn new(root: &'a Node) -> Self {
        Self { root, notices: Vec::new(), faults: Vec::new() }
    }

    pub(super) fn run(&mut self, file: &File) -> Config {
        let mut config = Config {
            node_name: self.node_name(&file.hostname_override),
            dataplane: self.dataplane(file.mode),
            kubeconfig: kubeconfig(&file.client_connection.kubeconfig),
            ..Config::default()
        };
        config.node_port_addresses = self.node_port_addresses(file);
        self.masquerade(file, &mut config.masquerade);
        self.sync(file, &mut config.sync);
        self.listen(file, &mut config);
        ipvs(file, &mut config.ipvs);
        conntrack(file, &mut config.conntrack);
        offload(file, &mut config.offload);
        log(file, &mut config.log);
        config
    }

    fn line(&self, path: &FieldPath) -> u64 {
        self.root.nearest(path).line
    }

    fn notice(&mut self, path: &str, kind: NoticeKind, text: impl Into<String>) {
        let path = FieldPath::known(path);
        let line = self.root.at(&path).map(|written| written.line);
        self.notices.push(Notice { line, path, kind, text: text.into() });
    }

    fn fault(&mut self, path: &str, text: &impl ToString) {
        let path = FieldPath::known(path);
        self.faults.push(Fault { line: self.line(&path), path, text: text.to_string() });
    }

    fn node_name(&mut self, written: &str) -> Option<NodeName> {
        let name = written.trim().to_lowercase();
        if name.is_empty() {
            return None;
        }
        name.parse().map_err(|error| self.fault("hostnameOverride", &error)).ok()
    }

    fn dataplane(&mut self, mode: Mode) -> Dataplane {
        match mode {
            Mode::Ipvs => Dataplane::Ipvs,
            Mode::Nftables => Dataplane::Nftables,
            Mode::Unset => Dataplane::Auto,
            Mode::Iptables => {
                let text =
                    "weir has no iptables mode and takes what suits this kernel (dataplane auto)";
                self.notice("mode", NoticeKind::Changed, text);
                Dataplane::Auto
            }
        }
    }

    /// kube-proxy's default hangs on its mode, and `primary` stands there in a list.
    fn node_port_addresses(&mut self, file: &File) -> NodePortAddresses {
        let written = &file.node_port_addresses;
        match written.as_slice() {
            [] if file.mode == Mode::Nftables => return NodePortAddresses::Primary,
            [] => {
                let text =
                    "all addresses of the node, where mode isn't nftables; weir's own is primary";
                self.notice(NODE_PORT_ADDRESSES, NoticeKind::Default, text);
                return NodePortAddresses::all();
            }
            [one] if one == PRIMARY => return NodePortAddresses::Primary,
            _ => {}
        }
        let mut ranges = Vec::new();
        for (index, range) in written.iter().enumerate() {
            match range.parse() {
                Ok(net) => ranges.push(Cidr::containing(net)),
                Err(_) => self.fault(
                    &format!("{NODE_PORT_ADDRESSES}[{index}]"),
                    &format!(
                        "`{range}` is not allowed: expected {}, or `{PRIMARY}` alone",
                        Cidr::ALLOWED
                    ),
                ),
            }
        }
        NodePortAddresses::Ranges(ranges)
    }

    fn masquerade(&mut self, file: &File, to: &mut config::Masquerade) {
        to.all = match file.mode {
            Mode::Nftables => file.nftables.masquerade_all,
            _ => file.iptables.masquerade_all,
        };
        if file.mode == Mode::Nftables && file.iptables.masquerade_all {
            self.notice("iptables.masqueradeAll", NoticeKind::Ignored, "mode is nftables");
        }
        if file.mode != Mode::Nftables && file.nftables.masquerade_all {
            self.notice("nftables.masqueradeAll", NoticeKind::Ignored, "mode isn't nftables");
        }
        self.detect_local(file, &mut to.detect_local);
        self.idle(file);
    }

    /// A mode whose own field is wrong is left out: one error for one fault.
    fn detect_local(&mut self, file: &File, to: &mut config::DetectLocal) {
        use config::DetectLocalMode as Mode;
        let from = &file.detect_local;
        to.mode = match file.detect_local_mode {
            DetectLocalMode::NodeCIDR => Mode::NodeCIDR,
            DetectLocalMode::ClusterCIDR => self.cluster_cidrs(file, to),
            DetectLocalMode::BridgeInterface => {
                to.bridge_interface = self.interface("bridgeInterface", &from.bridge_interface);
                to.bridge_interface.as_ref().map_or(Mode::None, |_| Mode::BridgeInterface)
            }
            DetectLocalMode::InterfaceNamePrefix => {
                let prefix = self.interface("interfaceNamePrefix", &from.interface_name_prefix);
                to.interface_name_prefix = prefix;
                to.interface_name_prefix.as_ref().map_or(Mode::None, |_| Mode::InterfaceNamePrefix)
            }
        };
    }

    /// Names what another `detectLocalMode` would read.
    fn idle(&mut self, file: &File) {
        let detect = &file.detect_local;
        let fields = [
            ("clusterCIDR", DetectLocalMode::ClusterCIDR, &file.cluster_cidr),
            (
                "detectLocal.bridgeInterface",
                DetectLocalMode::BridgeInterface,
                &detect.bridge_interface,
            ),
            (
                "detectLocal.interfaceNamePrefix",
                DetectLocalMode::InterfaceNamePrefix,
                &detect.interface_name_prefix,
            ),
        ];
        for (field, mode, written) in fields {
            if file.detect_local_mode != mode && !written.is_empty() {
                let text = format!("detectLocalMode isn't {mode:?}");
                self.notice(field, NoticeKind::Ignored, text);
            }
        }
    }

    /// As kube-proxy, a mode by interface without its field is an error.
    fn interface(&mut self, field: &str, written: &str) -> Option<InterfaceName> {
        let path = format!("detectLocal.{field}");
        if written.is_empty() {
            self.fault(&path, &"must be set for this detectLocalMode");
            return None;
        }
        written.parse().map_err(|error| self.fault(&path, &error)).ok()
    }

    /// As kube-proxy, mode ClusterCIDR without a range recognises nothing.
    fn cluster_cidrs(
        &mut self,
        file: &File,
        to: &mut config::DetectLocal,
    ) -> config::DetectLocalMode {
        let written = file.cluster_cidr.split(',').map(str::trim);
        for range in written.filter(|range| !range.is_empty()) {
            match range.parse() {
                Ok(net) => to.cluster_cidrs.push(Cidr::containing(net)),
                Err(_) => self.fault(
                    "clusterCIDR",
                    &format!(
                        "`{range}` is not allowed: expected {}, or several with commas",
                        Cidr::ALLOWED
                    ),
                ),
            }
        }
        if !to.cluster_cidrs.is_empty() {
            return config::DetectLocalMode::ClusterCIDR;
        }
        if self.root.at(&FieldPath::known("detectLocalMode")).is_some_and(|node| !node.is_zero()) {
            let text = "without clusterCIDR no traffic of pods is recognised, as in kube-proxy";
            self.notice("detectLocalMode", NoticeKind::Changed, text);
        }
        config::DetectLocalMode::None
    }

    fn sync(&mut self, file: &File, to: &mut config::Sync) {
        let sections = [
            ("iptables", file.iptables.sync_period, file.iptables.min_sync_period),
            ("ipvs", file.ipvs.sync_period, file.ipvs.min_sync_period),
            ("nftables", file.nftables.sync_period, file.nftables.min_sync_period),
        ];
        let chosen = match file.mode {
            Mode::Unset | Mode::Iptables => "iptables",
            Mode::Ipvs => "ipvs",
            Mode::Nftables => "nftables",
        };
        for (section, full, least) in sections {
            if section == chosen {
                set(&mut to.sync_period, full);
                set(&mut to.min_sync_period, least);
                continue;
            }
            for (field, period) in [("syncPeriod", full), ("minSyncPeriod", least)] {
                if !period.is_zero() {
                    let text = format!("mode chooses section {chosen}");
                    self.notice(&format!("{section}.{field}"), NoticeKind::Ignored, text);
                }
            }
        }
        set(&mut to.refresh_period, file.config_sync_period);
    }

    fn listen(&mut self, file: &File, config: &mut Config) {
        if self.binds_v6(&file.bind_address) {
            config.health.address = ListenAddress::new(Ipv6Addr::UNSPECIFIED.into(), HEALTH_PORT);
            config.metrics.address = ListenAddress::new(Ipv6Addr::LOCALHOST.into(), METRICS_PORT);
        }
        let health = (file.healthz_bind_address.as_str(), "healthzBindAddress", HEALTH_PORT);
        let metrics = (file.metrics_bind_address.as_str(), "metricsBindAddress", METRICS_PORT);
        if let Some(address) = self.address(health) {
            config.health.address = address;
        }
        if let Some(address) = self.address(metrics) {
            config.metrics.address = address;
        }
        config.health.required = file.bind_address_hard_fail;
        config.metrics.required = file.bind_address_hard_fail;
        config.metrics.profiling = file.enable_profiling;
    }

    fn binds_v6(&mut self, written: &str) -> bool {
        if written.is_empty() {
            return false;
        }
        match written.parse::<IpAddr>() {
            Ok(address) => address.is_ipv6(),
            Err(_) => {
                let text = format!("`{written}` is not allowed: expected an IP address");
                self.fault("bindAddress", &text);
                false
            }
        }
    }

    /// An address with or without a port; kube-proxy takes both.
    fn address(
        &mut self,
        (written, field, port): (&str, &str, NonZeroU16),
    ) -> Option<ListenAddress> {
        if written.is_empty() {
            return None;
        }
        let bare = written.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Some(ListenAddress::new(address, port));
        }
        written.parse().map_err(|error| self.fault(field, &error)).ok()
    }
}

/// kube-proxy takes an empty path for the pod's ServiceAccount.
fn kubeconfig(written: &str) -> Option<PathBuf> {
    (!written.is_empty()).then(|| written.into())
}

/// Go's zero means the default.
fn set(to: &mut Period, written: Period) {
    if !written.is_zero() {
        *to = written;
    }
}

fn ipvs(file: &File, to: &mut config::Ipvs) {
    to.scheduler = file.ipvs.scheduler.0.unwrap_or(to.scheduler);
    to.strict_arp = file.ipvs.strict_arp;
    to.tcp_timeout = file.ipvs.tcp_timeout;
    to.tcp_fin_timeout = file.ipvs.tcp_fin_timeout;
    to.udp_timeout = file.ipvs.udp_timeout;
}

/// Whatever the mode, since weir chooses the dataplane for each service. Go's field is a pointer: 0
/// is a value of its own.
fn offload(file: &File, to: &mut config::Offload) {
    to.after_packets = file.nftables.fastpath_packet_threshold.unwrap_or(to.after_packets);
}

fn conntrack(file: &File, to: &mut config::Conntrack) {
    let from = &file.conntrack;
    to.max_per_core = from.max_per_core.unwrap_or(to.max_per_core);
    to.min = from.min.unwrap_or(to.min);
    to.tcp_established_timeout = from.tcp_established_timeout.unwrap_or(to.tcp_established_timeout);
    to.tcp_close_wait_timeout = from.tcp_close_wait_timeout.unwrap_or(to.tcp_close_wait_timeout);
    to.tcp_be_liberal = from.tcp_be_liberal;
    to.udp_timeout = from.udp_timeout;
    to.udp_stream_timeout = from.udp_stream_timeout;
}

fn log(file: &File, to: &mut config::Log) {
    to.format = match file.logging.format {
        LogFormat::Text => config::LogFormat::Text,
        LogFormat::Json => config::LogFormat::Json,
    };
    to.level = LogLevel::of_verbosity(file.logging.verbosity.get());
}
