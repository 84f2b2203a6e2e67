//! One kind of object, followed for as long as somebody listens.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use futures::{FutureExt as _, Stream, StreamExt as _};
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::sleep;
use weir_core::model::Change;

use super::arrival::Arrival;
use super::counts::KindLabels;
use super::pauses::{Pauses, rest};
use super::told::{Told, Update};
use super::trouble::{Meaning, understand};
use super::{Source, Unheard};
use crate::watch::Event;
use crate::watch::kinds::Kind;
use crate::watch::problem::{Problem, Report};

/// How the words for a trouble end, for who waits until it is over.
pub(super) const AGAIN: &str = "; asked again until it answers";
/// How many watches in a row that are soon over are a trouble.
const SHORT: usize = 4;
/// How many objects a page of a list holds: what is in memory of a list that isn't streamed.
const PAGE: u32 = 250;
/// The most changes that are held back to be told together.
const MOST: usize = 256;
/// The shortest life of a watch, in seconds, and by how much it may be longer: nodes that were started
/// together don't come back together. kube's longest is 294 s.
const WATCH: (u32, u32) = (240, 50);

/// Which objects of a kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Selection {
    labels: Option<String>,
    fields: Option<String>,
}

impl Selection {
    pub(super) fn labels(selector: String) -> Self {
        Self { labels: Some(selector), fields: None }
    }

    pub(super) fn fields(selector: String) -> Self {
        Self { labels: None, fields: Some(selector) }
    }
}

/// Whether weir can do without a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing is known before it is known.
    Must,
    /// A server that doesn't serve it, or not to weir, has none.
    WhereServed,
}

/// Follows one kind until nobody listens any more.
pub(super) async fn follow<K: Kind>(source: Source, selection: Selection, need: Need) {
    let (switch, answered) = source.switch.own();
    let patience = source.settings.patience;
    let follower = Follower {
        client: Client::new(switch, "default"),
        answered,
        selection,
        need,
        pauses: Pauses::new(patience),
        streamed: true,
        listed: false,
        told: Told::default(),
        pending: Vec::new(),
        trouble: None,
        watched: (None, 0),
        labels: KindLabels { kind: K::KIND },
        source,
    };
    let Err(Unheard) = follower.run::<K>().await;
}

struct Follower {
    source: Source,
    client: Client,
    /// A request of this kind was answered well.
    answered: watch::Receiver<()>,
    selection: Selection,
    need: Need,
    pauses: Pauses,
    /// Whether the server is thought to send lists as watches (KEP-3157).
    streamed: bool,
    listed: bool,
    told: Told,
    pending: Vec<Change>,
    trouble: Option<(Meaning, Problem)>,
    /// When a watch was answered well last, and how many before it were soon over.
    watched: (Option<Instant>, usize),
    labels: KindLabels,
}

/// What a watch says.
type Said<K> = watcher::Result<watcher::Event<Arrival<K>>>;

impl Follower {
    async fn run<K: Kind>(mut self) -> Result<Infallible, Unheard> {
        loop {
            let objects = Api::<Arrival<K>>::all(self.client.clone());
            let watched = pin!(watcher(objects, self.how()));
            let pause = self.watch(watched).await?;
            sleep(pause).await;
        }
    }

    fn how(&self) -> watcher::Config {
        let (least, more) = WATCH;
        let seed = self.source.settings.node_name.bytes().chain(self.labels.kind.bytes());
        let share = seed.fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        let mut config = watcher::Config::default().page_size(PAGE).timeout(least + share % more);
        config.label_selector.clone_from(&self.selection.labels);
        config.field_selector.clone_from(&self.selection.fields);
        if self.streamed { config.streaming_lists() } else { config }
    }

    /// How long a list may be without another object. A request that isn't answered at all ends before,
    /// and says better what is wrong.
    fn slowest(&self) -> Duration {
        self.source.settings.patience.silence * 2
    }

    /// Takes in what a watch says until it has to be begun anew; says how long to wait before.
    async fn watch<K: Kind>(
        &mut self,
        mut watched: Pin<&mut impl Stream<Item = Said<K>>>,
    ) -> Result<Duration, Unheard> {
        let mut listing = true;
        loop {
            let said = match watched.next().now_or_never() {
                Some(Some(said)) => Some(said),
                Some(None) => return Ok(self.pauses.next()),
                None => {
                    self.flush().await?;
                    self.wait(watched.as_mut(), listing).await?
                }
            };
            match said {
                Some(Ok(event)) => {
                    listing = match event {
                        watcher::Event::Init | watcher::Event::InitApply(_) => true,
                        watcher::Event::InitDone => false,
                        _ => listing,
                    };
                    self.take(event).await?;
                    if !listing {
                        self.well().await?;
                    }
                }
                Some(Err(error)) => {
                    if let Some(pause) = self.failed(&error, listing).await? {
                        return Ok(pause);
                    }
                }
                None => {
                    self.count_failure();
                    let silence = self.slowest().as_secs();
                    let refuser = self.source.switch.refuser();
                    let words = format!("{refuser}: a list makes no progress for {silence} s");
                    self.in_trouble(Meaning::Unreachable, words).await?;
                    // A server that knows no streamed lists sends a watch that never says its end.
                    self.streamed = false;
                    return Ok(self.pauses.next());
                }
            }
        }
    }

    /// Waits for what comes next; nothing where a list keeps silent for too long. A good answer
    /// meanwhile ends the trouble.
    async fn wait<K: Kind>(
        &mut self,
        mut watched: Pin<&mut impl Stream<Item = Said<K>>>,
        listing: bool,
    ) -> Result<Option<Said<K>>, Unheard> {
        let silence = self.slowest();
        loop {
            tokio::select! {
                // What was answered is looked at first: a failure may follow at once.
                biased;
                // The answer to a list is good once all of it came.
                Ok(()) = self.answered.changed(), if !listing => self.watch_began().await?,
                said = watched.next() => return Ok(said),
                () = sleep(silence), if listing => return Ok(None),
                () = self.source.events.closed() => return Err(Unheard),
            }
        }
    }

    async fn take<K: Kind>(&mut self, event: watcher::Event<Arrival<K>>) -> Result<(), Unheard> {
        let update = self.told.take(event);
        if let Some(unknown) = u64::try_from(update.unknown).ok().filter(|&it| it > 0) {
            self.source.counts.unknown_fields.get_or_create(&self.labels).inc_by(unknown);
        }
        let whole = update.listed;
        self.tell(update).await?;
        if whole {
            self.source.counts.lists.get_or_create(&self.labels).inc();
        }
        Ok(())
    }

    /// Tells what follows; changes are held back until there are many, or a list is whole.
    async fn tell(&mut self, update: Update) -> Result<(), Unheard> {
        let Update { changes, report, listed, .. } = update;
        self.pending.extend(changes);
        if self.pending.len() >= MOST || listed {
            self.flush().await?;
        }
        if !report.is_empty() {
            self.source.tell(Event::Report(report)).await?;
        }
        if listed {
            self.list_is_whole().await?;
        }
        Ok(())
    }

    /// Tells what was held back.
    async fn flush(&mut self) -> Result<(), Unheard> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.source.tell(Event::Changes(std::mem::take(&mut self.pending))).await
    }

    async fn list_is_whole(&mut self) -> Result<(), Unheard> {
        if !std::mem::replace(&mut self.listed, true) {
            self.source.listed().await?;
        }
        Ok(())
    }

    /// A list or a watch failed. Says after how long to begin anew; `None`: the watch goes on by
    /// itself, and the pause has passed.
    async fn failed(
        &mut self,
        error: &watcher::Error,
        listing: bool,
    ) -> Result<Option<Duration>, Unheard> {
        self.flush().await?;
        self.count_failure();
        let (meaning, words) = understand(error, &self.source.switch.refuser());
        tracing::debug!(kind = self.labels.kind, ?meaning, words, "a list or watch failed");
        match meaning {
            Meaning::Outdated => {}
            // A watch that goes on from a version asked for no stream: the server is in trouble.
            Meaning::NotStreamed if self.streamed && listing => {
                self.streamed = false;
                return Ok(Some(Duration::ZERO));
            }
            Meaning::Unserved if self.need == Need::WhereServed => {
                let nothing = self.told.clear();
                self.tell(nothing).await?;
                self.well().await?;
                return Ok(Some(self.source.settings.patience.unserved));
            }
            _ => self.in_trouble(meaning, words).await?,
        }
        if meaning == Meaning::Forbidden && self.need == Need::WhereServed {
            self.list_is_whole().await?;
        }
        let pause = self.pauses.after(meaning);
        if meaning == Meaning::Garbled {
            // What couldn't be read may have been a change: only a list shows it.
            return Ok(Some(pause));
        }
        let mut anybody = self.source.switch.anybody();
        rest(pause, &self.source.settings.patience, &mut anybody).await;
        Ok(None)
    }

    fn count_failure(&self) {
        self.source.counts.failures.get_or_create(&self.labels).inc();
    }

    /// Tells a trouble once, for as long as it is of one kind.
    async fn in_trouble(&mut self, meaning: Meaning, message: String) -> Result<(), Unheard> {
        if self.trouble.as_ref().is_some_and(|(told, _)| *told == meaning) {
            return Ok(());
        }
        let problem = Problem {
            object: Some(format!("API server, {}", self.labels.kind)),
            message: format!("{message}{AGAIN}"),
            kept_last_good: self.listed,
            is_refusal: self.need == Need::Must
                && matches!(meaning, Meaning::Forbidden | Meaning::Unknown),
            ..Problem::default()
        };
        let before = self.trouble.replace((meaning, problem.clone()));
        let mended = before.into_iter().map(|(_, problem)| problem).collect();
        let report = Report { appeared: vec![problem], mended, ignored: None };
        self.source.tell(Event::Report(report)).await
    }

    /// A watch was answered well. Many that are soon over are no watch.
    async fn watch_began(&mut self) -> Result<(), Unheard> {
        let now = Instant::now();
        let (last, short) = self.watched;
        let is_short =
            last.is_some_and(|last| now - last < self.source.settings.patience.longest_pause);
        self.watched = (Some(now), if is_short { short + 1 } else { 0 });
        if self.watched.1 < SHORT {
            return self.well().await;
        }
        self.count_failure();
        let refuser = self.source.switch.refuser();
        let words = format!("{refuser}: watches are over as soon as they begin");
        self.in_trouble(Meaning::Failing, words).await
    }

    /// An answer was good.
    async fn well(&mut self) -> Result<(), Unheard> {
        let Some((_, problem)) = self.trouble.take() else { return Ok(()) };
        let report = Report { mended: vec![problem], ..Report::default() };
        self.source.tell(Event::Report(report)).await
    }
}
