//! The ways into a service port: the addresses and ports where it answers, and who takes whom there.
//! Pure.
//!
//! The rules are kube-proxy's (`pkg/proxy/topology.go` and the table of `TestInternalExternalMasquerade`,
//! v1.36).

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::Here;
use crate::eligible::Eligible;
use crate::model::{Model, Service, ServicePort, TrafficPolicy};
use crate::net::Family;
use crate::state::{Closed, Masquerade, Scope, VirtualKey};

/// How traffic gets to an address of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// By `clusterIPs`.
    Cluster,
    /// By an address of the load balancer.
    LoadBalancer,
    /// By `externalIPs`.
    External,
    /// By the service's port at an address of the node.
    NodePort,
}

/// One address and port where a service port answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Front {
    /// The address, the protocol and the port.
    pub key: VirtualKey,
    /// What kind of address it is.
    pub way: Way,
    /// Whether the address is the node's own: nobody makes it local, or takes it away.
    pub own: bool,
}

/// All of a service port's, each address and port once. Cluster addresses that are the node's own
/// aren't served: what refuses their unknown ports would cut the node off. Of a family without a cluster
/// address there is nothing.
#[must_use]
pub fn fronts(model: &Model, here: &Here, service: &Service, port: &ServicePort) -> Vec<Front> {
    let families: BTreeSet<Family> = service.cluster_ips.iter().copied().map(Family::of).collect();
    let mut all: Vec<Front> = Vec::new();
    let mut add = |way, address: &IpAddr| {
        let number = if way == Way::NodePort { port.node_port } else { Some(port.port) };
        let Some(number) = number.filter(|_| families.contains(&Family::of(*address))) else {
            return;
        };
        let key = VirtualKey { address: *address, protocol: port.protocol, port: number };
        let own = here.is_own(model, *address);
        let is_known = all.iter().any(|front| front.key == key);
        let cuts_off = own && way == Way::Cluster;
        if !is_known && !cuts_off {
            all.push(Front { key, way, own });
        }
    };
    service.cluster_ips.iter().for_each(|address| add(Way::Cluster, address));
    service.load_balancer_ips.iter().for_each(|address| add(Way::LoadBalancer, address));
    let external = service.external_ips.iter().filter(|address| here.allows_external(**address));
    external.for_each(|address| add(Way::External, address));
    here.node_ports.iter().for_each(|address| add(Way::NodePort, address));
    all
}

/// Who takes whom at a front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taken<'a> {
    /// Takes everybody, or everybody but those inside.
    pub(super) everybody: &'a [SocketAddr],
    /// Which endpoints these are. Those that take who is inside are always those of the cluster.
    pub(super) scope: Scope,
    /// Takes pods and the node itself, where these are taken by others than everybody.
    pub(super) inside: Option<&'a [SocketAddr]>,
    /// Whose source address is rewritten.
    pub(super) masquerade: Option<Masquerade>,
    /// What becomes of those whom nobody takes; `None` as well where their address answers for itself.
    pub(super) closed: Option<Closed>,
}

impl Taken<'_> {
    /// All who take somebody.
    pub(super) fn all(&self) -> BTreeSet<SocketAddr> {
        self.everybody.iter().chain(self.inside.into_iter().flatten()).copied().collect()
    }
}

impl Front {
    /// Who takes whom here, out of the endpoints of the address's family.
    pub(super) fn taken<'a>(&self, service: &Service, eligible: &'a Eligible) -> Taken<'a> {
        let lacks = |servers: &[SocketAddr], elsewhere| servers.is_empty().then_some(elsewhere);
        let nobody = if eligible.anywhere { Closed::Drop } else { Closed::Refuse };
        match (self.way, service.external_policy) {
            (Way::Cluster, _) => {
                let everybody = eligible.under(service.internal_policy);
                // A cluster address refuses the ports that nobody serves by itself.
                let closed = lacks(everybody, nobody).filter(|it| *it == Closed::Drop);
                let scope = match service.internal_policy {
                    TrafficPolicy::Cluster => Scope::Cluster,
                    TrafficPolicy::Local => Scope::Local,
                };
                Taken { everybody, scope, inside: None, masquerade: None, closed }
            }
            (_, TrafficPolicy::Cluster) => Taken {
                everybody: &eligible.cluster,
                scope: Scope::Cluster,
                inside: None,
                masquerade: Some(Masquerade::All),
                closed: lacks(&eligible.cluster, Closed::Refuse),
            },
            (_, TrafficPolicy::Local) => {
                let differs = eligible.cluster != eligible.local && !eligible.cluster.is_empty();
                Taken {
                    everybody: &eligible.local,
                    scope: Scope::Local,
                    inside: differs.then_some(eligible.cluster.as_slice()),
                    masquerade: Some(Masquerade::Node),
                    closed: lacks(&eligible.local, nobody),
                }
            }
        }
    }

    /// Where clients may be; `None` is anywhere. Only load balancers' addresses are kept from anybody.
    ///
    /// Where the node itself may, so may who comes from the address: the node talking to an address
    /// that it owns does. A range of all addresses, and none of the family, is no restriction.
    pub(super) fn sources(
        &self,
        model: &Model,
        here: &Here,
        service: &Service,
    ) -> Option<BTreeSet<IpNet>> {
        if self.way != Way::LoadBalancer {
            return None;
        }
        let family = Family::of(self.key.address);
        let of_family = |range: &&IpNet| Family::of(range.addr()) == family;
        let mut ranges: BTreeSet<IpNet> =
            service.source_ranges.iter().filter(of_family).map(IpNet::trunc).collect();
        if ranges.is_empty() || ranges.iter().any(|range| range.prefix_len() == 0) {
            return None;
        }
        let named = model.node().into_iter().flat_map(|node| &node.addresses);
        let mut own = here.own.keys().chain(named);
        if own.any(|own| ranges.iter().any(|range| range.contains(own))) {
            ranges.insert(IpNet::from(self.key.address));
        }
        let ranges: Vec<IpNet> = ranges.into_iter().collect();
        Some(IpNet::aggregate(&ranges).into_iter().collect())
    }
}
