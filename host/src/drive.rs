//! The thread that owns the reconciler and with it the kernel: takes commands, keeps the rhythm.
//!
//! Everything else (sources, HTTP, signals) runs elsewhere and sends [`Command`]s. Nothing is
//! written before the source has shown everything once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use weir_core::kernel::{RefusalKind, Server};
use weir_core::model::{Change, Touched};
use weir_core::net::ObjectName;
use weir_link::{NodeState, Sources};

use crate::base::base;
use crate::config::Config;
use crate::keep::{Keep, NotKept};
use crate::kernel::LinuxKernel;
use crate::kernel::words;
use crate::pace::Pace;
use crate::policies::Chain;
use crate::reconcile::{Reconciler, Turn};
use crate::report::explain::{Explanation, explain};
use crate::report::health::Health;
use crate::report::metrics::{Metrics, OperationLabels, gauges};
use crate::report::status::{self, Status};
use crate::watch;

/// What the loop is told or asked.
#[derive(Debug)]
pub enum Command {
    /// A source saw something.
    Source(watch::Event),
    /// Look at the kernel and write what differs, now; answers when it is done.
    Sync(Sender<Result<(), String>>),
    /// Others changed the rule set, or may have.
    Look,
    /// A policy's file may have changed.
    Policies,
    /// Links or addresses changed.
    Node(Box<NodeState>),
    /// Bring the metrics up to date that nobody counts as he goes.
    Measure(Sender<()>),
    /// What `weir status` shows.
    Status(Sender<Box<Status>>),
    /// What `weir explain` shows.
    Explain(ObjectName, Sender<Option<Box<Explanation>>>),
    /// End; traffic goes on.
    Stop,
}

/// What the loop shares with whoever answers probes.
#[derive(Clone)]
pub struct Shared {
    /// Health.
    pub health: Arc<Mutex<Health>>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
}

impl Shared {
    /// Health, whatever a thread that panicked left of it.
    pub fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often a service of our own is looked for: a loss that no event tells of is found within this.
const ALIVE_EVERY: Duration = Duration::from_secs(1);

/// The loop's state beside the reconciler.
pub struct Drive {
    all: Reconciler<LinuxKernel, Chain>,
    config: Config,
    shared: Shared,
    keep: Keep,
    /// The ending servers that were kept last.
    ending: BTreeSet<Server>,
    pace: Pace,
    started: Instant,
    synced: bool,
    tidied: bool,
    sources: Sources,
    addresses: Option<Box<NodeState>>,
    problems: BTreeMap<String, ()>,
    conflicts: Vec<String>,
    sysctls: Vec<String>,
    last: Option<status::Sync>,
    generation: Option<u32>,
    next_alive: Instant,
    next_drains: Instant,
    sync_waits: Vec<Sender<Result<(), String>>>,
}

impl Drive {
    /// A loop around a reconciler.
    pub fn new(
        all: Reconciler<LinuxKernel, Chain>,
        config: Config,
        shared: Shared,
        keep: Keep,
        sysctls: Vec<String>,
    ) -> Self {
        let now = Instant::now();
        let pace = Pace::new(config.sync.min_sync_period.get(), config.sync.sync_period.get());
        Self {
            all,
            config,
            shared,
            keep,
            ending: BTreeSet::new(),
            pace,
            sysctls,
            started: now,
            synced: false,
            tidied: false,
            sources: Sources::default(),
            addresses: None,
            problems: BTreeMap::new(),
            conflicts: Vec::new(),
            last: None,
            generation: None,
            next_alive: now,
            next_drains: now,
            sync_waits: Vec::new(),
        }
    }

    /// Runs until told to stop, or until nobody is left to send commands.
    pub fn run(mut self, commands: &Receiver<Command>) {
        loop {
            let wait = self.next_wake().saturating_duration_since(Instant::now());
            match commands.recv_timeout(wait) {
                Ok(command) => {
                    // A burst is taken in whole before anything is written.
                    let more = std::iter::from_fn(|| commands.try_recv().ok());
                    for command in std::iter::once(command).chain(more) {
                        if matches!(command, Command::Stop) {
                            return self.save();
                        }
                        self.take(command);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.save(),
            }
            self.wake();
        }
    }

    fn next_wake(&self) -> Instant {
        let now = Instant::now();
        let mut next = now + Duration::from_secs(3600);
        if !self.synced {
            return next;
        }
        next = next.min(self.pace.look_at(now)).min(self.next_alive);
        if !self.all.drains().servers().is_empty() {
            next = next.min(self.next_drains);
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

    fn take(&mut self, command: Command) {
        match command {
            Command::Source(event) => self.take_event(event),
            Command::Sync(done) => {
                self.sync_waits.push(done);
                self.look();
            }
            Command::Look => self.look_if_moved(),
            Command::Policies => self.refresh_policies(),
            Command::Node(state) => self.take_addresses(state),
            Command::Measure(done) => {
                gauges(&self.shared.metrics, &self.all);
                self.shared.metrics.count_policies(&self.all.policies.stats());
                // Whoever asked may have given up.
                let _ = done.send(());
            }
            Command::Status(reply) => drop(reply.send(Box::new(self.status()))),
            Command::Explain(name, reply) => {
                drop(reply.send(explain(&self.all, &name).map(Box::new)));
            }
            Command::Stop => {}
        }
    }

    fn refresh_policies(&mut self) {
        if self.all.policies.refresh() {
            self.all.touch(Touched::all());
            self.queued();
        }
    }

    fn take_event(&mut self, event: watch::Event) {
        match event {
            watch::Event::Changes(changes) => {
                let first = !self.synced && self.keep.is_first_start();
                let shows_node =
                    changes.iter().any(|c| matches!(c, Change::Node(_) | Change::NodeGone(_)));
                self.all.fold(changes, (!first).then(|| millis() / 1000));
                if shows_node {
                    self.node_changed();
                }
                self.queued();
            }
            watch::Event::Synced => {
                tracing::info!("every object was read once");
                self.synced = true;
                self.set_base();
            }
            watch::Event::Report(report) => self.take_report(&report),
        }
    }

    fn take_report(&mut self, report: &watch::Report) {
        for problem in &report.appeared {
            tracing::warn!(%problem, "an object is not as it should be");
            self.problems.insert(problem.to_string(), ());
        }
        for problem in &report.mended {
            tracing::info!(%problem, "mended");
            self.problems.remove(&problem.to_string());
        }
        for kind in &report.ignored {
            tracing::info!(kind, "weir has no use for objects of this kind");
        }
        self.shared.metrics.problems.set(i64::try_from(self.problems.len()).unwrap_or(i64::MAX));
    }

    fn node_changed(&mut self) {
        if let Some(node) = self.all.model.node() {
            self.shared.health().node(Some(node));
        } else if self.synced {
            self.shared.health().node(None);
        }
        self.set_base();
        if let Some(state) = self.addresses.take() {
            self.take_addresses(state);
        }
    }

    /// What the table is like beyond services' elements: follows the configuration and the Node.
    fn set_base(&mut self) {
        let base = base(&self.config, &self.all.model);
        self.all.kernel.expect(base.clone());
        self.all.set_base(Some(base));
    }

    fn take_addresses(&mut self, state: Box<NodeState>) {
        let own = self.all.model.node().map(|node| node.addresses.clone()).unwrap_or_default();
        let sources = Sources::choose(&state.view, &own, &[]);
        if sources != self.sources {
            self.sources = sources;
            let (written, errors) = self.all.kernel.repoint(sources);
            tracing::info!(
                ?sources,
                routes = written,
                "node to service: the source address changed"
            );
            for error in errors {
                tracing::warn!(error = words(&error), "a route keeps its old source address");
            }
        }
        self.addresses = Some(state);
    }

    fn queued(&mut self) {
        let now = millis();
        self.shared.health().queued(now);
        self.shared.metrics.queued_last.set(seconds(now));
    }

    /// What is due by now.
    fn wake(&mut self) {
        if !self.synced {
            return;
        }
        let now = Instant::now();
        if now >= self.pace.look_at(now) {
            self.look();
            self.refresh_policies();
            warn_unkept(self.keep.save_seen(self.all.seen()));
        }
        if now >= self.next_alive {
            self.next_alive = now + ALIVE_EVERY;
            self.check_alive();
        }
        if now >= self.next_drains && !self.all.drains().servers().is_empty() {
            self.next_drains = now + self.config.drain.interval.get();
            if let Err(error) = self.all.check_drains(millis()) {
                tracing::warn!(error = words(&error), "can't ask how busy ending servers are");
            }
        }
        let due = self.all.due().is_some_and(|due| due <= millis());
        let work = self.all.has_work() || due || !self.sync_waits.is_empty();
        if work && now >= self.pace.sync_at(now) {
            self.turn();
        }
    }

    fn look(&mut self) {
        self.pace.looked(Instant::now());
        let drift = self.all.drift();
        match self.all.look() {
            Ok(_) if self.all.drift() > drift => {
                let objects = self.all.drift() - drift;
                self.shared.metrics.drift.inc_by(objects);
                tracing::warn!(objects, "others changed what is ours; it is put right");
            }
            Ok(_) => {}
            Err(error) => {
                self.shared.metrics.looks_failed.inc();
                tracing::error!(
                    error = words(&error),
                    "can't look at the kernel; nothing is written until it can be"
                );
            }
        }
        self.generation = self.all.kernel.generation().ok();
    }

    fn look_if_moved(&mut self) {
        match self.all.kernel.generation() {
            Ok(generation) if Some(generation) == self.generation => {}
            _ => self.look(),
        }
    }

    /// Another program may have flushed IPVS, which no event tells.
    fn check_alive(&mut self) {
        let Some(key) = self.all.ledger().known().virtuals.keys().next().copied() else { return };
        match self.all.kernel.has_virtual(key) {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(service = %key, "a virtual service of ours is gone; somebody else may have flushed IPVS");
                self.look();
            }
            Err(error) => tracing::warn!(error = words(&error), "can't ask IPVS"),
        }
    }

    fn turn(&mut self) {
        let started = Instant::now();
        let turned = self.all.turn(millis());
        let took = started.elapsed();
        self.pace.synced(Instant::now());
        match turned {
            Ok(turn) => self.turned(&turn, took),
            Err(error) => {
                self.shared.metrics.looks_failed.inc();
                let error = words(&error);
                tracing::error!(error, "nothing was written: the kernel's state can't be read");
                self.answer_waits(&Err(error));
            }
        }
    }

    fn turned(&mut self, turn: &Turn, took: Duration) {
        let now = millis();
        // One object that the kernel won't have makes no unhealthy proxy: restarting it helps nobody.
        if turn.refused.iter().all(|(_, why)| why.kind != RefusalKind::Unknown) {
            self.shared.health().updated(now);
        }
        self.generation = self.all.kernel.generation().ok();
        self.last = Some(status::Sync {
            at: now,
            microseconds: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            services: turn.services,
            operations: turn.plan.len(),
            refused: turn.refused.len(),
        });
        self.log_turn(turn, took);
        self.measure(turn, took, now);
        self.conflicts = turn
            .conflicts
            .iter()
            .map(|it| format!("{} belongs to {}; {} also wants it", it.key, it.winner, it.loser))
            .collect();
        self.tidy();
        self.save_drains();
        let verdict = match turn.refused.len() {
            0 => Ok(()),
            refused => Err(format!("the kernel refused {refused} operations; see `weir status`")),
        };
        self.answer_waits(&verdict);
    }

    fn log_turn(&self, turn: &Turn, took: Duration) {
        for operation in turn.plan.operations() {
            tracing::debug!(%operation, "planned");
        }
        for (operation, refusal) in &turn.refused {
            tracing::warn!(%operation, kind = refusal.kind.as_str(), reason = %refusal, "the kernel refused");
        }
        for conflict in &turn.conflicts {
            tracing::warn!(key = %conflict.key, winner = %conflict.winner, loser = %conflict.loser, "two services want one address and port");
        }
        if !turn.plan.is_empty() {
            let (operations, refused) = (turn.plan.len(), turn.refused.len());
            tracing::info!(services = turn.services, operations, refused, ?took, "synced");
        }
    }

    fn measure(&self, turn: &Turn, took: Duration, now: u64) {
        let metrics = &self.shared.metrics;
        metrics.sync_duration.observe(took.as_secs_f64());
        metrics.sync_last.set(seconds(now));
        let count = |operation, outcome, by| {
            let labels = OperationLabels { operation, outcome };
            metrics.operations.get_or_create(&labels).inc_by(by);
        };
        let refused: BTreeMap<_, _> =
            turn.refused.iter().map(|(it, why)| (it.to_string(), why.kind)).collect();
        for operation in turn.plan.operations() {
            // Names are made only where something was refused at all.
            let why = if refused.is_empty() { None } else { refused.get(&operation.to_string()) };
            count(operation.kind(), why.map_or("done", |kind| kind.as_str()), 1);
        }
    }

    /// After the first turn that worked, what another configuration had made local goes.
    fn tidy(&mut self) {
        if std::mem::replace(&mut self.tidied, true) {
            return;
        }
        for error in self.all.kernel.tidy() {
            tracing::warn!(
                error = words(&error),
                "an earlier configuration's leftover can't be removed"
            );
        }
    }

    fn answer_waits(&mut self, verdict: &Result<(), String>) {
        for done in self.sync_waits.drain(..) {
            // Whoever asked may have gone.
            let _ = done.send(verdict.clone());
        }
    }

    fn save_drains(&mut self) {
        let ending = self.all.drains().servers();
        if ending != self.ending {
            warn_unkept(self.keep.save_drains(self.all.drains()));
            self.ending = ending;
        }
    }

    fn save(self) {
        warn_unkept(self.keep.save_drains(self.all.drains()));
        warn_unkept(self.keep.save_seen(self.all.seen()));
        tracing::info!("stopped; traffic goes on");
    }

    fn status(&self) -> Status {
        let addresses = self.addresses.as_ref().map(|state| format!("{:?}", state.feed));
        let lines = |it: &mut dyn Iterator<Item = String>| it.collect::<Vec<_>>();
        Status {
            uptime_seconds: self.started.elapsed().as_secs(),
            synced: self.synced,
            last_sync: self.last.clone(),
            addresses: addresses.unwrap_or_else(|| "not watched".to_owned()).to_lowercase(),
            conflicts: self.conflicts.clone(),
            problems: lines(&mut self.problems.keys().cloned()),
            sysctls: self.sysctls.clone(),
            ..status::of(&self.all, &self.all.policies.stats())
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
fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}
