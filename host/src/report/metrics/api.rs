//! What is counted of API servers. The first two have the names and the labels that client-go gives them,
//! and so kube-proxy; see `k8s.io/component-base/metrics/prometheus/restclient`.

use std::sync::Arc;

use super::book::{Book, Named};
use crate::watch::api::{Counts, KindLabels, LatencyLabels, RequestLabels};

impl Named for RequestLabels {
    const NAMES: &'static [&'static str] = &["code", "host", "method"];
}

impl Named for LatencyLabels {
    const NAMES: &'static [&'static str] = &["verb", "host"];
}

impl Named for KindLabels {
    const NAMES: &'static [&'static str] = &["kind"];
}

pub(super) fn registered(book: &mut Book) -> Arc<Counts> {
    let counts = Counts::default();
    let text = "Requests to API servers by status, server and method";
    book.put("rest_client_requests_total", text, &counts.requests);
    let text = "Time of requests to API servers until their answer begins, by method and server";
    book.put("rest_client_request_duration_seconds", text, &counts.latencies);
    let text = "Whole lists from the API server: one of each kind at start, then where a watch can't go on";
    book.put("weir_api_lists_total", text, &counts.lists);
    book.put("weir_api_failures_total", "Lists and watches that failed", &counts.failures);
    let text = "Fields of objects from the API server that weir doesn't know and leaves aside, once for each version of an object";
    book.put("weir_api_unknown_fields_total", text, &counts.unknown_fields);
    let text = "Events about Services that came faster than they may be written";
    book.put("weir_api_events_left_out_total", text, &counts.events_left_out);
    Arc::new(counts)
}
