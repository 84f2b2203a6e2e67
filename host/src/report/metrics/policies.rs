//! The chain of policies: what each was asked, what it cost, and how it failed.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use weir_policy_host::PolicyStats;

use super::book::{Book, Named};
use super::number;

/// A policy.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct PolicyLabels {
    /// Its name, from the configuration.
    pub policy: String,
}

impl Named for PolicyLabels {
    const NAMES: &'static [&'static str] = &["policy"];
}

/// A policy and how it failed.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct FailureLabels {
    /// Its name, from the configuration.
    pub policy: String,
    /// For example `fuel`.
    pub kind: &'static str,
}

impl Named for FailureLabels {
    const NAMES: &'static [&'static str] = &["policy", "kind"];
}

/// A counter of a policy's own. Bounded: a policy has 32 of them at most.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct CountLabels {
    /// The policy's name, from the configuration.
    pub policy: String,
    /// The counter's name, from the policy.
    pub name: String,
}

impl Named for CountLabels {
    const NAMES: &'static [&'static str] = &["policy", "name"];
}

/// The chain of policies.
#[derive(Default)]
pub struct PolicyMetrics {
    calls: Family<PolicyLabels, Counter>,
    decisions: Family<PolicyLabels, Counter>,
    cache_hits: Family<PolicyLabels, Counter>,
    fuel: Family<PolicyLabels, Counter>,
    failures: Family<FailureLabels, Counter>,
    stand_ins: Family<PolicyLabels, Counter>,
    dropped_lines: Family<PolicyLabels, Counter>,
    counts: Family<CountLabels, Counter>,
    ran: Family<PolicyLabels, Counter<f64, AtomicU64>>,
    suspended: Family<PolicyLabels, Gauge>,
    suspended_namespaces: Family<PolicyLabels, Gauge>,
    /// Service ports that policies had no time for in the last turn.
    pub deferred: Gauge,
    loaded: Family<PolicyLabels, Gauge>,
}

impl PolicyMetrics {
    pub(super) fn registered(book: &mut Book) -> Self {
        let all = Self::default();
        book.put("weir_policy_calls_total", "Evaluations, however they ended", &all.calls);
        let help = "Evaluations that gave an answer";
        book.put("weir_policy_decisions_total", help, &all.decisions);
        book.put("weir_policy_cache_hits_total", "Answers kept from before", &all.cache_hits);
        let help = "Fuel used, about one unit an instruction";
        book.put("weir_policy_fuel_total", help, &all.fuel);
        book.put("weir_policy_failures_total", "Failures by kind", &all.failures);
        let help = "Time that evaluations took";
        book.put("weir_policy_running_seconds_total", help, &all.ran);
        let help = "Times that a last good answer stood in for a failed policy";
        book.put("weir_policy_stand_ins_total", help, &all.stand_ins);
        let help = "Log lines over the limit, which are lost";
        book.put("weir_policy_dropped_lines_total", help, &all.dropped_lines);
        book.put("weir_policy_count_total", "Counters of the policies' own", &all.counts);
        let help = "1 while the policy is left alone because it cost too much too often";
        book.put("weir_policy_suspended", help, &all.suspended);
        let help = "Namespaces for which alone the policy is left alone, as it cost too much there too often";
        book.put("weir_policy_suspended_namespaces", help, &all.suspended_namespaces);
        let help = "Service ports that keep what is known until policies, which took too long in one turn, are asked";
        book.put("weir_policy_deferred_ports", help, &all.deferred);
        book.put("weir_policy_loaded", "1 if the policy's file as it is now runs", &all.loaded);
        all
    }

    /// Takes over what the chain of policies counted itself.
    pub fn count(&self, stats: &[PolicyStats]) {
        stats.iter().for_each(|it| self.count_one(it));
    }

    /// Forgets all that was taken over: the chain is another one.
    pub fn forget(&self) {
        let of_policies = [
            &self.calls,
            &self.decisions,
            &self.cache_hits,
            &self.fuel,
            &self.stand_ins,
            &self.dropped_lines,
        ];
        of_policies.into_iter().for_each(Family::clear);
        self.ran.clear();
        [&self.suspended, &self.suspended_namespaces, &self.loaded]
            .into_iter()
            .for_each(Family::clear);
        self.failures.clear();
        self.counts.clear();
    }

    fn count_one(&self, it: &PolicyStats) {
        let set = |counter: &Counter, value| counter.inner().store(value, Ordering::Relaxed);
        let policy = it.name.to_string();
        let labels = PolicyLabels { policy: policy.clone() };
        let tally = &it.tally;
        let answers = tally.decisions + tally.refusals;
        let failures = tally.failures.iter().filter(|(kind, _)| kind.is_of_an_evaluation());
        let calls = answers + failures.map(|(_, count)| count).sum::<u64>();
        set(&self.calls.get_or_create(&labels), calls);
        set(&self.decisions.get_or_create(&labels), answers);
        set(&self.cache_hits.get_or_create(&labels), tally.cache_hits);
        set(&self.fuel.get_or_create(&labels), tally.fuel);
        set(&self.stand_ins.get_or_create(&labels), tally.stand_ins);
        set(&self.dropped_lines.get_or_create(&labels), tally.dropped_lines);
        self.suspended.get_or_create(&labels).set(i64::from(it.suspended.is_some()));
        let namespaces = number(it.suspended_for.len());
        self.suspended_namespaces.get_or_create(&labels).set(namespaces);
        let ran = tally.ran.as_secs_f64().to_bits();
        self.ran.get_or_create(&labels).inner().store(ran, Ordering::Relaxed);
        let runs = it.running.is_some() && it.load_error.is_none();
        self.loaded.get_or_create(&labels).set(i64::from(runs));
        for (name, count) in &tally.counters {
            let labels = CountLabels { policy: policy.clone(), name: name.clone() };
            set(&self.counts.get_or_create(&labels), *count);
        }
        for (kind, count) in &tally.failures {
            let labels = FailureLabels { policy: policy.clone(), kind: kind.kind() };
            set(&self.failures.get_or_create(&labels), *count);
        }
    }
}
