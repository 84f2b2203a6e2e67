//! Which endpoints of a service port may take traffic on this node. Pure.
//!
//! The rules are kube-proxy's (`pkg/proxy/topology.go`, `CategorizeEndpoints`, v1.36).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::model::{Endpoint, EndpointSlice, Model, Service, ServicePort, TrafficPolicy};
use crate::net::Family;

/// One endpoint of a service port, with where it was found.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Where it listens.
    pub to: SocketAddr,
    /// The endpoint.
    pub endpoint: &'a Endpoint,
    /// The slice that told of it.
    pub slice: &'a EndpointSlice,
}

impl Candidate<'_> {
    /// Whether it runs on the node of this name. Its address and its zone say nothing about that.
    #[must_use]
    pub fn is_local(&self, node_name: &str) -> bool {
        self.endpoint.node.as_deref() == Some(node_name)
    }
}

/// All endpoints of a service port in both families, usable or not, by address. Of one address
/// in two slices, the one that isn't terminating counts.
#[must_use]
pub fn candidates<'a>(
    model: &'a Model,
    service: &Service,
    port: &ServicePort,
) -> Vec<Candidate<'a>> {
    let mut found: BTreeMap<SocketAddr, Candidate<'a>> = BTreeMap::new();
    for slice in model.slices_of(&service.name) {
        let ports =
            slice.ports.iter().filter(|p| p.name == port.name && p.protocol == port.protocol);
        for (number, endpoint) in ports.flat_map(|p| slice.endpoints.iter().map(|e| (p.port, e))) {
            let to = SocketAddr::new(endpoint.address, number.get());
            let fresh = Candidate { to, endpoint, slice };
            let old = found.entry(to).or_insert(fresh);
            if old.endpoint.terminating && !endpoint.terminating {
                *old = fresh;
            }
        }
    }
    found.into_values().collect()
}

/// The endpoints in use for each kind of traffic, in one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Eligible {
    /// For traffic under the policy Cluster.
    pub cluster: Vec<SocketAddr>,
    /// For traffic under the policy Local.
    pub local: Vec<SocketAddr>,
    /// Whether any endpoint anywhere could take traffic: without one, refuse; with one that is
    /// not here, drop.
    pub anywhere: bool,
}

impl Eligible {
    /// The endpoints for traffic under a policy.
    #[must_use]
    pub fn under(&self, policy: TrafficPolicy) -> &[SocketAddr] {
        match policy {
            TrafficPolicy::Cluster => &self.cluster,
            TrafficPolicy::Local => &self.local,
        }
    }
}

/// Sorts the candidates of one family into those that may be used.
#[must_use]
pub fn eligible(model: &Model, candidates: &[Candidate<'_>], family: Family) -> Eligible {
    let here: Vec<_> = candidates.iter().filter(|c| Family::of(c.to.ip()) == family).collect();
    let ready: Vec<_> = here.iter().copied().filter(|c| c.endpoint.ready).collect();
    let ending: Vec<_> = here.iter().copied().filter(|c| is_ending(c.endpoint)).collect();
    let at_home = |list: &[&Candidate<'_>]| -> Vec<SocketAddr> {
        list.iter().filter(|c| c.is_local(model.node_name())).map(|c| c.to).collect()
    };
    let all = |list: &[&Candidate<'_>]| list.iter().map(|c| c.to).collect::<Vec<_>>();
    let cluster = or_else(all(&by_topology(model, &ready)), || all(&ending));
    let local = or_else(at_home(&ready), || at_home(&ending));
    Eligible { cluster, local, anywhere: !ready.is_empty() || !ending.is_empty() }
}

/// Those of both families, IPv4 first.
#[must_use]
pub fn by_family(model: &Model, candidates: &[Candidate<'_>]) -> [Eligible; 2] {
    [Family::V4, Family::V6].map(|family| eligible(model, candidates, family))
}

/// The sets of candidates, of both families, that share some of the service's traffic: each has to have
/// somebody to take it.
#[must_use]
pub fn in_use(service: &Service, by_family: &[Eligible; 2]) -> BTreeSet<BTreeSet<SocketAddr>> {
    let mut sets = BTreeSet::new();
    for eligible in by_family {
        let mut used = vec![eligible.under(service.internal_policy)];
        if service.is_reachable_from_outside() {
            used.extend([eligible.cluster.as_slice(), eligible.under(service.external_policy)]);
        }
        sets.extend(used.into_iter().map(|set| set.iter().copied().collect::<BTreeSet<_>>()));
    }
    sets.remove(&BTreeSet::new());
    sets
}

/// Whether pods and this node have other endpoints than everybody else where a service is reached from
/// outside.
#[must_use]
pub fn splits(service: &Service, by_family: &[Eligible; 2]) -> bool {
    let local = service.external_policy == TrafficPolicy::Local;
    let differs = || by_family.iter().any(|eligible| eligible.cluster != eligible.local);
    local && service.is_reachable_from_outside() && differs()
}

/// Terminating but still serving: takes traffic when nobody else can (KEP-1669).
fn is_ending(endpoint: &Endpoint) -> bool {
    endpoint.serving && endpoint.terminating
}

fn or_else(first: Vec<SocketAddr>, second: impl FnOnce() -> Vec<SocketAddr>) -> Vec<SocketAddr> {
    if first.is_empty() { second() } else { first }
}

/// Hints count only where every ready endpoint has one and at least one names this place
/// (KEP-2433, KEP-3015): same node first, then same zone, else everyone.
fn by_topology<'c, 'a>(model: &Model, ready: &[&'c Candidate<'a>]) -> Vec<&'c Candidate<'a>> {
    let hinted =
        |place: &str, hints: fn(&Endpoint) -> &[Arc<str>]| -> Option<Vec<&'c Candidate<'a>>> {
            if ready.iter().any(|c| hints(c.endpoint).is_empty()) {
                return None;
            }
            let here: Vec<_> = ready
                .iter()
                .copied()
                .filter(|c| hints(c.endpoint).iter().any(|h| **h == *place))
                .collect();
            (!here.is_empty()).then_some(here)
        };
    let zone = model.node().and_then(|node| node.zone());
    hinted(model.node_name(), |e| &e.node_hints)
        .or_else(|| zone.and_then(|zone| hinted(zone, |e| &e.zone_hints)))
        .unwrap_or_else(|| ready.to_vec())
}

#[cfg(test)]
#[path = "eligible_tests.rs"]
mod tests;
