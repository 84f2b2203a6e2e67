//! Defaults that nobody wrote down in the object itself.

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use weir_core::model::{ServiceType, TrafficPolicy};
use weir_core::net::Protocol;

use super::*;

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}

fn object<T: std::fmt::Debug>(converted: Converted<T>) -> T {
    assert_eq!(converted.faults, []);
    match converted.verdict {
        Verdict::Object(object) => object,
        other => panic!("{other:?}"),
    }
}

fn web(spec: core::ServiceSpec) -> core::Service {
    let port = core::ServicePort { port: 80, ..core::ServicePort::default() };
    let spec = core::ServiceSpec {
        cluster_ip: spec.cluster_ip.or_else(|| Some("10.96.0.1".to_owned())),
        ports: Some(vec![port]),
        ..spec
    };
    core::Service { metadata: named("web"), spec: Some(spec), status: None }
}

#[test]
fn a_service_of_few_words_gets_the_defaults_of_the_api() {
    let service = object(service(web(core::ServiceSpec::default())));
    assert_eq!(service.name.to_string(), "default/web");
    assert_eq!(service.kind, ServiceType::ClusterIP);
    assert_eq!(service.internal_policy, TrafficPolicy::Cluster);
    assert_eq!(service.external_policy, TrafficPolicy::Cluster);
    assert_eq!(service.affinity_seconds, None);
    assert_eq!(service.ports[0].protocol, Protocol::Tcp);
    assert_eq!(service.ports[0].name, "");
}

#[test]
fn affinity_times_are_kept_within_the_day() {
    let asked = |seconds: Option<i32>| {
        let client_ip = Some(core::ClientIPConfig { timeout_seconds: seconds });
        service(web(core::ServiceSpec {
            session_affinity: Some("ClientIP".to_owned()),
            session_affinity_config: Some(core::SessionAffinityConfig { client_ip }),
            ..core::ServiceSpec::default()
        }))
    };
    let cases = [
        (None, 10_800, 0),
        (Some(1), 1, 0),
        (Some(86_400), 86_400, 0),
        (Some(86_401), 86_400, 1),
        (Some(0), 1, 1),
        (Some(i32::MIN), 1, 1),
    ];
    for (seconds, want, faults) in cases {
        let got = asked(seconds);
        assert_eq!(got.faults.len(), faults, "{seconds:?}");
        let Verdict::Object(service) = got.verdict else { panic!("{seconds:?}") };
        assert_eq!(service.affinity_seconds, Some(want), "{seconds:?}");
    }
}

#[test]
fn conditions_that_are_not_set_have_defaults() {
    let cases = [
        ((None, None, None), (true, true, false)),
        ((Some(false), None, None), (false, true, false)),
        ((None, Some(false), Some(true)), (true, false, true)),
        ((Some(false), Some(true), Some(true)), (false, true, true)),
    ];
    for ((ready, serving, terminating), want) in cases {
        let conditions = discovery::EndpointConditions { ready, serving, terminating };
        let endpoint = discovery::Endpoint {
            addresses: vec!["10.0.0.1".to_owned(), "not looked at".to_owned()],
            conditions: Some(conditions),
            ..discovery::Endpoint::default()
        };
        let labels = [("kubernetes.io/service-name".to_owned(), "web".to_owned())];
        let slice = object(slice(discovery::EndpointSlice {
            address_type: "IPv4".to_owned(),
            endpoints: Some(vec![endpoint]),
            metadata: ObjectMeta { labels: Some(labels.into()), ..named("web-1") },
            ports: None,
        }));
        let got = &slice.endpoints[0];
        assert_eq!((got.ready, got.serving, got.terminating), want);
    }
}

#[test]
fn a_node_on_its_way_out_is_seen() {
    let mut from = core::Node { metadata: named("n"), ..core::Node::default() };
    assert!(!object(node(from.clone())).deleting);
    let epoch: jiff::Timestamp = "1970-01-01T00:00:00Z".parse().unwrap();
    from.metadata.deletion_timestamp = Some(epoch.into());
    assert!(object(node(from)).deleting);
}

#[test]
fn the_time_of_the_last_change_is_read_and_a_wrong_one_is_left_out() {
    let cases = [
        (Some("2023-11-14T22:13:20Z"), Some(1_700_000_000_000)),
        (Some("2023-11-14T22:13:20.25Z"), Some(1_700_000_000_250)),
        (Some("2023-11-14T23:13:20+01:00"), Some(1_700_000_000_000)),
        (Some("yesterday"), None),
        (Some("1960-01-01T00:00:00Z"), None),
        (Some(""), None),
        (None, None),
    ];
    for (written, want) in cases {
        let labels = [("kubernetes.io/service-name".to_owned(), "web".to_owned())];
        let key = "endpoints.kubernetes.io/last-change-trigger-time".to_owned();
        let annotations = written.map(|it| [(key, it.to_owned())].into());
        let metadata = ObjectMeta { labels: Some(labels.into()), annotations, ..named("web-1") };
        let from = discovery::EndpointSlice {
            address_type: "IPv4".to_owned(),
            metadata,
            ..discovery::EndpointSlice::default()
        };
        assert_eq!(object(slice(from)).last_change_trigger, want, "{written:?}");
    }
}
