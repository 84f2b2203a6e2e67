//! `/healthz` and `/livez`, with kube-proxy's meaning and words (`pkg/proxy/healthcheck`, v1.36), and
//! `/readyz`, which it hasn't. Pure.
//!
//! Unhealthy is a change that waits for twice the sync period; `/healthz` says no as well while the
//! node is on its way out, so that load balancers let go of it. `/livez` leaves that out: nobody should
//! restart the proxy of a draining node. `/readyz` says no until the first objects are in the kernel, so
//! that a roll-out doesn't go on with a pod that reads nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use weir_core::model::Node;
use weir_core::net::Family;

/// The taint by which the cluster autoscaler announces a node's end.
const AUTOSCALER_TAINT: &str = "ToBeDeletedByClusterAutoscaler";

/// What Go writes for a time that never came.
const NEVER: Timestamp = Timestamp::constant(-62_135_596_800, 0);

/// What health is made of. Times are milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    patience: u64,
    waiting_since: Option<u64>,
    unanswered_since: Option<u64>,
    last_updated: Option<u64>,
    stood: bool,
    node_eligible: bool,
}

/// What a probe gets to read; times are RFC 3339 in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// When the kernel last matched what is wanted; now, as long as the verdict is good.
    pub last_updated: Timestamp,
    /// Now.
    pub current_time: Timestamp,
    /// Whether the node stays; `/livez` doesn't look at that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_eligible: Option<bool>,
    /// Whether the objects were read once and are in the kernel; `/readyz` alone looks at that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synced: Option<bool>,
    /// Whether no change waits too long, in any family. The node has no part in it.
    pub healthy: bool,
    /// The same for each family, from the first write on.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub status: BTreeMap<Family, OfFamily>,
}

/// The health of one address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OfFamily {
    /// When the kernel last matched what is wanted.
    pub last_updated: Timestamp,
    /// Whether no change waits too long.
    pub healthy: bool,
}

impl Answer {
    /// The verdict: 200 or 503.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.healthy && self.node_eligible != Some(false) && self.synced != Some(false)
    }
}

impl Health {
    /// Healthy, as every start is.
    #[must_use]
    pub fn new(sync_period: Duration) -> Self {
        let patience = patience(sync_period);
        Self {
            patience,
            waiting_since: None,
            unanswered_since: None,
            last_updated: None,
            stood: false,
            node_eligible: true,
        }
    }

    /// Another sync period from now on.
    pub fn set_period(&mut self, sync_period: Duration) {
        self.patience = patience(sync_period);
    }

    /// There is work that hasn't reached the kernel.
    pub fn queued(&mut self, now: u64) {
        self.waiting_since.get_or_insert(now);
    }

    /// The clock shows an earlier time than it did: what waits can't have begun later than `now`.
    pub fn clock_went_back(&mut self, now: u64) {
        self.waiting_since = self.waiting_since.map(|since| since.min(now));
    }

    /// The loop was asked for something at this time, and `answered` within a time that is enough.
    pub fn asked(&mut self, at: u64, answered: bool) {
        self.unanswered_since = if answered { None } else { self.unanswered_since.or(Some(at)) };
    }

    /// Since when the oldest work has waited for the kernel, or the loop hasn't answered.
    #[must_use]
    pub fn waiting_since(&self) -> Option<u64> {
        [self.waiting_since, self.unanswered_since].into_iter().flatten().min()
    }

    /// The kernel matches what is wanted.
    pub fn updated(&mut self, now: u64) {
        self.waiting_since = None;
        self.last_updated = Some(now);
    }

    /// The kernel has what was read. From then on that is so: what comes later is a matter of `updated`.
    pub fn stands(&mut self) {
        self.stood = true;
    }

    /// Takes in this node; `None` is one whose object is gone.
    pub fn node(&mut self, node: Option<&Node>) {
        self.node_eligible = node.is_some_and(|node| {
            !node.deleting && !node.taints.iter().any(|t| t == AUTOSCALER_TAINT)
        });
    }

    /// Whether no change waits too long.
    #[must_use]
    pub fn is_healthy(&self, now: u64) -> bool {
        self.waiting_since.is_none_or(|since| now.saturating_sub(since) < self.patience)
    }

    /// What `/livez` answers.
    #[must_use]
    pub fn live(&self, now: u64) -> Answer {
        self.answer(now, None, None)
    }

    /// What `/healthz` answers.
    #[must_use]
    pub fn health(&self, now: u64) -> Answer {
        self.answer(now, Some(self.node_eligible), None)
    }

    /// What `/readyz` answers: as `/healthz`, and no until what was read first is in the kernel.
    #[must_use]
    pub fn ready(&self, now: u64) -> Answer {
        self.answer(now, Some(self.node_eligible), Some(self.stood))
    }

    fn answer(&self, now: u64, node_eligible: Option<bool>, synced: Option<bool>) -> Answer {
        let healthy = self.is_healthy(now);
        // A turn writes both families, so what waits for it waits in both.
        let of_family = |at| OfFamily { last_updated: time(at), healthy };
        let families = [Family::V4, Family::V6];
        let status = self.last_updated.map(|at| families.map(|family| (family, of_family(at))));
        let mut answer = Answer {
            last_updated: self.last_updated.map_or(NEVER, time),
            current_time: time(now),
            node_eligible,
            synced,
            healthy,
            status: status.into_iter().flatten().collect(),
        };
        if answer.is_good() {
            answer.last_updated = answer.current_time;
        }
        answer
    }
}

/// How long a change may wait, in milliseconds.
fn patience(sync_period: Duration) -> u64 {
    u64::try_from(sync_period.as_millis()).unwrap_or(u64::MAX).saturating_mul(2)
}

fn time(millis: u64) -> Timestamp {
    let millis = i64::try_from(millis).ok();
    millis.and_then(|it| Timestamp::from_millisecond(it).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(30);

    #[test]
    fn work_that_waits_too_long_is_unhealthy_until_it_is_done() {
        let mut health = Health::new(PERIOD);
        assert!(health.health(0).is_good(), "at the start");
        health.updated(500);
        health.queued(1_000);
        health.queued(50_000);
        assert!(health.live(60_999).is_good(), "just in time");
        let late = health.live(61_000);
        assert_eq!((late.is_good(), late.last_updated), (false, time(500)));
        health.updated(62_000);
        assert_eq!(health.live(70_000).last_updated, time(70_000), "now, as long as it is healthy");
    }

    #[test]
    fn the_wait_is_that_of_the_oldest_work_and_of_a_loop_that_gives_no_answer() {
        let mut health = Health::new(PERIOD);
        assert_eq!(health.waiting_since(), None);
        // A turn that fails queues its work again.
        health.queued(5);
        health.queued(9);
        assert_eq!(health.waiting_since(), Some(5));
        health.asked(3, false);
        health.asked(7, false);
        assert_eq!(health.waiting_since(), Some(3));
        health.asked(11, true);
        assert_eq!(health.waiting_since(), Some(5));
        health.updated(12);
        assert_eq!(health.waiting_since(), None);
    }

    #[test]
    fn a_leaving_node_is_unhealthy_but_alive() {
        let tainted = |taint: &str| Node { taints: vec![taint.to_owned()], ..Node::default() };
        let cases = [
            (Some(Node::default()), true),
            (None, false),
            (Some(Node { deleting: true, ..Node::default() }), false),
            (Some(tainted(AUTOSCALER_TAINT)), false),
            (Some(tainted("node.kubernetes.io/not-ready")), true),
            (Some(tainted("node.kubernetes.io/unschedulable")), true),
        ];
        for (node, want) in cases {
            let mut health = Health::new(PERIOD);
            health.node(node.as_ref());
            let answer = health.health(0);
            assert_eq!((answer.is_good(), answer.node_eligible), (want, Some(want)), "{node:?}");
            assert!(answer.healthy, "{node:?}: nothing waits");
            assert!(health.live(0).is_good(), "{node:?}");
            assert!(
                health.is_healthy(0),
                "{node:?}: a service's check leaves the node out as well"
            );
        }
    }

    #[test]
    fn nobody_is_ready_before_the_first_write_and_everybody_stays_so() {
        let mut health = Health::new(PERIOD);
        health.node(Some(&Node::default()));
        let early = health.ready(0);
        assert_eq!((early.is_good(), early.synced, early.healthy), (false, Some(false), true));
        assert!(health.health(0).is_good() && health.live(0).is_good(), "as kube-proxy's");
        health.updated(1_000);
        assert!(!health.ready(1_000).is_good(), "a turn that wrote nothing");
        health.stands();
        assert!(health.ready(86_400_000).is_good(), "an outage takes it from nobody");
        health.node(None);
        let leaving = health.ready(86_400_000);
        assert_eq!((leaving.is_good(), leaving.synced), (false, Some(true)));
    }

    #[test]
    fn a_clock_that_went_back_hides_no_change_that_waits() {
        let mut health = Health::new(PERIOD);
        health.queued(86_400_000);
        health.clock_went_back(0);
        assert!(health.live(0).is_good());
        assert!(!health.live(86_400_000).is_good(), "since then, not for another day");
    }

    #[test]
    fn answers_read_as_kube_proxy_s() {
        let json = |answer: &Answer| serde_json::to_string(answer).unwrap();
        let mut health = Health::new(PERIOD);
        assert_eq!(
            json(&health.live(1_700_000_000_250)),
            r#"{"lastUpdated":"2023-11-14T22:13:20.25Z","currentTime":"2023-11-14T22:13:20.25Z","healthy":true}"#
        );
        health.updated(1_700_000_000_000);
        health.queued(1_700_000_000_000);
        assert_eq!(
            json(&health.health(1_700_000_060_000)),
            concat!(
                r#"{"lastUpdated":"2023-11-14T22:13:20Z","currentTime":"2023-11-14T22:14:20Z","#,
                r#""nodeEligible":true,"healthy":false,"status":{"#,
                r#""IPv4":{"lastUpdated":"2023-11-14T22:13:20Z","healthy":false},"#,
                r#""IPv6":{"lastUpdated":"2023-11-14T22:13:20Z","healthy":false}}}"#
            )
        );
        let mut never = Health::new(PERIOD);
        never.queued(0);
        assert!(json(&never.live(60_000)).starts_with(r#"{"lastUpdated":"0001-01-01T00:00:00Z","#));
    }
}
