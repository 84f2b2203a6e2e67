//! A Service. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::core::v1 as api;
use weir_core::model::{Service, ServiceType, TrafficPolicy};
use weir_core::net::Family;

use super::address::{LinkLocal, address, range};
use super::fault::{Converted, Faults};
use super::{PROXY_NAME, meta, port, service_port};

/// What the API server writes where a manifest asks for affinity without a time-out: three hours.
const DEFAULT_AFFINITY_SECONDS: i32 = 10_800;
/// The API's upper limit: one day.
const LONGEST_AFFINITY_SECONDS: i32 = 86_400;

/// Converts a Service. Refused without a name or a `spec`, and without a port where there should be one.
pub fn service(from: api::Service) -> Converted<Service> {
    let mut faults = Faults::default();
    let object = convert(from, &mut faults);
    faults.conclude(object)
}

fn convert(from: api::Service, faults: &mut Faults) -> Option<Service> {
    let name = meta::object_name(&from.metadata, faults);
    let Some(mut spec) = from.spec else {
        faults.add("spec", "is missing");
        return None;
    };
    let kind = kind(&spec, faults);
    let proxied = !matches!(kind, ServiceType::ExternalName | ServiceType::Headless);
    let given = spec.ports.take();
    if proxied && given.as_ref().is_none_or(Vec::is_empty) {
        faults.add("spec.ports", "has no port");
        return None;
    }
    let ports = service_port::ports(given, kind, faults);
    if proxied && ports.is_empty() {
        return None;
    }
    let labels = meta::labels(from.metadata.labels);
    let source_ranges = source_ranges(&mut spec, faults);
    let created = from.metadata.creation_timestamp.map(|time| time.0.as_second());
    let service = Service {
        name: name?,
        uid: from.metadata.uid.filter(|uid| !uid.is_empty()).map(Box::from),
        created,
        proxy_name: labels.get(PROXY_NAME).map(Box::from),
        labels,
        annotations: meta::annotations(from.metadata.annotations),
        kind,
        cluster_ips: if proxied { cluster_ips(&mut spec, faults) } else { Vec::new() },
        external_ips: external_ips(&mut spec, faults),
        load_balancer_ips: match source_ranges {
            Some(_) => load_balancer_ips(kind, from.status, faults),
            None => Vec::new(),
        },
        source_ranges: source_ranges.unwrap_or_default(),
        ports,
        affinity_seconds: affinity(&spec, faults),
        internal_policy: policy(
            "spec.internalTrafficPolicy",
            &spec.internal_traffic_policy,
            faults,
        ),
        external_policy: policy(
            "spec.externalTrafficPolicy",
            &spec.external_traffic_policy,
            faults,
        ),
        traffic_distribution: spec
            .traffic_distribution
            .filter(|text| !text.is_empty())
            .map(Box::from),
        health_check_node_port: (spec.health_check_node_port.filter(|&n| n != 0))
            .and_then(|n| faults.keep("spec.healthCheckNodePort", port::port(n))),
    };
    report_unreachable(&service, proxied, faults);
    Some(service)
}

fn kind(spec: &api::ServiceSpec, faults: &mut Faults) -> ServiceType {
    let kind = match spec.type_.as_deref() {
        None | Some("" | "ClusterIP") => ServiceType::ClusterIP,
        Some("NodePort") => ServiceType::NodePort,
        Some("LoadBalancer") => ServiceType::LoadBalancer,
        Some("ExternalName") => return ServiceType::ExternalName,
        Some(other) => {
            let known =
                "none of ClusterIP, NodePort, LoadBalancer, ExternalName; taken as ClusterIP";
            faults.add("spec.type", format_args!("{other:?} is {known}"));
            ServiceType::ClusterIP
        }
    };
    let none = |text: &String| text == "None";
    let first = spec.cluster_ips.as_ref().and_then(|ips| ips.first());
    if first.or(spec.cluster_ip.as_ref()).is_some_and(none) { ServiceType::Headless } else { kind }
}

/// At most one of each family (KEP-563), from `clusterIPs`, else from `clusterIP`.
fn cluster_ips(spec: &mut api::ServiceSpec, faults: &mut Faults) -> Vec<IpAddr> {
    let single = spec.cluster_ip.take().filter(|text| !text.is_empty());
    let several = spec.cluster_ips.take().filter(|list| !list.is_empty());
    if let (Some(one), Some(all)) = (&single, &several)
        && all.first() != Some(one)
    {
        let message = format_args!("{one:?} differs from spec.clusterIPs[0], which is used");
        faults.add("spec.clusterIP", message);
    }
    let mut ips: Vec<IpAddr> = Vec::new();
    let plural = several.is_some();
    for (i, text) in several.unwrap_or_else(|| Vec::from_iter(single)).iter().enumerate() {
        let field =
            if plural { format!("spec.clusterIPs[{i}]") } else { "spec.clusterIP".to_owned() };
        let Some(ip) = faults.keep(&field, address(text, LinkLocal::Refused)) else { continue };
        let family = Family::of(ip);
        if ips.iter().any(|&other| Family::of(other) == family) {
            faults.lose(&field, format_args!("{ip} is a second {family} address; left out"));
        } else {
            ips.push(ip);
        }
    }
    ips
}

fn external_ips(spec: &mut api::ServiceSpec, faults: &mut Faults) -> Vec<IpAddr> {
    let (mut ips, mut taken) = (Vec::new(), BTreeSet::new());
    for (i, text) in spec.external_ips.take().unwrap_or_default().iter().enumerate() {
        let field = format_args!("spec.externalIPs[{i}]");
        let ip = faults.keep(field, address(text, LinkLocal::Refused));
        ips.extend(ip.filter(|&ip| taken.insert(ip)));
    }
    ips
}

/// The addresses that packets carry when they get here: `ipMode: Proxy` ones never do (KEP-1860).
fn load_balancer_ips(
    kind: ServiceType,
    status: Option<api::ServiceStatus>,
    faults: &mut Faults,
) -> Vec<IpAddr> {
    let ingress = status.and_then(|s| s.load_balancer).and_then(|lb| lb.ingress);
    let (mut ips, mut taken) = (Vec::new(), BTreeSet::new());
    if kind != ServiceType::LoadBalancer {
        return ips;
    }
    for (i, from) in ingress.unwrap_or_default().iter().enumerate() {
        let here = match from.ip_mode.as_deref() {
            None | Some("" | "VIP") => true,
            Some("Proxy") => false,
            Some(other) => {
                let field = format_args!("status.loadBalancer.ingress[{i}].ipMode");
                faults.add(field, format_args!("{other:?} is neither VIP nor Proxy; taken as VIP"));
                true
            }
        };
        let Some(text) = from.ip.as_deref().filter(|text| here && !text.is_empty()) else {
            continue;
        };
        let field = format_args!("status.loadBalancer.ingress[{i}].ip");
        let ip = faults.keep(field, address(text, LinkLocal::Accepted));
        ips.extend(ip.filter(|&ip| taken.insert(ip)));
    }
    ips
}

/// `None` where ranges were asked for and not one can be read: an empty list would let everybody in.
fn source_ranges(spec: &mut api::ServiceSpec, faults: &mut Faults) -> Option<Vec<IpNet>> {
    let given = spec.load_balancer_source_ranges.take().unwrap_or_default();
    let field = "spec.loadBalancerSourceRanges";
    let read = given.iter().enumerate();
    let ranges: Vec<IpNet> = read
        .filter_map(|(i, text)| faults.keep(format_args!("{field}[{i}]"), range(text)))
        .collect();
    if ranges.is_empty() && !given.is_empty() {
        let message = "no range can be read: the load balancer's addresses are left out \
                       rather than opened to everybody";
        faults.lose(field, message);
        return None;
    }
    Some(ranges)
}

fn affinity(spec: &api::ServiceSpec, faults: &mut Faults) -> Option<u32> {
    match spec.session_affinity.as_deref() {
        None | Some("" | "None") => return None,
        Some("ClientIP") => {}
        Some(other) => {
            let message = format_args!("{other:?} is neither ClientIP nor None; taken as None");
            faults.add("spec.sessionAffinity", message);
            return None;
        }
    }
    let config = spec.session_affinity_config.as_ref().and_then(|c| c.client_ip.as_ref());
    let given = config.and_then(|c| c.timeout_seconds).unwrap_or(DEFAULT_AFFINITY_SECONDS);
    let seconds = given.clamp(1, LONGEST_AFFINITY_SECONDS);
    if seconds != given {
        let message =
            format_args!("{given} is outside 1 to {LONGEST_AFFINITY_SECONDS}; {seconds} is used");
        faults.add("spec.sessionAffinityConfig.clientIP.timeoutSeconds", message);
    }
    Some(seconds.unsigned_abs())
}

fn policy(field: &str, given: &Option<String>, faults: &mut Faults) -> TrafficPolicy {
    match given.as_deref() {
        None | Some("" | "Cluster") => TrafficPolicy::Cluster,
        Some("Local") => TrafficPolicy::Local,
        Some(other) => {
            let message = format_args!("{other:?} is neither Cluster nor Local; taken as Cluster");
            faults.add(field, message);
            TrafficPolicy::Cluster
        }
    }
}

/// Nobody hands out addresses here: in front of an API server a missing one would be filled in.
fn report_unreachable(service: &Service, proxied: bool, faults: &mut Faults) {
    let none = service.cluster_ips.is_empty()
        && service.external_ips.is_empty()
        && service.load_balancer_ips.is_empty()
        && service.ports.iter().all(|port| port.node_port.is_none());
    if proxied && none {
        faults.lose("spec.clusterIP", "is missing: the Service has no address to be reached at");
    }
}
