//! The part of weir's table that belongs to no service: from the configuration and the Node. Pure.

use std::collections::BTreeSet;

use ipnet::IpNet;
use weir_core::model::Model;
use weir_core::state::Base;

use crate::config::{Config, DetectLocalMode};

/// The configuration asks for something that the daemon can't do.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("masquerade.detectLocal.mode {0} isn't built yet")]
pub struct NotBuilt(&'static str);

/// Whether [`base`] can do what the configuration says.
///
/// # Errors
/// Pods are to be recognised by interface.
pub fn check(config: &Config) -> Result<(), NotBuilt> {
    match config.masquerade.detect_local.mode {
        DetectLocalMode::BridgeInterface => Err(NotBuilt("BridgeInterface")),
        DetectLocalMode::InterfaceNamePrefix => Err(NotBuilt("InterfaceNamePrefix")),
        _ => Ok(()),
    }
}

/// What the table is like beyond services' elements: follows the configuration and the Node.
#[must_use]
pub fn base(config: &Config, model: &Model) -> Base {
    let masquerade = &config.masquerade;
    let detect = &masquerade.detect_local;
    let pods: Option<BTreeSet<IpNet>> = match detect.mode {
        // `check` refuses the two by interface.
        DetectLocalMode::None
        | DetectLocalMode::BridgeInterface
        | DetectLocalMode::InterfaceNamePrefix => None,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_built_is_refused_by_name() {
        let with = |mode| {
            let mut config = Config::default();
            config.masquerade.detect_local.mode = mode;
            check(&config).map_err(|error| error.to_string())
        };
        assert_eq!(with(DetectLocalMode::NodeCIDR), Ok(()));
        let text = "masquerade.detectLocal.mode BridgeInterface isn't built yet";
        assert_eq!(with(DetectLocalMode::BridgeInterface), Err(text.to_owned()));
        assert!(with(DetectLocalMode::InterfaceNamePrefix).is_err());
    }
}
