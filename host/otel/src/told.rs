//! What the log is told of batches that can't be sent: the first of an outage, and its end.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry_otlp::SpanExporter as Otlp;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use crate::Counts;
use crate::client::LastError;

/// The least time between two outages that are told of: a collector may come and go.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// An exporter whose failures are told.
#[derive(Debug)]
pub(crate) struct Telling {
    pub(crate) to: Otlp,
    pub(crate) endpoint: String,
    pub(crate) last_error: LastError,
    pub(crate) outage: Mutex<Outage>,
    pub(crate) counts: Arc<Counts>,
}

/// What was lost and what of it was told.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    told: bool,
    lost: u64,
    next: Option<Instant>,
}

/// What there is to tell.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Nothing,
    Fails,
    Works { lost: u64 },
}

impl Outage {
    fn note(&mut self, sent: bool, spans: u64, now: Instant) -> News {
        if sent {
            let lost = self.lost;
            self.lost = 0;
            return if std::mem::take(&mut self.told) {
                News::Works { lost }
            } else {
                News::Nothing
            };
        }
        self.lost += spans;
        if self.told || self.next.is_some_and(|next| now < next) {
            return News::Nothing;
        }
        (self.told, self.next) = (true, Some(now + TELL_EVERY));
        News::Fails
    }
}

impl Telling {
    fn tell(&self, outcome: &OTelSdkResult, spans: u64) {
        let news = (self.outage.lock().unwrap_or_else(PoisonError::into_inner)).note(
            outcome.is_ok(),
            spans,
            Instant::now(),
        );
        let endpoint = self.endpoint.as_str();
        match (news, outcome) {
            (News::Fails, Err(error)) => {
                let why = self.last_error.lock().unwrap_or_else(PoisonError::into_inner).take();
                let error = why.unwrap_or_else(|| error.to_string());
                tracing::warn!(endpoint, error, "traces can't be sent; told once until they can");
            }
            (News::Works { lost }, _) => {
                tracing::info!(endpoint, lost_spans = lost, "traces are sent again");
            }
            _ => {}
        }
    }
}

impl SpanExporter for Telling {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        self.counts.handed_over.fetch_add(spans, Ordering::Relaxed);
        let outcome = self.to.export(batch).await;
        self.tell(&outcome, spans);
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.to.shutdown_with_timeout(timeout)
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.to.shutdown()
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.to.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.to.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_once_with_its_end_and_one_that_flaps_seldom() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let steps = [
            (0, true, News::Nothing),
            (1, false, News::Fails),
            (2, false, News::Nothing),
            (3, true, News::Works { lost: 20 }),
            (4, true, News::Nothing),
            (5, false, News::Nothing),
            (6, true, News::Nothing),
            (60, false, News::Nothing),
            (61, false, News::Fails),
            (62, true, News::Works { lost: 20 }),
        ];
        let mut outage = Outage::default();
        for (second, sent, want) in steps {
            assert_eq!(outage.note(sent, 10, at(second)), want, "second {second}");
        }
    }
}
