//! A cluster with a scripted API server, and somebody who follows it.
#![allow(clippy::unwrap_used, reason = "what tests stand on: a failure ends the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tempfile::TempDir;
use weir::report::events::Notice;
use weir::report::metrics::{Format, Metrics};
use weir::watch::api::{Access, Credentials, Followed, Patience, Settings, watch_api};
use weir::watch::{Event, Key};
use weir_apiserver::{Authority, Server};
use weir_core::model::Change;

/// A hang ends here, and fails the test.
const BOUND: Duration = Duration::from_secs(60);

pub(crate) const PATIENCE: Patience = Patience {
    first_pause: Duration::from_millis(10),
    longest_pause: Duration::from_millis(400),
    calm: Duration::from_secs(1),
    silence: Duration::from_millis(1500),
    unserved: Duration::from_millis(100),
};

/// An API server, and the folder of a ServiceAccount that it accepts.
pub(crate) struct Cluster {
    pub(crate) server: Server,
    pub(crate) account: TempDir,
}

impl Cluster {
    /// One with a namespace and a node, and with these settings.
    pub(crate) async fn with(settings: weir_apiserver::Settings) -> Self {
        let authority = Authority::new("first").unwrap();
        let server = Server::start(settings, &authority).await.unwrap();
        let account = TempDir::new().unwrap();
        write_account(account.path(), "first", authority.pem());
        server.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}));
        server.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "here"}}));
        server.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "there"}}));
        Self { server, account }
    }

    pub(crate) async fn new() -> Self {
        Self::with(weir_apiserver::Settings::default()).await
    }

    pub(crate) fn settings(&self) -> Settings {
        settings(self.account.path(), &[&self.server])
    }

    pub(crate) async fn follow(&self) -> Follower {
        Follower::new(self.settings()).await
    }
}

pub(crate) fn write_account(folder: &Path, token: &str, ca: &str) {
    std::fs::write(folder.join("token"), token).unwrap();
    std::fs::write(folder.join("ca.crt"), ca).unwrap();
}

/// Whose ServiceAccount [`token`]s are.
pub(crate) const ACCOUNT: &str = "system:serviceaccount:weir-system:weir";

/// A token as clusters make them, of [`ACCOUNT`].
pub(crate) fn token(number: u32) -> String {
    let claims = json!({ "iss": "https://kubernetes.default.svc", "sub": ACCOUNT, "iat": number });
    let [header, claims] =
        [r#"{"alg":"RS256"}"#, &claims.to_string()].map(|it| URL_SAFE_NO_PAD.encode(it));
    format!("{header}.{claims}.c2lnbmF0dXJl")
}

pub(crate) fn settings(account: &Path, servers: &[&Server]) -> Settings {
    let credentials = Credentials::ServiceAccount(account.to_owned());
    let servers = servers.iter().map(|server| server.url().parse().unwrap()).collect();
    Settings {
        access: Access { credentials, servers },
        node_name: "here".to_owned(),
        proxy_name: None,
        patience: PATIENCE,
    }
}

pub(crate) fn service(name: &str, address: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"},
           "spec": {"clusterIP": address, "clusterIPs": [address], "ports": [{"port": 80}]}})
}

pub(crate) fn slice(name: &str, service: &str, labels: &Value) -> Value {
    let mut all = json!({ "kubernetes.io/service-name": service });
    for (key, value) in labels.as_object().unwrap() {
        all[key] = value.clone();
    }
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
           "metadata": {"name": name, "namespace": "shop", "labels": all},
           "addressType": "IPv4", "ports": [{"port": 8080}],
           "endpoints": [{"addresses": ["10.244.0.1"]}]})
}

/// Somebody who takes in what the source tells.
pub(crate) struct Follower {
    followed: Followed,
    pub(crate) metrics: Metrics,
    /// The objects as they were told last.
    pub(crate) objects: BTreeMap<Key, Change>,
    /// Everything that was told of objects, in order.
    pub(crate) told: Vec<Key>,
    pub(crate) gone: Vec<Key>,
    pub(crate) synced: usize,
    pub(crate) problems: BTreeSet<String>,
    /// Every problem that ever was.
    pub(crate) ever: Vec<String>,
}

impl Follower {
    pub(crate) async fn new(settings: Settings) -> Self {
        let metrics = Metrics::default();
        let counts = Arc::clone(&metrics.api);
        let followed = watch_api(&settings, counts).await.unwrap();
        Self {
            followed,
            metrics,
            objects: BTreeMap::new(),
            told: Vec::new(),
            gone: Vec::new(),
            synced: 0,
            problems: BTreeSet::new(),
            ever: Vec::new(),
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Changes(changes) => {
                assert!(!changes.is_empty());
                for change in changes {
                    let key = Key::of(&change);
                    if key.gone() == change {
                        assert!(self.objects.remove(&key).is_some(), "{key} was never told");
                        self.gone.push(key);
                    } else {
                        self.told.push(key.clone());
                        self.objects.insert(key, change);
                    }
                }
            }
            Event::Synced => self.synced += 1,
            Event::Rescanned => {}
            Event::Report(report) => {
                assert!(!report.is_empty());
                for problem in &report.mended {
                    assert!(self.problems.remove(&problem.to_string()), "{problem}: never told");
                }
                for problem in &report.appeared {
                    self.ever.push(problem.to_string());
                    assert!(self.problems.insert(problem.to_string()), "{problem}: told twice");
                }
            }
        }
    }

    /// Has something told of Service shop/web.
    pub(crate) fn tell(&self, action: &str) {
        self.tell_of("shop", action);
    }

    /// Has something told of the Service `web` of a namespace.
    pub(crate) fn tell_of(&self, namespace: &str, action: &str) {
        let notice = Notice {
            service: weir_core::net::ObjectName::new(namespace, "web"),
            reason: "SetAside",
            action: action.to_owned(),
            note: "port 80/tcp: offload: no".to_owned(),
        };
        (self.followed.tell)(notice, Some("1-2-3".to_owned()));
    }

    /// Takes in what comes until this holds.
    pub(crate) async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let waits = async {
            while !holds(self) {
                let event = self.followed.events.recv().await;
                let event = event.expect("the source goes on for ever");
                self.take(event);
            }
        };
        if tokio::time::timeout(BOUND, waits).await.is_err() {
            panic!(
                "never came: {what}\nproblems: {:#?}\nobjects: {:?}\nsynced: {}",
                self.problems,
                self.objects.keys(),
                self.synced
            );
        }
    }

    /// Takes in what comes for a while, so that what must not come would be seen.
    pub(crate) async fn linger(&mut self, time: Duration) {
        let end = tokio::time::Instant::now() + time;
        while let Ok(event) = tokio::time::timeout_at(end, self.followed.events.recv()).await {
            self.take(event.expect("the source goes on for ever"));
        }
    }

    pub(crate) async fn synced(&mut self) {
        self.until("everything was listed", |it| it.synced == 1).await;
    }

    /// The value of a metric, with its labels as they are written.
    pub(crate) fn metric(&self, series: &str) -> u64 {
        let text = self.metrics.text(Format::Text).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }

    /// How many lists and watches of a kind have failed.
    pub(crate) fn failures(&self, kind: &str) -> u64 {
        self.metric(&format!("weir_api_failures_total{{kind=\"{kind}\"}}"))
    }

    pub(crate) fn services(&self) -> usize {
        self.objects.keys().filter(|key| matches!(key, Key::Service(_))).count()
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.objects.keys().any(|it| it.to_string() == key)
    }

    /// Forgets what was told so far, but not the objects.
    pub(crate) fn reset(&mut self) {
        self.told.clear();
        self.gone.clear();
    }

    pub(crate) fn told(&self) -> Vec<String> {
        self.told.iter().map(ToString::to_string).collect()
    }

    pub(crate) fn gone(&self) -> Vec<String> {
        self.gone.iter().map(ToString::to_string).collect()
    }
}
