//! Changes as values: printed, put in order, sent. Pure.

use std::fmt;

use crate::netlink::Writer;
use crate::uapi::{VERSION, attr, cmd};
use crate::{Destination, DestinationKey, Service, ServiceKey, Timeouts};

/// One change to the kernel's IPVS state. [`fmt::Display`] says it in words, for logs and plans:
/// `add service tcp 10.0.0.1:80 rr`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// Adds a service. Refused when it exists.
    NewService(Service),
    /// Replaces every setting of a service. Refused when it doesn't exist.
    SetService(Service),
    /// Deletes a service with its destinations. Its connections are reset.
    DeleteService(ServiceKey),
    /// Adds a destination to a service. Refused when it exists, or the service doesn't. In a network
    /// namespace whose `lo` was never up every one is refused as invalid.
    NewDestination(ServiceKey, Destination),
    /// Replaces every setting of a destination. Refused when it or its service doesn't exist.
    SetDestination(ServiceKey, Destination),
    /// Deletes a destination. The kernel keeps it aside for about two minutes.
    DeleteDestination(ServiceKey, DestinationKey),
    /// Sets the namespace's connection timeouts; those of zero stay as they are.
    SetTimeouts(Timeouts),
    /// Sets the counters of a service and its destinations to zero.
    ZeroService(ServiceKey),
    /// Sets every counter to zero.
    ZeroAll,
    /// Deletes every service. Never part of a reload: what is added right after it costs the kernel a
    /// search through all that was deleted.
    Flush,
}

impl Request {
    pub(crate) fn command(&self) -> u8 {
        match self {
            Self::NewService(_) => cmd::NEW_SERVICE,
            Self::SetService(_) => cmd::SET_SERVICE,
            Self::DeleteService(_) => cmd::DEL_SERVICE,
            Self::NewDestination(..) => cmd::NEW_DEST,
            Self::SetDestination(..) => cmd::SET_DEST,
            Self::DeleteDestination(..) => cmd::DEL_DEST,
            Self::SetTimeouts(_) => cmd::SET_CONFIG,
            Self::ZeroService(_) | Self::ZeroAll => cmd::ZERO,
            Self::Flush => cmd::FLUSH,
        }
    }

    /// Writes the attributes that follow the command.
    pub fn encode(&self, writer: &mut Writer) {
        match self {
            Self::NewService(service) | Self::SetService(service) => service.encode(writer),
            Self::DeleteService(key) | Self::ZeroService(key) => encode_key(key, writer),
            Self::NewDestination(key, destination) | Self::SetDestination(key, destination) => {
                encode_key(key, writer);
                destination.encode(writer);
            }
            Self::DeleteDestination(key, destination) => {
                encode_key(key, writer);
                destination.encode(writer);
            }
            Self::SetTimeouts(timeouts) => timeouts.encode(writer),
            Self::ZeroAll | Self::Flush => {}
        }
    }

    /// Appends the whole message for generic netlink family `family`.
    pub(crate) fn message(&self, writer: &mut Writer, family: u16, flags: u16, sequence: u32) {
        writer.generic((family, flags, sequence), self.command(), VERSION, |writer| {
            self.encode(writer);
        });
    }

    /// The request that does the same to an object that turned out to exist, or not to.
    pub(crate) fn counterpart(&self) -> Option<Self> {
        Some(match self {
            Self::NewService(service) => Self::SetService(service.clone()),
            Self::SetService(service) => Self::NewService(service.clone()),
            Self::NewDestination(key, destination) => Self::SetDestination(*key, *destination),
            Self::SetDestination(key, destination) => Self::NewDestination(*key, *destination),
            _ => return None,
        })
    }
}

pub(crate) fn encode_key(key: &ServiceKey, writer: &mut Writer) {
    writer.nest(attr::SERVICE, |nest| key.encode(nest));
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewService(service) => write!(f, "add service {service}"),
            Self::SetService(service) => write!(f, "set service {service}"),
            Self::DeleteService(key) => write!(f, "delete service {key}"),
            Self::NewDestination(key, destination) => {
                write!(f, "add destination {destination} to {key}")
            }
            Self::SetDestination(key, destination) => {
                write!(f, "set destination {destination} of {key}")
            }
            Self::DeleteDestination(key, destination) => {
                write!(f, "delete destination {destination} of {key}")
            }
            Self::SetTimeouts(timeouts) => write!(f, "set timeouts {timeouts}"),
            Self::ZeroService(key) => write!(f, "zero counters of {key}"),
            Self::ZeroAll => f.write_str("zero all counters"),
            Self::Flush => f.write_str("delete all services"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Forward, Scheduler};

    #[test]
    fn requests_print_as_a_plan() {
        let key: ServiceKey = "tcp 10.0.0.1:80".parse().unwrap();
        let service = Service::new(key, Scheduler::RoundRobin);
        let destination =
            Destination::new(DestinationKey::new(([10, 0, 1, 1], 8080)), Forward::Masquerade);
        let cases = [
            (Request::NewService(service.clone()), "add service tcp 10.0.0.1:80 rr"),
            (Request::SetService(service), "set service tcp 10.0.0.1:80 rr"),
            (Request::DeleteService(key), "delete service tcp 10.0.0.1:80"),
            (
                Request::NewDestination(key, destination),
                "add destination 10.0.1.1:8080 masquerade weight 1 to tcp 10.0.0.1:80",
            ),
            (
                Request::SetDestination(key, destination.with_weight(0.into())),
                "set destination 10.0.1.1:8080 masquerade weight 0 of tcp 10.0.0.1:80",
            ),
            (
                Request::DeleteDestination(key, destination.key),
                "delete destination 10.0.1.1:8080 of tcp 10.0.0.1:80",
            ),
            (
                Request::SetTimeouts(Timeouts { tcp: 900, tcp_fin: 120, udp: 0 }),
                "set timeouts tcp 900 tcp-fin 120 udp 0",
            ),
            (Request::ZeroService(key), "zero counters of tcp 10.0.0.1:80"),
            (Request::ZeroAll, "zero all counters"),
            (Request::Flush, "delete all services"),
        ];
        for (request, want) in cases {
            assert_eq!(request.to_string(), want);
        }
    }
}
