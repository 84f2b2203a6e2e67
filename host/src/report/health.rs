//! `/healthz` and `/livez`, with kube-proxy's meaning and words (`pkg/proxy/healthcheck`). Pure.
//!
//! Unhealthy is a change that waits longer than twice the sync period; `/healthz` says no as well
//! while the node is on its way out, so that load balancers let go of it. `/livez` leaves that out:
//! nobody should restart the proxy of a draining node.

use std::time::Duration;

use serde::Serialize;

/// The taint by which the cluster autoscaler announces a node's end.
const AUTOSCALER_TAINT: &str = "ToBeDeletedByClusterAutoscaler";

/// What health is made of. Times are milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    patience: u64,
    waiting_since: Option<u64>,
    last_updated: Option<u64>,
    node_eligible: bool,
}

/// What a probe gets to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// When the kernel last matched what is wanted; now, as long as it does.
    pub last_updated: u64,
    /// Now.
    pub current_time: u64,
    /// Whether the node stays; `/livez` doesn't look at that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_eligible: Option<bool>,
    /// The verdict.
    pub healthy: bool,
}

impl Health {
    /// Healthy, as every start is.
    #[must_use]
    pub fn new(sync_period: Duration) -> Self {
        let patience = u64::try_from(sync_period.as_millis()).unwrap_or(u64::MAX).saturating_mul(2);
        Self { patience, waiting_since: None, last_updated: None, node_eligible: true }
    }

    /// There is work that hasn't reached the kernel.
    pub fn queued(&mut self, now: u64) {
        self.waiting_since.get_or_insert(now);
    }

    /// The kernel matches what is wanted.
    pub fn updated(&mut self, now: u64) {
        self.waiting_since = None;
        self.last_updated = Some(now);
    }

    /// Takes in this node; `None` is one whose object is gone.
    pub fn node(&mut self, node: Option<&weir_core::model::Node>) {
        self.node_eligible = node.is_some_and(|node| {
            !node.deleting && !node.taints.iter().any(|t| t == AUTOSCALER_TAINT)
        });
    }

    /// The verdict of `/livez`.
    #[must_use]
    pub fn live(&self, now: u64) -> Answer {
        let waits = self.waiting_since.map_or(0, |since| now.saturating_sub(since));
        let healthy = waits <= self.patience;
        let last_updated = if healthy { now } else { self.last_updated.unwrap_or(0) };
        Answer { last_updated, current_time: now, node_eligible: None, healthy }
    }

    /// The verdict of `/healthz`.
    #[must_use]
    pub fn health(&self, now: u64) -> Answer {
        let live = self.live(now);
        Answer {
            node_eligible: Some(self.node_eligible),
            healthy: live.healthy && self.node_eligible,
            ..live
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_core::model::Node;

    #[test]
    fn work_that_waits_too_long_is_unhealthy_until_it_is_done() {
        let mut health = Health::new(Duration::from_secs(30));
        assert!(health.health(0).healthy, "at the start");
        health.updated(500);
        health.queued(1_000);
        health.queued(50_000);
        assert!(health.live(61_000).healthy, "just in time");
        let late = health.live(61_001);
        assert_eq!((late.healthy, late.last_updated), (false, 500));
        health.updated(62_000);
        assert_eq!(health.live(70_000).last_updated, 70_000, "now, as long as it is healthy");
    }

    #[test]
    fn a_leaving_node_is_unhealthy_but_alive() {
        let cases = [
            (Some(Node::default()), true),
            (None, false),
            (Some(Node { deleting: true, ..Node::default() }), false),
            (Some(Node { taints: vec![AUTOSCALER_TAINT.to_owned()], ..Node::default() }), false),
            (
                Some(Node {
                    taints: vec!["node.kubernetes.io/not-ready".to_owned()],
                    ..Node::default()
                }),
                true,
            ),
        ];
        for (node, want) in cases {
            let mut health = Health::new(Duration::from_secs(30));
            health.node(node.as_ref());
            assert_eq!(health.health(0).healthy, want, "{node:?}");
            assert!(health.live(0).healthy, "{node:?}");
        }
    }
}
