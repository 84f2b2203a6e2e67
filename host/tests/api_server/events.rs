//! Events about Services.

use std::time::Duration;

use serde_json::Value;
use weir_apiserver::{Fault, Resource};

use crate::cluster::{Cluster, Follower};

fn resource() -> Resource {
    Resource::new("events.k8s.io", "v1", "events")
}

/// Waits until the Events that were written are as they should be.
async fn written(
    cluster: &Cluster,
    follower: &mut Follower,
    what: &str,
    good: impl Fn(&[Value]) -> bool,
) -> Vec<Value> {
    for _ in 0..1000 {
        let events = cluster.server.list(&resource());
        if good(&events) {
            return events;
        }
        follower.linger(Duration::from_millis(20)).await;
    }
    panic!("never came: {what}; {:?}", cluster.server.list(&resource()));
}

#[tokio::test]
async fn a_service_is_told_of_and_again_in_one_series() {
    let cluster = Cluster::new().await;
    let mut follower = cluster.follow().await;
    follower.synced().await;
    follower.tell("Offload");
    let event = written(&cluster, &mut follower, "an Event", |it| !it.is_empty()).await.remove(0);
    let regarding = &event["regarding"];
    for (field, want) in
        [("kind", "Service"), ("namespace", "shop"), ("name", "web"), ("uid", "1-2-3")]
    {
        assert_eq!(regarding[field], want, "{event}");
    }
    for (field, want) in [
        ("type", "Warning"),
        ("reason", "SetAside"),
        ("action", "Offload"),
        ("note", "port 80/tcp: offload: no"),
        ("reportingController", "weir.dev/weir"),
        ("reportingInstance", "here"),
    ] {
        assert_eq!(event[field], want, "{event}");
    }
    follower.tell("Offload");
    written(&cluster, &mut follower, "a series", |it| it[0]["series"]["count"] == 2).await;
}

#[tokio::test]
async fn a_flood_is_cut_and_a_refusal_holds_nothing_up() {
    let cluster = Cluster::new().await;
    let mut follower = cluster.follow().await;
    follower.synced().await;
    cluster.server.fail(Some("create"), Some(&resource()), 1, Fault::Status(403, "no".to_owned()));
    for namespace in ["bad", "shop", "late"] {
        for n in 0..40 {
            follower.tell_of(namespace, &format!("Action{n}"));
        }
    }
    written(&cluster, &mut follower, "nine Events", |it| it.len() >= 9).await;
    follower.linger(Duration::from_millis(300)).await;
    let events = cluster.server.list(&resource());
    let of = |name| events.iter().filter(|it| it["regarding"]["namespace"] == name).count();
    let all = (of("bad"), of("shop"), of("late"));
    assert_eq!(all, (4, 5, 0), "ten, five of one namespace, of which one was refused");
    let text = follower.metrics.text(weir::report::metrics::Format::Text).unwrap();
    assert!(text.contains("weir_api_events_left_out_total 110"), "{text}");
    assert!(follower.problems.is_empty(), "{:?}", follower.problems);
}
