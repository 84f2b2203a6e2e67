//! Sections `health` and `metrics`: where the daemon answers HTTP, what, and whom. Pure.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU16;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fault::Problem;
use super::period::Period;
use super::text::ListenAddress;

/// Where `/healthz`, `/livez` and `/readyz` answer; kube-proxy's port, so that probes need no change.
pub const HEALTH_PORT: NonZeroU16 = NonZeroU16::new(10_256).unwrap();
/// Where `/metrics` answers; kube-proxy's port, so that scrapes need no change.
pub const METRICS_PORT: NonZeroU16 = NonZeroU16::new(10_249).unwrap();

/// A count reads all of IPVS' services.
const SHORTEST_COUNT: Duration = Duration::from_secs(1);

/// Health checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Health {
    /// Address of `/healthz`, `/livez` and `/readyz`.
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

/// Who gets the status page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StatusPage {
    /// Nobody.
    Off,
    /// Whoever comes over the node's loopback, wherever `address` listens.
    #[default]
    Local,
    /// Whoever reaches `address`.
    Open,
}

/// Metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Metrics {
    /// Address of `/metrics`, `/proxyMode`, `/configz` and what `health.address` answers.
    pub address: ListenAddress,
    /// Exits at start when the address can't be had; otherwise says so and tries again.
    pub required: bool,
    /// How often what each service port on IPVS carried is counted, as metrics of its own and on the
    /// status page; `0s` is never, else at least `1s`. nftables counts nothing by service.
    pub count_traffic: Period,
    /// Serves a CPU profile at `/debug/pprof/profile`, one at a time, to whoever reaches the address; and
    /// to the node itself the log's level at `PUT /debug/flags/v`.
    pub profiling: bool,
    /// Who gets the status page at `/` and its data at `/status.json`: `off` nobody, `local` the node
    /// itself over loopback (`kubectl port-forward` too), `open` whoever reaches the address.
    pub status_page: StatusPage,
}

impl Default for Metrics {
    fn default() -> Self {
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            address: ListenAddress::new(local, METRICS_PORT),
            required: false,
            count_traffic: Period::ZERO,
            profiling: false,
            status_page: StatusPage::default(),
        }
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
    let period = metrics.count_traffic;
    if !period.is_zero() && period.get() < SHORTEST_COUNT {
        let text = format!("{period} is too often: expected `0s`, which is never, or at least 1s");
        problems.push(Problem::new("metrics.countTraffic", text));
    }
}
