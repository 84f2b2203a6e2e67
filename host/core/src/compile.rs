//! One service and its decisions → the kernel objects that carry it. Pure.

mod fronts;
mod here;
mod ipvs;
mod nftables;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::decision::{Dataplane, Decision};
use crate::eligible::{Candidate, by_family, candidates};
use crate::ledger::Wanted;
use crate::model::{Model, Service, ServicePort};
use crate::net::{Family, Port, Protocol};
use crate::state::{Element, KernelState, VirtualKey};

use fronts::Taken;

pub use fronts::{Front, Way, fronts};
pub use here::{Here, WaysOut};

/// What tells one port of a Service from the others: the API allows a (protocol, port) once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortKey {
    /// The transport protocol.
    pub protocol: Protocol,
    /// The port number.
    pub port: Port,
}

impl PortKey {
    /// The key of a Service's port.
    #[must_use]
    pub fn of(port: &ServicePort) -> Self {
        Self { protocol: port.protocol, port: port.port }
    }
}

impl std::fmt::Display for PortKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.port, self.protocol)
    }
}

/// What the kernel objects of a service port follow from.
struct OfPort<'a> {
    model: &'a Model,
    here: &'a Here,
    service: &'a Service,
    port: &'a ServicePort,
    decision: &'a Decision,
    candidates: Vec<Candidate<'a>>,
}

/// One of its fronts.
struct At<'a> {
    front: &'a Front,
    taken: &'a Taken<'a>,
    /// The first front of the family, by whose name clients of all of them are remembered.
    home: VirtualKey,
}

impl OfPort<'_> {
    fn fronts(&self) -> Vec<Front> {
        let mut all = fronts(self.model, self.here, self.service, self.port);
        if let Some(chosen) = &self.decision.node_ports {
            let taken = self.here.node_ports_on(&chosen.value);
            all.retain(|it| it.way != Way::NodePort || taken.contains(&it.key.address));
        }
        all
    }

    /// UDP has no end: flows to endpoints that serve no longer are to be ended.
    fn keep_flows(&self, key: VirtualKey, wanted: &mut Wanted) {
        if self.port.protocol == Protocol::Udp {
            let family = Family::of(key.address);
            let serving = self.candidates.iter().filter(|c| c.endpoint.serving).map(|c| c.to);
            wanted.keeps.insert(key, serving.filter(|to| Family::of(to.ip()) == family).collect());
        }
    }

    /// Endpoints on this node among those in use: only these can be balanced to themselves here.
    fn hairpins(&self, used: &BTreeSet<SocketAddr>) -> impl Iterator<Item = Element> {
        let used = self.candidates.iter().filter(|c| used.contains(&c.to));
        let here = used.filter(|c| c.is_local(self.model.node_name()));
        here.map(|c| Element::Hairpin(c.to.ip()))
    }
}

/// The kernel objects of one service. A port without a decision gets none.
#[must_use]
pub fn compile(
    model: &Model,
    here: &Here,
    service: &Service,
    decisions: &BTreeMap<PortKey, Decision>,
) -> Wanted {
    let mut wanted = Wanted::default();
    for port in &service.ports {
        let Some(decision) = decisions.get(&PortKey::of(port)) else {
            continue;
        };
        let candidates = candidates(model, service, port);
        let of = OfPort { model, here, service, port, decision, candidates };
        let [v4, v6] = by_family(model, &of.candidates);
        let mut homes = BTreeMap::new();
        for front in of.fronts() {
            let family = Family::of(front.key.address);
            let home = *homes.entry(family).or_insert(front.key);
            let eligible = if family == Family::V4 { &v4 } else { &v6 };
            let taken = front.taken(service, eligible);
            let at = At { front: &front, taken: &taken, home };
            match decision.dataplane.value {
                Dataplane::Ipvs => ipvs::compile(&of, &at, &mut wanted),
                Dataplane::Nftables => nftables::compile(&of, &at, &mut wanted),
            }
            let used = taken.all();
            wanted.state.elements.extend(of.hairpins(&used));
            of.keep_flows(front.key, &mut wanted);
        }
    }
    let own = service.cluster_ips.iter().filter(|address| here.is_own(model, **address));
    wanted.state.elements.extend(own.copied().map(Element::Allocated));
    wanted
}

/// What keeps the addresses of a service that isn't ours to serve from being taken for unused.
#[must_use]
pub fn allocated(service: &Service) -> Wanted {
    let elements = service.cluster_ips.iter().copied().map(Element::Allocated).collect();
    KernelState { elements, ..KernelState::default() }.into()
}

#[cfg(test)]
#[path = "compile_tests.rs"]
mod tests;
