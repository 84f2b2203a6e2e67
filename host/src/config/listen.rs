//! Sections `health` and `metrics`: where the daemon answers HTTP. Pure.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU16;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fault::Problem;
use super::text::ListenAddress;

/// Where `/healthz` and `/livez` answer; kube-proxy's port, so that probes need no change.
pub const HEALTH_PORT: NonZeroU16 = NonZeroU16::new(10_256).unwrap();
/// Where `/metrics` answers; kube-proxy's port, so that scrapes need no change.
pub const METRICS_PORT: NonZeroU16 = NonZeroU16::new(10_249).unwrap();

/// Health checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Health {
    /// Address of `/healthz` and `/livez`.
    pub address: ListenAddress,
    /// Exits at start when the address can't be had; otherwise says so and tries again.
    pub required: bool,
}

impl Default for Health {
    fn default() -> Self {
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self { address: ListenAddress::new(any, HEALTH_PORT), required: false }
    }
}

/// Metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Metrics {
    /// Address of `/metrics`.
    pub address: ListenAddress,
    /// Exits at start when the address can't be had; otherwise says so and tries again.
    pub required: bool,
}

impl Default for Metrics {
    fn default() -> Self {
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self { address: ListenAddress::new(local, METRICS_PORT), required: false }
    }
}

/// Two listeners can't share one port unless both name different addresses.
pub(super) fn check(health: &Health, metrics: &Metrics, problems: &mut Vec<Problem>) {
    let (a, b) = (health.address.get(), metrics.address.get());
    let overlap = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    if a.port() == b.port() && overlap {
        let text = format!("{b} can't be had beside health.address, which is {a}");
        problems.push(Problem::new("metrics.address", text));
    }
}
