//! What operators watch by is whole: the list of metrics is current; every expression of the dashboard and
//! of the alerts can be parsed and names metrics and labels that exist; every alert has its runbook
//! entry and every entry its alert.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on has failed"
)]

#[path = "observability/evaluate.rs"]
mod evaluate;
#[path = "observability/expression.rs"]
mod expression;
#[path = "observability/kube_proxy.rs"]
mod kube_proxy;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use evaluate::{Series, firing};
use serde_json::Value;
use weir::report::metrics::Metrics;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect(path)
}

#[test]
fn the_list_of_metrics_is_current() {
    let page = read("docs/metrics.md");
    let (begin, end) = ("<!-- table: made from the code -->\n", "<!-- end of table -->");
    let (before, rest) = page.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let want = format!("{before}{begin}{}{end}{after}", Metrics::default().table());
    if std::env::var_os("BLESS").is_some() {
        fs::write(root().join("docs/metrics.md"), &want).unwrap();
        return;
    }
    assert_eq!(page, want, "docs/metrics.md is out of date (BLESS=1 rewrites it)");
}

/// One alert of the rules.
struct Alert {
    name: String,
    expr: String,
    rest: Value,
}

fn alerts() -> Vec<Alert> {
    let file: Value = serde_saphyr::from_str(&read("deploy/observability/alerts.yaml")).unwrap();
    let groups = file["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rules
        .map(|it| Alert { name: text(&it["alert"]), expr: text(&it["expr"]), rest: it.clone() })
        .collect()
}

/// Panel or variable, and its expression.
fn dashboard() -> Vec<(String, String)> {
    let board: Value = serde_json::from_str(&read("deploy/observability/dashboard.json")).unwrap();
    let mut found = Vec::new();
    for panel in board["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().into_iter().flatten() {
            found.push((title.to_owned(), target["expr"].as_str().unwrap().to_owned()));
        }
    }
    for variable in board["templating"]["list"].as_array().unwrap() {
        let query = variable["query"].as_str().unwrap();
        if let Some(of) = query.strip_prefix("label_values(") {
            let (expr, _) = of.rsplit_once(',').unwrap();
            found.push((variable["name"].as_str().unwrap().to_owned(), expr.to_owned()));
        }
    }
    found
}

#[test]
fn every_expression_names_metrics_and_labels_that_exist() {
    let metrics = Metrics::default();
    let mut known: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for entry in metrics.entries() {
        // What Prometheus adds itself.
        let labels = entry.labels.iter().copied().chain(["job", "instance"]);
        let labels: BTreeSet<&str> = labels.collect();
        if entry.kind == "histogram" {
            let with_le = labels.iter().copied().chain(["le"]).collect();
            known.insert(format!("{}_bucket", entry.name), with_le);
            known.insert(format!("{}_sum", entry.name), labels.clone());
            known.insert(format!("{}_count", entry.name), labels);
        } else {
            known.insert(entry.name.clone(), labels);
        }
    }
    known.insert("up".to_owned(), ["job", "instance"].into());
    let alerts = alerts().into_iter().map(|it| (it.name, it.expr));
    let mut seen = 0;
    for (name, expr) in alerts.chain(dashboard()) {
        for used in expression::uses(&name, &expr) {
            let labels = known.get(&used.metric);
            let labels = labels.unwrap_or_else(|| panic!("{name}: no metric {}", used.metric));
            let missing: Vec<_> =
                used.labels.iter().filter(|it| !labels.contains(it.as_str())).collect();
            assert!(missing.is_empty(), "{name}: {} has no labels {missing:?}", used.metric);
            seen += 1;
        }
    }
    assert!(seen > 60, "{seen}");
}

#[test]
fn every_alert_tells_what_to_do_and_every_runbook_entry_has_its_alert() {
    let alerts = alerts();
    let page = read("docs/runbooks.md");
    let entries: BTreeSet<&str> = page.lines().filter_map(|it| it.strip_prefix("## ")).collect();
    let names: BTreeSet<&str> = alerts.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, entries);
    assert_eq!(names.len(), alerts.len(), "a name twice");
    for Alert { name, rest, .. } in &alerts {
        let anchor = format!("docs/runbooks.md#{}", name.to_lowercase());
        assert_eq!(rest["annotations"]["runbook"], anchor.as_str(), "{name}");
        for field in ["summary", "description"] {
            assert!(rest["annotations"][field].as_str().is_some_and(|it| it.len() > 20), "{name}");
        }
        let severity = rest["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning", "info"].contains(&severity), "{name}: {severity}");
    }
}

#[test]
fn links_within_the_runbooks_lead_somewhere() {
    let page = read("docs/runbooks.md");
    for link in page.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        let found = page.lines().any(|it| it.to_lowercase() == format!("## {link}"));
        assert!(found, "{link}");
    }
}

/// The text of every source file below these folders, but of commands that only print.
fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("commands") {
            sources(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(fs::read_to_string(path).unwrap());
        }
    }
}

/// Whether a text logs this message at this level with these fields.
fn logs(text: &str, level: &str, message: &str, fields: &[&str]) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let quoted = format!("\"{message}\"");
    let mut calls = text.match_indices(&quoted).filter_map(|(at, _)| {
        let (before, _) = text.split_at(at);
        before.rsplit_once("tracing::")?.1.strip_prefix(level)?.strip_prefix("!(")
    });
    let has_all = |call: &str| {
        let words: BTreeSet<&str> = call.split(|c| !is_word(c)).collect();
        fields.iter().all(|field| words.contains(field))
    };
    calls.any(has_all)
}

#[test]
fn the_events_that_operators_wait_for_are_logged_so() {
    let mut texts = Vec::new();
    for folder in ["host/src", "host/otel/src", "host/policy/src"] {
        sources(&root().join(folder), &mut texts);
    }
    let page = read("docs/observability.md");
    let mut seen = 0;
    for line in page.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [level @ ("error" | "warn" | "info" | "debug"), message, fields, _] = cells[..] else {
            continue;
        };
        let message = message.trim_matches('`');
        let fields: Vec<&str> = fields.split(", ").filter(|it| !it.is_empty()).collect();
        let found = texts.iter().any(|text| logs(text, level, message, &fields));
        assert!(found, "nothing logs {level} `{message}` with {fields:?}");
        seen += 1;
    }
    assert!(seen > 15, "{seen}");
    let code = "tracing::warn!(%field, other = 1, \"it happened\")";
    assert!(logs(code, "warn", "it happened", &["field", "other"]));
    for (level, message, field) in
        [("info", "it happened", "field"), ("warn", "it", "field"), ("warn", "it happened", "fiel")]
    {
        assert!(!logs(code, level, message, &[field]), "{level} {message} {field}");
    }
}

#[test]
fn a_wrong_expression_is_found() {
    let used = expression::uses("one", "sum by (a) (rate(m_total{b=\"c\"}[5m])) > on (d) n");
    let found: Vec<_> = used.into_iter().map(|it| (it.metric, it.labels)).collect();
    let set = |labels: &[&str]| labels.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!(found, [("m_total".into(), set(&["a", "b", "d"])), ("n".into(), set(&["d"]))]);
    let bad = std::panic::catch_unwind(|| expression::uses("bad", "rate(m[5m]"));
    assert!(bad.is_err());
}

/// Series for which an alert fires, and such for which it keeps silent.
struct Case {
    alert: &'static str,
    fires: Vec<Series>,
    silent: Vec<Series>,
}

fn case(alert: &'static str, series: &str, fires: &[f64], silent: &[f64]) -> Case {
    let [fires, silent] = [fires, silent].map(|values| vec![Series::new(series, values)]);
    Case { alert, fires, silent }
}

/// Work has waited since then; 1,700,000,000 is now.
fn stalled(since: f64) -> Vec<Series> {
    vec![Series::new(r#"weir_sync_waiting_since_timestamp_seconds{instance="n1"}"#, &[since])]
}

/// Twenty changes within ten minutes, of which so many were slower than 30 s.
fn programming(slow: f64) -> Vec<Series> {
    let name = "kubeproxy_network_programming_duration_seconds_bucket";
    let bucket = |le: &str, count: f64| {
        let text = format!("{name}{{instance=\"n1\",le=\"{le}\"}}");
        Series::new(&text, &[0.0, 0.0, 0.0, 0.0, 0.0, count])
    };
    vec![
        bucket("1", 20.0 - slow),
        bucket("30", 20.0 - slow),
        bucket("60", 20.0),
        bucket("+Inf", 20.0),
    ]
}

fn failing(calls: f64, failures: f64) -> Vec<Series> {
    let labels = "instance=\"n1\",policy=\"p\"";
    vec![
        Series::new(&format!("weir_policy_calls_total{{{labels}}}"), &[0.0, calls]),
        Series::new(
            &format!("weir_policy_failures_total{{{labels},kind=\"fuel\"}}"),
            &[0.0, failures],
        ),
    ]
}

/// These, and so many refused objects on the same node.
fn refused_beside(mut series: Vec<Series>, refused: f64) -> Vec<Series> {
    series.push(Series::new(r#"weir_refused_objects{instance="n1"}"#, &[refused]));
    series
}

/// Lists and watches of these kinds fail.
fn failing_kinds(kinds: &[&str]) -> Vec<Series> {
    let series = |kind: &&str| {
        let labels = format!("kind=\"{kind}\",instance=\"n1\"");
        Series::new(&format!("weir_api_failures_total{{{labels}}}"), &[0.0, 3.0, 4.0])
    };
    kinds.iter().map(series).collect()
}

fn cases() -> Vec<Case> {
    let gauge = |alert, name| case(alert, name, &[0.0, 1.0], &[1.0, 0.0]);
    let not_gauge = |alert, name| case(alert, name, &[1.0, 0.0], &[0.0, 1.0]);
    vec![
        not_gauge("WeirDown", r#"up{job="weir",instance="n1"}"#),
        case(
            "WeirRestarting",
            r#"process_start_time_seconds{job="weir"}"#,
            &[1.0, 2.0, 3.0, 4.0, 5.0],
            &[1.0, 1.0, 2.0, 3.0, 4.0],
        ),
        not_gauge("WeirNotSynced", "weir_source_synced"),
        Case {
            alert: "WeirSyncStalled",
            fires: stalled(1.7e9 - 61.0),
            silent: stalled(1.7e9 - 60.0),
        },
        Case { alert: "WeirSyncStalled", fires: stalled(1.0), silent: stalled(0.0) },
        Case {
            alert: "WeirSyncStalled",
            fires: refused_beside(stalled(1.0), 0.0),
            silent: refused_beside(stalled(1.0), 1.0),
        },
        case(
            "WeirApiServerFailing",
            r#"weir_api_failures_total{kind="Service",instance="n1"}"#,
            &[0.0, 5.0, 5.0, 6.0, 6.0, 6.0],
            &[0.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0],
        ),
        case(
            "WeirApiServerFailing",
            r#"weir_api_failures_total{kind="Node",instance="n1"}"#,
            &[1.0, 2.0],
            &[7.0, 7.0],
        ),
        Case {
            alert: "WeirApiServerFailing",
            fires: failing_kinds(&["Event", "Node", "Service"]),
            silent: failing_kinds(&["Event"]),
        },
        case(
            "WeirUnhealthy",
            r#"kubeproxy_proxy_livez_total{code="503"}"#,
            &[3.0, 3.0, 4.0],
            &[4.0; 3],
        ),
        case(
            "WeirUnhealthy",
            r#"kubeproxy_proxy_livez_total{code="503"}"#,
            &[5.0, 1.0],
            &[5.0, 5.0],
        ),
        gauge("WeirRefusedObjects", "weir_refused_objects"),
        case("WeirDrift", "weir_drift_objects_total", &[7.0, 8.0], &[8.0, 8.0]),
        case("WeirCanNotLook", "weir_looks_failed_total", &[0.0, 1.0, 3.0], &[0.0, 1.0, 2.0]),
        Case { alert: "WeirProgrammingSlow", fires: programming(2.0), silent: programming(0.0) },
        Case {
            alert: "WeirPolicyFailing",
            fires: failing(100.0, 6.0),
            silent: failing(100.0, 4.0),
        },
        Case { alert: "WeirPolicyFailing", fires: failing(0.0, 1.0), silent: failing(0.0, 0.0) },
        not_gauge("WeirPolicyNotLoaded", r#"weir_policy_loaded{policy="p"}"#),
        case("WeirPolicySuspended", "weir_policy_suspended", &[1.0, 0.0], &[0.0, 0.0]),
        not_gauge("WeirConfigurationRefused", "weir_config_last_reload_successful"),
        gauge("WeirConfigurationNeedsRestart", "weir_config_fields_waiting_for_restart"),
        gauge("WeirServiceConflicts", "weir_service_conflicts"),
        gauge("WeirObjectProblems", "weir_object_problems"),
        gauge("WeirSysctlsWrong", "weir_sysctls_wrong"),
        gauge("WeirHealthCheckPortShut", "weir_health_check_sockets_failed"),
    ]
}

#[test]
fn alerts_fire_when_they_should_and_keep_silent_else() {
    let alerts = alerts();
    let mut tried = BTreeSet::new();
    for Case { alert: name, fires, silent } in cases() {
        let alert = alerts.iter().find(|it| it.name == name).expect(name);
        assert_eq!(firing(&alert.expr, &fires).len(), 1, "{name} fires");
        assert_eq!(firing(&alert.expr, &silent).len(), 0, "{name} keeps silent");
        assert_eq!(firing(&alert.expr, &[]).len(), 0, "{name} keeps silent about nobody");
        tried.insert(name);
    }
    let all: BTreeSet<&str> = alerts.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(tried, all, "every alert is tried");
}
