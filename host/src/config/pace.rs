//! Sections `sync` and `drain`: how often work is done and how long a leaving server may stay. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fault::Problem;
use super::period::Period;

/// How often the kernel is written and looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Sync {
    /// Least time from the end of one write to the kernel to the next; `0s` writes at each change.
    pub min_sync_period: Period,
    /// How often the kernel is observed and repaired without any change; also the wait after a
    /// failure. More than `0s`, and not less than `minSyncPeriod`.
    pub sync_period: Period,
    /// How often every object is read again from its source, whether or not a change was seen.
    /// More than `0s`.
    pub refresh_period: Period,
}

impl Default for Sync {
    fn default() -> Self {
        Self {
            min_sync_period: Period::from_secs(1),
            sync_period: Period::from_secs(30),
            refresh_period: Period::from_mins(15),
        }
    }
}

impl Sync {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let periods =
            [("sync.syncPeriod", self.sync_period), ("sync.refreshPeriod", self.refresh_period)];
        for (field, period) in periods {
            if period.is_zero() {
                problems.push(Problem::new(field, "must be more than 0s"));
            }
        }
        if !self.sync_period.is_zero() && self.min_sync_period > self.sync_period {
            let text = format!(
                "{} is longer than sync.syncPeriod, which is {}",
                self.min_sync_period, self.sync_period
            );
            problems.push(Problem::new("sync.minSyncPeriod", text));
        }
    }
}

/// What becomes of a server that leaves a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Drain {
    /// How long connections of a TCP or SCTP server run on once it has left: on IPVS it is there
    /// with weight 0 for as long, on nftables connection tracking has them. Then they end, and so they
    /// do at once with `0s`.
    pub limit: Period,
    /// How often servers that left are looked at, to be done with those that are idle; less often
    /// where one look takes more than a hundredth of it. More than `0s`.
    pub interval: Period,
}

impl Default for Drain {
    fn default() -> Self {
        Self { limit: Period::from_mins(15), interval: Period::from_secs(5) }
    }
}

impl Drain {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        if self.interval.is_zero() {
            problems.push(Problem::new("drain.interval", "must be more than 0s"));
        }
    }
}
