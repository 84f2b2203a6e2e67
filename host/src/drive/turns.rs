//! One turn seen from outside: who waits for it, what is logged, counted and kept.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use weir_core::kernel::RefusalKind;
use weir_core::plan::Operation;
use weir_core::state::VirtualKey;

use crate::kernel::words;
use crate::reconcile::{Deferred, Turn};
use crate::report::metrics::{OperationLabels, number};
use crate::report::{events, status};
use crate::resident;

use super::{Drive, Machine, Reloads, millis, seconds, walk, warn_unkept};

/// Plans that are kept to be shown.
const KEPT_PLANS: usize = 16;
/// Operations of each that are kept in words.
const KEPT_LINES: usize = 100;
/// Lines of the log about one thing that went wrong for many objects in one turn.
const TOLD: usize = 16;

impl<K: Machine, P: Reloads> Drive<K, P> {
    pub(super) fn turn(&mut self) {
        let _walk = self.walk.ends().entered();
        let span = walk::turn();
        let asked = walk::asked(&span, &self.all.policies);
        let started = Instant::now();
        let turned = span.in_scope(|| self.all.turn(millis()));
        let took = started.elapsed();
        self.pace.synced(self.now());
        walk::turned(&span, &turned, asked.zip(walk::asked(&span, &self.all.policies)));
        drop(span);
        let _follow_up = tracing::info_span!("follow up").entered();
        match turned {
            Ok(turn) => self.turned(&turn, took),
            Err(error) => {
                self.shared.metrics.kernel.looks_failed.inc();
                self.queued();
                let error = words(&error);
                tracing::error!(error, "nothing was written: the kernel's state can't be read");
                self.answer_waits(&Err(format!("nothing was written: {error}")));
            }
        }
    }

    fn turned(&mut self, turn: &Turn, took: Duration) {
        let now = millis();
        // One object that the kernel won't have makes no unhealthy proxy: restarting it helps nobody.
        if turn.refused.iter().all(|(_, why)| why.kind != RefusalKind::Unknown) {
            self.shared.health().updated(now);
        }
        if self.all.stands() {
            self.shared.health().stands();
        }
        self.last = Some(status::Sync {
            at: now,
            microseconds: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            services: turn.services,
            operations: turn.plan.len(),
            refused: turn.refused.len(),
        });
        self.keep_plan(turn);
        self.log_turn(turn, took);
        self.note_deferred(turn);
        self.tell_turn(turn);
        self.measure(turn, took, now);
        self.repoint();
        // With nothing refused, in this turn or before, the earlier way has nothing left to carry.
        if self.all.refused().next().is_none() {
            self.tidy();
        }
        self.settle_checks();
        self.save_drains();
        self.save_virtuals(turn);
        if turn.full && std::mem::take(&mut self.heavy) {
            self.rest();
        }
        let verdict = match turn.refused.len() {
            0 => Ok(()),
            refused => Err(format!("the kernel refused {refused} operations; see `weir status`")),
        };
        self.answer_waits(&verdict);
    }

    /// All was worked out anew, and won't be again soon.
    fn rest(&self) {
        if let Err(error) = resident::give_back() {
            tracing::debug!(%error, "what seldom runs stays in memory");
        }
    }

    fn keep_plan(&mut self, turn: &Turn) {
        let Some(sync) = self.last.as_ref().filter(|_| !turn.plan.is_empty()) else { return };
        if self.plans.len() == KEPT_PLANS {
            self.plans.pop_front();
        }
        let lines = turn.plan.operations().iter().take(KEPT_LINES);
        self.plans.push_back(status::Written {
            at: sync.at,
            microseconds: sync.microseconds,
            operations: sync.operations,
            refused: sync.refused,
            lines: lines.map(ToString::to_string).collect(),
        });
    }

    fn log_turn(&mut self, turn: &Turn, took: Duration) {
        for operation in turn.plan.operations() {
            tracing::debug!(%operation, "planned");
        }
        for (operation, refusal) in turn.refused.iter().take(TOLD) {
            tracing::warn!(%operation, kind = refusal.kind.as_str(), reason = %refusal, "the kernel refused");
        }
        if let Some(more) = turn.refused.len().checked_sub(TOLD).filter(|more| *more > 0) {
            tracing::warn!(more, "the kernel refused others, too; the status has it all");
        }
        let now = self.now();
        for conflict in &turn.conflicts {
            if !self.lines.take(&conflict.loser.namespace, now) {
                continue;
            }
            tracing::warn!(key = %conflict.key, winner = %conflict.winner, loser = %conflict.loser, "two services want one address and port");
        }
        self.log_set_aside(turn);
        for reason in turn.unmeasured.iter().take(TOLD) {
            tracing::warn!(%reason, "a policy wants to see traffic that can't be read");
        }
        if let Some(error) = &turn.unseen {
            self.shared.metrics.kernel.looks_failed.inc();
            tracing::error!(
                error = words(error),
                "can't look at what surprised; what is known of the kernel counts"
            );
        }
        if !turn.plan.is_empty() {
            let (operations, refused) = (turn.plan.len(), turn.refused.len());
            tracing::info!(services = turn.services, operations, refused, ?took, "synced");
        }
    }

    /// Told when it begins and when it is over.
    fn note_deferred(&mut self, turn: &Turn) {
        let before = std::mem::replace(&mut self.deferred, turn.deferred.clone());
        match (before, &turn.deferred) {
            (None, Some(Deferred { ports, dearest })) => tracing::warn!(
                ports,
                dearest = &**dearest,
                "policies take longer than one turn may; what is known stands in meanwhile"
            ),
            (Some(_), None) => tracing::info!("policies were asked about all service ports"),
            _ => {}
        }
        let ports = self.deferred.as_ref().map_or(0, |it| it.ports);
        self.shared.metrics.policies.deferred.set(number(ports));
    }

    fn tell_turn(&self, turn: &Turn) {
        for notice in events::of_turn(turn) {
            self.tell_of(notice);
        }
    }

    /// Each once, when it comes; a policy may ask ten thousand services for what can't be had.
    fn log_set_aside(&mut self, turn: &Turn) {
        let now = self.now();
        for it in turn.set_aside.iter().take(TOLD) {
            let (service, port, reason) = (&it.service, it.port, &it.reason);
            if !self.lines.take(&service.namespace, now) {
                continue;
            }
            tracing::warn!(%service, %port, field = reason.field, by = reason.by, reason = reason.text, "what was asked for is set aside");
        }
        if let Some(more) = turn.set_aside.len().checked_sub(TOLD).filter(|more| *more > 0) {
            tracing::warn!(more, "and for more service ports: see `weir status`");
        }
    }

    fn measure(&self, turn: &Turn, took: Duration, now: u64) {
        let metrics = &self.shared.metrics.proxy;
        let took = took.as_secs_f64();
        metrics.sync_duration.observe(took);
        let kind = if turn.full { &metrics.full_duration } else { &metrics.partial_duration };
        kind.observe(took);
        // As kube-proxy's: the last sync that did all that it was to do.
        if turn.refused.is_empty() {
            metrics.sync_last.set(seconds(now));
        }
        // As kube-proxy's: what changed before this start waited for somebody else.
        for since in turn.triggers.iter().filter(|since| **since > self.started_at) {
            metrics.programming.observe(seconds(now.saturating_sub(*since)));
        }
        self.tell_waiting();
        self.count_operations(turn);
    }

    /// How much waits for the next turn.
    pub(super) fn tell_waiting(&self) {
        let (waiting, metrics) = (self.all.waiting(), &self.shared.metrics.proxy);
        metrics.service_changes_pending.set(number(waiting.services));
        metrics.endpoint_changes_pending.set(number(waiting.endpoints));
    }

    fn count_operations(&self, turn: &Turn) {
        let operations = &self.shared.metrics.kernel.operations;
        let count = |operation, outcome, by| {
            let labels = OperationLabels { operation, outcome };
            operations.get_or_create(&labels).inc_by(by);
        };
        let refused: BTreeMap<_, _> =
            turn.refused.iter().map(|(it, why)| (it.to_string(), why.kind)).collect();
        for operation in turn.plan.operations() {
            // Names are made only where something was refused at all.
            let why = if refused.is_empty() { None } else { refused.get(&operation.to_string()) };
            count(operation.kind(), why.map_or("done", |kind| kind.as_str()), 1);
        }
    }

    /// Once nothing is refused any more, what another configuration had made local goes.
    fn tidy(&mut self) {
        if std::mem::replace(&mut self.tidied, true) {
            return;
        }
        for error in self.all.kernel.tidy() {
            tracing::warn!(error, "an earlier configuration's leftover can't be removed");
        }
    }

    fn answer_waits(&mut self, verdict: &Result<(), String>) {
        for done in self.sync_waits.drain(..) {
            // Whoever asked may have gone.
            let _ = done.send(verdict.clone());
        }
    }

    /// Keeps the policies' last good answers where any is new, once all services were worked out.
    pub(super) fn save_answers(&mut self) {
        let learned = self.all.policies.learned();
        if !self.tidied || learned == self.learned {
            return;
        }
        let answers = self.all.policies.last_good(&mut self.all.decided_ports());
        warn_unkept(self.keep.save_answers(&answers));
        self.learned = learned;
    }

    /// Keeps which virtual services are ours at the node's own addresses, where this changed: should
    /// the table be lost while nobody looks, nothing else tells.
    fn save_virtuals(&self, turn: &Turn) {
        let known = self.all.ledger().known();
        let own = |key: &VirtualKey| !known.locals.contains(&key.address);
        let moves = turn.plan.operations().iter().any(|operation| match operation {
            Operation::AddVirtual(key, _) | Operation::RemoveVirtual(key) => own(key),
            _ => false,
        });
        if moves {
            let virtuals = known.virtuals.keys().filter(|key| own(key)).copied().collect();
            warn_unkept(self.keep.save_virtuals(&virtuals));
        }
    }

    fn save_drains(&mut self) {
        let ending = (self.all.drains().servers(), self.all.drains().leaving.saved());
        if ending != self.ending {
            warn_unkept(self.keep.save_drains(self.all.drains()));
            self.ending = ending;
        }
    }
}
