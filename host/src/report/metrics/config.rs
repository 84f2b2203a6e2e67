//! The configuration: whether its file as it is now holds.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::book::{Book, Named};
use super::number;

/// What became of a configuration. Bounded: `taken` or `refused`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct OutcomeLabels {
    pub outcome: &'static str,
}

impl Named for OutcomeLabels {
    const NAMES: &'static [&'static str] = &["outcome"];
}

/// The configuration.
#[derive(Default)]
pub struct ConfigMetrics {
    successful: Gauge,
    taken_at: Gauge<f64, AtomicU64>,
    loads: Family<OutcomeLabels, Counter>,
    waiting: Gauge,
}

impl ConfigMetrics {
    pub(super) fn registered(book: &mut Book) -> Self {
        let all = Self::default();
        // Without the first the daemon would not have started.
        all.successful.set(1);
        let help =
            "1 if the configuration's file as it is now was taken; 0 if one before stays in force";
        book.put("weir_config_last_reload_successful", help, &all.successful);
        let help = "When the configuration in force was taken, in seconds since 1970";
        book.put("weir_config_last_reload_success_timestamp_seconds", help, &all.taken_at);
        let help =
            "Configurations read, the first one too, by what became of them: taken or refused";
        book.put("weir_config_reloads_total", help, &all.loads);
        let help = "Fields whose value in the configuration's file waits for a restart";
        book.put("weir_config_fields_waiting_for_restart", help, &all.waiting);
        all
    }

    fn count(&self, outcome: &'static str) {
        self.loads.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// A configuration is in force, as far as it can be; `at` is in milliseconds since 1970.
    #[allow(
        clippy::cast_precision_loss,
        reason = "a double holds milliseconds until the year 287396"
    )]
    pub fn taken(&self, at: u64) {
        self.successful.set(1);
        self.taken_at.set(at as f64 / 1000.0);
        self.count("taken");
    }

    /// One was read and can't be used.
    pub fn refused(&self) {
        self.successful.set(0);
        self.count("refused");
    }

    /// So many of its fields need a restart.
    pub fn wait_for_restart(&self, fields: usize) {
        self.waiting.set(number(fields));
    }
}
