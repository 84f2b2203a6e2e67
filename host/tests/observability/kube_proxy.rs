//! Dashboards made for kube-proxy go on: what their panels ask is evaluated on what weir exposes.
//!
//! The panels are those of kubernetes-mixin's Proxy dashboard. One of its panels has no counterpart:
//! goroutines.

use weir::report::metrics::{CodeLabels, Format, Metrics};
use weir::watch::api::{LatencyLabels, RequestLabels};

use super::evaluate::{Series, shown};

/// Title, expression, and what it shows of [`later`].
fn panels() -> Vec<(&'static str, String, Option<f64>)> {
    let of = r#"{job="kube-proxy", instance=~"n.*"}"#;
    let with = |more: &str| format!(r#"{{job="kube-proxy", instance=~"n.*", {more}}}"#);
    let rate = |metric: &str, selector: &str| format!("sum(rate({metric}{selector}[5m]))");
    let p99 = |metric: &str, selector: &str, by: &str| {
        format!("histogram_quantile(0.99, sum(rate({metric}_bucket{selector}[5m])) by ({by}, le))")
    };
    let sync = "kubeproxy_sync_proxy_rules_duration_seconds";
    let programming = "kubeproxy_network_programming_duration_seconds";
    let latency = "rest_client_request_duration_seconds";
    let of_five_minutes = |count: f64| Some(count / 300.0);
    let mut all = vec![
        ("Up", r#"sum(up{job="kube-proxy"})"#.to_owned(), Some(1.0)),
        ("Rules Sync Rate", rate(&format!("{sync}_count"), of), of_five_minutes(2.0)),
        (
            "Rules Sync Latency",
            format!("histogram_quantile(0.99, rate({sync}_bucket{of}[5m]))"),
            Some(0.016),
        ),
        (
            "Network Programming Rate",
            rate(&format!("{programming}_count"), of),
            of_five_minutes(1.0),
        ),
        ("Network Programming Latency", p99(programming, of, "instance"), Some(3.0)),
        ("Post Request Latency", p99(latency, &with(r#"verb="POST""#), "verb"), Some(0.1)),
        ("Get Request Latency", p99(latency, &with(r#"verb="GET""#), "verb"), Some(0.025)),
        ("Memory", format!("process_resident_memory_bytes{of}"), None),
        ("CPU", format!("rate(process_cpu_seconds_total{of}[5m])"), None),
    ];
    for (code, count) in [("2..", 3.0), ("4..", 1.0), ("5..", 1.0)] {
        let selector = with(&format!("code=~\"{code}\""));
        all.push((
            "Kube API Request Rate",
            rate("rest_client_requests_total", &selector),
            of_five_minutes(count),
        ));
    }
    all
}

/// Series of kube-proxy's that other dashboards and alerts name, without the labels of its families.
const NAMES: [&str; 14] = [
    "kubeproxy_sync_full_proxy_rules_duration_seconds_count",
    "kubeproxy_sync_partial_proxy_rules_duration_seconds_count",
    "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
    "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
    "kubeproxy_sync_proxy_rules_endpoint_changes_pending",
    "kubeproxy_sync_proxy_rules_endpoint_changes_total",
    "kubeproxy_sync_proxy_rules_service_changes_pending",
    "kubeproxy_sync_proxy_rules_service_changes_total",
    r#"kubeproxy_proxy_healthz_total{code="200"}"#,
    r#"kubeproxy_proxy_livez_total{code="200"}"#,
    "process_start_time_seconds",
    "process_open_fds",
    "process_max_fds",
    "process_virtual_memory_bytes",
];

fn asked(metrics: &Metrics, method: &str, code: &str, took: f64) {
    let (host, method) = ("10.0.0.1:6443".to_owned(), method.to_owned());
    let labels = LatencyLabels { verb: method.clone(), host: host.clone() };
    metrics.api.latencies.get_or_create(&labels).observe(took);
    metrics
        .api
        .requests
        .get_or_create(&RequestLabels { code: code.to_owned(), host, method })
        .inc();
}

/// What a daemon exposes that has asked and answered everything once, then what it exposes later.
fn pages() -> [String; 2] {
    let metrics = Metrics::default();
    let everything = || {
        for (code, took) in [("200", 0.02), ("410", 0.01), ("503", 0.01)] {
            asked(&metrics, "GET", code, took);
        }
        asked(&metrics, "POST", "201", 0.06);
        metrics.proxy.sync_duration.observe(0.01);
        metrics.proxy.programming.observe(2.5);
        for answers in [&metrics.proxy.healthz, &metrics.proxy.livez] {
            answers.get_or_create(&CodeLabels { code: 200 }).inc();
        }
        metrics.text(Format::Text).unwrap()
    };
    let first = everything();
    metrics.proxy.sync_duration.observe(0.01);
    asked(&metrics, "GET", "200", 0.02);
    [first, everything()]
}

/// The name and labels of each line of a page, and its value.
fn samples(page: &str) -> impl Iterator<Item = (&str, f64)> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap()).map(|(it, value)| (it, value.parse().unwrap()))
}

/// What Prometheus has after two scrapes.
fn scraped() -> Vec<Series> {
    let [first, then] = pages();
    let of_target = r#"job="kube-proxy",instance="n1""#;
    let series = |((name, before), (same, after)): ((&str, f64), (&str, f64))| {
        assert_eq!(name, same, "both pages have the same lines");
        let labelled = match name.split_once('{') {
            Some((metric, labels)) => format!("{metric}{{{of_target},{labels}"),
            None => format!("{name}{{{of_target}}}"),
        };
        Series::new(&labelled, &[before, after])
    };
    let up = Series::new(&format!("up{{{of_target}}}"), &[1.0, 1.0]);
    samples(&first).zip(samples(&then)).map(series).chain([up]).collect()
}

#[test]
fn panels_made_for_kube_proxy_show_what_weir_does() {
    let all = scraped();
    for (title, expr, want) in panels() {
        let found = shown(&expr, &all);
        assert_eq!(found.len(), 1, "{title}: {expr}");
        if let Some(want) = want {
            let value = found[0].1;
            assert!((value - want).abs() < 1e-9, "{title}: {value}, not {want}: {expr}");
        }
    }
    for name in NAMES {
        assert_eq!(shown(name, &all).len(), 1, "{name}");
    }
    assert_eq!(
        shown(r#"go_goroutines{job="kube-proxy"}"#, &all).len(),
        0,
        "docs/metrics.md says so"
    );
}
