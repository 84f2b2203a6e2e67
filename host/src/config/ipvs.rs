//! Section `ipvs`: what holds for every service that IPVS balances. Pure.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::period::Period;
use super::text::{NotAllowed, one_of, written_as_text};

/// Every scheduler of Linux 6.1 to 7.3 (`net/netfilter/ipvs/Kconfig`).
const SCHEDULERS: [&str; 14] =
    ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "mh", "sed", "nq", "fo", "ovf", "twos"];

/// The name of an IPVS scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchedulerName(&'static str);

written_as_text!(
    SchedulerName,
    "one of rr, wrr, lc, wlc, lblc, lblcr, sh, dh, mh, sed, nq, fo, ovf, twos"
);

impl SchedulerName {
    /// Round robin.
    pub const RR: Self = Self("rr");

    /// Every name that can be configured.
    pub fn all() -> impl Iterator<Item = Self> {
        SCHEDULERS.into_iter().map(Self)
    }

    /// The name as the kernel knows it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl FromStr for SchedulerName {
    type Err = NotAllowed;

    fn from_str(text: &str) -> Result<Self, NotAllowed> {
        one_of(text, &SCHEDULERS, Self::ALLOWED)?;
        let known = SCHEDULERS.into_iter().find(|name| *name == text);
        Ok(Self(known.unwrap_or(Self::RR.0)))
    }
}

impl fmt::Display for SchedulerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// How a service's address is made local, without which IPVS doesn't see its packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Vips {
    /// By a `local` route for each address: cheap for thousands.
    #[default]
    Route,
    /// By an address on the dummy device, as kube-proxy does.
    Address,
}

/// IPVS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Ipvs {
    /// Scheduler of services for which no policy names one.
    pub scheduler: SchedulerName,
    /// How a service's address is made local: `route` adds a local route for each, `address` an
    /// address on the dummy device `weir0`.
    pub vips: Vips,
    /// Sets `arp_ignore` and `arp_announce` so that no ARP request for a service address is answered.
    #[serde(rename = "strictARP")]
    pub strict_arp: bool,
    /// Idle time after which an established TCP connection is forgotten; `0s` leaves the kernel's value.
    pub tcp_timeout: Period,
    /// The same after a FIN; `0s` leaves the kernel's value.
    pub tcp_fin_timeout: Period,
    /// The same for UDP; `0s` leaves the kernel's value.
    pub udp_timeout: Period,
}

impl Default for Ipvs {
    fn default() -> Self {
        Self {
            scheduler: SchedulerName::RR,
            vips: Vips::Route,
            strict_arp: false,
            tcp_timeout: Period::ZERO,
            tcp_fin_timeout: Period::ZERO,
            udp_timeout: Period::ZERO,
        }
    }
}
