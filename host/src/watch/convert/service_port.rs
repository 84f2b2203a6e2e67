//! The ports of a Service. Pure.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1 as api;
use weir_core::model::{ServicePort, ServiceType};
use weir_core::net::{Port, Protocol};

use super::fault::Faults;
use super::port;

/// The ports that can be served; the others are named in `faults` and left out.
pub(super) fn ports(
    given: Option<Vec<api::ServicePort>>,
    kind: ServiceType,
    faults: &mut Faults,
) -> Vec<ServicePort> {
    let mut ports: Vec<ServicePort> = Vec::new();
    let mut taken = Taken::default();
    for (i, from) in given.unwrap_or_default().into_iter().enumerate() {
        let Some(mut port) = one(i, from, kind, faults) else { continue };
        if let Some(message) = taken.clash(&port) {
            faults.lose(format_args!("spec.ports[{i}]"), message);
            continue;
        }
        if let Some(number) = port.node_port.filter(|&it| !taken.take_node_port(it, &port)) {
            let message = format_args!("{number}/{} stands here twice", port.protocol);
            faults.lose(format_args!("spec.ports[{i}].nodePort"), message);
            port.node_port = None;
        }
        ports.push(port);
    }
    ports.shrink_to_fit();
    ports
}

/// What earlier ports have: a Service may have ten thousand.
#[derive(Default)]
struct Taken {
    ports: BTreeSet<(Port, Protocol)>,
    names: BTreeSet<String>,
    node_ports: BTreeSet<(Port, Protocol)>,
}

impl Taken {
    /// Whether a port was free; it isn't any more.
    fn take_node_port(&mut self, number: Port, port: &ServicePort) -> bool {
        self.node_ports.insert((number, port.protocol))
    }

    /// What an earlier port has as well, in words; else it is this one's from now on.
    fn clash(&mut self, port: &ServicePort) -> Option<String> {
        let number = (port.port, port.protocol);
        if self.ports.contains(&number) {
            return Some(format!("{}/{} stands here twice", port.port, port.protocol));
        }
        if !self.names.insert(port.name.clone()) {
            return Some(match port.name.as_str() {
                "" => {
                    "has no name, and neither has an earlier port: one of them can't be told apart"
                        .into()
                }
                name => format!("the name {name:?} stands here twice"),
            });
        }
        self.ports.insert(number);
        None
    }
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
