//! One turn: what is touched is worked out, planned and sent, and what was refused is learnt from.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use weir_core::compile::{allocated, compile};
use weir_core::decision::{Reason, Scheduler};
use weir_core::kernel::{Kernel, ObserveError, Refusal, RefusalKind};
use weir_core::ledger::{Conflict, Wanted};
use weir_core::model::Touched;
use weir_core::net::ObjectName;
use weir_core::pack::pack;
use weir_core::plan::Operation;
use weir_core::state::{Chain, Element, Key, Pick, VirtualKey};
use weir_policy_host::{Failure, FailureKind};

use crate::report::metrics::number;

use super::line::{Job, Line, Share};
use super::steps::Steps;
use super::{DecidedPorts, Deferred, Policies, PolicyFailed, Reconciler, SetAside, Turn};

impl<K: Kernel, P: Policies> Reconciler<K, P> {
    /// One turn: works out what is touched, and makes the kernel match.
    ///
    /// # Errors
    /// The state was not certain and could not be looked at. Nothing was written; what is touched
    /// stays touched.
    pub fn turn(&mut self, now: u64) -> Result<Turn, ObserveError> {
        let unseen = self.make_sure()?;
        let first = !std::mem::replace(&mut self.turned, true);
        let full = self.touched.all || first;
        let names = self.take_touched(now);
        self.pending.taken();
        // A slice may be of a Service that isn't ours.
        let is_ours = |name: &&ObjectName| {
            self.model.service(name).is_some() || self.decided.contains_key(*name)
        };
        let services = names.iter().filter(is_ours).count();
        let patience = if first { self.patience.first } else { self.patience.later };
        let deferred = self.work_out_all(names, patience, now);
        self.keys.extend(self.retries.due_by(now));
        let keys = std::mem::take(&mut self.keys);
        let step = tracing::info_span!("plan", objects = number(keys.len()));
        let plan = step.in_scope(|| self.ledger.plan(&keys, &mut self.drains, now));
        let step = tracing::info_span!("commit", operations = number(plan.len()));
        let outcomes = step.in_scope(|| self.kernel.apply(&plan));
        drop(step);
        let refused = self.ledger.settle(&plan, &outcomes);
        self.ledger.share(&keys);
        self.drains.leaving.settle(&plan, &outcomes);
        self.retries.settle(&keys, &plan, &outcomes, now);
        self.learn(&refused);
        let conflicts = self.new_conflicts(&keys);
        let unmeasured = self.meters.take_failed();
        let set_aside = std::mem::take(&mut self.set_aside);
        let failed = std::mem::take(&mut self.failed);
        if full {
            self.pack();
        }
        let triggers = if refused.is_empty() { self.pending.written() } else { Vec::new() };
        Ok(Turn {
            services,
            full,
            deferred,
            triggers,
            plan,
            refused,
            conflicts,
            set_aside,
            failed,
            unseen,
            unmeasured,
        })
    }

    /// Who wants what another has, and wasn't told so yet.
    fn new_conflicts(&mut self, keys: &BTreeSet<Key>) -> Vec<Conflict> {
        let mut new = Vec::new();
        for key in keys {
            let stand = self.ledger.conflicts(*key);
            let told = self.conflicts.remove(key).unwrap_or_default();
            new.extend(stand.iter().filter(|it| !told.contains(it)).cloned());
            if !stand.is_empty() {
                self.conflicts.insert(*key, stand);
            }
        }
        new
    }

    /// All was worked through: what was filled in order takes no more memory than it needs from now on.
    fn pack(&mut self) {
        self.model.pack();
        self.ledger.pack();
        self.seen.pack();
        pack(&mut self.decided);
    }

    fn take_touched(&mut self, now: u64) -> BTreeSet<ObjectName> {
        let Touched { all, mut services } = std::mem::take(&mut self.touched);
        if all {
            services.extend(self.model.services().map(|service| service.name.clone()));
            services.extend(self.ledger.services().cloned());
        }
        for (name, again) in &mut self.again {
            if again.at.is_some_and(|at| at <= now) {
                again.evaluation += 1;
                services.insert(name.clone());
            }
            if again.retry.is_some_and(|at| at <= now) {
                services.insert(name.clone());
            }
        }
        services
    }

    /// What a refusal teaches: a surprise is looked at, a missing scheduler is not asked for again,
    /// what turned out to be somebody else's is taken out of the register.
    fn learn(&mut self, refused: &[(Operation, Refusal)]) {
        for (operation, refusal) in refused {
            match (refusal.kind, operation) {
                (RefusalKind::Unknown, _) => self.certain = false,
                (RefusalKind::NotFound | RefusalKind::Exists, _) => self.surprised = true,
                (
                    RefusalKind::Unsupported,
                    Operation::AddVirtual(key, how) | Operation::SetVirtual(key, how),
                ) => {
                    self.lacks(*key, how.scheduler);
                }
                (RefusalKind::Unsupported, Operation::AddChain(chain)) => self.lacks_chain(*chain),
                (RefusalKind::Foreign, Operation::AddVirtual(key, _)) => {
                    self.keys.insert(Key::Element(Element::Service(*key)));
                }
                _ => {}
            }
        }
    }

    fn lacks(&mut self, key: VirtualKey, scheduler: Scheduler) {
        let there = &mut self.abilities.ipvs_schedulers;
        there.retain(|name| name != scheduler.as_str());
        self.touched.services.extend(self.ledger.wanting(Key::Virtual(key)));
        self.show_node();
    }

    /// What is set aside, and which policies failed, and wasn't so when the service was worked out last.
    fn note_new(&mut self, name: &ObjectName, decided: &DecidedPorts) {
        let before = self.decided.get(name);
        for (&port, it) in decided {
            let known = before.and_then(|ports| ports.get(&port));
            let reasons = known.map(|it| it.decision.reasons.as_slice()).unwrap_or_default();
            let fresh = it.decision.reasons.iter().filter(|reason| !reasons.contains(reason));
            let set_aside =
                |reason: &Reason| SetAside { service: name.clone(), port, reason: reason.clone() };
            self.set_aside.extend(fresh.map(set_aside));
            let failures = known.map(|it| it.answers.failures.as_slice()).unwrap_or_default();
            let is_known = |failure: &Failure| {
                failures.iter().any(|it| (&it.policy, it.kind) == (&failure.policy, failure.kind))
            };
            let fresh = it.answers.failures.iter().filter(|failure| !is_known(failure));
            // One that wasn't its time yet is over soon.
            let fresh = fresh.filter(|failure| failure.kind != FailureKind::Deferred);
            let failed = |failure: &Failure| PolicyFailed {
                service: name.clone(),
                port,
                failure: failure.clone(),
            };
            self.failed.extend(fresh.map(failed));
        }
    }

    /// What was there when it was tried at the start, and isn't any more.
    fn lacks_chain(&mut self, chain: Chain) {
        let there = &mut self.abilities.nftables_schedulers;
        match chain {
            Chain::Offload(_) => self.abilities.flowtable = false,
            Chain::Remember(_) => self.abilities.dataplanes.retain(|name| name != "nftables"),
            Chain::Balance(class) => match class.pick {
                Pick::Random => self.abilities.dataplanes.retain(|name| name != "nftables"),
                Pick::Turn(_) => there.retain(|name| name != "rr" && name != "wrr"),
                Pick::Source { .. } | Pick::Destination => {
                    there.retain(|name| !["sh", "dh", "mh"].contains(&name.as_str()));
                }
            },
        }
        self.here.translates = self.translates();
        self.touched.services.extend(self.ledger.wanting(Key::Chain(chain)));
        self.show_node();
    }

    /// Works these out, for which policies may run so long.
    fn work_out_all(
        &mut self,
        names: BTreeSet<ObjectName>,
        patience: Duration,
        now: u64,
    ) -> Option<Deferred> {
        let steps = Steps::of(&names);
        let mut line = Line::new(names, std::mem::take(&mut self.used), patience);
        let mut ports = 0;
        while let Some((mut job, share)) = line.next() {
            let namespace = Arc::clone(&job.name.namespace);
            let before = self.policies.ran();
            let whole = self.decide_whole(&mut job, share, now, &steps);
            let ran = self.policies.ran().saturating_sub(before);
            if whole {
                ports += job.decided.values().filter(|it| it.answers.is_deferred()).count();
                line.ran(&namespace, ran, None);
                self.work_out(job, now, &steps);
            } else {
                line.ran(&namespace, ran, Some(job));
            }
        }
        if ports == 0 {
            // Nobody waits, so nobody is owed anything.
            return None;
        }
        self.used = line.into_used();
        let dearest = self.used.iter().max_by_key(|(_, ran)| **ran);
        let dearest = dearest.map_or_else(|| "".into(), |(namespace, _)| Arc::clone(namespace));
        Some(Deferred { ports, dearest })
    }

    /// Decides on the ports of a service that weren't decided on. False where it is another's turn before
    /// all are.
    fn decide_whole(&mut self, job: &mut Job, share: Share, now: u64, steps: &Steps) -> bool {
        let ours = self.model.service(&job.name).filter(|service| self.is_ours(service));
        let Some(service) = ours.cloned() else { return true };
        steps.decide.in_scope(|| self.decide(&service, job, share, now))
    }

    /// Claims what a service wants by now of the kernel.
    fn work_out(&mut self, job: Job, now: u64, steps: &Steps) {
        let Job { name, decided, .. } = job;
        let ours = self.model.service(&name).filter(|service| self.is_ours(service));
        let Some(service) = ours else { return self.let_go(&name) };
        let created = service.created;
        let decisions = decided.iter().map(|(port, it)| (*port, it.decision.clone())).collect();
        let compile = || compile(&self.model, &self.here, service, &decisions);
        let wanted: Wanted = steps.compile.in_scope(compile);
        for selection in decided.values().filter_map(|it| it.decision.interfaces.as_ref()) {
            self.ledger.note_selection(&selection.value);
        }
        self.ask_again(&name, &decided, now);
        self.note_new(&name, &decided);
        self.note_by_interface(&name, &decided);
        self.decided.insert(name.clone(), self.alike.share(decided));
        let keys = self.ledger.claim(&name, created, wanted);
        self.keys.extend(keys);
    }

    /// A service that is none of ours, or none at all.
    fn let_go(&mut self, name: &ObjectName) {
        self.again.remove(name);
        self.by_interface.remove(name);
        self.pending.forget(name);
        self.meters.forget(name);
        for port in self.decided.remove(name).iter().flat_map(|ports| ports.keys()) {
            self.policies.forget(name, *port);
        }
        // Another's: what it is is none of weir's business, but its addresses are in use.
        let theirs = self.model.service(name).map(allocated);
        let keys = self.ledger.claim(name, None, theirs.unwrap_or_default());
        self.keys.extend(keys);
    }

    /// Notes when the policies are to be asked about a service although nothing changed.
    fn ask_again(&mut self, name: &ObjectName, decided: &DecidedPorts, now: u64) {
        let soonest = decided.values().filter_map(|it| it.decision.re_evaluate.as_ref());
        let seconds = soonest.map(|chosen| u64::from(chosen.value.get())).min();
        let again = self.again.entry(name.clone()).or_default();
        again.at = seconds.map(|seconds| now + seconds * 1000);
        again.retry = decided.values().filter_map(|it| it.answers.ask_again).min().map(|wait| {
            // Rounded up: a moment before its end a suspension still holds.
            let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
            now.saturating_add(wait)
        });
        if again.at.is_none() && again.retry.is_none() && again.evaluation == 0 {
            self.again.remove(name);
        }
    }
}
