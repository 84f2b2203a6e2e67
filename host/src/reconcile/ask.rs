//! What the policies are asked about a service, and what is made of their answers.

use std::collections::BTreeMap;

use weir_core::compile::{PortKey, node_addresses};
use weir_core::decision::{Asked, decide};
use weir_core::eligible::{candidates, in_use};
use weir_core::kernel::Kernel;
use weir_core::model::{Service, ServicePort};
use weir_core::sight::{Beside, view_of};
use weir_policy_host::Answers;

use super::{Decided, Policies, Question, Reconciler};

impl<K: Kernel, P: Policies> Reconciler<K, P> {
    pub(super) fn decide(&mut self, service: &Service, now: u64) -> BTreeMap<PortKey, Decided> {
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
            node_addresses: node_addresses(&self.model, service),
            affinity_seconds: service.affinity_seconds,
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
}
