//! The list of all metrics, as they are registered: name, type, labels and help. Pure.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

/// One metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As it is exposed; a histogram's without `_bucket`, `_sum` and `_count`.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Its labels' names.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
}

/// Labels whose names are known without a sample.
pub(super) trait Named {
    /// In the order in which they are exposed.
    const NAMES: &'static [&'static str];
}

/// A metric that can be listed.
pub(super) trait Listed: Metric + Clone {
    /// Its type's name.
    const KIND: &'static str;
    /// Its labels' names.
    const LABELS: &'static [&'static str] = &[];
}

impl Listed for Counter {
    const KIND: &'static str = "counter";
}

impl Listed for Counter<f64, AtomicU64> {
    const KIND: &'static str = "counter";
}

impl Listed for Gauge<i64, AtomicI64> {
    const KIND: &'static str = "gauge";
}

impl Listed for Gauge<f64, AtomicU64> {
    const KIND: &'static str = "gauge";
}

impl Listed for Histogram {
    const KIND: &'static str = "histogram";
}

impl<L, M, C> Listed for Family<L, M, C>
where
    L: Named + Clone + Debug + Eq + Hash + EncodeLabelSet + Send + Sync + 'static,
    M: Listed + prometheus_client::metrics::TypedMetric,
    C: MetricConstructor<M> + Clone + Send + Sync + 'static,
    Self: Metric,
{
    const KIND: &'static str = M::KIND;
    const LABELS: &'static [&'static str] = L::NAMES;
}

/// A registry that remembers what was put into it.
#[derive(Default)]
pub(super) struct Book {
    registry: Registry,
    entries: Vec<Entry>,
}

impl Book {
    /// Registers a metric under its whole name; a counter's ends with `_total`.
    pub(super) fn put<M: Listed>(&mut self, name: &str, help: &'static str, metric: &M) {
        let counter = M::KIND == "counter";
        // The encoder writes the ending of counters itself.
        let stem = if counter { name.strip_suffix("_total").unwrap_or(name) } else { name };
        debug_assert!(!counter || stem != name, "{name} must end with _total");
        self.registry.register(stem, help, metric.clone());
        let (kind, labels) = (M::KIND, M::LABELS);
        self.entries.push(Entry { name: name.to_owned(), kind, labels, help });
    }

    pub(super) fn close(self) -> (Registry, Vec<Entry>) {
        (self.registry, self.entries)
    }
}
