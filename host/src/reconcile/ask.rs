//! What the policies are asked about a service, and what is made of their answers.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::IpAddr;

use weir_core::compile::{Here, PortKey, fronts};
use weir_core::decision::{Asked, decide};
use weir_core::eligible::{by_family, candidates, in_use, splits};
use weir_core::kernel::Kernel;
use weir_core::model::{Model, Service, ServicePort};
use weir_core::sight::{Beside, in_force, view_of};
use weir_core::state::VirtualKey;
use weir_policy_host::{Answers, Wants};

use super::line::{Job, Share};
use super::{Decided, Policies, Question, Reconciler};

impl<K: Kernel, P: Policies> Reconciler<K, P> {
    /// Decides on the ports that weren't decided on. False where it is another's turn before all are.
    pub(super) fn decide(
        &mut self,
        service: &Service,
        job: &mut Job,
        share: Share,
        now: u64,
    ) -> bool {
        let before = self.policies.ran();
        for port in service.ports.iter().skip(job.ports) {
            let ran = self.policies.ran().saturating_sub(before);
            if share.is_over(ran) {
                return false;
            }
            let mut answers = self.ask(service, port, share.may_run(ran), now);
            let decision = decide(&self.asked(service, port), &answers.wishes);
            answers.wishes.shrink_to_fit();
            job.decided.insert(PortKey::of(port), Decided { decision, answers });
            job.ports += 1;
        }
        true
    }

    fn asked<'a>(&'a self, service: &Service, port: &ServicePort) -> Asked<'a> {
        let candidates = candidates(&self.model, service, port);
        let by_family = by_family(&self.model, &candidates);
        Asked {
            protocol: port.protocol,
            endpoints: candidates.iter().map(|c| c.to).collect(),
            in_use: in_use(service, &by_family),
            unserved: unserved(&self.model, &self.here, service),
            splits: splits(service, &by_family),
            affinity_seconds: service.affinity_seconds,
            kernel: &self.abilities,
            dataplane: self.defaults.dataplane,
            scheduler: self.defaults.scheduler,
            offload: self.defaults.offload,
            limits: self.defaults.limits.of(&service.name.namespace),
        }
    }

    fn ask(&mut self, service: &Service, port: &ServicePort, may_run: bool, now: u64) -> Answers {
        let Self { model, policies, kernel, meters, ledger, decided, here, .. } = self;
        let (name, port_key) = (&service.name, PortKey::of(port));
        let before = decided.get(name).and_then(|ports| ports.get(&port_key));
        let door = RefCell::new((kernel, meters));
        let measure = || {
            let (kernel, meters) = &mut *door.borrow_mut();
            let keys = carriers(model, here, service, port, ledger.foreign());
            meters.read(*kernel, (name.clone(), port_key), &keys, now)
        };
        let view = |wants: Wants| {
            let previous = before.filter(|_| wants.previous);
            let beside = Beside {
                kernel: &self.abilities,
                cpus: self.defaults.cpus,
                seen: &self.seen,
                now: now / 1000,
                counters: if wants.counters { measure() } else { None },
                previous: previous.map(|it| in_force(&it.decision)),
            };
            view_of(model, service, port, &beside)
        };
        policies.ask(&Question {
            service: name,
            port: port_key,
            revisions: model.revisions(name),
            evaluation: self.again.get(name).map_or(0, |it| it.evaluation),
            may_run,
            view: &view,
        })
    }
}

/// The virtual services that carry a port of a service: also those that an earlier run left.
fn carriers(
    model: &Model,
    here: &Here,
    service: &Service,
    port: &ServicePort,
    foreign: &BTreeSet<VirtualKey>,
) -> BTreeSet<VirtualKey> {
    let keys = fronts(model, here, service, port).into_iter().map(|front| front.key);
    keys.filter(|key| !foreign.contains(key)).collect()
}

/// The addresses of a service that aren't served, each with why.
fn unserved(model: &Model, here: &Here, service: &Service) -> Vec<(IpAddr, &'static str)> {
    let own = service.cluster_ips.iter().filter(|address| here.is_own(model, **address));
    let own = own.map(|address| (*address, "it is this node's own address"));
    let barred = service.external_ips.iter().filter(|address| !here.allows_external(**address));
    let barred = barred.map(|address| (*address, "externalIPs.allowedCIDRs doesn't hold it"));
    own.chain(barred).collect()
}
