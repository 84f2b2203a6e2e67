//! Section `conntrack`: limits and time-outs of the kernel's connection tracking. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::number::Within;
use super::period::Period;

/// A number of connections; the sysctl is a C `int`.
pub type Connections = Within<0, { i32::MAX as u64 }>;

/// Connection tracking. Defaults are kube-proxy's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Conntrack {
    /// Connections for each CPU core in `nf_conntrack_max`; 0 leaves the limit as it is.
    pub max_per_core: Connections,
    /// Least value of `nf_conntrack_max`; has no meaning where `maxPerCore` is 0.
    pub min: Connections,
    /// `nf_conntrack_tcp_timeout_established`; `0s` leaves the kernel's value.
    pub tcp_established_timeout: Period,
    /// `nf_conntrack_tcp_timeout_close_wait`; `0s` leaves the kernel's value.
    pub tcp_close_wait_timeout: Period,
    /// Sets `nf_conntrack_tcp_be_liberal`: packets outside the window aren't called invalid.
    pub tcp_be_liberal: bool,
    /// `nf_conntrack_udp_timeout`, for flows without a reply; `0s` leaves the kernel's value.
    pub udp_timeout: Period,
    /// `nf_conntrack_udp_timeout_stream`, for flows with replies; `0s` leaves the kernel's value.
    pub udp_stream_timeout: Period,
    /// Drops TCP packets that connection tracking calls invalid where they are forwarded to or from
    /// pods, or at all where pods aren't recognised (`masquerade.detectLocal`); they would leave
    /// untranslated, and their answer would reset the connection. Has no effect with `tcpBeLiberal`.
    pub drop_invalid: bool,
}

impl Default for Conntrack {
    fn default() -> Self {
        Self {
            max_per_core: Connections::new(32 * 1024),
            min: Connections::new(128 * 1024),
            tcp_established_timeout: Period::from_mins(24 * 60),
            tcp_close_wait_timeout: Period::from_mins(60),
            tcp_be_liberal: false,
            udp_timeout: Period::ZERO,
            udp_stream_timeout: Period::ZERO,
            drop_invalid: true,
        }
    }
}
