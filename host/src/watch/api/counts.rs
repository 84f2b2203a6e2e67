//! What is counted of API servers.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

/// One kind of answer to one kind of request.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RequestLabels {
    /// The HTTP status, or `<error>` where none came.
    pub code: String,
    /// The API server, as `10.0.0.1:6443`. Bounded by the configuration.
    pub host: String,
    /// As `GET`.
    pub method: String,
}

/// One kind of request to one server.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct LatencyLabels {
    /// The method, as `GET`; client-go calls it so.
    pub verb: String,
    /// The API server, as `10.0.0.1:6443`. Bounded by the configuration.
    pub host: String,
}

/// Times until requests are answered.
pub type Latencies = Family<LatencyLabels, Histogram, fn() -> Histogram>;

/// A kind of object.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct KindLabels {
    /// As `EndpointSlice`.
    pub kind: &'static str,
}

/// What is counted of API servers.
#[derive(Debug)]
pub struct Counts {
    /// Requests by answer.
    pub requests: Family<RequestLabels, Counter>,
    /// How long requests took until their answer began, in seconds.
    pub latencies: Latencies,
    /// Lists that were taken in whole.
    pub lists: Family<KindLabels, Counter>,
    /// Lists and watches that failed.
    pub failures: Family<KindLabels, Counter>,
    /// Events that came faster than they may be written.
    pub events_left_out: Counter,
    /// Fields that weir doesn't know, once for each version of an object.
    pub unknown_fields: Family<KindLabels, Counter>,
}

/// client-go's buckets: 5 ms to a minute.
fn of_latencies() -> Histogram {
    Histogram::new([0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0])
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            latencies: Family::new_with_constructor(of_latencies),
            lists: Family::default(),
            failures: Family::default(),
            events_left_out: Counter::default(),
            unknown_fields: Family::default(),
        }
    }
}
