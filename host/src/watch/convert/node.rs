//! A Node and a Namespace. Pure.

use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::core::v1 as api;
use weir_core::model::{Namespace, Node};

use super::address::{LinkLocal, address, range};
use super::fault::{Converted, Faults};
use super::meta;

/// Converts a Namespace. Refused without a name.
pub fn namespace(from: api::Namespace) -> Converted<Namespace> {
    let mut faults = Faults::default();
    let name = meta::name(&from.metadata, &mut faults)
        .filter(|name| faults.keep("metadata.name", meta::check_namespace(name)).is_some());
    let object = name.map(|name| Namespace {
        name,
        labels: meta::labels(from.metadata.labels),
        annotations: meta::annotations(from.metadata.annotations),
    });
    faults.conclude(object)
}

/// Converts a Node. Refused without a name.
pub fn node(from: api::Node) -> Converted<Node> {
    let mut faults = Faults::default();
    let name = meta::name(&from.metadata, &mut faults);
    let addresses = from.status.and_then(|status| status.addresses).unwrap_or_default();
    let mut spec = from.spec.unwrap_or_default();
    let node = Node {
        addresses: addresses_of(&addresses, &mut faults),
        pod_cidrs: pod_cidrs(&mut spec, &mut faults),
        taints: spec.taints.unwrap_or_default().into_iter().map(|taint| taint.key).collect(),
        deleting: from.metadata.deletion_timestamp.is_some(),
        labels: meta::labels(from.metadata.labels),
        annotations: meta::annotations(from.metadata.annotations),
        name: String::new(),
    };
    faults.conclude(name.map(|name| Node { name, ..node }))
}

/// Internal ones first, as `GetNodeHostIPs` of kube-proxy takes them; names are no addresses.
fn addresses_of(given: &[api::NodeAddress], faults: &mut Faults) -> Vec<IpAddr> {
    let mut ips: Vec<IpAddr> = Vec::new();
    for kind in ["InternalIP", "ExternalIP"] {
        for (i, from) in given.iter().enumerate().filter(|(_, from)| from.type_ == kind) {
            let field = format_args!("status.addresses[{i}].address");
            let ip = faults.keep(field, address(&from.address, LinkLocal::Accepted));
            ips.extend(ip.filter(|ip| !ips.contains(ip)));
        }
    }
    ips
}

fn pod_cidrs(spec: &mut api::NodeSpec, faults: &mut Faults) -> Vec<IpNet> {
    let single = spec.pod_cidr.take().filter(|text| !text.is_empty());
    let several = spec.pod_cidrs.take().filter(|list| !list.is_empty());
    let given = several.unwrap_or_else(|| Vec::from_iter(single));
    let read = given.iter().enumerate();
    read.filter_map(|(i, text)| faults.keep(format_args!("spec.podCIDRs[{i}]"), range(text)))
        .collect()
}
