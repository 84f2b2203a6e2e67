//! One service and its decisions → the kernel objects that carry it. Pure.

mod nftables;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::decision::{Dataplane, Decision};
use crate::eligible::{Candidate, Eligible, candidates, eligible};
use crate::ledger::Wanted;
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

/// Whether the node has a way out for packets to any address, in each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaysOut {
    /// A default route of IPv4.
    pub v4: bool,
    /// A default route of IPv6.
    pub v6: bool,
}

impl Default for WaysOut {
    /// As nearly every node is.
    fn default() -> Self {
        Self { v4: true, v6: true }
    }
}

impl WaysOut {
    fn of(self, family: Family) -> bool {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }
}

/// What the kernel objects of a service port follow from.
struct OfPort<'a> {
    model: &'a Model,
    service: &'a Service,
    port: &'a ServicePort,
    decision: &'a Decision,
    candidates: Vec<Candidate<'a>>,
}

impl OfPort<'_> {
    fn key(&self, address: IpAddr) -> VirtualKey {
        VirtualKey { address, protocol: self.port.protocol, port: self.port.port }
    }

    fn eligible(&self, address: IpAddr) -> Eligible {
        eligible(self.model, &self.candidates, Family::of(address))
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
    fn hairpins(&self, used: &[SocketAddr]) -> impl Iterator<Item = Element> {
        let used = self.candidates.iter().filter(|c| used.contains(&c.to));
        let here = used.filter(|c| c.is_local(self.model.node_name()));
        here.map(|c| Element::Hairpin(c.to.ip()))
    }
}

/// The kernel objects of one service. A port without a decision gets none.
#[must_use]
pub fn compile(
    model: &Model,
    service: &Service,
    decisions: &BTreeMap<PortKey, Decision>,
    ways_out: WaysOut,
) -> Wanted {
    let mut wanted = Wanted::default();
    for port in &service.ports {
        let Some(decision) = decisions.get(&PortKey::of(port)) else {
            continue;
        };
        let candidates = candidates(model, service, port);
        let of = OfPort { model, service, port, decision, candidates };
        match decision.dataplane.value {
            Dataplane::Ipvs => ipvs(&of, &mut wanted),
            Dataplane::Nftables => nftables::compile(&of, ways_out, &mut wanted),
        }
    }
    let own = service.cluster_ips.iter().filter(|address| is_node_address(model, **address));
    wanted.state.elements.extend(own.copied().map(Element::Allocated));
    wanted
}

/// What keeps the addresses of a service that isn't ours to serve from being taken for unused.
#[must_use]
pub fn allocated(service: &Service) -> Wanted {
    let elements = service.cluster_ips.iter().copied().map(Element::Allocated).collect();
    KernelState { elements, ..KernelState::default() }.into()
}

fn ipvs(of: &OfPort<'_>, wanted: &mut Wanted) {
    for address in served(of.model, of.service) {
        let eligible = of.eligible(address);
        let servers = eligible.internal(of.service.internal_policy);
        let (key, state) = (of.key(address), &mut wanted.state);
        let destinations = servers.iter().map(|to| (*to, of.decision.weight(*to))).collect();
        state.virtuals.insert(key, Virtual { balance: balance(of.decision), destinations });
        state.locals.insert(address);
        state.elements.extend([Element::Service(key), Element::Vip(address)]);
        state.elements.extend(of.hairpins(servers));
        of.keep_flows(key, wanted);
    }
}

/// The cluster addresses, but for the node's own: what refuses unknown ports of an address that
/// weir serves would cut the node off.
fn served(model: &Model, service: &Service) -> impl Iterator<Item = IpAddr> {
    service.cluster_ips.iter().copied().filter(move |address| !is_node_address(model, *address))
}

/// Whether an address is this node's own, and so isn't served.
#[must_use]
pub fn is_node_address(model: &Model, address: IpAddr) -> bool {
    model.node().is_some_and(|node| node.addresses.contains(&address))
}

fn balance(decision: &Decision) -> Balance {
    Balance {
        scheduler: decision.scheduler.value,
        flags: decision.flags.value,
        persistence: decision.affinity.value,
    }
}

#[cfg(test)]
#[path = "compile_tests.rs"]
mod tests;
