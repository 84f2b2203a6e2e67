//! Tokens and CAs that are wrong, or are rotated.

use std::time::Duration;

use serde_json::json;
use weir::watch::api::Credentials;
use weir_apiserver::{Authority, Server, Settings};

use crate::cluster::{ACCOUNT, Cluster, Follower, service, token, write_account};

#[tokio::test]
async fn a_token_that_is_refused_is_told_and_a_new_one_is_found() {
    let cluster =
        Cluster::with(Settings { tokens: [token(1)].into(), ..Settings::default() }).await;
    let server = &cluster.server;
    let file = cluster.account.path().join("token");
    std::fs::write(&file, token(1)).unwrap();
    let mut follower = cluster.follow().await;
    follower.synced().await;
    server.accept(&[&token(2)]);
    server.cut();
    follower.until("it is told", |it| !it.problems.is_empty()).await;
    let told = follower.ever[0].clone();
    for part in [&server.url(), ACCOUNT, &*file.to_string_lossy(), "401", "renew them"] {
        assert!(told.contains(part), "{told}");
    }
    std::fs::write(&file, format!("{}\n", token(2))).unwrap();
    server.put(service("late", "10.96.0.1"));
    follower.until("it goes on", |it| it.has("Service shop/late")).await;
    follower.until("all is well", |it| it.problems.is_empty()).await;
}

#[tokio::test]
async fn a_ca_that_is_replaced_is_found() {
    let mut cluster = Cluster::new().await;
    let mut follower = cluster.follow().await;
    follower.synced().await;
    follower.reset();
    let authority = Authority::new("second").unwrap();
    cluster.server.stop().await;
    let address = cluster.server.url().trim_start_matches("https://").parse().unwrap();
    let server = cluster.server.under(&authority, address).await.unwrap();
    server.put(service("late", "10.96.0.1"));
    follower.until("it is told", |it| it.ever.iter().any(|it| it.contains("certificate"))).await;
    follower.linger(Duration::from_millis(200)).await;
    assert!(follower.told().is_empty(), "a stranger isn't believed");
    write_account(cluster.account.path(), "first", authority.pem());
    follower.until("it goes on", |it| it.has("Service shop/late")).await;
    follower.until("all is well", |it| it.problems.is_empty()).await;
}

#[tokio::test]
async fn a_kubeconfig_says_where_and_as_whom() {
    let cluster =
        Cluster::with(Settings { tokens: ["first".to_owned()].into(), ..Settings::default() })
            .await;
    let folder = cluster.account.path();
    let kubeconfig = |token: &str| {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "own", "user": "weir"}}],
            "clusters": [{"name": "own", "cluster": {"server": cluster.server.url(), "certificate-authority": "ca.crt"}}],
            "users": [{"name": "weir", "user": {"token": token}}],
        })
        .to_string()
    };
    let file = folder.join("kubeconfig");
    std::fs::write(&file, kubeconfig("first")).unwrap();
    let mut settings = cluster.settings();
    settings.access.credentials = Credentials::Kubeconfig(file.clone());
    settings.access.servers.clear();
    let mut follower = Follower::new(settings).await;
    follower.synced().await;
    // A kubeconfig is read again as a token's file is.
    cluster.server.accept(&["second"]);
    cluster.server.cut();
    follower.until("it is told", |it| !it.problems.is_empty()).await;
    let told = &follower.ever[0];
    let identity = format!("asked as user weir of kubeconfig {}: 401", file.display());
    assert!(told.contains(&identity), "{told}");
    std::fs::write(&file, kubeconfig("second")).unwrap();
    cluster.server.put(service("late", "10.96.0.1"));
    follower.until("it goes on", |it| it.has("Service shop/late")).await;
}

#[tokio::test]
async fn a_server_for_another_name_isnt_believed() {
    let cluster = Cluster::new().await;
    let other =
        Server::start(Settings::default(), &Authority::new("other").unwrap()).await.unwrap();
    let mut follower =
        Follower::new(crate::cluster::settings(cluster.account.path(), &[&other])).await;
    follower.until("it is told", |it| !it.problems.is_empty()).await;
    assert!(follower.ever[0].contains("certificate"), "{:?}", follower.ever);
    assert_eq!(follower.synced, 0);
}
