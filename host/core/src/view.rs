//! What a policy sees: plain types that mirror the WIT view of `wit/v0.1`, field by field.
//!
//! Pure: data only. Whoever builds a view fills in everything; the policy host takes the inputs
//! that change by themselves ([`Endpoint::age_seconds`], [`ServiceView::counters`],
//! [`ServiceView::previous`]) out again for policies that did not ask for them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::wish::Wish;

/// Names with values, sorted by name: labels, annotations, configuration, and the open list by
/// which a view, an interface or a decision gains inputs without a new interface version.
pub type Attributes = BTreeMap<String, String>;

/// One service port and all that may bear on how it is balanced on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceView {
    /// Namespace of the Service.
    pub namespace: Namespace,
    /// The Service that the port belongs to.
    pub service: Service,
    /// The port this decision is about. A service with two ports has two views.
    pub port: Port,
    /// Every endpoint of the port, usable or not, in order of address, then port.
    pub endpoints: Vec<Endpoint>,
    /// The EndpointSlices that [`Endpoint::slice`] points into.
    pub slices: Vec<Slice>,
    /// The node that decides.
    pub node: Node,
    /// Traffic since the last evaluation; `None` at the first one.
    pub counters: Option<Counters>,
    /// The decision in force now, after the host's checks; `None` at the first evaluation.
    pub previous: Option<Wish>,
    /// Inputs that have no field of their own yet.
    pub attributes: Attributes,
}

/// A Namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.labels`.
    pub labels: Attributes,
    /// `metadata.annotations`.
    pub annotations: Attributes,
}

/// A Service without its ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.labels`.
    pub labels: Attributes,
    /// `metadata.annotations`.
    pub annotations: Attributes,
    /// `spec.type` in Kubernetes' words: `ClusterIP`, `NodePort`, `LoadBalancer`.
    pub kind: String,
    /// `spec.clusterIPs`.
    pub cluster_ips: Vec<IpAddr>,
    /// `spec.externalIPs`.
    pub external_ips: Vec<IpAddr>,
    /// Addresses of `status.loadBalancer.ingress` that the node answers for.
    pub load_balancer_ips: Vec<IpAddr>,
    /// Seconds of `ClientIP` affinity; `None` without affinity.
    pub affinity_seconds: Option<u32>,
    /// `spec.internalTrafficPolicy`: `Cluster` or `Local`.
    pub internal_traffic_policy: String,
    /// `spec.externalTrafficPolicy`: `Cluster` or `Local`.
    pub external_traffic_policy: String,
    /// `spec.trafficDistribution`, for example `PreferSameZone`.
    pub traffic_distribution: Option<String>,
}

/// One port of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// `ports[].name`, empty for an unnamed port.
    pub name: String,
    /// `ports[].protocol`: `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// `ports[].port`: what clients connect to.
    pub number: u16,
    /// `ports[].appProtocol`, for example `kubernetes.io/h2c`.
    pub app_protocol: Option<String>,
    /// `ports[].nodePort`.
    pub node_port: Option<u16>,
}

/// One server behind the port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Address of the server.
    pub address: IpAddr,
    /// Port of the server.
    pub port: u16,
    /// Condition `ready`; `true` where the slice says nothing.
    pub ready: bool,
    /// Condition `serving`; `true` where the slice says nothing.
    pub serving: bool,
    /// Condition `terminating`; `false` where the slice says nothing.
    pub terminating: bool,
    /// On this node.
    pub local: bool,
    /// Name of the node that it runs on.
    pub node: Option<String>,
    /// Zone that it runs in.
    pub zone: Option<String>,
    /// Zones that `hints.forZones` names.
    pub hint_zones: Vec<String>,
    /// Nodes that `hints.forNodes` names.
    pub hint_nodes: Vec<String>,
    /// Seconds since this node first saw it; `None` for what was there before weir first ran.
    pub age_seconds: Option<u32>,
    /// Index into [`ServiceView::slices`] of the slice it came from.
    pub slice: Option<u32>,
}

impl Endpoint {
    /// A ready endpoint with nothing else known about it.
    #[must_use]
    pub fn ready(address: IpAddr, port: u16) -> Self {
        Self {
            address,
            port,
            ready: true,
            serving: true,
            terminating: false,
            local: false,
            node: None,
            zone: None,
            hint_zones: Vec::new(),
            hint_nodes: Vec::new(),
            age_seconds: None,
            slice: None,
        }
    }
}

/// An EndpointSlice without its endpoints.
///
/// Annotations that controllers rewrite all the time say nothing about balancing; leave out
/// `endpoints.kubernetes.io/last-change-trigger-time` and
/// `kubectl.kubernetes.io/last-applied-configuration`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.labels`.
    pub labels: Attributes,
    /// `metadata.annotations`.
    pub annotations: Attributes,
}

/// The node that decides, and what its kernel can do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.labels`.
    pub labels: Attributes,
    /// Label `topology.kubernetes.io/zone`.
    pub zone: Option<String>,
    /// Processors that are online.
    pub cpus: u32,
    /// What the running kernel offers.
    pub kernel: KernelAbilities,
    /// Inputs that have no field of their own yet.
    pub attributes: Attributes,
}

/// What the running kernel offers to a decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelAbilities {
    /// `uname -r`.
    pub release: String,
    /// Dataplanes that work here: `ipvs`, `nftables`.
    pub dataplanes: Vec<String>,
    /// IPVS schedulers that work here, by their kernel names: `rr`, `mh`, …
    pub ipvs_schedulers: Vec<String>,
    /// Schedulers that the nftables dataplane offers here.
    pub nftables_schedulers: Vec<String>,
    /// Whether established flows can be offloaded to a flowtable.
    pub flowtable: bool,
}

/// Traffic of one service port since it was last evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Seconds that the other fields cover.
    pub seconds: u32,
    /// Connections opened.
    pub connections: u64,
    /// Connections open now.
    pub active_connections: u64,
    /// Packets from clients.
    pub packets_in: u64,
    /// Packets to clients.
    pub packets_out: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
}

/// A network interface of the node, as a policy classifies it into groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Interface index, unique in its network namespace.
    pub index: u32,
    /// Name, for example `eth0`.
    pub name: String,
    /// `IFLA_INFO_KIND`: `veth`, `bond`, `vxlan`, …; empty for hardware.
    pub kind: String,
    /// Name of the bridge, bond or VRF that it belongs to.
    pub master: Option<String>,
    /// MTU in bytes.
    pub mtu: u32,
    /// Flags in lower case: `up`, `running`, `loopback`, `pointopoint`, `noarp`, …
    pub flags: Vec<String>,
    /// Addresses with their prefix lengths.
    pub addresses: Vec<IpNet>,
    /// Whether a default route leaves by it.
    pub default_route: bool,
    /// Whether it looks like the node's end of a pod's interface.
    pub pod: bool,
    /// Inputs that have no field of their own yet.
    pub attributes: Attributes,
}
