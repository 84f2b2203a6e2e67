//! The turn of the loop: fold, decide, compile, diff, apply. Pure but for the kernel's door and the policies'.
//!
//! Nothing is written but by a [`Plan`]. A refused operation is planned again with a back-off and
//! holds up nobody else; a state that is no longer certain is looked at before the next plan.

mod ask;
mod checks;
mod flows;
mod line;
mod looks;
mod node;
mod pending;
mod retries;
mod steps;
mod traffic;
mod turn;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use weir_core::alike::Alike;
use weir_core::compile::{Front, Here, PortKey, fronts};
use weir_core::decision::{
    AllLimits, Dataplane, Decision, Limits, Offload, Reason, Scheduler, usual_dataplane,
};
use weir_core::drain::Drains;
use weir_core::eligible::candidates;
use weir_core::health_checks::HealthChecks;
use weir_core::interfaces::Survey;
use weir_core::kernel::{Kernel, ObserveError, Refusal};
use weir_core::ledger::{Conflict, Ledger};
use weir_core::model::{Change, Model, Revisions, Service, Touched};
use weir_core::net::ObjectName;
use weir_core::plan::{Operation, Plan};
use weir_core::seen::FirstSeen;
use weir_core::sight;
use weir_core::state::{Base, Key, VirtualKey};
use weir_core::view::{Interface, KernelAbilities, Node, ServiceView};
use weir_policy_host::{Answers, Failure, Wants};

pub use pending::Waiting;

use line::Used;
use pending::{Noted, Pending};
use retries::Retries;
use traffic::Meters;

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
    /// Whether policies may run for it; else what is known has to do.
    pub may_run: bool,
    /// Builds the view, where no remembered answer will do, with the changing inputs that are wanted.
    pub view: &'a dyn Fn(Wants) -> ServiceView,
}

/// The chain of policies, as the reconciler knows it.
pub trait Policies {
    /// The chain's answers.
    fn ask(&mut self, question: &Question<'_>) -> Answers;

    /// How long policies ran so far to answer.
    fn ran(&self) -> Duration {
        Duration::ZERO
    }

    /// The node, as policies see it, is like this from now on.
    fn see_node(&mut self, node: Node);

    /// The groups that policies put an interface in.
    fn classify(&mut self, interface: &Interface) -> BTreeSet<String>;

    /// A service port is gone.
    fn forget(&mut self, service: &ObjectName, port: PortKey);
}

/// What the node's configuration says for services on which no policy has an opinion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// `None` is `auto`.
    pub dataplane: Option<Dataplane>,
    /// The scheduler on IPVS.
    pub scheduler: Scheduler,
    /// When flows are offloaded, where they can be.
    pub offload: Offload,
    /// What no decision may cross.
    pub limits: AllLimits,
    /// The `service-proxy-name` whose services are ours; `None` is those without that label.
    pub proxy_name: Option<String>,
    /// Processors that are online.
    pub cpus: u32,
}

/// How long all policies together may run in a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// In the first, before which nothing is known.
    pub first: Duration,
    /// In each after it: what changes meanwhile waits for its end.
    pub later: Duration,
}

impl Patience {
    /// For who has one turn only.
    pub const ENDLESS: Self = Self { first: Duration::MAX, later: Duration::MAX };
}

/// Service ports that policies had no time for in a turn; what is known stands in until they are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deferred {
    /// How many.
    pub ports: usize,
    /// The namespace for which policies ran longest since there are any.
    pub dearest: Arc<str>,
}

/// What was decided for a service port, and from which answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The decision in force.
    pub decision: Decision,
    /// What the chain of policies said.
    pub answers: Answers,
}

/// What was decided for each port of a service.
pub type DecidedPorts = BTreeMap<PortKey, Decided>;

/// What one turn did.
#[derive(Debug, Default)]
pub struct Turn {
    /// Services that were worked out anew.
    pub services: usize,
    /// Whether these were all of them.
    pub full: bool,
    /// What policies had no time for.
    pub deferred: Option<Deferred>,
    /// When the cluster changed what this turn has carried to the kernel, in milliseconds since 1970. Empty
    /// where anything was refused: the next turn in which nothing is tells of it.
    pub triggers: Vec<u64>,
    /// What was sent to the kernel.
    pub plan: Plan,
    /// What the kernel refused.
    pub refused: Vec<(Operation, Refusal)>,
    /// Virtual services that two Services want.
    pub conflicts: Vec<Conflict>,
    /// What of the services that were worked out is set aside by now and wasn't before.
    pub set_aside: Vec<SetAside>,
    /// Policies that failed for the services that were worked out, and didn't so before.
    pub failed: Vec<PolicyFailed>,
    /// Why a surprise of the turn before could not be looked at. What is known held all the same.
    pub unseen: Option<ObserveError>,
    /// Service ports whose traffic a policy wants to see and the kernel couldn't tell, each with why.
    pub unmeasured: Vec<String>,
}

/// Something that was asked for a service port and isn't done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// The service.
    pub service: ObjectName,
    /// Its port.
    pub port: PortKey,
    /// What, and why.
    pub reason: Reason,
}

/// A policy gave no answer for a service port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFailed {
    /// The service.
    pub service: ObjectName,
    /// Its port.
    pub port: PortKey,
    /// Which policy, and why.
    pub failure: Failure,
}

/// When a service is to be asked about again, and how often it was.
#[derive(Clone, Copy, Debug, Default)]
struct Again {
    evaluation: u64,
    at: Option<u64>,
    /// When a policy that failed, or wasn't asked, for a reason that passes is tried again.
    retry: Option<u64>,
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
    decided: BTreeMap<ObjectName, Arc<DecidedPorts>>,
    alike: Alike<DecidedPorts>,
    again: BTreeMap<ObjectName, Again>,
    /// The conflicts that were told, by what is wanted.
    conflicts: BTreeMap<Key, Vec<Conflict>>,
    patience: Patience,
    /// How long policies ran for whom since somebody waits for them.
    used: Used,
    meters: Meters,
    set_aside: Vec<SetAside>,
    failed: Vec<PolicyFailed>,
    survey: Survey,
    here: Here,
    /// Services whose node ports follow interfaces.
    by_interface: BTreeSet<ObjectName>,
    flows: Option<BTreeMap<VirtualKey, u64>>,
    touched: Touched,
    pending: Pending,
    checks: HealthChecks,
    /// What was touched since the health checks were last settled.
    unchecked: Touched,
    keys: BTreeSet<Key>,
    retries: Retries,
    listed: bool,
    certain: bool,
    surprised: bool,
    looked: bool,
    /// There was a turn.
    turned: bool,
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
        let mut all = Self {
            model,
            kernel,
            policies,
            abilities,
            defaults,
            ledger: Ledger::default(),
            drains: Drains::default(),
            seen: FirstSeen::default(),
            decided: BTreeMap::new(),
            alike: Alike::default(),
            again: BTreeMap::new(),
            conflicts: BTreeMap::new(),
            patience: Patience::ENDLESS,
            used: Used::new(),
            meters: Meters::default(),
            set_aside: Vec::new(),
            failed: Vec::new(),
            survey: Survey::default(),
            here: Here::default(),
            by_interface: BTreeSet::new(),
            flows: None,
            touched: Touched::default(),
            pending: Pending::default(),
            checks: HealthChecks::default(),
            unchecked: Touched::default(),
            keys: BTreeSet::new(),
            retries: Retries::default(),
            listed: false,
            certain: false,
            surprised: false,
            looked: false,
            turned: false,
            drift: 0,
        };
        all.here.translates = all.translates();
        all
    }

    /// Goes on with what an earlier run kept.
    pub fn resume(&mut self, drains: Drains, seen: FirstSeen) {
        self.drains = drains;
        self.seen = seen;
    }

    /// Takes in changes; they are worked out at the next turn. `now` is in seconds since 1970.
    pub fn fold(&mut self, changes: Vec<Change>, now: u64) {
        let mut touched = Touched::default();
        for change in changes {
            let noted = Noted::of(&change);
            let by_it = self.model.fold(change);
            if !by_it.is_empty() {
                self.pending.note(&noted);
            }
            touched.merge(by_it);
        }
        // Until every slice was read, an endpoint that isn't known is no endpoint that is gone.
        if self.listed {
            touched.services.iter().for_each(|name| self.note_endpoints(name, Some(now)));
        }
        if touched.all {
            self.show_node();
        }
        self.unchecked.merge(touched.clone());
        self.touched.merge(touched);
    }

    /// Every object was read once: from now on endpoints that go are forgotten. `now` (seconds since
    /// 1970) is `None` at a node's first start: what is there now is of unknown age.
    pub fn listed(&mut self, now: Option<u64>) {
        self.listed = true;
        let names: Vec<_> = self.model.services().map(|service| service.name.clone()).collect();
        self.seen.keep_only(names.iter());
        names.iter().for_each(|name| self.note_endpoints(name, now));
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

    /// The addresses and ports at which a service port answers on this node.
    #[must_use]
    pub fn fronts(&self, service: &Service, port: PortKey) -> Vec<Front> {
        let of = service.ports.iter().filter(|it| PortKey::of(it) == port);
        of.flat_map(|it| fronts(&self.model, &self.here, service, it)).collect()
    }

    /// Changes that no turn has taken in yet.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
        self.pending.waiting
    }

    /// Takes over what is wanted of the table beyond the services' elements.
    pub fn set_base(&mut self, base: Option<Base>) {
        self.keys.extend(self.ledger.set_base(base));
    }

    /// Takes over what the configuration says of all services; where it is something else, every one of them
    /// is worked out at the next turn.
    pub fn set_defaults(&mut self, defaults: Defaults) {
        if self.defaults != defaults {
            self.defaults = defaults;
            self.touched.merge(Touched::all());
            self.show_node();
        }
    }

    /// What no decision on a namespace's services may cross.
    #[must_use]
    pub fn limits_of(&self, namespace: &str) -> Option<&Limits> {
        self.defaults.limits.of(namespace)
    }

    /// Takes over how long policies may run in a turn.
    pub fn set_patience(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// Takes over how long a server that leaves may drain, in milliseconds.
    pub fn set_drain_limit(&mut self, limit: u64) {
        self.drains.set_limit(limit);
    }

    /// Works these services out again at the next turn.
    pub fn touch(&mut self, touched: Touched) {
        self.touched.merge(touched);
    }

    /// Whether a turn would have anything to work on.
    #[must_use]
    pub fn has_work(&self) -> bool {
        let planned = !self.touched.is_empty() || !self.keys.is_empty();
        planned || !self.certain || self.surprised
    }

    /// Tries again at the next turn whatever was refused, without waiting for its time.
    pub fn retry_now(&mut self) {
        self.retries.hurry();
    }

    /// Whether the kernel has what is wanted. What it refuses of some services counts as long as it has any.
    pub fn stands(&self) -> bool {
        let known = self.ledger.known();
        let carries = !known.virtuals.is_empty() || !known.nats.is_empty();
        self.certain && known.base.is_some() && (carries || self.refused().next().is_none())
    }

    /// Has the next turn do what waits for its time: by the clock, which went back, that may never come.
    pub fn hurry(&mut self) {
        self.retries.hurry();
        for again in self.again.values_mut() {
            again.at = again.at.map(|_| 0);
            again.retry = again.retry.map(|_| 0);
        }
    }

    /// Whether this node's configuration has weir serve the service.
    #[must_use]
    pub fn is_ours(&self, service: &Service) -> bool {
        service.is_ours(self.defaults.proxy_name.as_deref())
    }

    /// When the next turn is due without any change: a refused operation, a policy that wants to be
    /// asked again (milliseconds since 1970).
    #[must_use]
    pub fn due(&self) -> Option<u64> {
        let again = self.again.values().flat_map(|it| [it.at, it.retry]).flatten();
        again.chain(self.retries.due()).min()
    }

    /// Shows the policies the node as it is now.
    pub fn show_node(&mut self) {
        let node = sight::node(&self.model, &self.abilities, self.defaults.cpus);
        self.policies.see_node(node);
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
    pub fn decided(&self, service: &ObjectName) -> Option<&DecidedPorts> {
        self.decided.get(service).map(Arc::as_ref)
    }

    /// All decisions in force.
    pub fn decisions(&self) -> impl Iterator<Item = &Decision> {
        self.decided.values().flat_map(|ports| ports.values()).map(|it| &it.decision)
    }

    /// The service ports that were decided on.
    pub fn decided_ports(&self) -> impl Iterator<Item = (&ObjectName, PortKey)> {
        self.decided.iter().flat_map(|(name, ports)| ports.keys().map(move |port| (name, *port)))
    }

    /// How many service ports a dataplane carries.
    #[must_use]
    pub fn ports_on(&self, dataplane: Dataplane) -> usize {
        let all = self.decided.values().flat_map(|ports| ports.values());
        all.filter(|it| it.decision.dataplane.value == dataplane).count()
    }

    /// What carries a service port on which no policy has an opinion.
    #[must_use]
    pub fn usual_dataplane(&self) -> Dataplane {
        usual_dataplane(&self.abilities, self.defaults.dataplane, self.defaults.scheduler)
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
pub(crate) mod fairness_tests;
#[cfg(test)]
#[path = "reconcile/tests.rs"]
pub(crate) mod tests;
