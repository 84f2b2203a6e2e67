//! An EndpointSlice. Pure.

use std::sync::Arc;

use k8s_openapi::api::discovery::v1 as api;
use weir_core::model::{Endpoint, EndpointSlice, SlicePort};
use weir_core::net::{Family, ObjectName};

use super::address::{LinkLocal, address};
use super::fault::{Converted, Faults, Verdict};
use super::{HEADLESS, meta, port};

/// Says which Service a slice belongs to.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// When the pod or Service changed for which the slice was written last, in RFC 3339.
const TRIGGER: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// Converts an EndpointSlice. Slices of names (FQDN) and of headless Services are left out;
/// refused without a name, a Service or an address type.
pub fn slice(from: api::EndpointSlice) -> Converted<EndpointSlice> {
    let mut faults = Faults::default();
    let headless = from.metadata.labels.as_ref().is_some_and(|l| l.contains_key(HEADLESS));
    if headless || from.address_type == "FQDN" {
        return faults.with(Verdict::LeftOut);
    }
    let object = convert(from, &mut faults);
    faults.conclude(object)
}

fn convert(from: api::EndpointSlice, faults: &mut Faults) -> Option<EndpointSlice> {
    let name = meta::object_name(&from.metadata, faults);
    let labels = meta::labels(from.metadata.labels);
    let owner = labels.get(SERVICE_NAME).filter(|owner| !owner.is_empty());
    if owner.is_none() {
        let field = format_args!("metadata.labels[{SERVICE_NAME}]");
        faults.add(field, "is missing: the slice belongs to no Service");
    }
    let family = family(&from.address_type, faults)?;
    let name = name?;
    let trigger = from.metadata.annotations.as_ref().and_then(|all| trigger(all.get(TRIGGER)?));
    let annotations = meta::annotations(from.metadata.annotations);
    Some(EndpointSlice {
        service: ObjectName::new(name.namespace.clone(), owner?),
        name,
        labels,
        last_change_trigger: trigger,
        annotations,
        family,
        ports: ports(from.ports, faults),
        endpoints: endpoints(from.endpoints, family, faults),
    })
}

/// A time that can't be read, or from before 1970, measures nothing; the slice holds all the same.
fn trigger(annotation: &str) -> Option<u64> {
    let time: jiff::Timestamp = annotation.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok()
}

fn family(given: &str, faults: &mut Faults) -> Option<Family> {
    match given {
        "IPv4" => Some(Family::V4),
        "IPv6" => Some(Family::V6),
        "" => faults.keep("addressType", Err("is missing")),
        other => {
            let message = format!("{other:?} is none of IPv4, IPv6, FQDN");
            faults.keep("addressType", Err(message))
        }
    }
}

/// A port without a number means "all ports" and is of no use to a proxier.
fn ports(given: Option<Vec<api::EndpointPort>>, faults: &mut Faults) -> Vec<SlicePort> {
    let mut ports: Vec<SlicePort> = Vec::new();
    for (i, from) in given.unwrap_or_default().into_iter().enumerate() {
        let Some(number) = from.port else { continue };
        let number = faults.keep(format_args!("ports[{i}].port"), port::port(number));
        let protocol = port::protocol(from.protocol.as_deref());
        let protocol = faults.keep(format_args!("ports[{i}].protocol"), protocol);
        let (Some(port), Some(protocol)) = (number, protocol) else { continue };
        let name = from.name.unwrap_or_default();
        if ports.iter().any(|p| p.name == name) {
            let message = format_args!("the name {name:?} stands here twice");
            faults.lose(format_args!("ports[{i}].name"), message);
            continue;
        }
        ports.push(SlicePort { name, protocol, port });
    }
    ports.shrink_to_fit();
    ports
}

fn endpoints(
    given: Option<Vec<api::Endpoint>>,
    family: Family,
    faults: &mut Faults,
) -> Vec<Endpoint> {
    let given = given.unwrap_or_default().into_iter().enumerate();
    let mut endpoints: Vec<_> =
        given.filter_map(|(i, from)| endpoint(i, from, family, faults)).collect();
    // They may have taken the room of what they were made from.
    endpoints.shrink_to_fit();
    endpoints
}

fn endpoint(
    i: usize,
    from: api::Endpoint,
    family: Family,
    faults: &mut Faults,
) -> Option<Endpoint> {
    let field = format_args!("endpoints[{i}].addresses");
    let Some(first) = from.addresses.first() else {
        faults.lose(field, "is empty");
        return None;
    };
    let field = format_args!("endpoints[{i}].addresses[0]");
    let address = faults.keep(field, address(first, LinkLocal::Refused))?;
    if Family::of(address) != family {
        faults.lose(field, format_args!("{address} is not {family}, which addressType says"));
        return None;
    }
    let conditions = from.conditions.unwrap_or_default();
    let hints = from.hints.unwrap_or_default();
    Some(Endpoint {
        address,
        ready: conditions.ready.unwrap_or(true),
        serving: conditions.serving.unwrap_or(true),
        terminating: conditions.terminating.unwrap_or(false),
        node: from.node_name.filter(|name| !name.is_empty()).map(Arc::from),
        zone: from.zone.filter(|name| !name.is_empty()).map(Arc::from),
        zone_hints: hints
            .for_zones
            .unwrap_or_default()
            .into_iter()
            .map(|z| z.name.into())
            .collect(),
        node_hints: hints
            .for_nodes
            .unwrap_or_default()
            .into_iter()
            .map(|n| n.name.into())
            .collect(),
    })
}
