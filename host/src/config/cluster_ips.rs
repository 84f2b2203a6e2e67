//! Section `clusterIPs`: what cluster addresses answer beside their ports. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What becomes of ICMP echo requests to a cluster address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IcmpEcho {
    /// The node answers them.
    #[default]
    Answer,
    /// The sender is told that the address can't be reached.
    Refuse,
    /// They are dropped.
    Ignore,
}

/// Cluster addresses: `spec.clusterIPs` of Services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClusterIps {
    /// What becomes of ICMP echo requests to a cluster address: `answer`, `refuse` (the sender is told
    /// that the address can't be reached) or `ignore`.
    pub icmp_echo: IcmpEcho,
}
