//! Spans of the daemon's walk, sent to an OpenTelemetry collector.
//!
//! [`Settings`] are what the environment asks for, [`Traces`] the way there: a [layer](Traces::layer) of
//! `tracing` hands each span that ends to a bounded queue, and a thread of its own sends batches by
//! HTTP. Whoever makes spans never waits: a queue that is full loses spans, not time.

mod client;
mod settings;
mod told;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, SdkTracerProvider, Span, SpanData, SpanProcessor,
};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::registry::LookupSpan;

use client::Client;
pub use client::NoClient;
pub use settings::{BadVariable, Identity, Settings, asked_by};
use told::{Outage, Telling};

/// How long the end of the daemon waits for the last batch.
pub const LAST_BATCH: Duration = Duration::from_secs(2);

/// Traces that can't be had.
#[derive(Debug, thiserror::Error)]
pub enum NotStarted {
    /// The client can't be made.
    #[error(transparent)]
    Client(#[from] NoClient),
    /// The exporter refuses its settings.
    #[error("the exporter")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// The way to the collector.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    counts: Arc<Counts>,
}

/// What became of spans: those that ended and were not handed over found no room in the queue.
#[derive(Debug, Default)]
struct Counts {
    ended: AtomicU64,
    handed_over: AtomicU64,
}

impl Traces {
    /// Opens the way; nothing is sent before a span has ended. `about` tells of the process, beside its
    /// name: what the environment says of it stands above that.
    ///
    /// # Errors
    /// Certificates can't be read, or the SDK refuses what the environment says.
    pub fn start(
        settings: &Settings,
        about: &[(&'static str, String)],
    ) -> Result<Self, NotStarted> {
        let last_error = Arc::default();
        let client = Client::new(settings, Arc::clone(&last_error))?;
        let endpoint = settings.endpoint.to_string();
        let exporter = SpanExporter::builder().with_http().with_http_client(client);
        let to = exporter.with_endpoint(&endpoint).with_timeout(settings.timeout).build()?;
        let counts = Arc::new(Counts::default());
        let outage = Mutex::new(Outage::default());
        let telling = Telling { to, endpoint, last_error, outage, counts: Arc::clone(&counts) };
        let batches = BatchSpanProcessor::builder(telling).build();
        let provider = SdkTracerProvider::builder()
            .with_resource(resource(settings, about))
            .with_span_processor(Counting { to: batches, counts: Arc::clone(&counts) });
        Ok(Self { provider: provider.build(), counts })
    }

    /// What hands weir's spans over, for a subscriber. Lines of the log are no part of them: there is no
    /// end to what may stand in those.
    #[must_use]
    pub fn layer<S>(&self) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let spans = tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("weir"))
            .with_location(false)
            .with_threads(false)
            .with_target(false);
        let ours = filter_fn(is_ours).with_max_level_hint(LevelFilter::INFO);
        Box::new(spans.with_filter(ours))
    }

    /// Sends what is left, and waits for that no longer than [`LAST_BATCH`]. Says in the log what was
    /// lost.
    pub fn finish(self) {
        let sent = self.provider.shutdown_with_timeout(LAST_BATCH);
        if let Err(error) = sent {
            tracing::warn!(%error, "the last traces could not be sent");
        }
        let Counts { ended, handed_over } = &*self.counts;
        let lost =
            ended.load(Ordering::Relaxed).saturating_sub(handed_over.load(Ordering::Relaxed));
        if lost > 0 {
            tracing::warn!(lost_spans = lost, "traces came faster than they could be sent");
        }
    }
}

fn is_ours(what: &Metadata<'_>) -> bool {
    what.is_span() && what.target().starts_with("weir") && *what.level() <= tracing::Level::INFO
}

/// What the spans are of. `OTEL_SERVICE_NAME` stands above `OTEL_RESOURCE_ATTRIBUTES`, and both above
/// what the process says of itself.
fn resource(settings: &Settings, about: &[(&'static str, String)]) -> Resource {
    let about = about.iter().map(|(key, value)| KeyValue::new(*key, value.clone()));
    let resource = Resource::builder_empty()
        .with_service_name("weir")
        .with_attributes(about)
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()));
    match &settings.service {
        Some(name) => resource.with_service_name(name.clone()).build(),
        None => resource.build(),
    }
}

/// A processor that counts what it is given.
#[derive(Debug)]
struct Counting {
    to: BatchSpanProcessor,
    counts: Arc<Counts>,
}

impl SpanProcessor for Counting {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.to.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        self.counts.ended.fetch_add(1, Ordering::Relaxed);
        self.to.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.to.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.to.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.to.set_resource(resource);
    }
}
