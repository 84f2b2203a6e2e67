//! What services rest on and none of them owns: from the configuration, the Node and its interfaces.
//! Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU32;

use weir_core::compile::{Here, WaysOut};
use weir_core::decision::{Dataplane, Offload, Scheduler};
use weir_core::model::Model;
use weir_core::state::{Base, Echo, Pods};

use crate::config::{Config, Dataplane as Configured, DetectLocalMode, IcmpEcho, all_limits};
use crate::reconcile::{Defaults, Patience};

/// What the configuration says for services on which no policy has an opinion.
#[must_use]
pub fn defaults(config: &Config, cpus: u32) -> Defaults {
    let packets = u32::try_from(config.offload.after_packets.get()).unwrap_or(u32::MAX);
    Defaults {
        dataplane: match config.dataplane {
            Configured::Auto => None,
            Configured::Ipvs => Some(Dataplane::Ipvs),
            Configured::Nftables => Some(Dataplane::Nftables),
        },
        // Both know the same names: see the test.
        scheduler: config.ipvs.scheduler.as_str().parse().unwrap_or(Scheduler::Rr),
        offload: NonZeroU32::new(packets).map_or(Offload::Never, Offload::After),
        limits: all_limits(&config.limits),
        proxy_name: config.service_proxy_name.as_ref().map(ToString::to_string),
        cpus,
    }
}

/// How long a leaving server may drain, in milliseconds.
#[must_use]
pub fn drain_limit(config: &Config) -> u64 {
    u64::try_from(config.drain.limit.get().as_millis()).unwrap_or(u64::MAX)
}

/// How long policies may run in a turn: never so long that what waits for its end is late.
#[must_use]
pub fn patience(config: &Config) -> Patience {
    let (limits, period) = (weir_policy_host::Limits::default(), config.sync.sync_period.get());
    Patience { first: limits.first_turn.min(period), later: limits.turn.min(period) }
}

/// What the table is like beyond services' elements: follows the configuration and the Node.
#[must_use]
pub fn base(config: &Config, model: &Model) -> Base {
    let masquerade = &config.masquerade;
    let pods = pods(config, model);
    // Beside another proxy, what belongs to none of our Services may belong to one of its.
    let is_alone = config.service_proxy_name.is_none();
    let mut ranges = if is_alone { model.service_ranges() } else { BTreeSet::new() };
    ranges.extend(config.service_cidrs.iter().map(|range| range.get()));
    if let Pods::In(pods) = &pods {
        // A range that reaches into the pods' would cut them off.
        ranges.retain(|range| !pods.iter().any(|pod| range.contains(pod) || pod.contains(range)));
    }
    let echo = match config.cluster_ips.icmp_echo {
        IcmpEcho::Answer => Echo::Answer,
        IcmpEcho::Refuse => Echo::Refuse,
        IcmpEcho::Ignore => Echo::Drop,
    };
    let drop_invalid = config.conntrack.drop_invalid && !config.conntrack.tcp_be_liberal;
    Base { masquerade_all: masquerade.all, pods, ranges, echo, drop_invalid }
}

fn pods(config: &Config, model: &Model) -> Pods {
    let detect = &config.masquerade.detect_local;
    let by = |name: &Option<_>, how: fn(String) -> Pods| {
        name.as_ref().map_or(Pods::Unknown, |name: &crate::config::InterfaceName| {
            how(name.as_str().to_owned())
        })
    };
    match detect.mode {
        DetectLocalMode::None => Pods::Unknown,
        DetectLocalMode::BridgeInterface => by(&detect.bridge_interface, Pods::By),
        DetectLocalMode::InterfaceNamePrefix => by(&detect.interface_name_prefix, Pods::ByPrefix),
        DetectLocalMode::ClusterCIDR => {
            Pods::In(detect.cluster_cidrs.iter().map(|range| range.get()).collect())
        }
        DetectLocalMode::NodeCIDR => model
            .node()
            .map_or(Pods::Unknown, |node| Pods::In(node.pod_cidrs.iter().copied().collect())),
    }
}

/// What a look at the node's network found that services depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Around {
    /// Whether there are default routes.
    pub ways_out: WaysOut,
    /// Addresses on interfaces, each with its interface's name; without those of devices that hold
    /// services' addresses.
    pub held: Vec<(String, IpAddr)>,
}

impl Around {
    /// Addresses that are the node's own: not link-local ones, which each interface has.
    fn own(&self) -> impl Iterator<Item = (IpAddr, String)> {
        let link_local = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        let held = self.held.iter().filter(move |(_, ip)| !link_local(ip));
        held.map(|(name, ip)| (*ip, name.clone()))
    }
}

/// What is around the services: follows the configuration, the Node and its interfaces.
#[must_use]
pub fn here(config: &Config, model: &Model, around: &Around) -> Here {
    let allowed = config.external_ips.allowed_cidrs.as_ref();
    let held = around.held.iter().map(|(name, ip)| (name.as_str(), *ip));
    Here {
        ways_out: around.ways_out,
        own: around.own().collect(),
        node_ports: config.node_port_addresses.get().of(model.node(), held),
        external_ranges: allowed.map(|all| all.iter().map(|range| range.get()).collect()),
        ..Here::default()
    }
}

#[cfg(test)]
mod tests {
    use weir_core::model::{Change, ServiceCidr};

    use super::*;

    fn ranges(text: &str) -> usize {
        let text = format!("apiVersion: weir.dev/v1alpha1\nkind: WeirConfiguration\n{text}");
        let flags = crate::config::Overrides::default();
        let (config, _) =
            crate::config::parse(std::path::Path::new("weir.yaml"), &text, &flags).unwrap();
        let mut model = Model::new("node".to_owned());
        model.fold(Change::ServiceCidr(Box::new(ServiceCidr {
            name: "kubernetes".to_owned(),
            ranges: ["10.96.0.0/16".parse().unwrap()].into(),
        })));
        base(&config, &model).ranges.len()
    }

    #[test]
    fn every_scheduler_that_can_be_configured_is_known() {
        for name in crate::config::SchedulerName::all() {
            let mut config = Config::default();
            config.ipvs.scheduler = name;
            assert_eq!(defaults(&config, 1).scheduler.as_str(), name.as_str());
        }
    }

    #[test]
    fn beside_another_proxy_only_ranges_that_are_named_are_ours() {
        assert_eq!(ranges(""), 1);
        assert_eq!(ranges("serviceProxyName: weir"), 0);
        assert_eq!(ranges("serviceProxyName: weir\nserviceCIDRs: [10.97.0.0/16]"), 1);
    }
}
