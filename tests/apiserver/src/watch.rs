//! A watch: what is there, if asked for, then what happens, as lines of JSON.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use crate::answer::{Answer, refuse, status, streamed, with_type};
use crate::question::Question;
use crate::selector::Selector;
use crate::server::Cluster;
use crate::store::{Happened, Resource};

/// How long a watch lives where its client doesn't say.
const LONGEST: u64 = 1800;

/// Answers a watch.
pub(crate) fn watch(cluster: &Arc<Cluster>, question: &Question) -> Answer {
    let selector = match Selector::of(question) {
        Ok(selector) => selector,
        Err(message) => return refuse(400, &message),
    };
    let whole = question.is_true("sendInitialEvents");
    if whole && !cluster.settings.streamed_lists {
        let message = "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
        return refuse(cluster.settings.streams_refused, message);
    }
    let (lines, body) = mpsc::channel(64);
    let watcher = Watcher {
        cluster: Arc::clone(cluster),
        resource: question.resource.clone(),
        selector,
        bookmarks: question.is_true("allowWatchBookmarks"),
        lines,
    };
    let from = question.number("resourceVersion").unwrap_or(0);
    let life = Duration::from_secs(question.number("timeoutSeconds").unwrap_or(LONGEST));
    tokio::spawn(async move {
        // It ends when nobody reads any more, or when its time is over.
        let _ = watcher.run(from, whole, life).await;
    });
    let pieces = futures::stream::unfold(body, |mut body| async {
        body.recv().await.map(|piece| (piece, body))
    });
    with_type(200, streamed(pieces))
}

struct Watcher {
    cluster: Arc<Cluster>,
    resource: Resource,
    selector: Selector,
    bookmarks: bool,
    lines: mpsc::Sender<io::Result<Bytes>>,
}

/// Nobody reads any more.
struct Gone;

impl Watcher {
    async fn run(self, from: u64, whole: bool, life: Duration) -> Result<(), Gone> {
        let mut changed = self.cluster.changed.subscribe();
        let mut ended = self.cluster.ended.subscribe();
        let mut said = self.cluster.lines.subscribe();
        let mut at = from;
        if whole {
            at = self.say_all().await?;
        }
        let end = Instant::now() + life;
        loop {
            if self.cluster.store().is_forgotten(at) {
                let gone = status(410, &format!("too old resource version: {at}"));
                return self.say("ERROR", &gone).await;
            }
            let happened = self.cluster.store().since(&self.resource, at);
            for it in &happened {
                self.say_change(it).await?;
                at = it.version;
            }
            tokio::select! {
                _ = changed.changed() => {}
                _ = ended.changed() => return Ok(()),
                () = sleep_until(end) => return Ok(()),
                () = sleep(self.cluster.settings.bookmarks), if self.bookmarks => {
                    at = at.max(self.say_bookmark(at).await?);
                }
                Ok((resource, text)) = said.recv() => {
                    if resource == self.resource {
                        self.send(text).await?;
                    }
                }
                () = self.lines.closed() => return Err(Gone),
            }
        }
    }

    async fn say_all(&self) -> Result<u64, Gone> {
        let (version, objects) = {
            let store = self.cluster.store();
            let all = store.list(&self.resource, None).into_iter().map(|(_, it)| it.clone());
            (store.version(), all.filter(|it| self.selector.takes(it)).collect::<Vec<_>>())
        };
        for object in &objects {
            self.say("ADDED", object).await?;
        }
        let annotations = json!({ "k8s.io/initial-events-end": "true" });
        self.say("BOOKMARK", &self.bookmark(version, &annotations)).await?;
        Ok(version)
    }

    /// A bookmark stands for all that happened, to other kinds too.
    async fn say_bookmark(&self, at: u64) -> Result<u64, Gone> {
        let version = {
            let store = self.cluster.store();
            if store.is_forgotten(at) || !store.since(&self.resource, at).is_empty() {
                return Ok(at);
            }
            store.version()
        };
        self.say("BOOKMARK", &self.bookmark(version, &json!({}))).await?;
        Ok(version)
    }

    fn bookmark(&self, version: u64, annotations: &Value) -> Value {
        let metadata =
            json!({ "resourceVersion": version.to_string(), "annotations": annotations });
        json!({ "kind": "Bookmark", "apiVersion": self.resource.api_version(), "metadata": metadata })
    }

    /// What enters the selection is added, what leaves it deleted.
    async fn say_change(&self, it: &Happened) -> Result<(), Gone> {
        let taken =
            |object: &Option<Value>| object.as_ref().is_some_and(|it| self.selector.takes(it));
        match (taken(&it.before), taken(&it.after), &it.before, &it.after) {
            (false, true, _, Some(after)) => self.say("ADDED", after).await,
            (true, true, _, Some(after)) => self.say("MODIFIED", after).await,
            (true, false, Some(before), _) => {
                let mut last = before.clone();
                last["metadata"]["resourceVersion"] = json!(it.version.to_string());
                self.say("DELETED", &last).await
            }
            _ => Ok(()),
        }
    }

    async fn say(&self, kind: &str, object: &Value) -> Result<(), Gone> {
        self.send(format!("{}\n", json!({ "type": kind, "object": object }))).await
    }

    async fn send(&self, text: String) -> Result<(), Gone> {
        self.lines.send(Ok(Bytes::from(text))).await.map_err(|_| Gone)
    }
}
