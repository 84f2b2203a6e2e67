//! What the daemon is told: defaults, then one file, then flags. Reads that file, otherwise pure.
//!
//! A file is a `WeirConfiguration` or a kube-proxy `KubeProxyConfiguration`; both end as a
//! [`Config`]. A section lives beside its defaults in a file of its own; types hold only what is
//! allowed, and `Config::check` adds what concerns more than one field.

mod cluster_ips;
pub mod command;
mod conntrack;
mod decode;
mod external_ips;
mod fault;
mod ipvs;
pub mod kubeproxy;
mod limits;
mod listen;
mod load;
mod log;
mod masquerade;
pub mod migrate;
mod node_port_addresses;
mod number;
mod offload;
mod pace;
mod paths;
mod period;
mod policies;
mod reference;
mod reload;
mod server_url;
mod service_cidrs;
mod text;
mod write;
mod yaml;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use cluster_ips::{ClusterIps, IcmpEcho};
pub use conntrack::{Connections, Conntrack};
pub use external_ips::ExternalIps;
pub use fault::{ConfigError, ConfigErrors, FieldPath, Notice, NoticeKind, Step};
pub use ipvs::{Ipvs, SchedulerName, Vips};
pub use limits::{AnyScheduler, Interfaces, Limit, OneDataplane, all_limits};
pub use listen::{HEALTH_PORT, Health, METRICS_PORT, Metrics, StatusPage};
pub use load::{Overrides, load, parse};
pub use log::{Log, LogFormat, LogLevel};
pub use masquerade::{DetectLocal, DetectLocalMode, Masquerade};
pub use node_port_addresses::NodePortAddresses;
pub use number::{Size, Within};
pub use offload::{Offload, Packets, packets};
pub use pace::{Drain, Sync};
pub use paths::Paths;
pub use period::Period;
pub use policies::{
    EndpointFuel, Fuel, LogLines, LogSize, Memory, Policy, PolicyLimits, PolicySettings, ResultSize,
};
pub use reference::{reference, schema};
pub use reload::{ConfigFile, Loaded, NEEDS_RESTART, changes, keep_until_restart};
pub use server_url::ServerUrl;
pub use text::{Cidr, InterfaceName, Label, ListenAddress, NodeName, NotAllowed};
pub use write::{NotWritten, to_yaml, write_to};

use fault::Problem;

/// The API group of weir's own words.
pub const GROUP: &str = "weir.dev";
/// `apiVersion` of a weir configuration file.
pub const API_VERSION: &str = "weir.dev/v1alpha1";
/// `kind` of a weir configuration file.
pub const KIND: &str = "WeirConfiguration";

/// What carries the services on which no policy has an opinion.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Dataplane {
    /// What suits this kernel best.
    #[default]
    Auto,
    /// IPVS.
    Ipvs,
    /// nftables.
    Nftables,
}

/// Everything that can be configured, after defaults, file and flags.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// Name of the Node object that this daemon serves; without it, the host's name in lower case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<NodeName>,
    /// File that says which API server objects are read from, and as whom. A relative path starts at
    /// the folder of the configuration file. Without it, and without `manifests`, the ServiceAccount
    /// of the pod is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<PathBuf>,
    /// Base URLs of the cluster's API servers, in place of the one in `kubeconfig`; the first is
    /// asked until it fails, then the next. A pod that uses its ServiceAccount needs them: the address
    /// of the Service `kubernetes` is one that weir itself has to make work.
    pub api_servers: Vec<ServerUrl>,
    /// Folder of Kubernetes manifests (YAML or JSON, sub-folders too) that objects are read from, in
    /// place of an API server. A relative path starts at the folder of the configuration file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifests: Option<PathBuf>,
    /// Serves only Services whose label `service.kubernetes.io/service-proxy-name` says this;
    /// without it, only Services without that label. With it ServiceCIDR objects are left alone: an
    /// address that belongs to none of these Services may belong to one of another proxy's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_proxy_name: Option<Label>,
    /// Ranges that addresses of Services are handed out from, beside those of ServiceCIDR objects;
    /// what is in them and belongs to no Service is dropped. None are known where there is neither.
    #[serde(rename = "serviceCIDRs")]
    pub service_cidrs: Vec<Cidr>,
    /// Addresses on which node ports answer: `primary`, the first of each family in the Node object, or
    /// all of the node's in these ranges, and all of a family of which no range is named. Never
    /// loopback, link-local ones of IPv6, or those of services.
    pub node_port_addresses: NodePortAddresses,
    /// What carries the services on which no policy has an opinion: `auto`, `ipvs` or `nftables`.
    pub dataplane: Dataplane,
    /// Policies in the order in which they are asked; each field of a decision comes from the
    /// first that has an opinion on it. The built-in default policy is always the last.
    pub policies: Vec<Policy>,
    /// What one evaluation of any policy may use; one that goes over is stopped and has no answer.
    pub policy_limits: PolicyLimits,
    /// What nobody may cross, whatever policies, annotations and the defaults here ask for: it is clamped or
    /// set aside, and told so.
    pub limits: Vec<Limit>,
    /// What holds for every service that IPVS balances.
    pub ipvs: Ipvs,
    /// Which flows skip the rule set. nftables alone can do it.
    pub offload: Offload,
    /// Whose source address is rewritten.
    pub masquerade: Masquerade,
    /// Which external addresses of Services are served.
    #[serde(rename = "externalIPs")]
    pub external_ips: ExternalIps,
    /// What cluster addresses answer beside their ports.
    #[serde(rename = "clusterIPs")]
    pub cluster_ips: ClusterIps,
    /// What becomes of a server that leaves a service.
    pub drain: Drain,
    /// How often the kernel is written and looked at.
    pub sync: Sync,
    /// Where health checks are answered.
    pub health: Health,
    /// Where metrics are served.
    pub metrics: Metrics,
    /// Connection tracking: limits and time-outs of the kernel.
    pub conntrack: Conntrack,
    /// How much is logged, and how it is written.
    pub log: Log,
    /// Folders that the daemon writes.
    pub paths: Paths,
}

impl Config {
    /// What concerns more than one field, or can't be said by a type.
    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.check_source(&mut problems);
        policies::check(&self.policies, &mut problems);
        limits::check(&self.limits, &mut problems);
        service_cidrs::check(&self.service_cidrs, &self.masquerade, &mut problems);
        self.node_port_addresses.check(&mut problems);
        self.offload.check(&mut problems);
        self.masquerade.check(&mut problems);
        self.drain.check(&mut problems);
        self.sync.check(&mut problems);
        listen::check(&self.health, &self.metrics, &mut problems);
        self.paths.check(&mut problems);
        problems
    }

    fn check_source(&self, problems: &mut Vec<Problem>) {
        let beside = match (&self.kubeconfig, self.api_servers.as_slice()) {
            (Some(_), _) => "kubeconfig",
            (None, [_, ..]) => "apiServers",
            (None, []) => return,
        };
        if self.manifests.is_some() {
            let text = format!("can't be used beside `{beside}`: objects are read from one source");
            problems.push(Problem::new("manifests", text));
        }
    }

    /// The node's name: as configured, else the host's name in lower case, as kube-proxy does.
    ///
    /// # Errors
    /// The host's name can't be the name of a Node.
    pub fn resolved_node_name(&self) -> Result<NodeName, NotAllowed> {
        if let Some(name) = &self.node_name {
            return Ok(name.clone());
        }
        let host = rustix::system::uname().nodename().to_string_lossy().trim().to_lowercase();
        host.parse()
    }
}
