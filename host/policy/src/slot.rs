//! One place in the chain: which version of a policy runs there, and asking it.
//!
//! Not pure: runs guests, reads the policy's file, logs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use weir_core::view::{Interface, Node, ServiceView};

use crate::breaker::Breaker;
use crate::digest::Digest;
use crate::failure::one_line;
use crate::file::read_component;
use crate::guest::{Evaluation, Failed, Guest};
use crate::memory::{Memory, Reply, Stamp};
use crate::report;
use crate::stats::{LoadProblem, PolicyStats, RunningPolicy, Tally};
use crate::{Change, FailureKind, LoadError, PolicyName, PolicySpec, RevisionKey, Sandbox, Wants};

/// A policy by name; its file, configuration and code come and go.
pub(crate) struct Slot {
    pub(crate) name: PolicyName,
    sandbox: Arc<Sandbox>,
    version: Mutex<Version>,
    pub(crate) memory: Mutex<Memory>,
    tally: Mutex<Tally>,
    breaker: Mutex<Breaker>,
}

/// What runs, and what does not.
struct Version {
    spec: PolicySpec,
    running: Option<Arc<Guest>>,
    /// Grows with every version, so that answers of one are not taken for another's.
    setup: u64,
    problem: Option<LoadProblem>,
    /// The node when the policy's file was last looked at.
    node: Arc<Node>,
}

/// An answer with whether it was kept from before.
pub(crate) struct Heard {
    pub(crate) reply: Reply,
    pub(crate) from_cache: bool,
    /// When another try could be better, for an answer that isn't kept.
    pub(crate) ask_again: Option<Duration>,
}

/// What is known of an answer before the policy runs.
enum Known {
    Heard(Heard),
    Unasked(Arc<Guest>, Stamp),
}

impl Slot {
    pub(crate) fn new(sandbox: &Arc<Sandbox>, spec: PolicySpec, node: Arc<Node>) -> Self {
        let capacity = sandbox.limits().cached_decisions;
        let version = Version { spec, running: None, setup: 0, problem: None, node };
        Self {
            name: Arc::clone(&version.spec.name),
            sandbox: Arc::clone(sandbox),
            version: Mutex::new(version),
            memory: Mutex::new(Memory::new(capacity)),
            tally: Mutex::default(),
            breaker: Mutex::new(Breaker::new()),
        }
    }

    /// Looks at the policy's file and brings its version up to it. `None` when nothing changed.
    ///
    /// What doesn't load leaves the running version alone.
    pub(crate) fn refresh(&self, spec: &PolicySpec, node: &Arc<Node>) -> Option<Change> {
        let running = self.running();
        match self.build(spec, node, running.as_ref()) {
            Ok(None) => {
                self.show_node(node);
                self.settle(spec, None)
            }
            Ok(Some(guest)) => Some(self.install(spec, guest, node)),
            Err(error) => {
                self.show_node(node);
                let message = one_line(&error);
                self.settle(spec, Some(LoadProblem { kind: error.kind(), message }))
            }
        }
    }

    /// A guest for the file as it is now, unless that is the running one.
    fn build(
        &self,
        spec: &PolicySpec,
        node: &Arc<Node>,
        running: Option<&Arc<Guest>>,
    ) -> Result<Option<Guest>, LoadError> {
        let bytes = read_component(&spec.file, &self.sandbox.limits())?;
        let digest = Digest::of(&bytes);
        let same_code = running.filter(|guest| *guest.digest() == digest);
        if same_code.is_some_and(|guest| *guest.config() == spec.config && guest.node() == node) {
            return Ok(None);
        }
        let code = match same_code {
            Some(guest) => Arc::clone(guest.code()),
            None => Arc::new(self.sandbox.load(&bytes)?),
        };
        Guest::new(&self.sandbox, code, spec.config.clone(), Arc::clone(node)).map(Some)
    }

    /// Shows the running version a changed node, where its file is of no use: its code is in memory.
    /// Where it refuses the node it runs on as it was configured. No answer from before is kept: the
    /// views show the new node.
    fn show_node(&self, node: &Arc<Node>) {
        let mut version = lock(&self.version);
        if version.node == *node {
            return;
        }
        version.node = Arc::clone(node);
        version.setup += 1;
        let Some(old) = &version.running else { return };
        let (code, config) = (Arc::clone(old.code()), old.config().clone());
        match Guest::new(&self.sandbox, code, config, Arc::clone(node)) {
            Ok(guest) => version.running = Some(Arc::new(guest)),
            Err(error) => report::refuses_node(&self.name, &error),
        }
    }

    /// Other limits hold: no answer from before is kept, and what cost too much may be cheap enough by now.
    pub(crate) fn limits_changed(&self) {
        lock(&self.version).setup += 1;
        *lock(&self.breaker) = Breaker::new();
    }

    fn install(&self, spec: &PolicySpec, guest: Guest, node: &Arc<Node>) -> Change {
        let digest = *guest.digest();
        report::loaded(&self.name, &guest);
        let mut version = lock(&self.version);
        version.spec = spec.clone();
        version.running = Some(Arc::new(guest));
        version.setup += 1;
        version.problem = None;
        version.node = Arc::clone(node);
        *lock(&self.breaker) = Breaker::new();
        Change::Loaded { policy: Arc::clone(&self.name), digest }
    }

    /// Notes that the running version stays, and why if not because the file is the same.
    fn settle(&self, spec: &PolicySpec, problem: Option<LoadProblem>) -> Option<Change> {
        let mut version = lock(&self.version);
        version.spec = spec.clone();
        if version.problem == problem {
            return None;
        }
        version.problem.clone_from(&problem);
        let kept_old = version.running.is_some();
        let policy = Arc::clone(&self.name);
        Some(match problem {
            Some(problem) => Change::Refused { policy, problem, kept_old },
            None => Change::Restored { policy },
        })
    }

    /// The policy's answer: kept, or from a fresh instance that sees `view`.
    pub(crate) fn ask<'v>(
        &self,
        key: &RevisionKey,
        view: impl FnOnce() -> &'v ServiceView,
    ) -> Heard {
        match self.recall(key) {
            Known::Heard(heard) => heard,
            Known::Unasked(guest, stamp) => self.evaluate(key, &guest, stamp, view()),
        }
    }

    /// The policy's answer if it needs none of its time.
    pub(crate) fn ask_later(&self, key: &RevisionKey) -> Heard {
        match self.recall(key) {
            Known::Heard(heard) => heard,
            Known::Unasked(..) => {
                let message = "policies took too long to be asked more for now; it is asked soon";
                let failed = Failed { kind: FailureKind::Deferred, message: message.into() };
                // Nothing went wrong: it isn't counted among failures.
                let reply = Reply::Failed(failed);
                Heard { reply, from_cache: false, ask_again: Some(Duration::ZERO) }
            }
        }
    }

    /// What is known without running the policy, else what would run.
    fn recall(&self, key: &RevisionKey) -> Known {
        let Some((guest, setup)) = self.version_now() else {
            let message = "no version of it could be loaded".into();
            return Known::Heard(self.not_asked(Failed { kind: FailureKind::NotLoaded, message }));
        };
        let stamp = stamp(&guest, setup, key);
        if let Some(reply) = lock(&self.memory).recall(&key.service_port, &stamp) {
            lock(&self.tally).cache_hits += 1;
            return Known::Heard(Heard { reply, from_cache: true, ask_again: None });
        }
        if let Some(rest) = self.rest(key) {
            let message = "it cost too much too often and is left alone for a while".into();
            let failed = Failed { kind: FailureKind::Suspended, message };
            return Known::Heard(Heard { ask_again: Some(rest), ..self.not_asked(failed) });
        }
        Known::Unasked(guest, stamp)
    }

    fn evaluate(
        &self,
        key: &RevisionKey,
        guest: &Guest,
        stamp: Stamp,
        view: &ServiceView,
    ) -> Heard {
        let began = Instant::now();
        let Evaluation { outcome, said, fuel } = guest.decide(view);
        let took = began.elapsed();
        let reply = match outcome {
            Ok(Ok(wish)) => Reply::Wish(lock(&self.memory).share(wish)),
            Ok(Err(refusal)) => Reply::Refusal(refusal),
            Err(failed) => Reply::Failed(failed),
        };
        self.count(&reply, fuel, took);
        self.note(&reply, key);
        let dropped = said.dropped_lines;
        let lines = lock(&self.tally).add_said(said, self.sandbox.limits().counters);
        report::lines(&self.name, &key.service_port, &lines, dropped);
        let passing = lock(&self.memory).keep(&key.service_port, stamp, reply.clone());
        let wait = || self.sandbox.limits().retry_after(passing);
        let ask_again = (passing > 0).then(|| self.rest(key).unwrap_or_else(wait));
        Heard { reply, from_cache: false, ask_again }
    }

    /// How much longer the policy is suspended for the namespace of a service port.
    fn rest(&self, key: &RevisionKey) -> Option<Duration> {
        lock(&self.breaker).rest(key.namespace_name(), Instant::now())
    }

    /// How long its evaluations took so far.
    pub(crate) fn ran(&self) -> Duration {
        lock(&self.tally).ran
    }

    /// Notes that the last good answer stood in.
    pub(crate) fn stood_in(&self) {
        lock(&self.tally).stand_ins += 1;
    }

    /// The groups that the policy puts an interface in; none if it doesn't classify.
    pub(crate) fn classify(&self, interface: &Interface) -> Result<Vec<String>, Failed> {
        let Some(guest) = self.running().filter(|guest| guest.classifies()) else {
            return Ok(Vec::new());
        };
        let Evaluation { outcome, said, fuel } = guest.classify(interface);
        let mut tally = lock(&self.tally);
        tally.fuel += fuel;
        let dropped = said.dropped_lines;
        let lines = tally.add_said(said, self.sandbox.limits().counters);
        if let Err(failed) = &outcome {
            tally.add_failure(failed.kind);
        }
        drop(tally);
        report::lines(&self.name, &interface.name, &lines, dropped);
        outcome
    }

    pub(crate) fn spec(&self) -> PolicySpec {
        lock(&self.version).spec.clone()
    }

    pub(crate) fn digest(&self) -> Option<Digest> {
        self.running().map(|guest| *guest.digest())
    }

    pub(crate) fn stats(&self) -> PolicyStats {
        let version = lock(&self.version);
        let now = Instant::now();
        let (suspended, suspended_for) = {
            let breaker = lock(&self.breaker);
            (breaker.rest_of_all(now), breaker.suspended(now))
        };
        PolicyStats {
            name: Arc::clone(&self.name),
            file: version.spec.file.clone(),
            running: version.running.as_ref().map(|guest| RunningPolicy {
                digest: *guest.digest(),
                interface: guest.version(),
                wants: guest.wants(),
                classifies: guest.classifies(),
            }),
            load_error: version.problem.clone(),
            suspended,
            suspended_for,
            remembered: lock(&self.memory).len(),
            tally: lock(&self.tally).clone(),
        }
    }

    /// Changing inputs that the running version asked for.
    pub(crate) fn wants(&self) -> Wants {
        self.running().map(|guest| guest.wants()).unwrap_or_default()
    }

    fn running(&self) -> Option<Arc<Guest>> {
        lock(&self.version).running.clone()
    }

    fn version_now(&self) -> Option<(Arc<Guest>, u64)> {
        let version = lock(&self.version);
        version.running.clone().map(|guest| (guest, version.setup))
    }

    fn not_asked(&self, failed: Failed) -> Heard {
        lock(&self.tally).add_failure(failed.kind);
        Heard { reply: Reply::Failed(failed), from_cache: false, ask_again: None }
    }

    fn count(&self, reply: &Reply, fuel: u64, took: Duration) {
        let mut tally = lock(&self.tally);
        tally.fuel += fuel;
        tally.ran += took;
        match reply {
            Reply::Wish(_) => tally.decisions += 1,
            Reply::Refusal(_) => tally.refusals += 1,
            Reply::Failed(failed) => tally.add_failure(failed.kind),
        }
    }

    /// Suspends the policy where this was one failure too many.
    fn note(&self, reply: &Reply, key: &RevisionKey) {
        let costly = matches!(reply, Reply::Failed(failed) if failed.kind.is_costly());
        let (limits, namespace) = (self.sandbox.limits(), key.namespace_name());
        let noted = lock(&self.breaker).note(namespace, costly, &limits, Instant::now());
        if let Some(who) = noted {
            report::suspended(&self.name, who, namespace, limits.suspension);
        }
    }
}

fn stamp(guest: &Guest, setup: u64, key: &RevisionKey) -> Stamp {
    Stamp {
        setup,
        namespace: key.namespace,
        service: key.service,
        slices: key.slices,
        evaluation: if guest.wants().any() { key.evaluation } else { 0 },
    }
}

/// A panic elsewhere is no reason to stop deciding: all that is behind these locks stays whole
/// between statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
