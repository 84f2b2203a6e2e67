//! The thread that owns the reconciler and with it the kernel: takes commands, keeps the rhythm.
//!
//! Everything else (sources, HTTP, signals) runs elsewhere and sends [`Command`]s. Nothing is
//! written before the source has shown everything once.

mod checks;
mod command;
mod doors;
mod looks;
mod news;
mod settings;
mod traffic;
mod turns;
mod walk;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant, SystemTime};

use weir_core::health_checks::PortConflict;
use weir_core::kernel::Server;
use weir_core::leaving;
use weir_link::{NodeState, Sources};

use crate::allowance::{Allowance, Rate};
use crate::base;
use crate::config::Config;
use crate::keep::{Keep, NotKept};
use crate::kernel::words;
use crate::pace::Pace;
use crate::reconcile::{Deferred, Reconciler};
use crate::report::events::{Notice, Tell};
use crate::report::explain::explain;
use crate::report::metrics::{gauges, number};
use crate::report::mode::Mode;
use crate::report::status::{self, Status};

pub use command::{Command, Shared};
pub use doors::{Machine, Reloads, Rescan};

/// How often a service of our own is looked for: a loss that no event tells of is found within this.
const ALIVE_EVERY: Duration = Duration::from_secs(1);

/// The most commands that are taken in before something may be written.
const BURST: usize = 4096;

/// The longest wait for the node's interfaces and addresses before the first turn.
const ORIENTATION: Duration = Duration::from_secs(5);

/// Lines of the log about objects that aren't as they should be and wishes that can't be had, and of these
/// about objects of one namespace: who may write objects may break and mend them all day.
const LINES: Rate = Rate { burst: 512, every: Duration::from_secs(1) };
const LINES_OF_EACH: Rate = Rate { burst: 32, every: Duration::from_secs(30) };

/// The least time between two writings of policies' last good answers.
const KEEP_ANSWERS_EVERY: Duration = Duration::from_secs(10);

/// What time it is.
type Clock = Box<dyn Fn() -> Instant + Send>;

/// The loop's state beside the reconciler.
pub struct Drive<K, P> {
    all: Reconciler<K, P>,
    config: Config,
    settings: settings::Settings,
    shared: Shared,
    keep: Keep,
    source: Box<dyn Rescan>,
    tell: Tell,
    /// The ending servers that were kept last.
    ending: (BTreeSet<Server>, Vec<leaving::Saved>),
    pace: Pace,
    clock: Clock,
    /// The time of day when last looked at, in milliseconds since 1970.
    time: u64,
    started: Instant,
    /// The same in milliseconds since 1970.
    started_at: u64,
    synced: bool,
    tidied: bool,
    /// Code ran that seldom runs: a start's, or the compiler of policies.
    heavy: bool,
    sources: Option<Sources>,
    addresses: Option<Box<NodeState>>,
    /// The addresses that node ports and health checks answer on.
    node_ports: BTreeSet<IpAddr>,
    check_conflicts: BTreeSet<PortConflict>,
    /// The node as it was told last, not taken in yet.
    news: Option<Box<NodeState>>,
    next_news: Instant,
    /// The node's interfaces and addresses were seen whole, at least once.
    oriented: bool,
    problems: BTreeMap<String, ()>,
    /// Objects that weir has no use for, by kind.
    ignored: BTreeMap<String, usize>,
    /// Lines of the log that owners of objects can cause.
    lines: Allowance,
    /// Signs of another proxy on this node.
    neighbours: Vec<String>,
    sysctls: Vec<String>,
    last: Option<status::Sync>,
    /// The last plans that wrote anything, the newest last.
    plans: VecDeque<status::Written>,
    next_alive: Instant,
    next_drains: Instant,
    next_chores: Instant,
    next_answers: Instant,
    next_count: Instant,
    next_traffic: Instant,
    traffic: traffic::Sums,
    /// What of the policies' last good answers is kept: see [`Reloads::learned`].
    learned: u64,
    /// What policies had no time for in the last turn.
    deferred: Option<Deferred>,
    /// Who wants to know when the sources were looked at and all is written, in order.
    rescans: VecDeque<Sender<Result<(), String>>>,
    /// Who waits for the next turn only.
    sync_waits: Vec<Sender<Result<(), String>>>,
    walk: walk::Walk,
}

impl<K: Machine, P: Reloads> Drive<K, P> {
    /// A loop around a reconciler.
    pub fn new(
        mut all: Reconciler<K, P>,
        config: Config,
        shared: Shared,
        keep: Keep,
        sysctls: Vec<String>,
        source: Box<dyn Rescan>,
    ) -> Self {
        let now = Instant::now();
        all.set_patience(base::patience(&config));
        let pace = Pace::new(config.sync.min_sync_period.get(), config.sync.sync_period.get());
        Self {
            all,
            config,
            settings: settings::Settings::default(),
            shared,
            keep,
            source,
            tell: Box::new(|_, _| {}),
            ending: (BTreeSet::new(), Vec::new()),
            pace,
            clock: Box::new(Instant::now),
            time: 0,
            sysctls,
            started: now,
            started_at: millis(),
            synced: false,
            tidied: false,
            heavy: true,
            sources: None,
            addresses: None,
            node_ports: BTreeSet::new(),
            check_conflicts: BTreeSet::new(),
            news: None,
            next_news: now,
            oriented: false,
            problems: BTreeMap::new(),
            ignored: BTreeMap::new(),
            lines: Allowance::new(LINES_OF_EACH, LINES, now),
            neighbours: Vec::new(),
            last: None,
            plans: VecDeque::new(),
            next_alive: now,
            next_drains: now,
            next_chores: now,
            next_answers: now,
            next_count: now,
            next_traffic: now,
            traffic: traffic::Sums::default(),
            learned: 0,
            deferred: None,
            rescans: VecDeque::new(),
            sync_waits: Vec::new(),
            walk: walk::Walk::default(),
        }
    }

    /// The same, which tells of Services what is new in each turn.
    #[must_use]
    pub fn telling(self, tell: Tell) -> Self {
        Self { tell, ..self }
    }

    fn now(&self) -> Instant {
        (self.clock)()
    }

    fn tell_of(&self, notice: Notice) {
        let service = self.all.model.service(&notice.service);
        (self.tell)(notice, service.and_then(|it| it.uid.as_deref().map(str::to_owned)));
    }

    /// Runs until told to stop, or until nobody is left to send commands.
    pub fn run(mut self, commands: &Receiver<Command>) {
        self.shared.is_running.store(true, Ordering::Release);
        loop {
            let wait = self.next_wake().saturating_duration_since(self.now());
            match commands.recv_timeout(wait) {
                Ok(command) => {
                    // A burst is taken in whole before anything is written; one that never ends isn't
                    // waited for.
                    let more = std::iter::from_fn(|| commands.try_recv().ok()).take(BURST);
                    for command in std::iter::once(command).chain(more) {
                        if matches!(command, Command::Stop) {
                            return self.save();
                        }
                        self.take(command);
                    }
                    self.taken();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.save(),
            }
            self.wake();
        }
    }

    fn next_wake(&self) -> Instant {
        let now = self.now();
        let mut next = now + Duration::from_secs(3600);
        if !self.synced {
            return next;
        }
        if !self.is_oriented() {
            return self.started + ORIENTATION;
        }
        next = next.min(self.pace.look_at(now)).min(self.next_alive).min(self.next_chores);
        if self.news.is_some() {
            next = next.min(self.next_news);
        }
        if self.all.drains().any() {
            next = next.min(self.next_drains);
        }
        if !self.config.offload.count_flows.is_zero() {
            next = next.min(self.next_count);
        }
        if !self.config.metrics.count_traffic.is_zero() {
            next = next.min(self.next_traffic);
        }
        if self.all.has_work() || !self.sync_waits.is_empty() {
            next = next.min(self.pace.sync_at(now));
        }
        if let Some(due) = self.all.due() {
            let wait = Duration::from_millis(due.saturating_sub(millis()));
            next = next.min((now + wait).max(self.pace.sync_at(now)));
        }
        next
    }

    /// A burst was taken in whole.
    fn taken(&mut self) {
        self.walk.taken(self.all.has_work());
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Source(event) => self.take_event(event),
            Command::Sync(done) => self.take_sync(done),
            Command::Look => self.look_if_moved(),
            Command::Files => self.refresh_files(),
            Command::Node(state) if self.oriented => self.news = Some(state),
            Command::Node(state) => self.take_addresses(state),
            Command::Neighbours(signs) => self.neighbours = signs,
            Command::Measure(done) => {
                self.measure_state();
                // Whoever asked may have given up.
                let _ = done.send(());
            }
            // Whoever asked may have gone, here and below.
            Command::Mode(reply) => drop(reply.send(Mode::of(&self.all))),
            Command::Status(reply) => drop(reply.send(Box::new(self.status()))),
            Command::Explain(name, reply) => {
                drop(reply.send(explain(&self.all, &name).map(Box::new)));
            }
            Command::Stop => {}
        }
    }

    /// What nobody counts as he goes.
    fn measure_state(&self) {
        let metrics = &self.shared.metrics;
        gauges(metrics, &self.all);
        metrics.kernel.count_checks(self.shared.checks.count());
        metrics.kernel.sysctls_wrong.set(number(self.sysctls.len()));
        metrics.kernel.kube_proxy_signs.set(number(self.neighbours.len()));
        metrics.services.source_synced.set(i64::from(self.synced));
        metrics.policies.count(&self.all.policies.stats());
    }

    /// Whether the node's interfaces are known, or were waited for long enough: what a first turn
    /// without them wrote, the second would have to take back.
    fn is_oriented(&self) -> bool {
        self.oriented || self.now() - self.started >= ORIENTATION
    }

    /// What is due by now.
    fn wake(&mut self) {
        if !self.synced || !self.is_oriented() {
            return;
        }
        let now = self.now();
        if now >= self.next_news
            && let Some(state) = self.news.take()
        {
            // Pods that come and go all the time cost one look at all interfaces a sync.
            self.next_news = now + self.config.sync.min_sync_period.get();
            self.take_addresses(state);
        }
        if now >= self.pace.look_at(now) {
            // A look that fails is in the log; the next comes after the period.
            drop(self.look());
        }
        if now >= self.next_chores {
            self.next_chores = now + self.config.sync.sync_period.get();
            self.refresh_files();
            self.tell_untold();
            warn_unkept(self.keep.save_seen(self.all.seen()));
        }
        if now >= self.next_alive {
            self.check_alive();
            self.tell_unopened();
        }
        if now >= self.next_drains && self.all.drains().any() {
            self.check_drains();
        }
        self.mind_clock(millis());
        let due = self.all.due().is_some_and(|due| due <= millis());
        let work = self.all.has_work() || due || !self.sync_waits.is_empty();
        if work && now >= self.pace.sync_at(now) {
            self.turn();
        }
        if now >= self.next_count && !self.config.offload.count_flows.is_zero() {
            self.count_flows();
        }
        if now >= self.next_traffic && !self.config.metrics.count_traffic.is_zero() {
            self.count_traffic();
        }
        if now >= self.next_answers {
            self.next_answers = now + KEEP_ANSWERS_EVERY;
            self.save_answers();
        }
    }

    /// Looks whether the time of day went back, as at the first answer of a time server.
    fn mind_clock(&mut self, now: u64) {
        const STEP: u64 = 1_000;
        let before = std::mem::replace(&mut self.time, now);
        if now.saturating_add(STEP) < before {
            let by = Duration::from_millis(before - now);
            tracing::info!(?by, "the clock went back: what waits for its time is done now");
            self.all.hurry();
            self.shared.health().clock_went_back(now);
        }
    }

    /// Says that there was more than the log has.
    fn tell_untold(&mut self) {
        let lines = self.lines.refused();
        if lines > 0 {
            tracing::warn!(
                lines,
                "more is wrong with objects than is told one by one; the status has it all"
            );
            self.shared.metrics.services.untold.inc_by(lines);
        }
    }

    fn save(mut self) {
        self.save_answers();
        warn_unkept(self.keep.save_drains(self.all.drains()));
        // Before everything was read once, what an earlier run kept is still there and still holds.
        if self.synced {
            warn_unkept(self.keep.save_seen(self.all.seen()));
        }
        tracing::info!("stopped; traffic goes on");
    }

    fn status(&self) -> Status {
        let addresses = self.addresses.as_ref().map(|state| format!("{:?}", state.feed));
        let own = |(kind, objects): (&String, &usize)| (kind.clone(), *objects);
        let lines = |it: &mut dyn Iterator<Item = String>| it.collect::<Vec<_>>();
        let mut status = status::of(&self.all, &self.all.policies.stats());
        self.tell_traffic(&mut status);
        Status {
            plans: self.plans.iter().rev().cloned().collect(),
            uptime_seconds: (self.now() - self.started).as_secs(),
            synced: self.synced,
            last_sync: self.last.clone(),
            addresses: addresses.unwrap_or_else(|| "not watched".to_owned()).to_lowercase(),
            conflicts: lines(
                &mut (self.all.ledger().all_conflicts().iter())
                    .map(|it| {
                        format!("{} belongs to {}; {} also wants it", it.key, it.winner, it.loser)
                    })
                    .chain(self.check_conflicts()),
            ),
            health_checks: self.check_status(),
            configuration: self.configuration(),
            deferred: self.deferred.as_ref().map(|it| it.ports).unwrap_or_default(),
            problems: lines(&mut self.problems.keys().cloned()),
            ignored: self.ignored.iter().filter(|(_, objects)| **objects > 0).map(own).collect(),
            sysctls: self.sysctls.clone(),
            neighbours: self.neighbours.clone(),
            ..status
        }
    }
}

fn warn_unkept(kept: Result<(), NotKept>) {
    if let Err(error) = kept {
        tracing::warn!(error = words(&error), "state for the next start can't be kept");
    }
}

/// Milliseconds since 1970.
#[must_use]
pub fn millis() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[allow(clippy::cast_precision_loss, reason = "a double holds milliseconds until the year 287396")]
pub(crate) fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

#[cfg(test)]
mod tests;
