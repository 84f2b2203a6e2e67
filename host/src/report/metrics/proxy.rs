//! What kube-proxy counts as well, under its names and with its meaning (`pkg/proxy/metrics`, v1.36).
//!
//! kube-proxy syncs each family on its own and labels most of these with `ip_family`; weir writes both
//! in one turn, so a number for each would be the same one twice.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets, linear_buckets};

use super::book::{Book, Named};

/// The answer to a probe. Bounded: 200 or 503.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct CodeLabels {
    /// The HTTP status.
    pub code: u16,
}

impl Named for CodeLabels {
    const NAMES: &'static [&'static str] = &["code"];
}

/// Answers to probes, by status.
pub type Answers = Family<CodeLabels, Counter>;

/// A family and the policy of its traffic. Bounded: two of each.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct LocalLabels {
    /// `IPv4` or `IPv6`.
    pub ip_family: &'static str,
    /// `internal` or `external`.
    pub traffic_policy: &'static str,
}

impl Named for LocalLabels {
    const NAMES: &'static [&'static str] = &["ip_family", "traffic_policy"];
}

/// What kube-proxy counts as well.
pub struct ProxyMetrics {
    /// How long a sync took.
    pub sync_duration: Histogram,
    /// How long one took that worked every service out anew.
    pub full_duration: Histogram,
    /// How long one took that didn't.
    pub partial_duration: Histogram,
    /// When the last sync ended in which nothing was refused, seconds since 1970.
    pub sync_last: Gauge<f64, AtomicU64>,
    /// When work last came, seconds since 1970.
    pub queued_last: Gauge<f64, AtomicU64>,
    /// Since when the oldest work has waited, seconds since 1970; 0 is that none does.
    pub waiting_since: Gauge<f64, AtomicU64>,
    /// From a change of endpoints to the kernel.
    pub programming: Histogram,
    /// Changes of EndpointSlices seen.
    pub endpoint_changes: Counter,
    /// Those that no sync has taken in yet.
    pub endpoint_changes_pending: Gauge,
    /// Changes of Services seen.
    pub service_changes: Counter,
    /// Those that no sync has taken in yet.
    pub service_changes_pending: Gauge,
    /// Service ports that drop traffic here because their endpoints are elsewhere.
    pub no_local_endpoints: Family<LocalLabels, Gauge>,
    /// Answers of `/healthz`.
    pub healthz: Answers,
    /// Answers of `/livez`.
    pub livez: Answers,
    /// Answers of `/readyz`.
    pub readyz: Answers,
}

/// 1 ms to 16 s, kube-proxy's buckets.
fn of_syncs() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

/// kube-proxy's: a quarter of a second to five minutes.
fn of_programming() -> Histogram {
    let fine = linear_buckets(0.25, 0.25, 2).chain(linear_buckets(1.0, 1.0, 59));
    let coarse = linear_buckets(60.0, 5.0, 12).chain(linear_buckets(120.0, 30.0, 7));
    Histogram::new(fine.chain(coarse))
}

impl ProxyMetrics {
    pub(super) fn registered(book: &mut Book) -> Self {
        let all = Self {
            sync_duration: of_syncs(),
            full_duration: of_syncs(),
            partial_duration: of_syncs(),
            sync_last: Gauge::default(),
            waiting_since: Gauge::default(),
            queued_last: Gauge::default(),
            programming: of_programming(),
            endpoint_changes: Counter::default(),
            endpoint_changes_pending: Gauge::default(),
            service_changes: Counter::default(),
            service_changes_pending: Gauge::default(),
            no_local_endpoints: Family::default(),
            healthz: Family::default(),
            livez: Family::default(),
            readyz: Family::default(),
        };
        all.register_syncs(book);
        all.register_changes(book);
        let help =
            "Service ports with a Local traffic policy whose endpoints are all on other nodes";
        let name = "kubeproxy_sync_proxy_rules_no_local_endpoints_total";
        book.put(name, help, &all.no_local_endpoints);
        let help = "Answers of /healthz by status";
        book.put("kubeproxy_proxy_healthz_total", help, &all.healthz);
        let help = "Answers of /livez by status";
        book.put("kubeproxy_proxy_livez_total", help, &all.livez);
        let help = "Answers of /readyz by status";
        book.put("weir_readyz_total", help, &all.readyz);
        all
    }

    fn register_syncs(&self, book: &mut Book) {
        let help = "Time of one sync of both families, from the first decision to the kernel's last answer";
        book.put("kubeproxy_sync_proxy_rules_duration_seconds", help, &self.sync_duration);
        let help = "The same for syncs that worked every service out anew";
        book.put("kubeproxy_sync_full_proxy_rules_duration_seconds", help, &self.full_duration);
        let help = "The same for syncs that worked out only what was touched";
        book.put(
            "kubeproxy_sync_partial_proxy_rules_duration_seconds",
            help,
            &self.partial_duration,
        );
        let help = "When the last sync ended in which nothing was refused, in seconds since 1970";
        book.put("kubeproxy_sync_proxy_rules_last_timestamp_seconds", help, &self.sync_last);
        let help = "When work was last queued, in seconds since 1970";
        let name = "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds";
        book.put(name, help, &self.queued_last);
        let help = "Since when the oldest work has waited for a sync that succeeds, or a loop that gives no answer has been asked, in seconds since 1970; 0 is that nothing waits";
        let name = "weir_sync_waiting_since_timestamp_seconds";
        book.put(name, help, &self.waiting_since);
        let help = "Time from a change of a pod or Service, as the EndpointSlice tells it, to the end of the sync that carries it";
        book.put("kubeproxy_network_programming_duration_seconds", help, &self.programming);
    }

    fn register_changes(&self, book: &mut Book) {
        let help = "Changes of EndpointSlices that no sync has taken in yet";
        let name = "kubeproxy_sync_proxy_rules_endpoint_changes_pending";
        book.put(name, help, &self.endpoint_changes_pending);
        let help = "Changes of EndpointSlices seen";
        let name = "kubeproxy_sync_proxy_rules_endpoint_changes_total";
        book.put(name, help, &self.endpoint_changes);
        let help = "Changes of Services that no sync has taken in yet";
        let name = "kubeproxy_sync_proxy_rules_service_changes_pending";
        book.put(name, help, &self.service_changes_pending);
        let help = "Changes of Services seen";
        let name = "kubeproxy_sync_proxy_rules_service_changes_total";
        book.put(name, help, &self.service_changes);
    }
}
