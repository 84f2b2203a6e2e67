//! Section `masquerade`: whose source address is rewritten. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fault::Problem;
use super::text::{Cidr, InterfaceName};

/// How traffic of pods on this cluster is told from traffic of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DetectLocalMode {
    /// Not at all: only hairpin traffic, and what `all` says, is masqueraded.
    #[default]
    #[serde(rename = "none")]
    None,
    /// By source address within `clusterCIDRs`.
    ClusterCIDR,
    /// By source address within the Node object's `podCIDRs`.
    NodeCIDR,
    /// By the interface of the name `bridgeInterface` that a packet came in by.
    BridgeInterface,
    /// By an interface whose name begins with `interfaceNamePrefix`.
    InterfaceNamePrefix,
}

/// How traffic of pods is recognised.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DetectLocal {
    /// `none`, `ClusterCIDR` (source address within `clusterCIDRs`), `NodeCIDR` (within the Node's
    /// `podCIDRs`), `BridgeInterface` (came in by `bridgeInterface`) or `InterfaceNamePrefix` (came in
    /// by an interface whose name begins with `interfaceNamePrefix`). By interface only pods of this
    /// node are recognised.
    pub mode: DetectLocalMode,
    /// Ranges of the cluster's pods; wanted by mode `ClusterCIDR` and refused with any other.
    #[serde(rename = "clusterCIDRs")]
    pub cluster_cidrs: Vec<Cidr>,
    /// Bridge that traffic of this node's pods comes in by; wanted by mode `BridgeInterface` and
    /// refused with any other. It needn't be there yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridge_interface: Option<InterfaceName>,
    /// How the names of this node's pods' interfaces begin; wanted by mode `InterfaceNamePrefix` and
    /// refused with any other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface_name_prefix: Option<InterfaceName>,
}

/// Masquerade.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Masquerade {
    /// Masquerades all traffic to cluster addresses, that of pods too.
    pub all: bool,
    /// How traffic of pods is recognised; what doesn't come from a pod is masqueraded.
    pub detect_local: DetectLocal,
}

impl Masquerade {
    /// Each mode wants its own field, and no other.
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let detect = &self.detect_local;
        let fields = [
            (
                DetectLocalMode::ClusterCIDR,
                "clusterCIDRs",
                !detect.cluster_cidrs.is_empty(),
                "mode ClusterCIDR needs at least one range of pods here",
                "ranges have a meaning only with mode ClusterCIDR: set it, or remove them",
            ),
            (
                DetectLocalMode::BridgeInterface,
                "bridgeInterface",
                detect.bridge_interface.is_some(),
                "mode BridgeInterface needs the name of the pods' bridge here",
                "has a meaning only with mode BridgeInterface: set it, or remove this",
            ),
            (
                DetectLocalMode::InterfaceNamePrefix,
                "interfaceNamePrefix",
                detect.interface_name_prefix.is_some(),
                "mode InterfaceNamePrefix needs the beginning of a name here",
                "has a meaning only with mode InterfaceNamePrefix: set it, or remove this",
            ),
        ];
        for (mode, field, given, missing, idle) in fields {
            let text = match (detect.mode == mode, given) {
                (true, false) => missing,
                (false, true) => idle,
                _ => continue,
            };
            problems.push(Problem::new(&format!("masquerade.detectLocal.{field}"), text));
        }
    }
}
