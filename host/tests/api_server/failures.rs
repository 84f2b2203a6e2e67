//! Servers that fail: what is known holds, it is told, and it goes on where they come back.

use std::time::Duration;

use weir_apiserver::{Fault, Resource};

use crate::cluster::{Cluster, Follower, service, settings};

fn failures() -> [(&'static str, Fault); 8] {
    let status = |code, text: &str| Fault::Status(code, text.to_owned());
    [
        ("closes the connection", Fault::Close),
        ("is silent", Fault::Silence),
        ("says garbage", Fault::Garbage),
        ("is cut in the middle", Fault::Cut(40)),
        ("is overloaded", status(429, "too many requests")),
        ("has no etcd", status(500, "etcdserver: no leader")),
        ("starts", status(503, "apiserver not ready")),
        (
            "forbids",
            status(403, "services is forbidden: User \"a\" cannot list resource \"services\""),
        ),
    ]
}

#[tokio::test]
async fn a_server_that_fails_at_first_is_asked_until_it_answers() {
    for streamed_lists in [true, false] {
        for (how, fault) in failures() {
            let settings = weir_apiserver::Settings { streamed_lists, ..Default::default() };
            let cluster = Cluster::with(settings).await;
            cluster.server.put(service("web", "10.96.0.1"));
            cluster.server.fail(None, Some(&Resource::services()), 3, fault);
            let mut follower = cluster.follow().await;
            follower.synced().await;
            assert_eq!(follower.services(), 1, "{how}");
            follower.until("the problem is over", |it| it.problems.is_empty()).await;
        }
    }
}

#[tokio::test]
async fn an_outage_is_told_and_what_is_known_holds() {
    // One that is cut in the middle is begun anew where it was: no outage.
    let outages = failures().into_iter().filter(|(_, fault)| !matches!(fault, Fault::Cut(_)));
    for (how, fault) in outages {
        let cluster = Cluster::new().await;
        let server = &cluster.server;
        server.put(service("web", "10.96.0.1"));
        let mut follower = cluster.follow().await;
        follower.synced().await;
        follower.reset();
        server.fail(None, None, 1_000_000, fault);
        server.cut();
        follower.until("it is told", |it| !it.problems.is_empty()).await;
        let told = follower.ever[0].clone();
        assert!(told.contains(&server.url()), "{how}: {told}");
        server.put(service("late", "10.96.0.2"));
        follower.linger(Duration::from_millis(300)).await;
        assert!(follower.gone().is_empty() && follower.told().is_empty(), "{how}");
        server.heal();
        server.cut();
        follower.until("it goes on", |it| it.has("Service shop/late")).await;
        follower.until("all is well", |it| it.problems.is_empty()).await;
        assert_eq!(follower.told(), ["Service shop/late"], "{how}");
        assert!(follower.gone().is_empty(), "{how}");
    }
}

#[tokio::test]
async fn a_refused_watch_goes_on_where_it_was() {
    for code in [400, 422, 500, 503] {
        let cluster = Cluster::new().await;
        let server = &cluster.server;
        server.put(service("web", "10.96.0.1"));
        let mut follower = cluster.follow().await;
        follower.synced().await;
        drop(server.asked());
        let refused = Fault::Status(code, "not now".to_owned());
        server.fail(Some("watch"), Some(&Resource::services()), 2, refused);
        server.cut();
        server.put(service("late", "10.96.0.2"));
        follower.until("it goes on", |it| it.has("Service shop/late")).await;
        let asked = server.asked();
        let of_services = asked.iter().filter(|it| it.resource == "services");
        let anew = of_services
            .filter(|it| it.verb == "list" || it.query.contains("sendInitialEvents"))
            .map(|it| &it.query)
            .collect::<Vec<_>>();
        assert!(anew.is_empty(), "{code}: {anew:?}");
    }
}

#[tokio::test]
async fn watches_that_are_over_at_once_are_told_and_dont_wear_the_server_out() {
    let cluster = Cluster::new().await;
    let server = &cluster.server;
    let mut follower = cluster.follow().await;
    follower.synced().await;
    server.fail(Some("watch"), Some(&Resource::services()), 1_000_000, Fault::Empty);
    server.cut();
    follower.until("it is told", |it| !it.problems.is_empty()).await;
    assert!(follower.ever[0].contains("over as soon as they begin"), "{:?}", follower.ever);
    drop(server.asked());
    follower.linger(Duration::from_secs(1)).await;
    let asked = server.asked().len();
    assert!((1..=20).contains(&asked), "{asked} requests in a second");
    server.heal();
    server.put(service("late", "10.96.0.1"));
    follower.until("it goes on", |it| it.has("Service shop/late")).await;
}

#[tokio::test]
async fn a_server_that_restarts_is_found_again() {
    let mut cluster = Cluster::new().await;
    cluster.server.put(service("web", "10.96.0.1"));
    let mut follower = cluster.follow().await;
    follower.synced().await;
    follower.reset();
    cluster.server.stop().await;
    follower.until("it is told", |it| it.problems.len() == 5).await;
    for told in &follower.problems {
        assert!(told.contains("gives no answer") && told.contains("refused"), "{told}");
        assert!(told.ends_with("(the last good version stays in use)"), "{told}");
    }
    cluster.server.put(service("late", "10.96.0.2"));
    cluster.server.listen().await.unwrap();
    follower.until("it goes on", |it| it.has("Service shop/late")).await;
    follower.until("all is well", |it| it.problems.is_empty()).await;
    assert_eq!(
        (follower.told(), follower.gone()),
        (vec!["Service shop/late".to_owned()], Vec::new())
    );
}

#[tokio::test]
async fn where_one_server_fails_the_next_is_asked() {
    let mut first = Cluster::new().await;
    first.server.put(service("web", "10.96.0.1"));
    let second = first.server.replica().await.unwrap();
    let mut follower =
        Follower::new(settings(first.account.path(), &[&first.server, &second])).await;
    follower.synced().await;
    follower.reset();
    first.server.stop().await;
    second.put(service("late", "10.96.0.2"));
    follower.until("it goes on", |it| it.has("Service shop/late")).await;
    assert_eq!(
        (follower.told(), follower.gone()),
        (vec!["Service shop/late".to_owned()], Vec::new())
    );
    // And back, for the second fails like the first.
    first.server.listen().await.unwrap();
    drop(second);
    first.server.put(service("later", "10.96.0.3"));
    follower.until("it goes back", |it| it.has("Service shop/later")).await;
    follower.until("all is well", |it| it.problems.is_empty()).await;
}
