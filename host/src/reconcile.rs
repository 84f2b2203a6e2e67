//! The turn of the loop: fold, decide, compile, diff, apply. Pure but for the kernel's door and the policies'.
//!
//! Nothing is written but by a [`Plan`]. A refused operation is planned again with a back-off and
//! holds up nobody else; a state that is no longer certain is looked at before the next plan.

mod retries;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use weir_core::compile::{PortKey, compile, node_addresses};
use weir_core::decision::{Asked, Dataplane, Decision, Scheduler, decide};
use weir_core::drain::Drains;
use weir_core::eligible::{candidates, in_use};
use weir_core::kernel::{Kernel, ObserveError, Refusal, RefusalKind};
use weir_core::ledger::{Conflict, Ledger};
use weir_core::model::{Change, Model, Revisions, Service, ServicePort, Touched};
use weir_core::net::ObjectName;
use weir_core::plan::{Operation, Plan};
use weir_core::seen::FirstSeen;
use weir_core::sight::{self, Beside, view_of};
use weir_core::state::{Base, Element, KernelState, Key, VirtualKey};
use weir_core::view::{KernelAbilities, Node, ServiceView};
use weir_policy_host::Answers;

use retries::Retries;

/// What is asked of the chain of policies.
pub struct Question<'a> {
    /// The service.
    pub service: &'a ObjectName,
    /// Its port.
    pub port: PortKey,
    /// What an answer may be remembered by.
    pub revisions: Revisions,
    /// How often a policy's wish to be asked again came true.
    pub evaluation: u64,
    /// Builds the view, where no remembered answer will do.
    pub view: &'a dyn Fn() -> ServiceView,
}

/// The chain of policies, as the reconciler knows it.
pub trait Policies {
    /// The chain's answers.
    fn ask(&mut self, question: &Question<'_>) -> Answers;

    /// The node, as policies see it, is like this from now on.
    fn see_node(&mut self, node: Node);

    /// A service port is gone.
    fn forget(&mut self, service: &ObjectName, port: PortKey);
}

/// What the node's configuration says for services on which no policy has an opinion.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// `None` is `auto`.
    pub dataplane: Option<Dataplane>,
    /// The scheduler on IPVS.
    pub scheduler: Scheduler,
    /// The `service-proxy-name` whose services are ours; `None` is those without that label.
    pub proxy_name: Option<String>,
    /// Processors that are online.
    pub cpus: u32,
}

/// What was decided for a service port, and from which answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The decision in force.
    pub decision: Decision,
    /// What the chain of policies said.
    pub answers: Answers,
}

/// What one turn did.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    /// Services that were worked out anew.
    pub services: usize,
    /// What was sent to the kernel.
    pub plan: Plan,
    /// What the kernel refused.
    pub refused: Vec<(Operation, Refusal)>,
    /// Virtual services that two Services want.
    pub conflicts: Vec<Conflict>,
}

/// When a service is to be asked about again, and how often it was.
#[derive(Clone, Copy, Debug, Default)]
struct Again {
    evaluation: u64,
    at: Option<u64>,
}

/// All that is known and wanted on this node.
pub struct Reconciler<K, P> {
    /// The objects.
    pub model: Model,
    /// The door to the kernel.
    pub kernel: K,
    /// The door to the policies.
    pub policies: P,
    ledger: Ledger,
    drains: Drains,
    seen: FirstSeen,
    abilities: KernelAbilities,
    defaults: Defaults,
    decided: BTreeMap<ObjectName, BTreeMap<PortKey, Decided>>,
    again: BTreeMap<ObjectName, Again>,
    touched: Touched,
    keys: BTreeSet<Key>,
    retries: Retries,
    certain: bool,
    looked: bool,
    drift: u64,
}

impl<K: Kernel, P: Policies> Reconciler<K, P> {
    /// A reconciler that knows nothing yet: [`look`](Self::look) comes first.
    pub fn new(
        model: Model,
        kernel: K,
        policies: P,
        abilities: KernelAbilities,
        defaults: Defaults,
    ) -> Self {
        Self {
            model,
            kernel,
            policies,
            abilities,
            defaults,
            ledger: Ledger::default(),
            drains: Drains::default(),
            seen: FirstSeen::default(),
            decided: BTreeMap::new(),
            again: BTreeMap::new(),
            touched: Touched::default(),
            keys: BTreeSet::new(),
            retries: Retries::default(),
            certain: false,
            looked: false,
            drift: 0,
        }
    }

    /// Goes on with what an earlier run kept.
    pub fn resume(&mut self, drains: Drains, seen: FirstSeen) {
        self.drains = drains;
        self.seen = seen;
    }

    /// Takes in changes; they are worked out at the next turn. `now` (seconds since 1970) is `None`
    /// for the first lists of a node's first start.
    pub fn fold(&mut self, changes: Vec<Change>, now: Option<u64>) {
        for change in changes {
            let touched = self.model.fold(change);
            for name in &touched.services {
                self.note_endpoints(name, now);
            }
            if touched.all {
                self.show_node();
            }
            self.touched.merge(touched);
        }
    }

    fn note_endpoints(&mut self, name: &ObjectName, now: Option<u64>) {
        // A service that is gone has no ports, and its endpoints are forgotten.
        let of_port =
            |service, port| candidates(&self.model, service, port).into_iter().map(|c| c.to);
        let service = self.model.service(name);
        let ports = service.into_iter().flat_map(|it| it.ports.iter().map(move |port| (it, port)));
        let endpoints: BTreeSet<SocketAddr> =
            ports.flat_map(|(it, port)| of_port(it, port)).collect();
        self.seen.note(name, &endpoints, now);
    }

    /// Takes over what is wanted of the table beyond the services' elements.
    pub fn set_base(&mut self, base: Option<Base>) {
        let key = self.ledger.set_base(base);
        self.keys.insert(key);
    }

    /// Works these services out again at the next turn.
    pub fn touch(&mut self, touched: Touched) {
        self.touched.merge(touched);
    }

    /// Whether a turn would have anything to work on.
    #[must_use]
    pub fn has_work(&self) -> bool {
        !self.touched.is_empty() || !self.keys.is_empty() || !self.certain
    }

    /// When the next turn is due without any change: a refused operation, a policy that wants to be
    /// asked again (milliseconds since 1970).
    #[must_use]
    pub fn due(&self) -> Option<u64> {
        self.again.values().filter_map(|it| it.at).chain(self.retries.due()).min()
    }

    /// Looks at the kernel, and plans again what differs from what was known. The first look plans
    /// all: what an earlier run left behind goes.
    ///
    /// # Errors
    /// The look failed; the next turn looks again before it writes.
    pub fn look(&mut self) -> Result<BTreeSet<Key>, ObserveError> {
        self.certain = false;
        let seen = self.kernel.observe()?;
        let differs = self.ledger.observed(seen);
        self.certain = true;
        if std::mem::replace(&mut self.looked, true) {
            self.drift += self.ledger.moved() as u64;
        }
        self.keys.extend(differs.iter().copied());
        Ok(differs)
    }

    /// How many objects were found to differ from what was known, since the start.
    #[must_use]
    pub fn drift(&self) -> u64 {
        self.drift
    }

    /// One turn: works out what is touched, and makes the kernel match.
    ///
    /// # Errors
    /// The state was not certain and could not be looked at. Nothing was written; what is touched
    /// stays touched.
    pub fn turn(&mut self, now: u64) -> Result<Turn, ObserveError> {
        if !self.certain {
            self.look()?;
        }
        let names = self.take_touched(now);
        for name in &names {
            let keys = self.work_out(name, now);
            self.keys.extend(keys);
        }
        self.keys.extend(self.retries.due_by(now));
        let keys = std::mem::take(&mut self.keys);
        let plan = self.ledger.plan(&keys, &mut self.drains, now);
        let outcomes = self.kernel.apply(&plan);
        let refused = self.ledger.settle(&plan, &outcomes);
        self.retries.settle(&keys, &plan, &outcomes, now);
        self.learn(&refused);
        let conflicts = self.ledger.conflicts(&keys);
        Ok(Turn { services: names.len(), plan, refused, conflicts })
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
        }
        services
    }

    /// What a refusal teaches: a surprise is looked at, a missing scheduler is not asked for again,
    /// what turned out to be somebody else's is taken out of the register.
    fn learn(&mut self, refused: &[(Operation, Refusal)]) {
        for (operation, refusal) in refused {
            match (refusal.kind, operation) {
                (RefusalKind::Unknown | RefusalKind::NotFound | RefusalKind::Exists, _) => {
                    self.certain = false;
                }
                (
                    RefusalKind::Unsupported,
                    Operation::AddVirtual(key, how) | Operation::SetVirtual(key, how),
                ) => {
                    self.lacks(*key, how.scheduler);
                }
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

    /// Shows the policies the node as it is now.
    pub fn show_node(&mut self) {
        let node = sight::node(&self.model, &self.abilities, self.defaults.cpus);
        self.policies.see_node(node);
    }

    fn work_out(&mut self, name: &ObjectName, now: u64) -> BTreeSet<Key> {
        let ours =
            self.model.service(name).filter(|s| s.is_ours(self.defaults.proxy_name.as_deref()));
        let Some(service) = ours.cloned() else {
            self.again.remove(name);
            for port in self.decided.remove(name).unwrap_or_default().keys() {
                self.policies.forget(name, *port);
            }
            return self.ledger.claim(name, None, KernelState::default());
        };
        let decided = self.decide(&service, now);
        let decisions = decided.iter().map(|(port, it)| (*port, it.decision.clone())).collect();
        let state = compile(&self.model, &service, &decisions);
        let soonest = decided.values().filter_map(|it| it.decision.re_evaluate.as_ref());
        let seconds = soonest.map(|chosen| u64::from(chosen.value.get())).min();
        let again = self.again.entry(name.clone()).or_default();
        again.at = seconds.map(|seconds| now + seconds * 1000);
        if again.at.is_none() && again.evaluation == 0 {
            self.again.remove(name);
        }
        self.decided.insert(name.clone(), decided);
        self.ledger.claim(name, service.created, state)
    }

    fn decide(&mut self, service: &Service, now: u64) -> BTreeMap<PortKey, Decided> {
        let mut decided = BTreeMap::new();
        for port in &service.ports {
            let answers = self.ask(service, port, now);
            let decision = decide(&self.asked(service, port), &answers.wishes);
            decided.insert(PortKey::of(port), Decided { decision, answers });
        }
        decided
    }

    fn asked<'a>(&'a self, service: &Service, port: &ServicePort) -> Asked<'a> {
        let candidates = candidates(&self.model, service, port);
        Asked {
            protocol: port.protocol,
            endpoints: candidates.iter().map(|c| c.to).collect(),
            in_use: in_use(&self.model, service, &candidates),
            affinity_seconds: service.affinity_seconds,
            node_addresses: node_addresses(&self.model, service),
            kernel: &self.abilities,
            dataplane: self.defaults.dataplane,
            scheduler: self.defaults.scheduler,
        }
    }

    fn ask(&mut self, service: &Service, port: &ServicePort, now: u64) -> Answers {
        let Self { model, policies, seen, abilities, defaults, again, .. } = self;
        let evaluation = again.get(&service.name).map_or(0, |it| it.evaluation);
        let beside = Beside {
            kernel: abilities,
            cpus: defaults.cpus,
            seen,
            now: now / 1000,
            counters: None,
            previous: None,
        };
        policies.ask(&Question {
            service: &service.name,
            port: PortKey::of(port),
            revisions: model.revisions(&service.name),
            evaluation,
            view: &|| view_of(model, service, port, &beside),
        })
    }

    /// Asks how busy the ending servers are, and plans those that are done.
    ///
    /// # Errors
    /// The kernel could not be asked; nothing changed.
    pub fn check_drains(&mut self, now: u64) -> Result<usize, ObserveError> {
        let ending = self.drains.servers();
        if ending.is_empty() {
            return Ok(0);
        }
        let connections = self.kernel.connections(&ending)?;
        let keys = self.drains.look(&connections, now);
        self.keys.extend(keys);
        Ok(ending.len())
    }

    /// The servers that end.
    #[must_use]
    pub fn drains(&self) -> &Drains {
        &self.drains
    }

    /// First-seen times, to keep over a restart.
    #[must_use]
    pub fn seen(&self) -> &FirstSeen {
        &self.seen
    }

    /// Claims and known state.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What was decided for each port of a service.
    #[must_use]
    pub fn decided(&self, service: &ObjectName) -> Option<&BTreeMap<PortKey, Decided>> {
        self.decided.get(service)
    }

    /// How many service ports a dataplane carries.
    #[must_use]
    pub fn ports_on(&self, dataplane: Dataplane) -> usize {
        let all = self.decided.values().flat_map(BTreeMap::values);
        all.filter(|it| it.decision.dataplane.value == dataplane).count()
    }

    /// What this kernel can do, as far as it is known by now.
    #[must_use]
    pub fn abilities(&self) -> &KernelAbilities {
        &self.abilities
    }

    /// What is to be tried again, and why it was refused last.
    pub fn refused(&self) -> impl Iterator<Item = (&Key, &Refusal)> {
        self.retries.iter()
    }
}

#[cfg(test)]
#[path = "reconcile/tests.rs"]
mod tests;
