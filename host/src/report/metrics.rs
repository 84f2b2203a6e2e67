//! Metrics in the Prometheus text format. Names that kube-proxy has are kept where the meaning is the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use weir_core::decision::{Dataplane, Offload};
use weir_core::kernel::Kernel;
use weir_policy_host::PolicyStats;

use crate::reconcile::{Policies, Reconciler};
use crate::watch::api::Counts;

/// An operation's kind and what became of it.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct OperationLabels {
    /// For example `add_destination`.
    pub operation: &'static str,
    /// `done`, or the kind of refusal.
    pub outcome: &'static str,
}

/// The answer to a probe. Bounded: 200 or 503.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct CodeLabels {
    /// The HTTP status.
    pub code: u16,
}

/// Answers to probes, by status.
pub type Answers = Family<CodeLabels, Counter>;

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

/// A field of decisions. Bounded: the fields are few, and weir's own.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct FieldLabels {
    /// For example `offload`.
    pub field: String,
}

/// A threshold of offload. Bounded by [`THRESHOLDS`].
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ThresholdLabels {
    /// Packets, `never`, or `other`.
    pub after_packets: String,
}

/// A service port, where somebody asked for numbers of each.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ServicePortLabels {
    /// The Service's namespace.
    pub namespace: String,
    /// The Service's name.
    pub service: String,
    /// `80/tcp`.
    pub port: String,
}

/// The most thresholds that have a label of their own: tenants may choose them.
const THRESHOLDS: usize = 32;

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
    /// What is counted of API servers.
    pub api: Arc<Counts>,
    /// How long a sync took.
    pub sync_duration: Histogram,
    /// When the last sync ended, seconds since 1970.
    pub sync_last: Gauge<f64, AtomicU64>,
    /// When work last came, seconds since 1970.
    pub queued_last: Gauge<f64, AtomicU64>,
    /// Answers of `/healthz`.
    pub healthz: Answers,
    /// Answers of `/livez`.
    pub livez: Answers,
    /// Sockets of health-check ports that listen.
    pub check_sockets: Gauge,
    /// Those that should and can't.
    pub check_sockets_failed: Gauge,
    /// Operations by kind and outcome.
    pub operations: Family<OperationLabels, Counter>,
    /// Objects that were found to differ from what was known.
    pub drift: Counter,
    /// Looks at the kernel that failed.
    pub looks_failed: Counter,
    /// Service ports by dataplane.
    pub service_ports: Family<DataplaneLabels, Gauge<i64, AtomicI64>>,
    /// What is set aside, by field of the decision.
    pub set_aside: Family<FieldLabels, Gauge>,
    /// Devices of the flowtable.
    pub flowtable_devices: Gauge,
    /// Service ports on nftables by when their flows are offloaded.
    pub thresholds: Family<ThresholdLabels, Gauge>,
    /// Offloaded flows by service port, where they are counted.
    pub offloaded_flows: Family<ServicePortLabels, Gauge>,
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
            api: Arc::default(),
            // 1 ms to 16 s, kube-proxy's buckets.
            sync_duration: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
            sync_last: Gauge::default(),
            queued_last: Gauge::default(),
            healthz: Family::default(),
            livez: Family::default(),
            check_sockets: Gauge::default(),
            check_sockets_failed: Gauge::default(),
            operations: Family::default(),
            drift: Counter::default(),
            looks_failed: Counter::default(),
            service_ports: Family::default(),
            set_aside: Family::default(),
            flowtable_devices: Gauge::default(),
            thresholds: Family::default(),
            offloaded_flows: Family::default(),
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
        proxy.register("proxy_healthz", "Answers of /healthz by status", self.healthz.clone());
        proxy.register("proxy_livez", "Answers of /livez by status", self.livez.clone());
        self.api.register(&mut all);
        let weir = all.sub_registry_with_prefix("weir");
        weir.register("plan_operations", "Operations sent to the kernel", self.operations.clone());
        weir.register(
            "drift_objects",
            "Kernel objects that others had changed",
            self.drift.clone(),
        );
        weir.register("looks_failed", "Looks at the kernel that failed", self.looks_failed.clone());
        weir.register("service_ports", "Service ports by dataplane", self.service_ports.clone());
        self.register_offload(weir);
        let text = "Sockets of services' health-check ports that listen";
        weir.register("health_check_sockets", text, self.check_sockets.clone());
        let text = "Sockets of services' health-check ports that can't be opened";
        weir.register("health_check_sockets_failed", text, self.check_sockets_failed.clone());
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

    fn register_offload(&self, weir: &mut Registry) {
        let text = "What service ports were asked for and set aside, by field of the decision";
        weir.register("set_aside", text, self.set_aside.clone());
        let text = "Devices of the flowtable";
        weir.register("flowtable_devices", text, self.flowtable_devices.clone());
        let text = "Service ports on nftables by when their flows are offloaded";
        weir.register("offload_service_ports", text, self.thresholds.clone());
        let text = "Offloaded flows of each service port when they were last counted";
        weir.register("offloaded_flows", text, self.offloaded_flows.clone());
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

    /// Takes over how many sockets of health-check ports listen, and how many can't.
    pub fn count_checks(&self, (open, failed): (usize, usize)) {
        let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.check_sockets.set(number(open));
        self.check_sockets_failed.set(number(failed));
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
    let devices = known.flowtable.as_ref().map_or(0, BTreeSet::len);
    metrics.flowtable_devices.set(number(devices));
    decisions(metrics, all);
    flows(metrics, all);
    metrics.foreign.set(number(all.ledger().foreign().len()));
    for (dataplane, label) in
        [(Dataplane::Ipvs, DataplaneLabel::ipvs), (Dataplane::Nftables, DataplaneLabel::nftables)]
    {
        let labels = DataplaneLabels { dataplane: label };
        metrics.service_ports.get_or_create(&labels).set(number(all.ports_on(dataplane)));
    }
}

fn decisions<K: Kernel, P: Policies>(metrics: &Metrics, all: &Reconciler<K, P>) {
    let (mut fields, mut thresholds) = (BTreeMap::new(), BTreeMap::new());
    for decision in all.decisions() {
        for reason in &decision.reasons {
            *fields.entry(reason.field.clone()).or_default() += 1;
        }
        if decision.dataplane.value == Dataplane::Nftables {
            *thresholds.entry(decision.offload.value).or_default() += 1;
        }
    }
    metrics.set_aside.clear();
    for (field, count) in fields {
        metrics.set_aside.get_or_create(&FieldLabels { field }).set(count);
    }
    metrics.thresholds.clear();
    for (at, (offload, count)) in thresholds.into_iter().enumerate() {
        let after_packets = match offload {
            Offload::Never => "never".to_owned(),
            Offload::After(_) if at > THRESHOLDS => "other".to_owned(),
            Offload::After(packets) => packets.to_string(),
        };
        let labels = ThresholdLabels { after_packets };
        metrics.thresholds.get_or_create(&labels).inc_by(count);
    }
}

fn flows<K: Kernel, P: Policies>(metrics: &Metrics, all: &Reconciler<K, P>) {
    metrics.offloaded_flows.clear();
    for (name, port) in all.decided_ports() {
        let Some(count) = all.offloaded(name, port).filter(|count| *count > 0) else { continue };
        let labels = ServicePortLabels {
            namespace: name.namespace.clone(),
            service: name.name.clone(),
            port: port.to_string(),
        };
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        metrics.offloaded_flows.get_or_create(&labels).set(count);
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
        metrics.healthz.get_or_create(&CodeLabels { code: 503 }).inc();
        metrics.count_checks((3, 1));
        let text = metrics.text().unwrap();
        for want in [
            "kubeproxy_sync_proxy_rules_duration_seconds_bucket{le=\"0.001\"} 0",
            "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
            "weir_plan_operations_total{operation=\"add_virtual\",outcome=\"done\"} 1",
            "weir_draining_destinations 0",
            "kubeproxy_proxy_healthz_total{code=\"503\"} 1",
            "weir_health_check_sockets 3",
            "weir_health_check_sockets_failed 1",
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
