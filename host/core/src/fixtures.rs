//! Short ways for tests to write down objects, states and keys. Pure.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use proptest::collection::{btree_map, btree_set};
use proptest::prelude::*;

use crate::decision::{Scheduler, SchedulerFlags};
use crate::interfaces::Digest;
use crate::model::{
    Change, Endpoint, EndpointSlice, Model, Node, Service, ServicePort, ServiceType, SlicePort,
    Tags, TrafficPolicy,
};
use crate::net::{Family, ObjectName, Port, Protocol};
use crate::state::{
    Balance, Base, Class, Destinations, Element, KernelState, Leg, Memory, Nat, OffloadClass, Pick,
    Scope, Virtual, VirtualKey, Weight,
};

/// The node that tests run on; its zone is `z1` where it has one.
pub(crate) const HERE: &str = "here";

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// `key(Tcp, "10.96.0.1:80")`.
pub(crate) fn key(protocol: Protocol, to: &str) -> VirtualKey {
    let to = at(to);
    VirtualKey { address: to.ip(), protocol, port: Port::new(to.port()).unwrap() }
}

pub(crate) fn balance(scheduler: Scheduler) -> Balance {
    Balance { scheduler, flags: SchedulerFlags::default(), persistence: None }
}

/// A round-robin virtual service with these destinations and weights.
pub(crate) fn rr(destinations: &[(&str, u32)]) -> Virtual {
    Virtual {
        balance: balance(Scheduler::Rr),
        destinations: destinations.iter().map(|(to, weight)| (at(to), Weight(*weight))).collect(),
    }
}

/// The table, and all that each virtual service needs: itself, its register element, its address.
pub(crate) fn whole(virtuals: &[(VirtualKey, Virtual)]) -> KernelState {
    let mut state = KernelState { base: Some(Base::default()), ..KernelState::default() };
    for (key, it) in virtuals {
        state.virtuals.insert(*key, it.clone().into());
        state.locals.insert(key.address);
        state.elements.insert(Element::Service(*key));
        state.elements.insert(Element::Vip(key.address));
    }
    state
}

pub(crate) fn port(name: &str, protocol: Protocol, number: u16) -> ServicePort {
    ServicePort {
        name: name.into(),
        protocol,
        port: Port::new(number).unwrap(),
        node_port: None,
        app_protocol: None,
    }
}

pub(crate) fn slice_port(name: &str, protocol: Protocol, number: u16) -> SlicePort {
    SlicePort { name: name.into(), protocol, port: Port::new(number).unwrap() }
}

/// The ClusterIP service `shop/web` at these addresses with one unnamed port, TCP 80.
pub(crate) fn web(addresses: &[&str]) -> Service {
    Service {
        name: ObjectName::new("shop", "web"),
        uid: None,
        created: Some(100),
        labels: Tags::new(),
        annotations: Tags::new(),
        kind: ServiceType::ClusterIP,
        proxy_name: None,
        cluster_ips: addresses.iter().map(|a| ip(a)).collect(),
        external_ips: Vec::new(),
        load_balancer_ips: Vec::new(),
        source_ranges: Vec::new(),
        ports: vec![port("", Protocol::Tcp, 80)],
        affinity_seconds: None,
        internal_policy: TrafficPolicy::Cluster,
        external_policy: TrafficPolicy::Cluster,
        traffic_distribution: None,
        health_check_node_port: None,
    }
}

/// A ready endpoint of which nothing else is known.
pub(crate) fn ready(address: &str) -> Endpoint {
    Endpoint {
        address: ip(address),
        ready: true,
        serving: true,
        terminating: false,
        node: None,
        zone: None,
        zone_hints: Box::default(),
        node_hints: Box::default(),
    }
}

impl Endpoint {
    pub(crate) fn on(self, node: &str) -> Self {
        Self { node: Some(node.into()), ..self }
    }

    /// Conditions: ready, serving, terminating.
    pub(crate) fn is(self, ready: bool, serving: bool, terminating: bool) -> Self {
        Self { ready, serving, terminating, ..self }
    }

    pub(crate) fn for_zones(self, zones: &[&str]) -> Self {
        Self { zone_hints: zones.iter().map(|z| (*z).into()).collect(), ..self }
    }

    pub(crate) fn for_nodes(self, nodes: &[&str]) -> Self {
        Self { node_hints: nodes.iter().map(|n| (*n).into()).collect(), ..self }
    }
}

/// A slice of `shop/web`. Its family is that of its first endpoint.
pub(crate) fn slice(name: &str, ports: &[SlicePort], endpoints: &[Endpoint]) -> EndpointSlice {
    EndpointSlice {
        name: ObjectName::new("shop", name),
        service: ObjectName::new("shop", "web"),
        labels: Tags::new(),
        annotations: Tags::new(),
        family: endpoints.first().map_or(Family::V4, |e| Family::of(e.address)),
        ports: ports.to_vec(),
        endpoints: endpoints.to_vec(),
        last_change_trigger: None,
    }
}

/// A model of a node in zone `z1` with this service and these slices.
pub(crate) fn model(service: &Service, slices: &[EndpointSlice]) -> Model {
    let mut model = Model::new(HERE);
    let zone = ("topology.kubernetes.io/zone".to_owned(), "z1".to_owned());
    model.fold(Change::Node(Box::new(Node {
        name: HERE.into(),
        labels: Tags::from([zone]),
        ..Node::default()
    })));
    model.fold(Change::Service(Box::new(service.clone())));
    for slice in slices {
        model.fold(Change::Slice(Box::new(slice.clone())));
    }
    model
}

/// Keys from so few addresses, protocols and ports that two states often share some.
pub(crate) fn any_key() -> impl Strategy<Value = VirtualKey> {
    let address = prop_oneof![
        (1..4u8).prop_map(|n| IpAddr::from([10, 96, 0, n])),
        (1..4u16).prop_map(|n| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, n])),
    ];
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp)];
    (address, protocol, 80..83u16).prop_map(|(address, protocol, port)| VirtualKey {
        address,
        protocol,
        port: Port::new(port).unwrap(),
    })
}

fn any_balance() -> impl Strategy<Value = Balance> {
    let scheduler = prop_oneof![Just(Scheduler::Rr), Just(Scheduler::Wlc), Just(Scheduler::Mh)];
    let flags = (any::<bool>(), any::<bool>())
        .prop_map(|(fallback, port)| SchedulerFlags { fallback, port });
    let persistence = prop_oneof![Just(None), Just(NonZeroU32::new(10_800))];
    (scheduler, flags, persistence).prop_map(|(scheduler, flags, persistence)| Balance {
        scheduler,
        flags,
        persistence,
    })
}

fn any_destinations() -> impl Strategy<Value = Destinations> {
    let to = (1..6u8).prop_map(|n| SocketAddr::from(([10, 0, 0, n], 8080)));
    btree_map(to, (0..4u32).prop_map(Weight), 0..5).prop_map(|it| it.into_iter().collect())
}

pub(crate) fn any_virtual() -> impl Strategy<Value = Virtual> {
    (any_balance(), any_destinations())
        .prop_map(|(balance, destinations)| Virtual { balance, destinations })
}

/// States in which every virtual service has its register element and its address, as compiling makes them.
pub(crate) fn any_whole() -> impl Strategy<Value = KernelState> {
    btree_map(any_key(), any_virtual(), 0..8)
        .prop_map(|virtuals| whole(&virtuals.into_iter().collect::<Vec<_>>()))
}

/// A service port on nftables: so few classes that two often share one.
pub(crate) fn any_nat(key: VirtualKey) -> impl Strategy<Value = Nat> {
    let pick =
        prop_oneof![Just(Pick::Random), Just(Pick::Turn(key)), Just(Pick::Source { port: true }),];
    let to = (1..5u8).prop_map(|n| SocketAddr::from(([10, 0, 0, n], 8080)));
    let slots = proptest::collection::vec(to, 1..5);
    let seconds = prop_oneof![Just(None), Just(NonZeroU32::new(60))];
    let after = prop_oneof![Just(None), Just(NonZeroU32::new(20)), Just(NonZeroU32::new(50))];
    let interfaces = prop_oneof![Just(None), Just(Some(Digest(7)))];
    let offload = (after, interfaces)
        .prop_map(|(after, interfaces)| Some(OffloadClass { after: after?, interfaces }));
    (pick, slots, seconds, offload).prop_map(move |(pick, slots, seconds, offload)| {
        let family = Family::of(key.address);
        let count = u32::try_from(slots.len()).ok().and_then(NonZeroU32::new).unwrap();
        let sticky = seconds.map(|_| Scope::Cluster);
        let class = Some(Class { family, pick, slots: count, sticky, inside: false });
        let memory = seconds.map(|seconds| Memory { family, seconds });
        let main = Leg { class, slots: slots.into_iter().map(Some).collect() };
        let home = memory.map(|_| key);
        Nat { main, offload, memory, home, ..Nat::default() }
    })
}

/// Service ports on nftables with all that they rest on.
fn any_nats() -> impl Strategy<Value = KernelState> {
    let nat = any_key().prop_flat_map(|key| any_nat(key).prop_map(move |nat| (key, Arc::new(nat))));
    let devices = btree_set((1..4u8).prop_map(|n| format!("eth{n}").parse().unwrap()), 0..3);
    (proptest::collection::vec(nat, 0..5), devices).prop_map(|(nats, devices)| {
        let mut state = KernelState { nats: nats.into_iter().collect(), ..KernelState::default() };
        state.chains = state.nats.values().flat_map(|nat| nat.chains()).collect();
        let offloads: Vec<_> = state.nats.values().filter_map(|nat| nat.offload).collect();
        let selections = offloads.iter().filter_map(|it| it.interfaces);
        state.interfaces = selections.map(|it| (it, devices.clone())).collect();
        state.flowtable = (!offloads.is_empty()).then_some(devices);
        state
    })
}

/// States of which little can be relied on, as a look at a kernel may find them: only that there
/// is nothing in a table that isn't there, and that what something leads to is there.
pub(crate) fn any_state() -> impl Strategy<Value = KernelState> {
    let element = prop_oneof![
        any_key().prop_map(Element::Service),
        any_key().prop_map(|key| Element::Vip(key.address)),
        any_key().prop_map(|key| Element::Hairpin(key.address)),
        (any_key(), any::<bool>()).prop_map(|(key, local)| {
            let scope = if local { Scope::Local } else { Scope::Cluster };
            Element::Member(key, scope, SocketAddr::new(key.address, 1))
        }),
    ];
    let base = any::<bool>().prop_map(|masquerade_all| Base { masquerade_all, ..Base::default() });
    let table = proptest::option::of((base, btree_set(element, 0..6), any_nats()));
    let locals = btree_set(any_key().prop_map(|key| key.address), 0..4);
    let virtuals = btree_map(any_key(), any_virtual().prop_map(Arc::new), 0..6);
    (table, virtuals, locals).prop_map(|(table, virtuals, locals)| {
        let in_table =
            table.map(|(base, elements, nats)| KernelState { base: Some(base), elements, ..nats });
        KernelState { virtuals, locals, ..in_table.unwrap_or_default() }
    })
}
