//! Section `masquerade`: whose source address is rewritten. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fault::Problem;
use super::text::Cidr;

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
}

/// How traffic of pods is recognised.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DetectLocal {
    /// `none`, `ClusterCIDR` (source address within `clusterCIDRs`) or `NodeCIDR` (within the Node's
    /// `podCIDRs`).
    pub mode: DetectLocalMode,
    /// Ranges of the cluster's pods; wanted by mode `ClusterCIDR` and refused with any other.
    #[serde(rename = "clusterCIDRs")]
    pub cluster_cidrs: Vec<Cidr>,
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
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let by_range = self.detect_local.mode == DetectLocalMode::ClusterCIDR;
        let empty = self.detect_local.cluster_cidrs.is_empty();
        let field = "masquerade.detectLocal.clusterCIDRs";
        if by_range && empty {
            let text = "mode ClusterCIDR needs at least one range of pods here";
            problems.push(Problem::new(field, text));
        }
        if !by_range && !empty {
            let text = "ranges have a meaning only with mode ClusterCIDR: set it, or remove them";
            problems.push(Problem::new(field, text));
        }
    }
}
