use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::*;
use crate::decision::{Asked, Offload, decide};
use crate::diff::diff;
use crate::fixtures::{HERE, at, ip, key, model, port, ready, slice, slice_port, web};
use crate::model::{EndpointSlice, TrafficPolicy};
use crate::net::Protocol::{self, Sctp, Tcp, Udp};
use crate::state::{Element, KernelState, Weight};
use crate::view::KernelAbilities;
use crate::wish::{self, Wish};

/// A decision on IPVS by this wish.
fn decision(protocol: Protocol, endpoints: &[&str], wish: Wish) -> Decision {
    let kernel = KernelAbilities {
        dataplanes: vec!["ipvs".into(), "nftables".into()],
        ipvs_schedulers: ["rr", "wrr", "mh"].map(String::from).into(),
        nftables_schedulers: vec!["random".into()],
        ..KernelAbilities::default()
    };
    let asked = Asked {
        limits: None,
        protocol,
        endpoints: endpoints.iter().map(|to| at(to)).collect(),
        in_use: [endpoints.iter().map(|to| at(to)).collect()].into(),
        affinity_seconds: None,
        unserved: Vec::new(),
        splits: false,
        kernel: &kernel,
        dataplane: Some(Dataplane::Ipvs),
        scheduler: crate::decision::Scheduler::Rr,
        offload: Offload::Never,
    };
    decide(&asked, &[("p".into(), wish)])
}

/// The state for a service of which every port has the default decision.
fn state(service: &Service, slices: &[EndpointSlice]) -> KernelState {
    state_here(service, slices, &Here::default())
}

fn state_here(service: &Service, slices: &[EndpointSlice], here: &Here) -> KernelState {
    let decide = |p: &ServicePort| (PortKey::of(p), decision(p.protocol, &[], Wish::default()));
    let decisions: BTreeMap<_, _> = service.ports.iter().map(decide).collect();
    compile(&model(service, slices), here, service, &decisions).state
}

/// A state as the steps that make it from nothing.
fn steps(state: &KernelState) -> Vec<String> {
    diff(&KernelState::default(), state).operations().iter().map(ToString::to_string).collect()
}

#[test]
fn each_protocol_is_a_virtual_service() {
    for protocol in [Tcp, Udp, Sctp] {
        let mut service = web(&["10.96.0.1"]);
        service.ports = vec![port("", protocol, 80)];
        let slices = [slice("a", &[slice_port("", protocol, 8080)], &[ready("10.0.0.1")])];
        let want = [
            format!("add element services {protocol} 10.96.0.1:80"),
            "add element vips 10.96.0.1".into(),
            format!("add virtual {protocol} 10.96.0.1:80 rr"),
            format!("add destination {protocol} 10.96.0.1:80 -> 10.0.0.1:8080 weight 1"),
            "add local 10.96.0.1".into(),
        ];
        assert_eq!(steps(&state(&service, &slices)), want);
    }
}

#[test]
fn the_same_port_over_tcp_and_udp_is_two_virtual_services_behind_one_address() {
    let mut service = web(&["10.96.0.10"]);
    service.ports =
        vec![port("dns", Udp, 53), port("dns-tcp", Tcp, 53), port("metrics", Tcp, 9153)];
    let ports = [
        slice_port("dns", Udp, 53),
        slice_port("dns-tcp", Tcp, 53),
        slice_port("metrics", Tcp, 9153),
    ];
    let state = state(&service, &[slice("a", &ports, &[ready("10.0.0.1")])]);
    let keys: Vec<_> = state.virtuals.keys().map(ToString::to_string).collect();
    assert_eq!(keys, ["tcp 10.96.0.10:53", "tcp 10.96.0.10:9153", "udp 10.96.0.10:53"]);
    assert_eq!(state.locals.len(), 1);
    assert_eq!(state.elements.len(), 4, "three ports and one address");
}

#[test]
fn each_family_has_its_own_servers() {
    let service = web(&["10.96.0.1", "fd00::1"]);
    let http = [slice_port("", Tcp, 8080)];
    let slices = [
        slice("a", &http, &[ready("10.0.0.1")]),
        slice("b", &http, &[ready("fd00:1::a"), ready("fd00:1::b")]),
    ];
    let state = state(&service, &slices);
    let servers = |to: &str| {
        let all = state.virtuals[&key(Tcp, to)].destinations.keys();
        all.map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(servers("10.96.0.1:80"), ["10.0.0.1:8080"]);
    assert_eq!(servers("[fd00::1]:80"), ["[fd00:1::a]:8080", "[fd00:1::b]:8080"]);
    assert_eq!(state.locals, [ip("10.96.0.1"), ip("fd00::1")].into());
}

#[test]
fn a_named_target_port_may_differ_from_slice_to_slice() {
    let mut service = web(&["10.96.0.1"]);
    service.ports = vec![port("http", Tcp, 80)];
    let slices = [
        slice("a", &[slice_port("http", Tcp, 8080)], &[ready("10.0.0.1"), ready("10.0.0.2")]),
        slice(
            "b",
            &[slice_port("http", Tcp, 9090), slice_port("admin", Tcp, 1)],
            &[ready("10.0.0.3")],
        ),
    ];
    let state = state(&service, &slices);
    let servers: Vec<_> =
        state.virtuals[&key(Tcp, "10.96.0.1:80")].destinations.keys().copied().collect();
    assert_eq!(servers, ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:9090"].map(at));
}

#[test]
fn without_endpoints_the_virtual_service_stands_alone() {
    let slices =
        [slice("a", &[slice_port("", Tcp, 80)], &[ready("10.0.0.1").is(false, false, true)])];
    for slices in [&slices[..], &[]] {
        let state = state(&web(&["10.96.0.1"]), slices);
        let virtuals: Vec<_> = state.virtuals.values().map(|it| it.destinations.len()).collect();
        assert_eq!(virtuals, [0], "the kernel refuses its clients with an ICMP error");
        assert_eq!(state.locals, [ip("10.96.0.1")].into());
    }
}

#[test]
fn internal_policy_local_takes_only_what_runs_here() {
    let mut service = web(&["10.96.0.1"]);
    service.internal_policy = TrafficPolicy::Local;
    let endpoints = |here: bool, there: bool| {
        let both = [(here, ready("10.0.0.1").on(HERE)), (there, ready("10.0.0.2").on("there"))];
        let list: Vec<_> = both.into_iter().filter(|(on, _)| *on).map(|(_, e)| e).collect();
        let state = state(&service, &[slice("a", &[slice_port("", Tcp, 80)], &list)]);
        state.virtuals[&key(Tcp, "10.96.0.1:80")].destinations.keys().copied().collect::<Vec<_>>()
    };
    assert_eq!(endpoints(true, true), [at("10.0.0.1:80")]);
    assert_eq!(endpoints(false, true), [], "never a server of another node");
    service.external_policy = TrafficPolicy::Local;
    service.internal_policy = TrafficPolicy::Cluster;
    let list = [ready("10.0.0.1").on(HERE), ready("10.0.0.2").on("there")];
    let state = state(&service, &[slice("a", &[slice_port("", Tcp, 80)], &list)]);
    let servers = &state.virtuals[&key(Tcp, "10.96.0.1:80")].destinations;
    assert_eq!(servers.len(), 2, "the external policy is not about the cluster's own address");
}

#[test]
fn only_used_endpoints_of_this_node_can_meet_themselves() {
    let list = [
        ready("10.0.0.1").on(HERE),
        ready("10.0.0.2").on("there"),
        ready("10.0.0.3").on(HERE).is(false, false, false),
        ready("10.0.0.4"),
    ];
    let state = state(&web(&["10.96.0.1"]), &[slice("a", &[slice_port("", Tcp, 80)], &list)]);
    let hairpin: Vec<_> =
        state.elements.iter().filter(|e| matches!(e, Element::Hairpin(_))).collect();
    assert_eq!(hairpin, [&Element::Hairpin(ip("10.0.0.1"))]);
}

#[test]
fn a_decision_shapes_its_port_and_no_other() {
    let mut service = web(&["10.96.0.1"]);
    service.ports = vec![
        port("", Tcp, 80),
        port("tls", Tcp, 443),
        port("nft", Tcp, 444),
        port("undecided", Tcp, 445),
    ];
    let ports = [slice_port("", Tcp, 80), slice_port("tls", Tcp, 443)];
    let model = model(&service, &[slice("a", &ports, &[ready("10.0.0.1"), ready("10.0.0.2")])]);
    let weights = vec![wish::Weight { address: "10.0.0.2".into(), port: 443, weight: 7 }];
    let tls = Wish {
        scheduler: Some("mh".into()),
        affinity_seconds: Some(60),
        weights: Some(weights),
        ..Wish::default()
    };
    let nft = Wish { dataplane: Some("nftables".into()), ..Wish::default() };
    let decisions = [
        decision(Tcp, &[], Wish::default()),
        decision(Tcp, &["10.0.0.1:443", "10.0.0.2:443"], tls),
        decision(Tcp, &[], nft),
    ];
    let decisions = service.ports.iter().map(PortKey::of).zip(decisions).collect();
    let state = compile(&model, &Here::default(), &service, &decisions).state;
    let printed: Vec<_> =
        state.virtuals.iter().map(|(key, it)| format!("{key} {}", it.balance)).collect();
    assert_eq!(printed, ["tcp 10.96.0.1:80 rr", "tcp 10.96.0.1:443 mh (port) persistent 60 s"]);
    let tls = &state.virtuals[&key(Tcp, "10.96.0.1:443")];
    assert_eq!(tls.balance.persistence, NonZeroU32::new(60));
    let weights: Vec<_> = tls.destinations.values().copied().collect();
    assert_eq!(weights, [Weight(1), Weight(7)]);
}

#[test]
fn an_address_of_the_nodes_own_is_nobodys_to_take() {
    let service = Service {
        external_ips: vec![ip("192.0.2.1"), ip("192.0.2.3")],
        load_balancer_ips: vec![ip("192.0.2.2")],
        ..web(&["10.96.0.1"])
    };
    let here = Here { own: [(ip("192.0.2.3"), "eth0".to_owned())].into(), ..Here::default() };
    let slices = [slice("a", &[slice_port("", Tcp, 80)], &[ready("10.0.0.1")])];
    let state = state_here(&service, &slices, &here);
    let others = [ip("10.96.0.1"), ip("192.0.2.1"), ip("192.0.2.2")];
    assert_eq!(state.locals, others.into());
    assert!(!state.elements.contains(&Element::Vip(ip("192.0.2.3"))), "its ports stay open");
    assert!(state.virtuals.contains_key(&key(Tcp, "192.0.2.3:80")), "it is served all the same");
}

#[test]
fn whose_service_it_is() {
    use crate::model::ServiceType::{ClusterIP, ExternalName, Headless, LoadBalancer, NodePort};
    let named = |name: Option<&str>, kind| Service {
        proxy_name: name.map(Box::from),
        kind,
        ..web(&["10.96.0.1"])
    };
    for kind in [ClusterIP, NodePort, LoadBalancer] {
        assert!(named(None, kind).is_ours(None));
        assert!(!named(Some("cilium"), kind).is_ours(None));
        assert!(!named(None, kind).is_ours(Some("weir")));
        assert!(named(Some("weir"), kind).is_ours(Some("weir")));
    }
    for kind in [ExternalName, Headless] {
        assert!(!named(None, kind).is_ours(None));
    }
}
