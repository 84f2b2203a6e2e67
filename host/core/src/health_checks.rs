//! At which ports load balancers ask whether a service has servers here (`healthCheckNodePort`). Pure.
//!
//! Asked for are Services of type LoadBalancer with `externalTrafficPolicy: Local` that name such a
//! port (`NeedsHealthCheck` of kubernetes/pkg/api/v1/service).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use crate::eligible::candidates;
use crate::model::{Model, Service, ServiceType, TrafficPolicy};
use crate::net::{ObjectName, Port};
use crate::rank::Rank;

/// What is told at one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The service that has the port.
    pub service: ObjectName,
    /// Its endpoints on this node that are ready, of all its ports. An ending one doesn't count, though
    /// it may still get traffic. Those of a service with both families are the same servers twice, so
    /// the family that has more of them counts.
    pub local_endpoints: usize,
}

/// Two services want one port; the older has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortConflict {
    /// The port.
    pub port: Port,
    /// Who has it.
    pub winner: ObjectName,
    /// Who hasn't.
    pub loser: ObjectName,
}

/// `health-check port 30500 belongs to shop/web; shop/api also wants it`.
impl fmt::Display for PortConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { port, winner, loser } = self;
        write!(f, "health-check port {port} belongs to {winner}; {loser} also wants it")
    }
}

/// The health-check ports of all services. The cost of a change is that of the services it touched.
#[derive(Clone, Debug, Default)]
pub struct HealthChecks {
    /// Who wants a port, each with the number of its local endpoints.
    ports: BTreeMap<Port, BTreeMap<Rank, usize>>,
    /// The port and the claim of a service.
    claims: BTreeMap<ObjectName, (Port, Rank)>,
}

impl HealthChecks {
    /// Takes in what `model` says of a service now; `ours` is whether it is for this proxy. Says
    /// whether anything changed.
    pub fn take(&mut self, model: &Model, name: &ObjectName, ours: bool) -> bool {
        let service = model.service(name).filter(|_| ours);
        let wanted = service.and_then(|it| Some((it, port_of(it)?)));
        let Some((service, port)) = wanted else { return self.drop_claim(name) };
        let claim = (port, Rank::of(name, service.created));
        let endpoints = local_endpoints(model, service);
        if self.claims.get(name) != Some(&claim) {
            self.drop_claim(name);
        }
        let before = self.ports.entry(port).or_default().insert(claim.1.clone(), endpoints);
        self.claims.insert(name.clone(), claim);
        before != Some(endpoints)
    }

    fn drop_claim(&mut self, name: &ObjectName) -> bool {
        let Some((port, claimant)) = self.claims.remove(name) else { return false };
        if let Some(claimants) = self.ports.get_mut(&port) {
            claimants.remove(&claimant);
            if claimants.is_empty() {
                self.ports.remove(&port);
            }
        }
        true
    }

    /// The services that have a port, or want one.
    pub fn services(&self) -> impl Iterator<Item = &ObjectName> {
        self.claims.keys()
    }

    /// What is told at each port.
    #[must_use]
    pub fn ports(&self) -> BTreeMap<Port, HealthCheck> {
        let first = |(port, claimants): (&Port, &BTreeMap<Rank, usize>)| {
            let (Rank { service, .. }, endpoints) = claimants.first_key_value()?;
            Some((*port, HealthCheck { service: service.clone(), local_endpoints: *endpoints }))
        };
        self.ports.iter().filter_map(first).collect()
    }

    /// Who doesn't get the port that it wants.
    #[must_use]
    pub fn conflicts(&self) -> BTreeSet<PortConflict> {
        let of_port = |(port, claimants): (&Port, &BTreeMap<Rank, usize>)| {
            let mut names = claimants.keys().map(|it| it.service.clone());
            let (port, winner) = (*port, names.next());
            let losers = winner.into_iter().flat_map(move |winner| {
                let conflict = move |loser| PortConflict { port, winner: winner.clone(), loser };
                names.by_ref().map(conflict).collect::<Vec<_>>()
            });
            losers.collect::<Vec<_>>()
        };
        self.ports.iter().flat_map(of_port).collect()
    }
}

fn port_of(service: &Service) -> Option<Port> {
    let local = service.external_policy == TrafficPolicy::Local;
    let needs = service.kind == ServiceType::LoadBalancer && local;
    service.health_check_node_port.filter(|_| needs)
}

fn local_endpoints(model: &Model, service: &Service) -> usize {
    let candidates = service.ports.iter().flat_map(|port| candidates(model, service, port));
    let here = candidates.filter(|it| it.endpoint.ready && it.is_local(model.node_name()));
    let (v4, v6): (BTreeSet<IpAddr>, BTreeSet<IpAddr>) =
        here.map(|it| it.to.ip()).partition(IpAddr::is_ipv4);
    v4.len().max(v6.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{HERE, model, port, ready, slice, slice_port, web};
    use crate::model::{Change, Endpoint, EndpointSlice};
    use crate::net::Protocol;

    fn balanced(number: u16) -> Service {
        Service {
            kind: ServiceType::LoadBalancer,
            external_policy: TrafficPolicy::Local,
            health_check_node_port: Port::new(number),
            ..web(&["10.96.0.1"])
        }
    }

    fn named(service: Service, name: &str, created: Option<i64>) -> Service {
        Service { name: ObjectName::new("shop", name), created, ..service }
    }

    fn http(name: &str, endpoints: &[Endpoint]) -> EndpointSlice {
        slice(name, &[slice_port("", Protocol::Tcp, 8080)], endpoints)
    }

    fn taken(model: &Model) -> HealthChecks {
        let mut checks = HealthChecks::default();
        for service in model.services() {
            checks.take(model, &service.name, service.is_ours(None));
        }
        checks
    }

    #[test]
    fn a_port_is_opened_for_load_balancers_with_a_local_policy() {
        let balanced = || balanced(30_500);
        let others = Some("others".into());
        let cases = [
            ("as it must be", balanced(), true),
            ("without a port", Service { health_check_node_port: None, ..balanced() }, false),
            ("a node port", Service { kind: ServiceType::NodePort, ..balanced() }, false),
            (
                "traffic goes anywhere",
                Service { external_policy: TrafficPolicy::Cluster, ..balanced() },
                false,
            ),
            ("another proxy's", Service { proxy_name: others, ..balanced() }, false),
        ];
        for (name, service, want) in cases {
            let ports = taken(&model(&service, &[])).ports();
            assert_eq!(ports.contains_key(&Port::new(30_500).unwrap()), want, "{name}");
        }
    }

    #[test]
    fn ready_endpoints_on_this_node_count_once_each() {
        let here = |address: &str| ready(address).on(HERE);
        let two = [slice_port("", Protocol::Tcp, 8080), slice_port("s", Protocol::Tcp, 8443)];
        let cases = [
            ("none", vec![], 0),
            ("here and there", vec![http("a", &[here("10.1.0.1"), ready("10.1.0.2").on("b")])], 1),
            ("of no node", vec![http("a", &[ready("10.1.0.1")])], 0),
            ("unready", vec![http("a", &[here("10.1.0.1").is(false, true, false)])], 0),
            ("ending", vec![http("a", &[here("10.1.0.1").is(false, true, true)])], 0),
            ("two ports, one server", vec![slice("a", &two, &[here("10.1.0.1")])], 1),
            ("a server of the other port", vec![slice("a", &two[1..], &[here("10.1.0.1")])], 1),
            (
                "a port that isn't its",
                { vec![slice("a", &[slice_port("x", Protocol::Tcp, 1)], &[here("10.1.0.1")])] },
                0,
            ),
            (
                "two slices",
                vec![
                    http("a", &[here("10.1.0.1")]),
                    http("b", &[here("10.1.0.1"), here("10.1.0.2")]),
                ],
                2,
            ),
            (
                "both families",
                vec![
                    http("a", &[here("10.1.0.1"), here("10.1.0.2")]),
                    http("b", &[here("fd00::1")]),
                ],
                2,
            ),
        ];
        for (name, slices, want) in cases {
            let service = balanced(30_500);
            let ports = vec![port("", Protocol::Tcp, 80), port("s", Protocol::Tcp, 443)];
            let ports = taken(&model(&Service { ports, ..service }, &slices)).ports();
            let [check] = ports.into_values().collect::<Vec<_>>().try_into().unwrap();
            assert_eq!(check.local_endpoints, want, "{name}");
        }
    }

    #[test]
    fn the_older_of_two_services_has_the_port_until_it_goes() {
        let cases = [
            ("older", ("web", Some(2)), ("api", Some(1)), "shop/api"),
            ("same age: by name", ("web", Some(1)), ("api", Some(1)), "shop/api"),
            ("of unknown age comes last", ("api", None), ("web", Some(9)), "shop/web"),
        ];
        for (name, one, other, want) in cases {
            let mut model = Model::new(HERE);
            for (name, created) in [one, other] {
                let service = named(balanced(30_500), name, created);
                model.fold(Change::Service(Box::new(service)));
            }
            let mut checks = taken(&model);
            let winner =
                |checks: &HealthChecks| checks.ports().into_values().next().unwrap().service;
            let first = winner(&checks);
            assert_eq!(first.to_string(), want, "{name}");
            let [conflict] = checks.conflicts().into_iter().collect::<Vec<_>>().try_into().unwrap();
            assert_eq!(conflict.winner, first, "{name}");
            model.fold(Change::ServiceGone(first.clone()));
            assert!(checks.take(&model, &first, true), "{name}");
            assert_eq!(winner(&checks), conflict.loser, "{name}");
            assert!(checks.conflicts().is_empty(), "{name}");
        }
    }

    #[test]
    fn a_change_is_told_and_what_is_as_before_is_none() {
        let service = balanced(30_500);
        let mut model = model(&service, &[]);
        let mut checks = HealthChecks::default();
        let mut take = |model: &Model| checks.take(model, &service.name, true);
        assert!(take(&model) && !take(&model));
        model.fold(Change::Slice(Box::new(http("a", &[ready("10.1.0.1").on(HERE)]))));
        assert!(take(&model) && !take(&model));
        model.fold(Change::Service(Box::new(balanced(30_501))));
        assert!(take(&model) && !take(&model));
        model.fold(Change::ServiceGone(service.name.clone()));
        assert!(take(&model) && !take(&model));
        assert!(checks.ports().is_empty() && checks.services().next().is_none());
    }
}
