use std::collections::BTreeMap;

use weir_core::kernel::Traffic;

use super::proxy::LocalLabels;
use super::services::{DataplaneLabel, DataplaneLabels, FieldLabels, ThresholdLabels};
use super::traffic::ServicePortLabels;
use super::*;
use crate::watch::api::{KindLabels, LatencyLabels, RequestLabels};

/// Metrics of which every one has a sample.
fn sampled() -> Metrics {
    let metrics = Metrics::default();
    let proxy = &metrics.proxy;
    for histogram in
        [&proxy.sync_duration, &proxy.full_duration, &proxy.partial_duration, &proxy.programming]
    {
        histogram.observe(0.01);
    }
    proxy.healthz.get_or_create(&CodeLabels { code: 503 }).inc();
    proxy.livez.get_or_create(&CodeLabels { code: 200 }).inc();
    proxy.readyz.get_or_create(&CodeLabels { code: 200 }).inc();
    let labels = LocalLabels { ip_family: "IPv4", traffic_policy: "internal" };
    proxy.no_local_endpoints.get_or_create(&labels).inc();
    let labels = OperationLabels { operation: "add_virtual", outcome: "done" };
    metrics.kernel.operations.get_or_create(&labels).inc();
    metrics.kernel.count_checks((3, 1));
    let services = &metrics.services;
    services.ports.get_or_create(&DataplaneLabels { dataplane: DataplaneLabel::ipvs }).set(1);
    services.set_aside.get_or_create(&FieldLabels { field: "offload".to_owned() }).set(1);
    let labels = ThresholdLabels { after_packets: "20".to_owned() };
    services.thresholds.get_or_create(&labels).set(1);
    let [namespace, service, port] = ["shop", "web", "80/tcp"].map(str::to_owned);
    let labels = ServicePortLabels { namespace, service, port };
    metrics.traffic.offloaded_flows.get_or_create(&labels).set(1);
    metrics.traffic.add(&labels, &Traffic { connections: 2, bytes_in: 900, ..Traffic::default() });
    sample_api(&metrics.api);
    metrics.config.taken(1_767_323_045_250);
    metrics.policies.count(&[crate::report::status::stats_for_tests()]);
    metrics
}

fn sample_api(api: &Counts) {
    let [code, host, method] = ["200", "10.0.0.1:6443", "GET"].map(str::to_owned);
    let labels = LatencyLabels { verb: method.clone(), host: host.clone() };
    api.latencies.get_or_create(&labels).observe(0.01);
    api.requests.get_or_create(&RequestLabels { code, host, method }).inc();
    for family in [&api.lists, &api.failures, &api.unknown_fields] {
        family.get_or_create(&KindLabels { kind: "Service" }).inc();
    }
}

/// Names and label names of a text's samples.
fn samples(text: &str) -> BTreeMap<String, Vec<String>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let read = |line: &str| {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.trim_end_matches('}').split("\",").filter(|it| !it.is_empty());
        let names = labels.map(|it| it.split_once('=').unwrap().0.to_owned());
        (name.to_owned(), names.filter(|it| it != "le").collect())
    };
    lines.map(read).collect()
}

#[test]
fn the_list_says_what_is_exposed_in_either_format() {
    let metrics = sampled();
    for format in [Format::Text, Format::OpenMetrics] {
        let text = metrics.text(format).unwrap();
        let mut found = samples(&text);
        for Entry { name, kind, labels, .. } in metrics.entries() {
            let endings: &[&str] =
                if *kind == "histogram" { &["_bucket", "_count", "_sum"] } else { &[""] };
            for ending in endings {
                let got = found.remove(&format!("{name}{ending}"));
                assert_eq!(
                    got,
                    Some(labels.iter().map(ToString::to_string).collect()),
                    "{name}{ending}: {text}"
                );
            }
        }
        assert!(found.is_empty(), "not in the list: {found:?}");
    }
}

#[test]
fn the_older_format_names_families_as_their_samples_and_has_no_end() {
    let metrics = sampled();
    let text = metrics.text(Format::Text).unwrap();
    for Entry { name, kind, help, .. } in metrics.entries() {
        assert!(
            text.contains(&format!("# HELP {name} {help}.\n# TYPE {name} {kind}\n")),
            "{name}: {text}"
        );
    }
    assert!(!text.contains("# EOF"), "{text}");
    let newer = metrics.text(Format::OpenMetrics).unwrap();
    assert!(newer.ends_with("# EOF\n") && newer.contains("# TYPE weir_plan_operations counter\n"));
}

#[test]
fn a_scraper_gets_what_it_asks_for() {
    let prometheus = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    let cases = [
        (None, Format::Text),
        (Some("*/*"), Format::Text),
        (Some("text/plain"), Format::Text),
        (Some(prometheus), Format::OpenMetrics),
    ];
    for (header, want) in cases {
        assert_eq!(Format::accepted(header), want, "{header:?}");
    }
}

#[test]
fn names_that_dashboards_know_are_there() {
    let text = sampled().text(Format::Text).unwrap();
    for want in [
        "kubeproxy_sync_proxy_rules_duration_seconds_bucket{le=\"0.001\"} 0",
        "kubeproxy_network_programming_duration_seconds_bucket{le=\"0.25\"} 1",
        "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
        "weir_plan_operations_total{operation=\"add_virtual\",outcome=\"done\"} 1",
        "weir_draining_destinations 0",
        "kubeproxy_proxy_healthz_total{code=\"503\"} 1",
        "weir_health_check_sockets 3",
        "weir_health_check_sockets_failed 1",
    ] {
        assert!(text.contains(want), "{want}: {text}");
    }
}

#[test]
fn what_a_policy_counts_is_told_with_its_name() {
    let metrics = Metrics::default();
    let mut stats = crate::report::status::stats_for_tests();
    metrics.policies.count(std::slice::from_ref(&stats));
    stats.suspended = None;
    stats.tally.counters.insert("asked".to_owned(), 5);
    metrics.policies.count(&[stats]);
    let text = metrics.text(Format::Text).unwrap();
    for want in [
        "weir_policy_count_total{policy=\"balance\",name=\"asked\"} 5",
        "weir_policy_calls_total{policy=\"balance\"} 7",
        "weir_policy_stand_ins_total{policy=\"balance\"} 3",
        "weir_policy_dropped_lines_total{policy=\"balance\"} 7",
        "weir_policy_failures_total{policy=\"balance\",kind=\"fuel\"} 2",
        "weir_policy_suspended{policy=\"balance\"} 0",
        "weir_policy_suspended_namespaces{policy=\"balance\"} 1",
        "weir_policy_running_seconds_total{policy=\"balance\"} 0.25",
    ] {
        assert!(text.contains(want), "{want}: {text}");
    }
}
