//! One turn: what is touched is worked out, planned and sent, and what was refused is learnt from.

use std::collections::BTreeSet;

use weir_core::compile::{allocated, compile};
use weir_core::decision::{Reason, Scheduler};
use weir_core::kernel::{Kernel, ObserveError, Refusal, RefusalKind};
use weir_core::ledger::Wanted;
use weir_core::model::Touched;
use weir_core::net::ObjectName;
use weir_core::plan::Operation;
use weir_core::state::{Chain, Element, Key, Pick, VirtualKey};
use weir_policy_host::Failure;

use crate::report::metrics::number;

use super::steps::Steps;
use super::{DecidedPorts, Policies, PolicyFailed, Reconciler, SetAside, Turn};

impl<K: Kernel, P: Policies> Reconciler<K, P> {
    /// One turn: works out what is touched, and makes the kernel match.
    ///
    /// # Errors
    /// The state was not certain and could not be looked at. Nothing was written; what is touched
    /// stays touched.
    pub fn turn(&mut self, now: u64) -> Result<Turn, ObserveError> {
        let unseen = self.make_sure()?;
        let full = self.touched.all || !std::mem::replace(&mut self.turned, true);
        let names = self.take_touched(now);
        self.pending.taken();
        let steps = Steps::of(&names);
        for name in &names {
            let keys = self.work_out(name, now, &steps);
            self.keys.extend(keys);
        }
        drop(steps);
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
        let conflicts = self.ledger.conflicts(&keys);
        let unmeasured = self.meters.take_failed();
        let set_aside = std::mem::take(&mut self.set_aside);
        let failed = std::mem::take(&mut self.failed);
        let triggers = if refused.is_empty() { self.pending.written() } else { Vec::new() };
        Ok(Turn {
            services: names.len(),
            full,
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

    fn work_out(&mut self, name: &ObjectName, now: u64, steps: &Steps) -> BTreeSet<Key> {
        let ours = self.model.service(name).filter(|service| self.is_ours(service));
        let Some(service) = ours.cloned() else {
            self.again.remove(name);
            self.by_interface.remove(name);
            self.pending.forget(name);
            self.meters.forget(name);
            for port in self.decided.remove(name).iter().flat_map(|ports| ports.keys()) {
                self.policies.forget(name, *port);
            }
            // Another's: what it is is none of weir's business, but its addresses are in use.
            let theirs = self.model.service(name).map(allocated);
            return self.ledger.claim(name, None, theirs.unwrap_or_default());
        };
        let decided = steps.decide.in_scope(|| self.decide(&service, now));
        let decisions = decided.iter().map(|(port, it)| (*port, it.decision.clone())).collect();
        let compile = || compile(&self.model, &self.here, &service, &decisions);
        let wanted: Wanted = steps.compile.in_scope(compile);
        for selection in decided.values().filter_map(|it| it.decision.interfaces.as_ref()) {
            self.ledger.note_selection(&selection.value);
        }
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
        self.note_new(name, &decided);
        self.note_by_interface(name, &decided);
        self.decided.insert(name.clone(), self.alike.share(decided));
        self.ledger.claim(name, service.created, wanted)
    }
}
