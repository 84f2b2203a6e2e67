//! The ports of a Service. Pure.

use k8s_openapi::api::core::v1 as api;
use weir_core::model::{ServicePort, ServiceType};
use weir_core::net::Port;

use super::fault::Faults;
use super::port;

/// The ports that can be served; the others are named in `faults` and left out.
pub(super) fn ports(
    given: Option<Vec<api::ServicePort>>,
    kind: ServiceType,
    faults: &mut Faults,
) -> Vec<ServicePort> {
    let mut ports: Vec<ServicePort> = Vec::new();
    for (i, from) in given.unwrap_or_default().into_iter().enumerate() {
        let Some(mut port) = one(i, from, kind, faults) else { continue };
        if let Some(message) = clash(&port, &ports) {
            faults.lose(format_args!("spec.ports[{i}]"), message);
            continue;
        }
        let taken = |p: &ServicePort| p.node_port == port.node_port && p.protocol == port.protocol;
        if let Some(number) = port.node_port.filter(|_| ports.iter().any(taken)) {
            let message = format_args!("{number}/{} stands here twice", port.protocol);
            faults.lose(format_args!("spec.ports[{i}].nodePort"), message);
            port.node_port = None;
        }
        ports.push(port);
    }
    ports.shrink_to_fit();
    ports
}

fn one(
    i: usize,
    from: api::ServicePort,
    kind: ServiceType,
    faults: &mut Faults,
) -> Option<ServicePort> {
    let field = format_args!("spec.ports[{i}].protocol");
    let protocol = faults.keep(field, port::protocol(from.protocol.as_deref()));
    let number = faults.keep(format_args!("spec.ports[{i}].port"), port::port(from.port));
    Some(ServicePort {
        name: from.name.unwrap_or_default(),
        protocol: protocol?,
        port: number?,
        node_port: node_port(i, from.node_port, kind, faults),
        app_protocol: from.app_protocol,
    })
}

/// 0 is "none yet" in the API.
fn node_port(i: usize, given: Option<i32>, kind: ServiceType, faults: &mut Faults) -> Option<Port> {
    let number = given.filter(|&n| n != 0)?;
    let field = format_args!("spec.ports[{i}].nodePort");
    if !matches!(kind, ServiceType::NodePort | ServiceType::LoadBalancer) {
        faults.add(field, format_args!("{number} has no meaning in a Service of type {kind:?}"));
        return None;
    }
    faults.keep(field, port::port(number))
}

fn clash(port: &ServicePort, earlier: &[ServicePort]) -> Option<String> {
    if earlier.iter().any(|p| (p.port, p.protocol) == (port.port, port.protocol)) {
        return Some(format!("{}/{} stands here twice", port.port, port.protocol));
    }
    let same = earlier.iter().any(|p| p.name == port.name);
    same.then(|| match port.name.as_str() {
        "" => {
            "has no name, and neither has an earlier port: one of them can't be told apart".into()
        }
        name => format!("the name {name:?} stands here twice"),
    })
}
