//! The source that follows an API server: lists once, then watches, for as long as weir runs.
//!
//! One task for each kind of object. [`told`] is pure: what a watch says in, [`Event`]s out.
//! [`switch`] carries the requests to whichever API server answers; [`access`] says which there are
//! and as whom they are asked. Objects are converted as they arrive, and none is kept.

mod access;
mod arrival;
mod counts;
mod events;
mod follow;
mod identity;
mod once;
mod pauses;
mod switch;
mod told;
mod trouble;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{Namespace, Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use tokio::sync::mpsc;

use super::Event;
use super::convert::{HEADLESS, PROXY_NAME, ServiceCidrObject};
use crate::report::events::Tell;

pub use access::{Access, AccessError, Credentials, SERVICE_ACCOUNT};
pub use counts::{Counts, KindLabels, Latencies, LatencyLabels, RequestLabels};
use follow::{Need, Selection, follow};
pub use once::{NotRead, Reading, read_api};
use switch::Switch;

/// How many events may wait for their taker before the watches wait too.
const QUEUE: usize = 64;

/// What to follow, and how patiently.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which API servers there are, and as whom they are asked.
    pub access: Access,
    /// The Node object that is followed.
    pub node_name: String,
    /// The proxy whose services' endpoints are followed; `None`: those without a proxy's name.
    pub proxy_name: Option<String>,
    /// How long to wait, and for what.
    pub patience: Patience,
}

/// How long to wait, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// The first pause after a failure; each is twice the one before, and up to as much longer by chance.
    pub first_pause: Duration,
    /// The longest pause, before chance adds to it.
    pub longest_pause: Duration,
    /// How long without failure until the first pause is the first again.
    pub calm: Duration,
    /// How long a request may be without an answer, and half as long as a list without another object.
    pub silence: Duration,
    /// How often to ask again for a kind of object that the server doesn't serve.
    pub unserved: Duration,
}

impl Default for Patience {
    /// As client-go's reflector: 800 ms to 30 s, reset after 2 minutes. Silence: a minute, which is
    /// what an API server itself gives a request that isn't a watch. Unserved: 5 minutes.
    fn default() -> Self {
        Self {
            first_pause: Duration::from_millis(800),
            longest_pause: Duration::from_secs(30),
            calm: Duration::from_secs(120),
            silence: Duration::from_secs(60),
            unserved: Duration::from_secs(300),
        }
    }
}

/// Follows the API servers; the events end when their receiver is dropped.
///
/// First comes everything that is there, then [`Event::Synced`], then what changes. Servers that
/// don't answer, refuse or talk nonsense are a problem told, and asked again for ever; what was told
/// before holds meanwhile. Must be called inside a tokio runtime.
///
/// # Errors
/// The credentials or the list of servers can't be read or can't be used.
pub async fn watch_api(settings: &Settings, counts: Arc<Counts>) -> Result<Followed, AccessError> {
    let (events, outbox) = mpsc::channel(QUEUE);
    let (access, patience) = (settings.access.clone(), settings.patience);
    let switch = Switch::open(access, patience, Arc::clone(&counts)).await?;
    let source = Source {
        switch,
        counts,
        settings: settings.clone(),
        events: events.clone(),
        unlisted: Arc::new(AtomicUsize::new(KINDS)),
    };
    let tell = events::writer(&source);
    source.spawn();
    Ok(Followed { events: outbox, asks: events, tell })
}

/// API servers that are followed.
pub struct Followed {
    /// What they tell.
    pub events: mpsc::Receiver<Event>,
    /// What is sent here comes out there too.
    pub asks: mpsc::Sender<Event>,
    /// Writes Events about Services.
    pub tell: Tell,
}

/// How many kinds are followed.
const KINDS: usize = 5;

/// What the tasks of all kinds share.
#[derive(Clone)]
struct Source {
    switch: Switch,
    counts: Arc<Counts>,
    settings: Settings,
    events: mpsc::Sender<Event>,
    /// How many kinds have not been listed once.
    unlisted: Arc<AtomicUsize>,
}

/// Nobody takes events any more.
struct Unheard;

impl Source {
    fn spawn(self) {
        let no_headless = format!("!{HEADLESS}");
        let slices = match &self.settings.proxy_name {
            Some(name) => format!("{PROXY_NAME}={name},{no_headless}"),
            None => format!("!{PROXY_NAME},{no_headless}"),
        };
        let node = format!("metadata.name={}", self.settings.node_name);
        // Services of other proxies are followed too: their addresses are not unused.
        let kinds: [BoxFuture<'static, ()>; KINDS] = [
            follow::<Service>(self.clone(), Selection::labels(no_headless), Need::Must).boxed(),
            follow::<EndpointSlice>(self.clone(), Selection::labels(slices), Need::Must).boxed(),
            follow::<Namespace>(self.clone(), Selection::default(), Need::Must).boxed(),
            follow::<Node>(self.clone(), Selection::fields(node), Need::Must).boxed(),
            follow::<ServiceCidrObject>(self, Selection::default(), Need::WhereServed).boxed(),
        ];
        for kind in kinds {
            tokio::spawn(kind);
        }
    }

    async fn tell(&self, event: Event) -> Result<(), Unheard> {
        self.events.send(event).await.map_err(|_| Unheard)
    }

    /// A kind was listed for the first time. What it holds has been told.
    async fn listed(&self) -> Result<(), Unheard> {
        if self.unlisted.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.tell(Event::Synced).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_patience_outlasts_a_slow_server() {
        let patience = Patience::default();
        assert!(patience.first_pause < patience.longest_pause);
        assert!(patience.longest_pause < patience.calm, "a failing server is never calm");
    }
}
