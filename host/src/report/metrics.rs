//! Metrics in the Prometheus formats. Names that kube-proxy has are kept where the meaning is the same.
//!
//! Whoever counts as he goes has a handle; what can be read off the reconciler is set when somebody
//! scrapes, by [`gauges`].

mod api;
mod book;
mod config;
mod kernel;
mod policies;
mod process;
mod proxy;
mod scrape;
mod services;
#[cfg(test)]
mod tests;
mod traffic;

use std::fmt::Write as _;
use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::watch::api::Counts;

pub use book::Entry;
pub use config::ConfigMetrics;
pub use kernel::{KernelMetrics, OperationLabels};
pub use policies::PolicyMetrics;
pub use process::ProcessMetrics;
pub use proxy::{Answers, CodeLabels, ProxyMetrics};
pub use scrape::{Format, gauges};
pub use services::ServiceMetrics;
pub use traffic::{ServicePortLabels, TrafficMetrics};

use book::{Book, Named};

/// What was built.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
    arch: &'static str,
}

impl Named for BuildLabels {
    const NAMES: &'static [&'static str] = &["version", "arch"];
}

/// All metrics.
pub struct Metrics {
    registry: Registry,
    entries: Vec<Entry>,
    /// What is counted of API servers.
    pub api: Arc<Counts>,
    /// What kube-proxy counts as well, under its names.
    pub proxy: ProxyMetrics,
    /// What was asked of the kernel, and what was found in it.
    pub kernel: KernelMetrics,
    /// What was decided for services.
    pub services: ServiceMetrics,
    /// What services carried.
    pub traffic: TrafficMetrics,
    /// Whether the configuration's file holds.
    pub config: ConfigMetrics,
    /// The chain of policies.
    pub policies: PolicyMetrics,
    /// This process.
    pub process: ProcessMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut book = Book::default();
        let api = api::registered(&mut book);
        let build: Family<BuildLabels, Gauge> = Family::default();
        let (version, arch) = (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
        build.get_or_create(&BuildLabels { version, arch }).set(1);
        let proxy = ProxyMetrics::registered(&mut book);
        book.put("weir_build_info", "1, with what was built as labels", &build);
        let kernel = KernelMetrics::registered(&mut book);
        let services = ServiceMetrics::registered(&mut book);
        let traffic = TrafficMetrics::registered(&mut book);
        let config = ConfigMetrics::registered(&mut book);
        let policies = PolicyMetrics::registered(&mut book);
        let process = ProcessMetrics::registered(&mut book);
        let (registry, entries) = book.close();
        Self { registry, entries, api, proxy, kernel, services, traffic, config, policies, process }
    }
}

impl Metrics {
    /// The text that `/metrics` answers.
    ///
    /// # Errors
    /// Never in practice: it writes into a string.
    pub fn text(&self, format: Format) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(format.of_open_metrics(text))
    }

    /// Every metric, in the order of the page.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The table of docs/metrics.md.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::from("| metric | type | labels | meaning |\n|---|---|---|---|\n");
        for Entry { name, kind, labels, help } in &self.entries {
            let labels: Vec<_> = labels.iter().map(|it| format!("`{it}`")).collect();
            // It writes into a string.
            let _ = writeln!(text, "| `{name}` | {kind} | {} | {help} |", labels.join(", "));
        }
        text
    }
}

/// A count as a gauge takes it.
/// A count as a gauge takes it.
pub(crate) fn number(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
