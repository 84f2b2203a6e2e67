//! Virtual services: the state's words to IPVS's and back. Pure.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use ipvs_rs::{
    AddressFamily, Destination, DestinationEntry, DestinationKey, Error, Forward, Persistence,
    Request, Service, ServiceEntry, ServiceFlags, ServiceKey, Stats, TableForward, TableService,
};
use weir_core::decision::{Scheduler, SchedulerFlags};
use weir_core::kernel::{Ownership, Refusal, RefusalKind, Traffic};
use weir_core::net::{Port, Protocol};
use weir_core::plan::Operation;
use weir_core::state::{Balance, Destinations, Virtual, VirtualKey, Weight};

/// IPVS's name of a virtual service.
pub(super) fn service_key(key: VirtualKey) -> ServiceKey {
    let protocol = match key.protocol {
        Protocol::Tcp => ipvs_rs::Protocol::Tcp,
        Protocol::Udp => ipvs_rs::Protocol::Udp,
        Protocol::Sctp => ipvs_rs::Protocol::Sctp,
    };
    ServiceKey::new(protocol, SocketAddr::new(key.address, key.port.get()))
}

/// The state's name of a virtual service; `None` for those that weir never makes (by firewall mark,
/// or for another protocol).
pub(super) fn virtual_key(key: &ServiceKey) -> Option<VirtualKey> {
    let ServiceKey::Address { protocol, address, port } = *key else { return None };
    let protocol = match protocol {
        ipvs_rs::Protocol::Tcp => Protocol::Tcp,
        ipvs_rs::Protocol::Udp => Protocol::Udp,
        ipvs_rs::Protocol::Sctp => Protocol::Sctp,
        ipvs_rs::Protocol::Other(_) => return None,
    };
    Some(VirtualKey { address, protocol, port: Port::new(port)? })
}

/// The request that does an operation; `None` for operations that aren't about IPVS.
///
/// # Errors
/// A value that IPVS can't hold.
pub(super) fn request(operation: &Operation) -> Option<Result<Request, ipvs_rs::InvalidValue>> {
    Some(match operation {
        Operation::AddVirtual(key, balance) => service(*key, balance).map(Request::NewService),
        Operation::SetVirtual(key, balance) => service(*key, balance).map(Request::SetService),
        Operation::RemoveVirtual(key) => Ok(Request::DeleteService(service_key(*key))),
        Operation::AddDestination(key, to, weight) => {
            destination(*to, *weight).map(|it| Request::NewDestination(service_key(*key), it))
        }
        Operation::SetDestination(key, to, weight) => {
            destination(*to, *weight).map(|it| Request::SetDestination(service_key(*key), it))
        }
        Operation::RemoveDestination(key, to) => {
            Ok(Request::DeleteDestination(service_key(*key), DestinationKey::new(*to)))
        }
        _ => return None,
    })
}

fn service(key: VirtualKey, balance: &Balance) -> Result<Service, ipvs_rs::InvalidValue> {
    let scheduler = balance.scheduler.as_str().parse()?;
    let service = Service::new(service_key(key), scheduler).with_flags(flags(balance.flags));
    match balance.persistence {
        None => Ok(service),
        Some(seconds) => {
            let family = AddressFamily::of(key.address);
            service.with_persistence(Persistence::hosts(family, seconds.get()))
        }
    }
}

fn destination(to: SocketAddr, weight: Weight) -> Result<Destination, ipvs_rs::InvalidValue> {
    let weight = ipvs_rs::Weight::new(weight.0)?;
    Ok(Destination::new(DestinationKey::new(to), Forward::Masquerade).with_weight(weight))
}

// Both hashing schedulers read the same two bits of `enum` IP_VS_SVC_F_SCHED_* in linux/ip_vs.h.
fn flags(flags: SchedulerFlags) -> ServiceFlags {
    let mut bits = ServiceFlags::NONE;
    if flags.fallback {
        bits |= ServiceFlags::SCHED1;
    }
    if flags.port {
        bits |= ServiceFlags::SCHED2;
    }
    bits
}

/// How a service that was found balances.
///
/// A scheduler that weir has no name for, or a setting that it never writes, reads as one that is
/// never wanted on IPVS: the plan then sets the service right.
pub(super) fn balance(entry: &ServiceEntry) -> Balance {
    let service = &entry.service;
    let found = service.flags();
    let known = SchedulerFlags {
        fallback: found.contains(ServiceFlags::SCHED1),
        port: found.contains(ServiceFlags::SCHED2),
    };
    let persistence = service.persistence();
    let ours = persistence
        .is_none_or(|it| it == Persistence::hosts(service.key().family(), it.timeout))
        && service.engine().is_none()
        && flags(known) == found;
    let scheduler = service.scheduler().name().parse().ok().filter(|_| ours);
    Balance {
        scheduler: scheduler.unwrap_or(Scheduler::Random),
        flags: known,
        persistence: persistence.and_then(|it| NonZeroU32::new(it.timeout)),
    }
}

/// A service's destinations with their weights. One that forwards in another way than weir's reads as
/// absent: the plan then adds it, which sets it right.
pub(super) fn destinations(found: &TableService) -> Destinations {
    let ours = found.destinations.iter().filter(|it| {
        // The kernel reads masquerade to an address of this host back as local.
        matches!(it.forward, TableForward::Masquerade | TableForward::Local)
    });
    ours.map(|it| (SocketAddr::new(it.key.address, it.key.port), Weight(it.weight.get()))).collect()
}

/// A virtual service as it was found.
pub(super) fn found(entry: &ServiceEntry, table: Option<&TableService>) -> Virtual {
    Virtual { balance: balance(entry), destinations: table.map(destinations).unwrap_or_default() }
}

/// What a virtual service has carried. Where servers answer past this node there is nothing to clients.
pub(super) fn carried(stats: &Stats, destinations: &[DestinationEntry]) -> Traffic {
    Traffic {
        connections: stats.connections,
        open: destinations.iter().map(|it| u64::from(it.active_connections)).sum(),
        packets_in: stats.packets_in,
        packets_out: stats.packets_out,
        bytes_in: stats.bytes_in,
        bytes_out: stats.bytes_out,
    }
}

/// What a refused request means for the plan.
pub(super) fn refusal(operation: &Operation, error: &Error, known: &Ownership) -> Refusal {
    let kind = match operation {
        _ if error.is_outcome_unknown() => RefusalKind::Unknown,
        Operation::AddVirtual(key, _) if error.is_exists() => known.clash(key),
        _ if error.is_unknown_scheduler() || error.is_unavailable() => RefusalKind::Unsupported,
        _ if error.is_exists() => RefusalKind::Exists,
        _ if error.is_not_found() => RefusalKind::NotFound,
        _ => RefusalKind::Other,
    };
    Refusal::new(kind, chain(error))
}

/// An error with all its causes, each said once.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
