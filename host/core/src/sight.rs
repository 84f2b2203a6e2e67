//! What a policy gets to see of one service port: the view, built from the model. Pure.

use std::sync::Arc;

use crate::decision::{Decision, Offload, SchedulerFlags};
use crate::eligible::{Candidate, candidates};
use crate::model::{Model, Service, ServicePort, ServiceType, Tags, TrafficPolicy};
use crate::seen::FirstSeen;
use crate::view;
use crate::wish::{self, Wish};

/// What a view holds besides the objects.
#[derive(Clone, Debug)]
pub struct Beside<'a> {
    /// The running kernel.
    pub kernel: &'a view::KernelAbilities,
    /// Processors that are online.
    pub cpus: u32,
    /// First-seen times.
    pub seen: &'a FirstSeen,
    /// Seconds since 1970.
    pub now: u64,
    /// Traffic since the last evaluation.
    pub counters: Option<view::Counters>,
    /// The decision in force.
    pub previous: Option<Wish>,
}

/// The view of one port of `service`.
#[must_use]
pub fn view_of(
    model: &Model,
    service: &Service,
    port: &ServicePort,
    beside: &Beside<'_>,
) -> view::ServiceView {
    let candidates = candidates(model, service, port);
    let slices: Vec<_> = model.slices_of(&service.name).collect();
    let at = |c: &Candidate<'_>| slices.iter().position(|s| s.name == c.slice.name);
    let endpoints = candidates.iter().map(|c| {
        let age = beside.seen.age(&service.name, c.to, beside.now);
        endpoint(c, model.node_name(), age, at(c).and_then(|i| u32::try_from(i).ok()))
    });
    view::ServiceView {
        namespace: namespace(model, &service.name.namespace),
        service: service_view(service),
        port: port_view(port),
        endpoints: endpoints.collect(),
        slices: slices.iter().map(|s| slice(&s.name.name, &s.labels, &s.annotations)).collect(),
        node: node(model, beside.kernel, beside.cpus),
        counters: beside.counters,
        previous: beside.previous.clone(),
        attributes: view::Attributes::new(),
    }
}

/// A decision in the words of policies, as they see the one in force. What was said to operators is
/// no part of it.
#[must_use]
pub fn in_force(decision: &Decision) -> Wish {
    let Decision { dataplane, scheduler, flags, weights, offload, affinity, .. } = decision;
    let SchedulerFlags { fallback, port } = flags.value;
    let flags = [(fallback, "fallback"), (port, "port")].into_iter().filter(|(on, _)| *on);
    let weight = |(to, weight): (&std::net::SocketAddr, &crate::decision::Chosen<_>)| {
        let crate::state::Weight(weight) = weight.value;
        wish::Weight { address: to.ip().to_string(), port: to.port(), weight }
    };
    Wish {
        dataplane: Some(dataplane.value.to_string()),
        scheduler: Some(scheduler.value.to_string()),
        scheduler_flags: Some(
            flags.map(|(_, flag)| format!("{}-{flag}", scheduler.value)).collect(),
        ),
        weights: Some(weights.iter().map(weight).collect()),
        offload: Some(match offload.value {
            Offload::Never => wish::Offload::Never,
            Offload::After(packets) => wish::Offload::After(packets.get()),
        }),
        interfaces: decision.interfaces.as_ref().map(|chosen| chosen.value.clone().into()),
        affinity_seconds: Some(affinity.value.map_or(0, std::num::NonZeroU32::get)),
        re_evaluate_after_seconds: decision.re_evaluate.as_ref().map(|it| it.value.get()),
        note: None,
        attributes: view::Attributes::new(),
    }
}

/// The node as policies see it, also when they are configured.
#[must_use]
pub fn node(model: &Model, kernel: &view::KernelAbilities, cpus: u32) -> view::Node {
    let node = model.node();
    view::Node {
        name: model.node_name().to_owned(),
        labels: node.map(|n| n.labels.to_map()).unwrap_or_default(),
        zone: node.and_then(|n| n.zone()).map(str::to_owned),
        cpus,
        kernel: kernel.clone(),
        attributes: view::Attributes::new(),
    }
}

fn namespace(model: &Model, name: &str) -> view::Namespace {
    let known = model.namespace(name);
    view::Namespace {
        name: name.to_owned(),
        labels: known.map(|n| n.labels.to_map()).unwrap_or_default(),
        annotations: known.map(|n| n.annotations.to_map()).unwrap_or_default(),
    }
}

fn service_view(service: &Service) -> view::Service {
    view::Service {
        name: service.name.name.as_ref().to_owned(),
        labels: service.labels.to_map(),
        annotations: service.annotations.to_map(),
        kind: kind(service.kind).to_owned(),
        cluster_ips: service.cluster_ips.clone(),
        external_ips: service.external_ips.clone(),
        load_balancer_ips: service.load_balancer_ips.clone(),
        affinity_seconds: service.affinity_seconds,
        internal_traffic_policy: policy(service.internal_policy).to_owned(),
        external_traffic_policy: policy(service.external_policy).to_owned(),
        traffic_distribution: service.traffic_distribution.as_deref().map(str::to_owned),
    }
}

fn kind(kind: ServiceType) -> &'static str {
    match kind {
        ServiceType::ClusterIP | ServiceType::Headless => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
        ServiceType::ExternalName => "ExternalName",
    }
}

fn policy(policy: TrafficPolicy) -> &'static str {
    match policy {
        TrafficPolicy::Cluster => "Cluster",
        TrafficPolicy::Local => "Local",
    }
}

fn port_view(port: &ServicePort) -> view::Port {
    view::Port {
        name: port.name.clone(),
        protocol: port.protocol.as_str().to_owned(),
        number: port.port.get(),
        app_protocol: port.app_protocol.clone(),
        node_port: port.node_port.map(crate::net::Port::get),
    }
}

fn slice(name: &str, labels: &Tags, annotations: &Tags) -> view::Slice {
    view::Slice {
        name: name.to_owned(),
        labels: labels.to_map(),
        annotations: annotations.to_map(),
    }
}

fn endpoint(
    c: &Candidate<'_>,
    node_name: &str,
    age: Option<u32>,
    slice: Option<u32>,
) -> view::Endpoint {
    view::Endpoint {
        address: c.to.ip(),
        port: c.to.port(),
        ready: c.endpoint.ready,
        serving: c.endpoint.serving,
        terminating: c.endpoint.terminating,
        local: c.is_local(node_name),
        node: c.endpoint.node.as_deref().map(str::to_owned),
        zone: c.endpoint.zone.as_deref().map(str::to_owned),
        hint_zones: owned(&c.endpoint.zone_hints),
        hint_nodes: owned(&c.endpoint.node_hints),
        age_seconds: age,
        slice,
    }
}

fn owned(texts: &[Arc<str>]) -> Vec<String> {
    texts.iter().map(|text| text.as_ref().to_owned()).collect()
}
