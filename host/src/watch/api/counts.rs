//! What is counted of API servers.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

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

/// A kind of object.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct KindLabels {
    /// As `EndpointSlice`.
    pub kind: &'static str,
}

/// What is counted of API servers.
#[derive(Debug, Default)]
pub struct Counts {
    /// Requests by answer.
    pub requests: Family<RequestLabels, Counter>,
    /// Lists that were taken in whole.
    pub lists: Family<KindLabels, Counter>,
    /// Lists and watches that failed.
    pub failures: Family<KindLabels, Counter>,
    /// Events that came faster than they may be written.
    pub events_left_out: Counter,
    /// Fields that weir doesn't know.
    pub unknown_fields: Family<KindLabels, Counter>,
}
