//! Lists and watches that end where they mustn't: half-way, inside a line, between two pages, or never.

use std::time::Duration;

use serde_json::json;
use weir_apiserver::{Asked, Fault, Resource, Settings};

use crate::cluster::{Cluster, Follower, PATIENCE, service};

/// Services enough for two pages, and a byte in the midst of them.
const MANY: usize = 300;
const MIDST: usize = 30_000;

/// Servers that stream lists, and servers that don't know how, with so many services.
async fn clusters() -> [Cluster; 2] {
    let paged = Settings { streamed_lists: false, ..Settings::default() };
    let both = [Cluster::new().await, Cluster::with(paged).await];
    for cluster in &both {
        for i in 0..MANY {
            let address = format!("10.96.{}.{}", i / 250, i % 250 + 1);
            cluster.server.put(service(&format!("web-{i}"), &address));
        }
    }
    both
}

fn is_list(asked: &Asked) -> bool {
    asked.resource == "services"
        && (asked.verb == "list" || asked.query.contains("sendInitialEvents"))
}

/// Lingers until services were asked for anew so many times.
async fn listed(cluster: &Cluster, follower: &mut Follower, times: usize) {
    let mut seen = 0;
    for _ in 0..1000 {
        seen += cluster.server.asked().iter().filter(|it| is_list(it)).count();
        if seen >= times {
            return;
        }
        follower.linger(Duration::from_millis(20)).await;
    }
    panic!("{seen} lists of {times}");
}

/// What changes while nobody watches, seen by the list alone.
fn changes_unseen(cluster: &Cluster) {
    let server = &cluster.server;
    server.put(service("late", "10.96.9.9"));
    assert!(server.remove(&Resource::services(), "shop", "web-4"));
    server.forget();
    server.cut();
}

/// Nothing but these changes was told, each once.
async fn only_what_changed(follower: &mut Follower, how: &str) {
    follower.until("what is new", |it| it.has("Service shop/late")).await;
    follower.until("what is gone", |it| !it.gone.is_empty()).await;
    // Of other kinds the watches were cut as often, in less than a second: that is told for longer.
    let is_well = |it: &Follower| !it.problems.iter().any(|it| it.contains("API server, Service:"));
    follower.until("all is well", is_well).await;
    follower.linger(Duration::from_millis(200)).await;
    assert_eq!(follower.told(), ["Service shop/late"], "{how}");
    assert_eq!(follower.gone(), ["Service shop/web-4"], "{how}");
    assert_eq!(follower.services(), MANY, "{how}");
}

#[tokio::test]
async fn a_list_that_is_cut_half_way_again_and_again_removes_nothing() {
    // What is paged is cut in its first page, then in its second.
    for (cluster, then) in clusters().await.into_iter().zip(["list", "page"]) {
        let mut follower = cluster.follow().await;
        follower.synced().await;
        follower.reset();
        drop(cluster.server.asked());
        let services = Resource::services();
        cluster.server.fail(Some("list"), Some(&services), 2, Fault::Cut(MIDST));
        cluster.server.fail(Some(then), Some(&services), 1_000_000, Fault::Cut(MIDST / 10));
        changes_unseen(&cluster);
        listed(&cluster, &mut follower, 6).await;
        assert_eq!(follower.gone(), [""; 0], "what half a list doesn't show isn't gone");
        assert_eq!(follower.services(), MANY + usize::from(follower.has("Service shop/late")));
        cluster.server.heal();
        cluster.server.cut();
        only_what_changed(&mut follower, "cut").await;
    }
}

#[tokio::test]
async fn a_list_that_stalls_in_the_middle_is_begun_anew_and_removes_nothing() {
    for cluster in clusters().await {
        let services = Resource::services();
        cluster.server.fail(Some("list"), Some(&services), 1, Fault::Stall(MIDST));
        let mut follower = cluster.follow().await;
        follower.linger(PATIENCE.silence).await;
        assert_eq!(follower.synced, 0, "half a list isn't everything");
        follower.synced().await;
        let stalled = |it: &Follower| it.ever.iter().any(|it| it.contains("makes no progress"));
        assert!(stalled(&follower), "{:?}", follower.ever);
        assert_eq!(follower.services(), MANY);
        follower.until("all is well", |it| it.problems.is_empty()).await;
        assert_eq!(follower.failures("Service"), 1, "it is counted");

        follower.reset();
        follower.ever.clear();
        cluster.server.fail(Some("list"), Some(&services), 1, Fault::Stall(MIDST));
        changes_unseen(&cluster);
        follower.until("it is told", stalled).await;
        assert_eq!(follower.gone(), [""; 0]);
        only_what_changed(&mut follower, "stalled").await;
    }
}

#[tokio::test]
async fn a_list_whose_next_page_is_too_old_begins_anew() {
    let paged = Settings { streamed_lists: false, ..Settings::default() };
    let cluster = Cluster::with(paged).await;
    for i in 0..MANY {
        cluster
            .server
            .put(service(&format!("web-{i}"), &format!("10.96.{}.{}", i / 250, i % 250 + 1)));
    }
    let services = Resource::services();
    let late = Fault::Delay(Duration::from_millis(400));
    cluster.server.fail(Some("page"), Some(&services), 1, late.clone());
    let mut follower = cluster.follow().await;
    next_page(&cluster, &mut follower).await;
    // The first page showed it: what is listed is what is there in the end.
    assert!(cluster.server.remove(&services, "shop", "web-0"));
    cluster.server.forget();
    follower.synced().await;
    assert_eq!(follower.services(), MANY - 1);
    assert!(!follower.has("Service shop/web-0"));

    cluster.server.put(service("web-0", "10.96.0.251"));
    follower.until("as many as before", |it| it.services() == MANY).await;
    follower.reset();
    drop(cluster.server.asked());
    cluster.server.fail(Some("page"), Some(&services), 1, late);
    changes_unseen(&cluster);
    next_page(&cluster, &mut follower).await;
    cluster.server.forget();
    only_what_changed(&mut follower, "410").await;
    listed(&cluster, &mut follower, 2).await;
}

/// Lingers until a second page was asked for.
async fn next_page(cluster: &Cluster, follower: &mut Follower) {
    for _ in 0..1000 {
        if cluster.server.asked().iter().any(|it| it.query.contains("continue=")) {
            return;
        }
        follower.linger(Duration::from_millis(5)).await;
    }
    panic!("no second page was asked for");
}

#[tokio::test]
async fn half_a_line_is_no_change_and_loses_none() {
    let half = "{\"type\": \"MODIFIED\", \"object\": {\"kind\": \"Service\", \"apiVersion\": \"v1\", \
                \"metadata\": {\"name\": \"web-1\", \"namespace\": \"shop\", \"resourceVer";
    for (how, is_cut) in [("cut off", true), ("ended in good order", false)] {
        for cluster in clusters().await {
            let server = &cluster.server;
            let mut follower = cluster.follow().await;
            follower.synced().await;
            follower.reset();
            drop(server.asked());
            server.say_part(&Resource::services(), half);
            follower.linger(Duration::from_millis(100)).await;
            if is_cut {
                server.cut();
            } else {
                server.end_watches();
            }
            server.put(service("web-1", "10.96.9.1"));
            follower.until("the change", |it| !it.told.is_empty()).await;
            follower.until("all is well", |it| it.problems.is_empty()).await;
            follower.linger(Duration::from_millis(200)).await;
            assert_eq!(follower.told(), ["Service shop/web-1"], "{how}: once");
            assert_eq!(follower.gone(), [""; 0], "{how}");
            // After an orderly end, half a line may be taken for a whole one that can't be read, and
            // a list then shows what it was.
            let is_listed = server.asked().iter().any(is_list);
            assert!(!is_cut || !is_listed, "{how}: it goes on where it was");
        }
    }
}

/// Follows a quiet kind while much else happens, loses the connection after compaction, and says
/// which kinds were listed anew.
async fn listed_after_compaction(bookmarks: Duration) -> Vec<String> {
    let cluster = Cluster::with(Settings { bookmarks, ..Settings::default() }).await;
    let server = &cluster.server;
    server.put(service("web", "10.96.0.1"));
    let mut follower = cluster.follow().await;
    follower.synced().await;
    follower.reset();
    for day in 0..20 {
        let labels = json!({ "day": day.to_string() });
        server.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "there", "labels": labels}}));
    }
    follower.linger(Duration::from_secs(1)).await;
    server.compact();
    drop(server.asked());
    server.cut();
    server.put(service("web", "10.96.0.2"));
    follower.until("the change", |it| !it.told.is_empty()).await;
    follower.linger(Duration::from_millis(500)).await;
    assert_eq!(follower.told(), ["Service shop/web"]);
    assert_eq!(follower.gone(), [""; 0]);
    let asked = server.asked();
    assert!(asked.iter().any(|it| it.resource == "services"), "it came again");
    let lists = asked.iter().filter(|it| is_list(it));
    lists.map(|it| it.resource.clone()).collect()
}

#[tokio::test]
async fn bookmarks_keep_a_quiet_watch_from_growing_too_old() {
    let none: [&str; 0] = [];
    assert_eq!(listed_after_compaction(Duration::from_millis(50)).await, none);
    let without = listed_after_compaction(Duration::from_secs(3600)).await;
    assert!(!without.is_empty(), "without them the same is too old: that is what they are for");
}
