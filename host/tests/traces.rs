//! What each build makes of an environment that asks for traces.

#[path = "../src/sent.rs"]
mod sent;

use weir::config::Config;
use weir::traces::{Open, Traces, without};

const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");

/// In words, what a build makes of these variables.
fn made(open: Open, variables: &[(&str, &str)]) -> String {
    let get = |name: &str| {
        variables.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned())
    };
    match open(&Config::default(), &get) {
        Traces::Unasked => "unasked".to_owned(),
        Traces::NotBuilt(variable) => format!("not built: {variable}"),
        Traces::Broken(error) => format!("broken: {error}"),
        Traces::Sent(endpoint, _) => format!("sent: {endpoint}"),
    }
}

#[test]
fn an_environment_that_asks_for_nothing_is_told_of_nothing_in_both_builds() {
    let unasked: [&[_]; 4] = [
        &[],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")],
        &[ENDPOINT, ("OTEL_SDK_DISABLED", "true")],
        &[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")],
    ];
    for variables in unasked {
        assert_eq!(made(without, variables), "unasked", "{variables:?}");
        assert_eq!(made(sent::open, variables), "unasked", "{variables:?}");
    }
}

#[test]
fn a_build_without_traces_names_the_variable_that_asks_for_them() {
    let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t");
    assert_eq!(made(without, &[ENDPOINT]), format!("not built: {}", ENDPOINT.0));
    assert_eq!(made(without, &[ENDPOINT, traces]), format!("not built: {}", traces.0));
}

#[test]
fn a_build_with_traces_says_where_they_go_or_why_they_dont() {
    assert_eq!(made(sent::open, &[ENDPOINT]), "sent: http://127.0.0.1:4318/v1/traces");
    let broken = made(sent::open, &[ENDPOINT, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]);
    assert!(broken.starts_with("broken: OTEL_EXPORTER_OTLP_PROTOCOL: grpc"), "{broken}");
    let tls = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://127.0.0.1:4318");
    let broken = made(sent::open, &[tls, ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/not/there")]);
    assert!(broken.starts_with("broken: the certificates /not/there: "), "{broken}");
}
