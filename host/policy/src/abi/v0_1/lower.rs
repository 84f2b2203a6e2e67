//! From weir's views to those of version 0.1: borrowed, with lists in an arena that lives as long
//! as the call. Pure.

use std::fmt::Display;

use bumpalo::Bump;
use weir_core::view::{
    Attributes, Counters, Endpoint, Interface, KernelAbilities, Namespace, Node, Port, Service,
    ServiceView, Slice,
};
use weir_core::wish::{Interfaces, Offload, Weight, Wish};

use super::bindings::weir::policy::types as wire;
use crate::Wants;
use crate::wants::{coarse_age, coarse_counters};

/// Lowers for one call; what the policy doesn't want is left out.
#[derive(Clone, Copy)]
pub(super) struct Lower<'a> {
    arena: &'a Bump,
    wants: Wants,
}

impl<'a> Lower<'a> {
    pub(super) fn new(arena: &'a Bump, wants: Wants) -> Self {
        Self { arena, wants }
    }

    pub(super) fn view(self, view: &'a ServiceView) -> wire::ServiceView<'a> {
        let endpoints = view.endpoints.iter().map(|endpoint| self.endpoint(endpoint));
        let slices = view.slices.iter().map(|slice| self.slice(slice));
        let previous = view.previous.as_ref().filter(|_| self.wants.previous);
        wire::ServiceView {
            namespace: self.namespace(&view.namespace),
            service: self.service(&view.service),
            port: port(&view.port),
            endpoints: self.arena.alloc_slice_fill_iter(endpoints),
            slices: self.arena.alloc_slice_fill_iter(slices),
            node: self.node(&view.node),
            counters: view.counters.as_ref().filter(|_| self.wants.counters).map(counters),
            previous: previous.map(|wish| self.decision(wish)),
            attributes: self.attributes(&view.attributes),
        }
    }

    pub(super) fn node(self, node: &'a Node) -> wire::Node<'a> {
        wire::Node {
            name: &node.name,
            labels: self.attributes(&node.labels),
            zone: node.zone.as_deref(),
            cpus: node.cpus,
            kernel: self.kernel(&node.kernel),
            attributes: self.attributes(&node.attributes),
        }
    }

    pub(super) fn interface(self, interface: &'a Interface) -> wire::NetworkInterface<'a> {
        wire::NetworkInterface {
            index: interface.index,
            name: &interface.name,
            kind: &interface.kind,
            master: interface.master.as_deref(),
            mtu: interface.mtu,
            flags: self.strings(&interface.flags),
            addresses: self.texts(&interface.addresses),
            default_route: interface.default_route,
            pod: interface.pod,
            attributes: self.attributes(&interface.attributes),
        }
    }

    pub(super) fn attributes(self, attributes: &'a Attributes) -> &'a [(&'a str, &'a str)] {
        let pairs = attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        self.arena.alloc_slice_fill_iter(pairs)
    }

    fn namespace(self, namespace: &'a Namespace) -> wire::Namespace<'a> {
        wire::Namespace {
            name: &namespace.name,
            labels: self.attributes(&namespace.labels),
            annotations: self.attributes(&namespace.annotations),
        }
    }

    fn service(self, service: &'a Service) -> wire::Service<'a> {
        wire::Service {
            name: &service.name,
            labels: self.attributes(&service.labels),
            annotations: self.attributes(&service.annotations),
            kind: &service.kind,
            cluster_ips: self.texts(&service.cluster_ips),
            external_ips: self.texts(&service.external_ips),
            load_balancer_ips: self.texts(&service.load_balancer_ips),
            affinity_seconds: service.affinity_seconds,
            internal_traffic_policy: &service.internal_traffic_policy,
            external_traffic_policy: &service.external_traffic_policy,
            traffic_distribution: service.traffic_distribution.as_deref(),
        }
    }

    fn endpoint(self, endpoint: &'a Endpoint) -> wire::Endpoint<'a> {
        wire::Endpoint {
            address: self.text(&endpoint.address),
            port: endpoint.port,
            ready: endpoint.ready,
            serving: endpoint.serving,
            terminating: endpoint.terminating,
            local: endpoint.local,
            node: endpoint.node.as_deref(),
            zone: endpoint.zone.as_deref(),
            hint_zones: self.strings(&endpoint.hint_zones),
            hint_nodes: self.strings(&endpoint.hint_nodes),
            age_seconds: endpoint.age_seconds.filter(|_| self.wants.age).map(coarse_age),
            slice: endpoint.slice,
        }
    }

    fn slice(self, slice: &'a Slice) -> wire::Slice<'a> {
        wire::Slice {
            name: &slice.name,
            labels: self.attributes(&slice.labels),
            annotations: self.attributes(&slice.annotations),
        }
    }

    fn kernel(self, kernel: &'a KernelAbilities) -> wire::KernelAbilities<'a> {
        wire::KernelAbilities {
            release: &kernel.release,
            dataplanes: self.strings(&kernel.dataplanes),
            ipvs_schedulers: self.strings(&kernel.ipvs_schedulers),
            nftables_schedulers: self.strings(&kernel.nftables_schedulers),
            flowtable: kernel.flowtable,
        }
    }

    fn decision(self, wish: &'a Wish) -> wire::DecisionParam<'a> {
        let weights = |list: &'a Vec<Weight>| -> &'a [wire::EndpointWeightParam<'a>] {
            self.arena.alloc_slice_fill_iter(list.iter().map(weight))
        };
        wire::DecisionParam {
            dataplane: wish.dataplane.as_deref(),
            scheduler: wish.scheduler.as_deref(),
            scheduler_flags: wish.scheduler_flags.as_ref().map(|flags| self.strings(flags)),
            weights: wish.weights.as_ref().map(weights),
            offload: wish.offload.map(offload),
            interfaces: wish.interfaces.as_ref().map(|interfaces| self.interfaces(interfaces)),
            affinity_seconds: wish.affinity_seconds,
            re_evaluate_after_seconds: wish.re_evaluate_after_seconds,
            note: wish.note.as_deref(),
            attributes: self.attributes(&wish.attributes),
        }
    }

    fn interfaces(self, selection: &'a Interfaces) -> wire::InterfaceSelectionParam<'a> {
        wire::InterfaceSelectionParam {
            include: self.strings(&selection.include),
            exclude: self.strings(&selection.exclude),
        }
    }

    fn strings(self, strings: &'a [String]) -> &'a [&'a str] {
        self.arena.alloc_slice_fill_iter(strings.iter().map(String::as_str))
    }

    fn texts<T: Display>(self, values: &[T]) -> &'a [&'a str] {
        self.arena.alloc_slice_fill_iter(values.iter().map(|value| self.text(value)))
    }

    fn text(self, value: &impl Display) -> &'a str {
        self.arena.alloc_str(&value.to_string())
    }
}

fn port(port: &Port) -> wire::Port<'_> {
    wire::Port {
        name: &port.name,
        protocol: &port.protocol,
        number: port.number,
        app_protocol: port.app_protocol.as_deref(),
        node_port: port.node_port,
    }
}

fn counters(exact: &Counters) -> wire::Counters {
    let counters = coarse_counters(exact);
    wire::Counters {
        seconds: counters.seconds,
        connections: counters.connections,
        active_connections: counters.active_connections,
        packets_in: counters.packets_in,
        packets_out: counters.packets_out,
        bytes_in: counters.bytes_in,
        bytes_out: counters.bytes_out,
    }
}

fn weight(weight: &Weight) -> wire::EndpointWeightParam<'_> {
    wire::EndpointWeightParam { address: &weight.address, port: weight.port, weight: weight.weight }
}

fn offload(offload: Offload) -> wire::Offload {
    match offload {
        Offload::Never => wire::Offload::Never,
        Offload::After(packets) => wire::Offload::After(packets),
    }
}
