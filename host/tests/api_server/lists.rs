//! Lists and watches that go well.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use weir::watch::Key;
use weir::watch::api::read_api;
use weir::watch::rights::RIGHTS;
use weir_apiserver::{Fault, Resource, Settings};

use crate::cluster::{ACCOUNT, Cluster, Follower, service, slice};

/// Servers that stream lists, and servers that can't, each in its way.
async fn clusters() -> [Cluster; 3] {
    let paged = |streams_refused| {
        Cluster::with(Settings { streamed_lists: false, streams_refused, ..Settings::default() })
    };
    [Cluster::new().await, paged(422).await, paged(500).await]
}

#[tokio::test]
async fn everything_is_listed_once_then_what_changes_is_told() {
    for cluster in clusters().await {
        let server = &cluster.server;
        for i in 0..600 {
            server.put(service(&format!("web-{i}"), &format!("10.96.{}.{}", i / 250, i % 250 + 1)));
        }
        server.put(slice("web-0-a", "web-0", &json!({})));
        let mut follower = cluster.follow().await;
        follower.synced().await;
        assert_eq!(follower.services(), 600);
        assert!(follower.has("EndpointSlice shop/web-0-a") && follower.has("Namespace shop"));
        assert!(follower.has("Node here") && !follower.has("Node there"));
        follower.reset();
        server.put(service("late", "10.96.9.9"));
        server.put(service("web-7", "10.96.9.10"));
        assert!(server.remove(&Resource::services(), "shop", "web-8"));
        follower.until("three changes", |it| it.told.len() + it.gone.len() == 3).await;
        assert_eq!(follower.told(), ["Service shop/late", "Service shop/web-7"]);
        assert_eq!(follower.gone(), ["Service shop/web-8"]);
        assert_eq!(follower.synced, 1);
        assert_eq!(follower.ever, [""; 0]);
    }
}

#[tokio::test]
async fn nothing_is_whole_before_every_kind_is() {
    for slow in ["nodes", "namespaces", "services"] {
        for cluster in clusters().await {
            let resource = Resource::new("", "v1", slow);
            let delay = Fault::Delay(Duration::from_millis(700));
            cluster.server.fail(None, Some(&resource), 1, delay);
            let mut follower = cluster.follow().await;
            follower.linger(Duration::from_millis(400)).await;
            assert_eq!(follower.synced, 0, "{slow} are not listed yet");
            follower.synced().await;
        }
    }
}

#[tokio::test]
async fn a_watch_that_ends_or_is_cut_goes_on_where_it_was() {
    for cluster in clusters().await {
        let server = &cluster.server;
        server.put(service("web", "10.96.0.1"));
        let mut follower = cluster.follow().await;
        follower.synced().await;
        drop(server.asked());
        for (round, cut) in [true, false, true].into_iter().enumerate() {
            follower.reset();
            if cut {
                server.cut();
            } else {
                server.end_watches();
            }
            server.put(service("web", &format!("10.96.1.{}", round + 1)));
            follower.until("the change", |it| !it.told.is_empty()).await;
            assert_eq!(follower.told(), ["Service shop/web"]);
        }
        let asked = server.asked();
        let anew = |it: &&weir_apiserver::Asked| {
            it.verb == "list" || it.query.contains("sendInitialEvents")
        };
        assert_eq!(asked.iter().find(anew), None, "nothing was listed again");
        assert!(follower.gone().is_empty());
    }
}

#[tokio::test]
async fn a_version_too_old_is_listed_again_without_a_flap() {
    for cluster in clusters().await {
        let server = &cluster.server;
        for i in 1..=300 {
            server.put(service(&format!("web-{i}"), &format!("10.96.{}.{}", i / 250, i % 250 + 1)));
        }
        let mut follower = cluster.follow().await;
        follower.synced().await;
        follower.reset();
        // What happens meanwhile is seen by the list alone.
        server.fail(None, Some(&Resource::services()), 2, Fault::Close);
        server.cut();
        server.put(service("web-3", "10.96.8.8"));
        server.put(service("late", "10.96.9.9"));
        assert!(server.remove(&Resource::services(), "shop", "web-4"));
        server.forget();
        follower.until("three changes", |it| it.told.len() + it.gone.len() >= 3).await;
        follower.linger(Duration::from_millis(300)).await;
        assert_eq!(
            follower.told().into_iter().collect::<BTreeSet<_>>(),
            ["Service shop/late", "Service shop/web-3"].map(str::to_owned).into()
        );
        assert_eq!(follower.told.len(), 2, "each once");
        assert_eq!(follower.gone(), ["Service shop/web-4"]);
        assert_eq!(follower.services(), 300);
        assert!(follower.problems.is_empty(), "{:?}", follower.problems);
    }
}

#[tokio::test]
async fn a_kind_that_isnt_served_is_none_until_it_is() {
    let cidrs = Resource::new("networking.k8s.io", "v1", "servicecidrs");
    let cluster =
        Cluster::with(Settings { unserved: [cidrs.clone()].into(), ..Settings::default() }).await;
    let mut follower = cluster.follow().await;
    follower.synced().await;
    assert_eq!(follower.ever, [""; 0]);

    let cluster = Cluster::new().await;
    cluster.server.put(json!({"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes"}, "spec": {"cidrs": ["10.96.0.0/16"]}}));
    cluster.server.fail(None, Some(&cidrs), 3, Fault::Status(404, "not found".to_owned()));
    let mut follower = cluster.follow().await;
    follower.synced().await;
    follower.until("it is served", |it| it.has("ServiceCIDR kubernetes")).await;

    // Away after an outage, as where its version is served no more: that's no outage.
    let cluster = Cluster::new().await;
    let mut follower = cluster.follow().await;
    follower.synced().await;
    let unavailable = Fault::Status(503, "apiserver not ready".to_owned());
    cluster.server.fail(None, Some(&cidrs), 1_000_000, unavailable);
    cluster.server.cut();
    follower.until("it is told", |it| !it.problems.is_empty()).await;
    cluster.server.heal();
    cluster.server.fail(None, Some(&cidrs), 1_000_000, Fault::Status(404, "gone".to_owned()));
    follower.until("all is well", |it| it.problems.is_empty()).await;
}

#[tokio::test]
async fn only_slices_that_are_ours_are_followed() {
    let proxy = "service.kubernetes.io/service-proxy-name";
    let headless = "service.kubernetes.io/headless";
    for (name, ours) in [(None, "plain"), (Some("weir"), "weirs")] {
        let cluster = Cluster::new().await;
        let server = &cluster.server;
        server.put(slice("plain", "web", &json!({})));
        server.put(slice("weirs", "web", &json!({ proxy: "weir" })));
        server.put(slice("others", "web", &json!({ proxy: "other" })));
        server.put(slice("headless", "web", &json!({ headless: "" })));
        for (label, name, address) in
            [(proxy, "other", "10.96.0.7"), (headless, "beheaded", "10.96.0.8")]
        {
            let mut labelled = service(name, address);
            // The headless label counts by its name, whatever its value.
            labelled["metadata"]["labels"] = json!({ label: "other" });
            server.put(labelled);
        }
        let mut settings = cluster.settings();
        settings.proxy_name = name.map(str::to_owned);
        let mut follower = Follower::new(settings).await;
        follower.synced().await;
        for slice in ["plain", "weirs", "others", "headless"] {
            assert_eq!(
                follower.has(&format!("EndpointSlice shop/{slice}")),
                slice == ours,
                "{slice}"
            );
        }
        assert!(follower.has("Service shop/other"), "its address is in use");
        assert!(!follower.has("Service shop/beheaded"), "nobody is to serve it");
        // A Service that gets the label goes, and one that loses it comes.
        let mut beheaded = service("other", "10.96.0.7");
        beheaded["metadata"]["labels"] = json!({ headless: "" });
        server.put(beheaded);
        server.put(service("beheaded", "10.96.0.8"));
        follower.until("it comes", |it| it.has("Service shop/beheaded")).await;
        follower.until("it goes", |it| !it.has("Service shop/other")).await;
        follower.reset();
        // What is labelled away goes.
        server.put(slice(ours, "web", &json!({ proxy: "third" })));
        follower.until("it goes", |it| !it.gone.is_empty()).await;
        assert_eq!(follower.gone(), [format!("EndpointSlice shop/{ours}")]);
    }
}

#[tokio::test]
async fn it_can_be_read_once() {
    let cluster = Cluster::new().await;
    cluster.server.put(service("web", "10.96.0.1"));
    let reading = read_api(&cluster.settings(), Duration::from_secs(30)).await.unwrap();
    let mut read: Vec<String> = reading.changes.iter().map(|it| Key::of(it).to_string()).collect();
    read.sort_unstable();
    assert_eq!(read, ["Namespace shop", "Node here", "Service shop/web"]);
    cluster.server.fail(None, None, 1_000_000, Fault::Status(503, "not now".to_owned()));
    let late = read_api(&cluster.settings(), Duration::from_millis(500)).await.unwrap_err();
    assert!(late.to_string().contains("not now"), "{late}");
    assert!(!late.to_string().contains("again"), "nobody asks again: {late}");
}

/// Who reads once and is refused need not wait to hear it: where, as whom, and what.
#[tokio::test]
async fn a_refusal_ends_the_reading_at_once() {
    const LONG: Duration = Duration::from_secs(3600);
    for (code, message) in [(401, "Unauthorized"), (403, "not you")] {
        let cluster = Cluster::new().await;
        cluster.server.fail(None, None, 1_000_000, Fault::Status(code, message.to_owned()));
        let token = cluster.account.path().join("token");
        std::fs::write(&token, crate::cluster::token(1)).unwrap();
        let settings = cluster.settings();
        let read = read_api(&settings, LONG);
        let read = tokio::time::timeout(Duration::from_secs(60), read).await.unwrap();
        let refused = read.unwrap_err().to_string();
        let (url, code) = (cluster.server.url(), code.to_string());
        for part in [&*url, ACCOUNT, &*token.to_string_lossy(), &*code, message] {
            assert!(refused.contains(part), "{part}: {refused}");
        }
        for kind in ["Service", "EndpointSlice", "Namespace", "Node"] {
            assert!(refused.contains(&format!("API server, {kind}: ")), "{kind}: {refused}");
        }
        assert!(!refused.contains("again"), "nobody asks again: {refused}");
    }
    // What weir can do without may be refused.
    let cluster = Cluster::new().await;
    let cidrs = Resource::new("networking.k8s.io", "v1", "servicecidrs");
    cluster.server.fail(None, Some(&cidrs), 1_000_000, Fault::Status(403, "not you".to_owned()));
    let reading = read_api(&cluster.settings(), Duration::from_secs(60)).await.unwrap();
    assert_eq!(reading.changes.len(), 2, "the namespace and the node");
}

/// The ClusterRole in deploy/ grants what is in [`RIGHTS`]: all of it is asked, and nothing else.
#[tokio::test]
async fn what_is_asked_is_what_the_role_grants() {
    let mut asked = BTreeSet::new();
    for cluster in clusters().await {
        let mut follower = cluster.follow().await;
        follower.synced().await;
        cluster.server.cut();
        cluster.server.forget();
        follower.tell("Once");
        follower.tell("Once");
        follower.linger(Duration::from_millis(500)).await;
        asked.extend(cluster.server.asked().into_iter().map(|it| (it.resource, it.verb)));
    }
    let granted = RIGHTS.iter().flat_map(|right| {
        let dot = if right.group.is_empty() { "" } else { "." };
        let resource = format!("{}{dot}{}", right.resource, right.group);
        right.verbs.iter().map(move |verb| (resource.clone(), (*verb).to_owned()))
    });
    assert_eq!(asked, granted.collect());
}
