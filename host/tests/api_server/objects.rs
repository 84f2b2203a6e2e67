//! Objects that are wrong.

use std::time::Duration;

use serde_json::json;
use weir_apiserver::Resource;

use crate::cluster::{Cluster, service};

#[tokio::test]
async fn a_malformed_object_is_told_and_the_others_go_on() {
    for streamed_lists in [true, false] {
        let settings = weir_apiserver::Settings { streamed_lists, ..Default::default() };
        let cluster = Cluster::with(settings).await;
        let server = &cluster.server;
        server.put(service("good", "10.96.0.1"));
        let mut bad = service("bad", "10.96.0.2");
        bad["spec"]["ports"] = json!([{"port": "http"}]);
        server.put(bad.clone());
        let mut follower = cluster.follow().await;
        follower.synced().await;
        assert!(follower.has("Service shop/good") && !follower.has("Service shop/bad"));
        let told = follower.problems.iter().next().unwrap().clone();
        assert!(told.starts_with("Service shop/bad: spec.ports[0].port: "), "{told}");
        server.put(service("bad", "10.96.0.2"));
        follower.until("it is mended", |it| it.problems.is_empty()).await;
        follower.until("and told", |it| it.has("Service shop/bad")).await;
        // What was good once stays in use.
        server.put(bad);
        follower.until("it is bad again", |it| !it.problems.is_empty()).await;
        let told = follower.problems.iter().next().unwrap().clone();
        assert!(told.ends_with("(the last good version stays in use)"), "{told}");
        assert!(follower.has("Service shop/bad"));
        assert!(server.remove(&Resource::services(), "shop", "bad"));
        follower.until("it goes with its problem", |it| it.problems.is_empty()).await;
        follower.until("it goes", |it| !it.has("Service shop/bad")).await;
    }
}

#[tokio::test]
async fn unknown_fields_are_left_aside_and_counted() {
    let cluster = Cluster::new().await;
    let mut new = service("new", "10.96.0.1");
    new["spec"]["mood"] = json!("good");
    cluster.server.put(new);
    let mut follower = cluster.follow().await;
    follower.synced().await;
    assert!(follower.has("Service shop/new"));
    cluster.server.say(&Resource::services(), "nonsense");
    follower.until("it is bad", |it| !it.problems.is_empty()).await;
    follower.until("it is listed again", |it| it.problems.is_empty()).await;
    follower.reset();
    let mut newer = service("new", "10.96.0.2");
    newer["spec"]["mood"] = json!("bad");
    cluster.server.put(newer);
    follower.until("its next version", |it| it.told.len() == 1).await;
    let text = follower.metrics.text(weir::report::metrics::Format::Text).unwrap();
    assert!(text.contains("weir_api_lists_total{kind=\"Service\"} 2"), "{text}");
    let want = "weir_api_unknown_fields_total{kind=\"Service\"} 2";
    assert!(text.contains(want), "one a version, however often it is listed: {text}");
    assert!(text.contains("rest_client_requests_total{code=\"200\",host=\"127.0.0.1:"), "{text}");
}

#[tokio::test]
async fn a_change_that_cant_be_read_is_found_by_a_list() {
    let cluster = Cluster::new().await;
    let server = &cluster.server;
    server.put(service("web", "10.96.0.1"));
    let mut follower = cluster.follow().await;
    follower.synced().await;
    follower.reset();
    for line in [
        "{\"type\": \"MODIFIED\", \"object\": oops",
        "nonsense",
        "{\"type\": \"DANCED\", \"object\": {}}",
    ] {
        drop(server.asked());
        server.say(&Resource::services(), line);
        let listed = || server.asked().iter().any(|it| it.query.contains("sendInitialEvents"));
        for _ in 0..200 {
            follower.linger(Duration::from_millis(20)).await;
            if listed() {
                break;
            }
        }
        follower.until("it is well again", |it| it.problems.is_empty()).await;
    }
    assert!(follower.ever.iter().all(|it| it.contains("can't be read")), "{:?}", follower.ever);
    assert!(!follower.ever.is_empty());
    assert_eq!((follower.told(), follower.gone()), (Vec::new(), Vec::new()), "nothing flapped");
    server.put(service("web", "10.96.0.2"));
    follower.until("what changes is told", |it| it.told.len() == 1).await;
}
