//! Writes Events about Services to the API server, few enough that it needn't mind.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc::{self, Receiver};

use super::Source;
use super::counts::{Counts, KindLabels};
use super::switch::lock;
use crate::allowance::{Allowance, Rate};
use crate::report::events::{Notice, Tell};

/// Who writes them.
const CONTROLLER: &str = "weir.dev/weir";
/// The longest note that the API takes, in bytes.
const LONGEST: usize = 1024;
/// The longest name of an instance that the API takes, in bytes; a node's may have 253.
const LONGEST_INSTANCE: usize = 128;
/// How many notices may wait to be written.
const QUEUE: usize = 64;
/// How many Events may be written, and of these about the Services of one namespace: every node writes its own.
const ALL: Rate = Rate { burst: 10, every: Duration::from_secs(30) };
const EACH: Rate = Rate { burst: 5, every: Duration::from_secs(60) };

const EVENT: KindLabels = KindLabels { kind: "Event" };

/// Begins to write. What comes too fast is left out, and counted.
pub(super) fn writer(source: &Source) -> Tell {
    let (notices, inbox) = mpsc::channel(QUEUE);
    let counts = Arc::clone(&source.counts);
    tokio::spawn(write(source.clone(), inbox));
    let allowance = Mutex::new(Allowance::new(EACH, ALL, Instant::now()));
    Box::new(move |notice, uid| {
        // Before they wait in line, where one namespace's could be in the way of the others'.
        let allowed = lock(&allowance).take(&notice.service.namespace, Instant::now());
        if !allowed || notices.try_send((notice, uid)).is_err() {
            counts.events_left_out.inc();
        }
    })
}

async fn write(source: Source, mut inbox: Receiver<(Notice, Option<String>)>) {
    let client = Client::new(source.switch.own().0, "default");
    let instance = Some(cut(source.settings.node_name.clone(), LONGEST_INSTANCE));
    let recorder = Recorder::new(client, Reporter { controller: CONTROLLER.to_owned(), instance });
    while let Some((notice, uid)) = inbox.recv().await {
        publish(&recorder, &source.counts, notice, uid).await;
    }
}

async fn publish(recorder: &Recorder, counts: &Counts, notice: Notice, uid: Option<String>) {
    let Notice { service, reason, action, note } = notice;
    let event = Event {
        type_: EventType::Warning,
        reason: reason.to_owned(),
        note: Some(cut(note, LONGEST)),
        action,
        secondary: None,
    };
    let regarding = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Service".to_owned()),
        name: Some(service.name.as_ref().to_owned()),
        namespace: Some(service.namespace.as_ref().to_owned()),
        uid,
        ..ObjectReference::default()
    };
    if let Err(error) = recorder.publish(&event, &regarding).await {
        counts.failures.get_or_create(&EVENT).inc();
        tracing::debug!(%service, reason, %error, "an Event can't be written");
    }
}

/// As much of the text as fits into so many bytes.
fn cut(mut text: String, longest: usize) -> String {
    text.truncate(text.floor_char_boundary(longest));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        for (text, longest, want) in [("node", 4, "node"), ("node", 3, "nod"), ("naïve", 3, "na")]
        {
            assert_eq!(cut(text.to_owned(), longest), want);
        }
    }
}
