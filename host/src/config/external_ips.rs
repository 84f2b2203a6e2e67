//! Section `externalIPs`: which external addresses are served. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::Cidr;

/// External addresses: `spec.externalIPs` of Services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ExternalIps {
    /// Ranges from which `spec.externalIPs` of Services are served. Left out: any address is served.
    /// An empty list: none is. Whoever may write a Service may else take over the traffic to any
    /// address (CVE-2020-8554).
    #[serde(rename = "allowedCIDRs", skip_serializing_if = "Option::is_none")]
    pub allowed_cidrs: Option<Vec<Cidr>>,
}
