//! What was decided for services, and what is wrong with the objects that tell of them.

use std::sync::atomic::AtomicI64;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::book::{Book, Named};

/// A field of decisions. Bounded: the fields are few, and weir's own.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct FieldLabels {
    /// For example `offload`.
    pub field: String,
}

impl Named for FieldLabels {
    const NAMES: &'static [&'static str] = &["field"];
}

/// A threshold of offload. Bounded: tenants may choose them, so the most have no label of their own.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ThresholdLabels {
    /// Packets, `never`, or `other`.
    pub after_packets: String,
}

impl Named for ThresholdLabels {
    const NAMES: &'static [&'static str] = &["after_packets"];
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

impl Named for DataplaneLabels {
    const NAMES: &'static [&'static str] = &["dataplane"];
}

/// What was decided for services.
#[derive(Default)]
pub struct ServiceMetrics {
    /// Whether the source has shown everything once.
    pub source_synced: Gauge,
    /// Problems of the source's objects.
    pub problems: Gauge,
    /// Lines about objects that the log has not.
    pub untold: Counter,
    /// Objects in manifests that weir has no use for.
    pub ignored: Gauge,
    /// Service ports by dataplane.
    pub ports: Family<DataplaneLabels, Gauge<i64, AtomicI64>>,
    /// Addresses and ports that two Services want.
    pub conflicts: Gauge,
    /// What is set aside, by field of the decision.
    pub set_aside: Family<FieldLabels, Gauge>,
    /// Service ports on nftables by when their flows are offloaded.
    pub thresholds: Family<ThresholdLabels, Gauge>,
}

impl ServiceMetrics {
    pub(super) fn registered(book: &mut Book) -> Self {
        let all = Self::default();
        let help =
            "1 once the source of services has shown every object; nothing is written before";
        book.put("weir_source_synced", help, &all.source_synced);
        let help = "What is wrong with the source's objects";
        book.put("weir_object_problems", help, &all.problems);
        let help = "What was wrong with objects, or couldn't be had, and came and went too fast for a line of the log each";
        book.put("weir_object_log_lines_left_out_total", help, &all.untold);
        let help =
            "Objects in manifests of kinds and versions that weir has no use for and passes over";
        book.put("weir_manifests_ignored_objects", help, &all.ignored);
        book.put("weir_service_ports", "Service ports by dataplane", &all.ports);
        let help = "Addresses and ports that two Services want";
        book.put("weir_service_conflicts", help, &all.conflicts);
        let help = "What service ports were asked for and set aside, by field of the decision";
        book.put("weir_set_aside", help, &all.set_aside);
        let help = "Service ports on nftables by when their flows are offloaded";
        book.put("weir_offload_service_ports", help, &all.thresholds);
        all
    }
}
