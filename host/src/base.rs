//! The part of weir's table that belongs to no service: from the configuration and the Node. Pure.

use std::collections::BTreeSet;

use ipnet::IpNet;
use weir_core::model::Model;
use weir_core::state::Base;

use crate::config::{Config, DetectLocalMode};

/// What the table is like beyond services' elements: follows the configuration and the Node.
#[must_use]
pub fn base(config: &Config, model: &Model) -> Base {
    let masquerade = &config.masquerade;
    let detect = &masquerade.detect_local;
    let pods: Option<BTreeSet<IpNet>> = match detect.mode {
        DetectLocalMode::None => None,
        DetectLocalMode::ClusterCIDR => {
            Some(detect.cluster_cidrs.iter().map(|range| range.get()).collect())
        }
        DetectLocalMode::NodeCIDR => {
            model.node().map(|node| node.pod_cidrs.iter().copied().collect())
        }
    };
    let mut ranges = model.service_ranges();
    ranges.extend(config.service_cidrs.iter().map(|range| range.get()));
    // A range that reaches into the pods' would cut them off.
    let overlaps = |a: &IpNet, b: &IpNet| a.contains(b) || b.contains(a);
    ranges.retain(|range| !pods.iter().flatten().any(|pod| overlaps(range, pod)));
    Base { masquerade_all: masquerade.all, pods, ranges }
}
