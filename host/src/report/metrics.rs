//! Metrics in the Prometheus text format. Names that kube-proxy has are kept where the meaning is the same.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use weir_core::decision::Dataplane;
use weir_core::kernel::Kernel;
use weir_policy_host::PolicyStats;

use crate::reconcile::{Policies, Reconciler};

/// An operation's kind and what became of it.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct OperationLabels {
    /// For example `add_destination`.
    pub operation: &'static str,
    /// `done`, or the kind of refusal.
    pub outcome: &'static str,
}

/// A policy.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct PolicyLabels {
    /// Its name, from the configuration.
    pub policy: String,
}

/// A policy and how it failed.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct FailureLabels {
    /// Its name, from the configuration.
    pub policy: String,
    /// For example `fuel`.
    pub kind: &'static str,
}

/// A counter of a policy's own. Bounded: a policy has 32 of them at most.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct CountLabels {
    /// The policy's name, from the configuration.
    pub policy: String,
    /// The counter's name, from the policy.
    pub name: String,
}

/// A dataplane.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
pub enum DataplaneLabel {
    /// IPVS.
    #[allow(non_camel_case_types, reason = "the label's value is the variant's name")]
    ipvs,
    /// nftables.
    #[allow(non_camel_case_types, reason = "the label's value is the variant's name")]
    nftables,
}

/// The dataplane of service ports.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct DataplaneLabels {
    /// Which.
    pub dataplane: DataplaneLabel,
}

/// All metrics.
pub struct Metrics {
    registry: Registry,
    /// How long a sync took.
    pub sync_duration: Histogram,
    /// When the last sync ended, seconds since 1970.
    pub sync_last: Gauge<f64, AtomicU64>,
    /// When work last came, seconds since 1970.
    pub queued_last: Gauge<f64, AtomicU64>,
    /// Operations by kind and outcome.
    pub operations: Family<OperationLabels, Counter>,
    /// Objects that were found to differ from what was known.
    pub drift: Counter,
    /// Looks at the kernel that failed.
    pub looks_failed: Counter,
    /// Service ports by dataplane.
    pub service_ports: Family<DataplaneLabels, Gauge<i64, AtomicI64>>,
    /// Destinations of all virtual services.
    pub destinations: Gauge,
    /// Servers that end.
    pub draining: Gauge,
    /// Objects whose last operation was refused.
    pub refused: Gauge,
    /// Virtual services that somebody else made.
    pub foreign: Gauge,
    /// Problems of the source's objects.
    pub problems: Gauge,
    /// Decisions of each policy.
    pub policy_decisions: Family<PolicyLabels, Counter>,
    /// Answers of each policy that were kept from before.
    pub policy_cache_hits: Family<PolicyLabels, Counter>,
    /// Fuel used by each policy.
    pub policy_fuel: Family<PolicyLabels, Counter>,
    /// Failures of each policy by kind.
    pub policy_failures: Family<FailureLabels, Counter>,
    /// Times that each policy's last good answer stood in for it.
    pub policy_stand_ins: Family<PolicyLabels, Counter>,
    /// Log lines of each policy over the limit.
    pub policy_dropped_lines: Family<PolicyLabels, Counter>,
    /// Each policy's own counters.
    pub policy_counts: Family<CountLabels, Counter>,
    /// Whether each policy is left alone because it cost too much too often.
    pub policy_suspended: Family<PolicyLabels, Gauge>,
    /// Whether each policy's file as it is now runs.
    pub policy_loaded: Family<PolicyLabels, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            registry: Registry::default(),
            // 1 ms to 16 s, kube-proxy's buckets.
            sync_duration: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
            sync_last: Gauge::default(),
            queued_last: Gauge::default(),
            operations: Family::default(),
            drift: Counter::default(),
            looks_failed: Counter::default(),
            service_ports: Family::default(),
            destinations: Gauge::default(),
            draining: Gauge::default(),
            refused: Gauge::default(),
            foreign: Gauge::default(),
            problems: Gauge::default(),
            policy_decisions: Family::default(),
            policy_cache_hits: Family::default(),
            policy_fuel: Family::default(),
            policy_failures: Family::default(),
            policy_stand_ins: Family::default(),
            policy_dropped_lines: Family::default(),
            policy_counts: Family::default(),
            policy_suspended: Family::default(),
            policy_loaded: Family::default(),
        }
        .registered()
    }
}

impl Metrics {
    fn registered(mut self) -> Self {
        let mut all = Registry::default();
        let proxy = all.sub_registry_with_prefix("kubeproxy");
        let text = "Time of one sync, from the first decision to the kernel's last answer";
        proxy.register_with_unit(
            "sync_proxy_rules_duration",
            text,
            Unit::Seconds,
            self.sync_duration.clone(),
        );
        let text = "End of the last sync, seconds since 1970";
        let name = "sync_proxy_rules_last_timestamp";
        proxy.register_with_unit(name, text, Unit::Seconds, self.sync_last.clone());
        let text = "When work was last queued, seconds since 1970";
        let name = "sync_proxy_rules_last_queued_timestamp";
        proxy.register_with_unit(name, text, Unit::Seconds, self.queued_last.clone());
        let weir = all.sub_registry_with_prefix("weir");
        weir.register("plan_operations", "Operations sent to the kernel", self.operations.clone());
        weir.register(
            "drift_objects",
            "Kernel objects that others had changed",
            self.drift.clone(),
        );
        weir.register("looks_failed", "Looks at the kernel that failed", self.looks_failed.clone());
        weir.register("service_ports", "Service ports by dataplane", self.service_ports.clone());
        weir.register(
            "destinations",
            "Destinations of virtual services",
            self.destinations.clone(),
        );
        weir.register("draining_destinations", "Destinations that end", self.draining.clone());
        weir.register("refused_objects", "Objects that the kernel refused", self.refused.clone());
        let text = "Virtual services of others, left alone";
        weir.register("foreign_virtual_services", text, self.foreign.clone());
        weir.register(
            "object_problems",
            "What is wrong with the source's objects",
            self.problems.clone(),
        );
        let policy = weir.sub_registry_with_prefix("policy");
        policy.register(
            "decisions",
            "Evaluations that gave an answer",
            self.policy_decisions.clone(),
        );
        policy.register("cache_hits", "Answers kept from before", self.policy_cache_hits.clone());
        policy.register("fuel", "Fuel used", self.policy_fuel.clone());
        policy.register("failures", "Failures by kind", self.policy_failures.clone());
        self.register_more_of_policies(policy);
        self.registry = all;
        self
    }

    fn register_more_of_policies(&self, policy: &mut Registry) {
        let text = "Times that a last good answer stood in for a failed policy";
        policy.register("stand_ins", text, self.policy_stand_ins.clone());
        let text = "Log lines over the limit, which are lost";
        policy.register("dropped_lines", text, self.policy_dropped_lines.clone());
        policy.register("count", "Counters of the policies' own", self.policy_counts.clone());
        let text = "1 while the policy is left alone because it cost too much too often";
        policy.register("suspended", text, self.policy_suspended.clone());
        let text = "1 if the policy's file as it is now runs";
        policy.register("loaded", text, self.policy_loaded.clone());
    }

    /// Takes over what the chain of policies counted itself.
    pub fn count_policies(&self, stats: &[PolicyStats]) {
        let set = |counter: &Counter, value| counter.inner().store(value, Ordering::Relaxed);
        for it in stats {
            let labels = PolicyLabels { policy: it.name.to_string() };
            let decisions = it.tally.decisions + it.tally.refusals;
            set(&self.policy_decisions.get_or_create(&labels), decisions);
            set(&self.policy_cache_hits.get_or_create(&labels), it.tally.cache_hits);
            set(&self.policy_fuel.get_or_create(&labels), it.tally.fuel);
            set(&self.policy_stand_ins.get_or_create(&labels), it.tally.stand_ins);
            set(&self.policy_dropped_lines.get_or_create(&labels), it.tally.dropped_lines);
            self.policy_suspended.get_or_create(&labels).set(i64::from(it.suspended.is_some()));
            for (name, count) in &it.tally.counters {
                let labels = CountLabels { policy: it.name.to_string(), name: name.clone() };
                set(&self.policy_counts.get_or_create(&labels), *count);
            }
            let runs = it.running.is_some() && it.load_error.is_none();
            self.policy_loaded.get_or_create(&labels).set(i64::from(runs));
            for (kind, count) in &it.tally.failures {
                let labels = FailureLabels { policy: it.name.to_string(), kind: kind.kind() };
                set(&self.policy_failures.get_or_create(&labels), *count);
            }
        }
    }

    /// The text that `/metrics` answers, of type [`CONTENT_TYPE`].
    ///
    /// # Errors
    /// Never in practice: it writes into a string.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Sets what can be read off the reconciler.
pub fn gauges<K: Kernel, P: Policies>(metrics: &Metrics, all: &Reconciler<K, P>) {
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let known = all.ledger().known();
    let destinations = known.virtuals.values().map(|it| it.destinations.len()).sum();
    metrics.destinations.set(number(destinations));
    metrics.draining.set(number(all.drains().servers().len()));
    metrics.refused.set(number(all.refused().count()));
    metrics.foreign.set(number(all.ledger().foreign().len()));
    for (dataplane, label) in
        [(Dataplane::Ipvs, DataplaneLabel::ipvs), (Dataplane::Nftables, DataplaneLabel::nftables)]
    {
        let labels = DataplaneLabels { dataplane: label };
        metrics.service_ports.get_or_create(&labels).set(number(all.ports_on(dataplane)));
    }
}

/// OpenMetrics, as Prometheus negotiates it.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_dashboards_know_are_there() {
        let metrics = Metrics::default();
        metrics.sync_duration.observe(0.01);
        let labels = OperationLabels { operation: "add_virtual", outcome: "done" };
        metrics.operations.get_or_create(&labels).inc();
        let text = metrics.text().unwrap();
        for want in [
            "kubeproxy_sync_proxy_rules_duration_seconds_bucket{le=\"0.001\"} 0",
            "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
            "weir_plan_operations_total{operation=\"add_virtual\",outcome=\"done\"} 1",
            "weir_draining_destinations 0",
        ] {
            assert!(text.contains(want), "{want}: {text}");
        }
    }

    #[test]
    fn what_a_policy_counts_is_told_with_its_name() {
        let metrics = Metrics::default();
        let mut stats = crate::report::status::stats_for_tests();
        metrics.count_policies(std::slice::from_ref(&stats));
        stats.suspended = None;
        stats.tally.counters.insert("asked".to_owned(), 5);
        metrics.count_policies(&[stats]);
        let text = metrics.text().unwrap();
        for want in [
            "weir_policy_count_total{policy=\"balance\",name=\"asked\"} 5",
            "weir_policy_stand_ins_total{policy=\"balance\"} 3",
            "weir_policy_dropped_lines_total{policy=\"balance\"} 7",
            "weir_policy_failures_total{policy=\"balance\",kind=\"fuel\"} 2",
            "weir_policy_suspended{policy=\"balance\"} 0",
        ] {
            assert!(text.contains(want), "{want}: {text}");
        }
    }
}
