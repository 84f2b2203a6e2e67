//! Spans against a collector that takes, refuses, stalls or isn't there.

use std::time::{Duration, Instant};

use tracing_subscriber::layer::SubscriberExt as _;
use weir_collector::Collector;
use weir_otel::{LAST_BATCH, Settings, Traces};

fn settings(endpoint: &str) -> Settings {
    let get = |name: &str| match name {
        "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(endpoint.to_owned()),
        "OTEL_EXPORTER_OTLP_TIMEOUT" => Some("1000".to_owned()),
        _ => None,
    };
    Settings::read(&get).expect("they can be followed").expect("they ask for traces")
}

/// What is done while spans go to this endpoint.
fn traced(endpoint: &str, work: impl FnOnce()) -> Traces {
    let traces = Traces::start(&settings(endpoint), &[("k8s.node.name", "node-1".to_owned())])
        .expect("a collector without TLS needs nothing");
    let subscriber = tracing_subscriber::registry().with(traces.layer());
    tracing::subscriber::with_default(subscriber, work);
    traces
}

fn outer_and_inner() {
    let outer = tracing::info_span!(target: "weir::test", "outer", services = 3, full = true);
    outer.in_scope(|| {
        let inner = tracing::info_span!(
            target: "weir::test", "inner", refused = tracing::field::Empty,
            otel.status_code = tracing::field::Empty
        );
        inner.record("refused", 2);
        inner.record("otel.status_code", "error");
        tracing::warn!(target: "weir::test", secret = "of a line", "a line of the log");
        tracing::info_span!(target: "hyper::client", "not ours").in_scope(|| {});
        tracing::debug_span!(target: "weir::test", "too much").in_scope(|| {});
    });
}

#[test]
fn spans_arrive_as_a_tree_with_their_attributes_and_what_they_are_of() {
    let collector = Collector::start().unwrap();
    traced(&collector.endpoint(), outer_and_inner).finish();
    let spans = collector.spans();
    let names: Vec<_> = spans.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["inner", "outer"], "weir's own alone");
    let (inner, outer) = (&spans[0], &spans[1]);
    assert_eq!((&inner.parent, &inner.trace), (&outer.id, &outer.trace));
    assert!(outer.parent.is_empty() && outer.began <= inner.began && inner.ended <= outer.ended);
    assert_eq!((outer.attribute("services"), outer.attribute("full")), (Some("3"), Some("true")));
    assert_eq!((inner.attribute("refused"), inner.failed), (Some("2"), true));
    assert_eq!((inner.events, outer.events), (0, 0), "what stands in lines stays in the log");
    assert_eq!(
        (outer.of("service.name"), outer.of("k8s.node.name")),
        (Some("weir"), Some("node-1"))
    );
    assert_eq!(outer.of("telemetry.sdk.language"), Some("rust"));
    let asked = collector.asked();
    assert_eq!(asked.iter().map(|it| it.path.as_str()).collect::<Vec<_>>(), ["/v1/traces"]);
}

#[test]
fn a_collector_with_tls_gets_spans_from_who_trusts_it_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let (collector, certificate) = Collector::start_tls().unwrap();
    let (_, anothers) = Collector::start_tls().unwrap();
    for (trusted, spans) in [(anothers, 0), (certificate, 2)] {
        std::fs::write(&file, trusted).unwrap();
        let mut settings = settings(&collector.endpoint());
        settings.authorities = Some(file.clone());
        let traces = Traces::start(&settings, &[]).unwrap();
        let subscriber = tracing_subscriber::registry().with(traces.layer());
        tracing::subscriber::with_default(subscriber, outer_and_inner);
        traces.finish();
        assert_eq!(collector.spans().len(), spans);
    }
}

#[test]
fn a_collector_that_isnt_there_refuses_or_stalls_holds_up_nobody() {
    let refusing = Collector::start().unwrap();
    refusing.refuse(Some(503));
    let stalling = Collector::start().unwrap();
    stalling.stall();
    // Nothing listens on a port that was let go.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for endpoint in [refusing.endpoint(), stalling.endpoint(), format!("http://{gone}")] {
        // More than the queue holds, and several batches of it.
        let traces = traced(&endpoint, || (0..10_000).for_each(|_| outer_and_inner()));
        let end = Instant::now();
        traces.finish();
        let patience = LAST_BATCH + Duration::from_secs(5);
        assert!(end.elapsed() < patience, "{endpoint}: {:?}", end.elapsed());
    }
    assert!(refusing.is_asked(1, Duration::ZERO) && stalling.is_asked(1, Duration::ZERO));
    assert!(refusing.spans().is_empty());
}
