//! One service and its decisions → the kernel objects that carry it. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::decision::{Dataplane, Decision};
use crate::eligible::{Candidate, candidates, eligible};
use crate::model::{Model, Service, ServicePort};
use crate::net::{Family, Port, Protocol};
use crate::state::{Balance, Element, KernelState, Virtual, VirtualKey};

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

/// The kernel objects of one service. A port without a decision gets none.
#[must_use]
pub fn compile(
    model: &Model,
    service: &Service,
    decisions: &BTreeMap<PortKey, Decision>,
) -> KernelState {
    let mut state = KernelState::default();
    for port in &service.ports {
        let Some(decision) = decisions.get(&PortKey::of(port)) else {
            continue;
        };
        if decision.dataplane.value == Dataplane::Ipvs {
            ipvs_port(model, service, port, decision, &mut state);
        }
    }
    state
}

fn ipvs_port(
    model: &Model,
    service: &Service,
    port: &ServicePort,
    decision: &Decision,
    state: &mut KernelState,
) {
    let candidates = candidates(model, service, port);
    for address in served(model, service) {
        let eligible = eligible(model, &candidates, Family::of(address));
        let servers = eligible.internal(service.internal_policy);
        let key = VirtualKey { address, protocol: port.protocol, port: port.port };
        let destinations = servers.iter().map(|to| (*to, decision.weight(*to))).collect();
        state.virtuals.insert(key, Virtual { balance: balance(decision), destinations });
        state.locals.insert(address);
        state.elements.extend([Element::Service(key), Element::Vip(address)]);
        let hairpin = candidates.iter().filter(|c| servers.contains(&c.to));
        state.elements.extend(hairpin.filter_map(|c| own_address(c, model)));
    }
}

/// The cluster addresses, but for the node's own: what refuses unknown ports of an address that
/// weir serves would cut the node off.
fn served(model: &Model, service: &Service) -> impl Iterator<Item = IpAddr> {
    let own = node_addresses(model, service);
    service.cluster_ips.iter().copied().filter(move |address| !own.contains(address))
}

/// The cluster addresses of a service that are this node's own, and so aren't served.
#[must_use]
pub fn node_addresses(model: &Model, service: &Service) -> Vec<IpAddr> {
    let Some(node) = model.node() else { return Vec::new() };
    service.cluster_ips.iter().copied().filter(|it| node.addresses.contains(it)).collect()
}

fn balance(decision: &Decision) -> Balance {
    Balance {
        scheduler: decision.scheduler.value,
        flags: decision.flags.value,
        persistence: decision.affinity.value,
    }
}

/// Only an endpoint on this node can be balanced to itself here.
fn own_address(candidate: &Candidate<'_>, model: &Model) -> Option<Element> {
    let address: IpAddr = candidate.to.ip();
    candidate.is_local(model.node_name()).then_some(Element::Hairpin(address))
}

#[cfg(test)]
#[path = "compile_tests.rs"]
mod tests;
