//! What is counted of API servers. The first has the name and the labels that client-go gives it, and
//! so kube-proxy; see `k8s.io/component-base/metrics/prometheus/restclient`.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// One kind of answer to one kind of request.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct RequestLabels {
    /// The HTTP status, or `<error>` where none came.
    pub(super) code: String,
    /// The API server, as `10.0.0.1:6443`. Bounded by the configuration.
    pub(super) host: String,
    /// As `GET`.
    pub(super) method: String,
}

/// A kind of object.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct KindLabels {
    /// As `EndpointSlice`.
    pub(super) kind: &'static str,
}

/// What is counted of API servers.
#[derive(Debug, Default)]
pub struct Counts {
    pub(super) requests: Family<RequestLabels, Counter>,
    pub(super) lists: Family<KindLabels, Counter>,
    pub(super) failures: Family<KindLabels, Counter>,
    pub(super) unknown_fields: Family<KindLabels, Counter>,
}

impl Counts {
    /// Shows the counts among the metrics.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Number of HTTP requests, partitioned by status code, method, and host";
        registry.register("rest_client_requests", help, self.requests.clone());
        let help = "Whole lists taken in from the API server: one at start, others where a watch could not go on";
        registry.register("weir_api_lists", help, self.lists.clone());
        let help = "Lists and watches that failed";
        registry.register("weir_api_failures", help, self.failures.clone());
        let help = "Fields of objects that weir doesn't know and leaves aside";
        registry.register("weir_api_unknown_fields", help, self.unknown_fields.clone());
    }
}
