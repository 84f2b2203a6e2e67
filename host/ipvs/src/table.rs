//! What `/proc/net/ip_vs` tells of services and destinations, compared with what was wanted. Pure but
//! for the one function that reads the file.

use std::io::{Read, Seek};
use std::num::NonZeroU32;

use crate::error::Cause;
use crate::settings::Info;
use crate::{
    AddressFamily, Destination, DestinationKey, Forward, Ipvs, Netmask, Scheduler, Service,
    ServiceFlags, ServiceKey, Weight,
};

/// What `/proc/net/ip_vs` tells. It lacks what [`ServiceTable::LACKS`] names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceTable {
    /// Version and size of the connection table.
    pub info: Info,
    /// The services, in no particular order.
    pub services: Vec<TableService>,
}

/// Identity of a service as far as the file tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TableKey {
    /// Protocol, address and port: the whole identity.
    Address(ServiceKey),
    /// A firewall mark. The address family is not told; an IPv4 and an IPv6 service of one mark are
    /// two entries that look alike.
    Fwmark(NonZeroU32),
}

impl TableKey {
    /// Whether a whole file names it only once.
    pub(crate) const fn is_unique(&self) -> bool {
        matches!(self, Self::Address(_))
    }
}

/// A service as far as the file tells it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableService {
    /// Its identity.
    pub key: TableKey,
    /// Its scheduler.
    pub scheduler: Scheduler,
    /// Whether it schedules each packet by itself. The file doesn't say for IPv6 addresses.
    pub one_packet: Option<bool>,
    /// Its persistence, if it is persistent.
    pub persistence: Option<TablePersistence>,
    /// Its destinations, the one added last first.
    pub destinations: Vec<TableDestination>,
}

/// Persistence as the file tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TablePersistence {
    /// The timeout in ticks of the kernel's clock, of which there are `CONFIG_HZ` a second.
    pub ticks: u32,
    /// The netmask's 32 bits in the byte order of the wire.
    pub(crate) netmask: [u8; 4],
}

/// A destination as far as the file tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TableDestination {
    /// Its identity within the service.
    pub key: DestinationKey,
    /// How packets get there.
    pub forward: TableForward,
    /// Its share.
    pub weight: Weight,
    /// Established connections.
    pub active_connections: u32,
    /// Other connections.
    pub inactive_connections: u32,
}

/// A forwarding method as far as the file tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TableForward {
    /// Masquerade, or bypass.
    Masquerade,
    /// Local.
    Local,
    /// A tunnel of any type.
    Tunnel,
    /// Direct routing.
    Route,
}

impl TableForward {
    /// What the file calls a forwarding method.
    #[must_use]
    pub const fn of(forward: Forward) -> Self {
        match forward {
            Forward::Masquerade | Forward::Bypass => Self::Masquerade,
            Forward::Local => Self::Local,
            Forward::Tunnel(_) => Self::Tunnel,
            Forward::Route => Self::Route,
        }
    }
}

impl ServiceTable {
    /// What the file doesn't tell; [`Ipvs::confirm`] does.
    pub const LACKS: [&str; 9] = [
        "address family of firewall mark services",
        "one-packet flag of IPv6 services",
        "scheduler flags",
        "persistence engine",
        "thresholds",
        "tunnel type, port and flags",
        "bypass, which reads as masquerade",
        "persistent connections",
        "statistics",
    ];

    /// Services without their counters, for comparison.
    pub(crate) fn config(&self) -> Vec<(TableService, Vec<TableConfig>)> {
        let config = |service: &TableService| {
            let mut destinations: Vec<_> =
                service.destinations.iter().map(TableDestination::config).collect();
            destinations.sort_unstable();
            (TableService { destinations: Vec::new(), ..service.clone() }, destinations)
        };
        self.services.iter().map(config).collect()
    }
}

type TableConfig = (DestinationKey, TableForward, Weight);

impl TableService {
    /// Whether nothing that the file tells contradicts `service`. Destinations aren't compared.
    #[must_use]
    pub fn may_be(&self, service: &Service) -> bool {
        let key = match (self.key, service.key()) {
            (TableKey::Address(mine), theirs) => mine == *theirs,
            (TableKey::Fwmark(mine), ServiceKey::Fwmark { mark, .. }) => mine == *mark,
            (TableKey::Fwmark(_), ServiceKey::Address { .. }) => false,
        };
        let one_packet = service.flags().contains(ServiceFlags::ONE_PACKET);
        let persistence = match (self.persistence, service.persistence()) {
            (None, None) => true,
            (Some(mine), Some(theirs)) => {
                mine.may_last(theirs.timeout)
                    && mine.netmask(service.key().family()) == Some(theirs.netmask)
            }
            _ => false,
        };
        key && persistence
            && self.scheduler == *service.scheduler()
            && self.one_packet.is_none_or(|mine| mine == one_packet)
    }
}

impl TablePersistence {
    /// Values of `CONFIG_HZ` on the architectures of Linux.
    const TICKS_A_SECOND: [u32; 13] =
        [24, 32, 48, 64, 100, 128, 200, 250, 256, 300, 1000, 1024, 1200];

    /// Whether the ticks are `seconds` for some rate of the kernel's clock.
    #[must_use]
    pub fn may_last(&self, seconds: u32) -> bool {
        Self::TICKS_A_SECOND.iter().any(|hz| seconds.wrapping_mul(*hz) == self.ticks)
    }

    /// The netmask, read for an address family; `None` if it has no meaning there.
    #[must_use]
    pub fn netmask(&self, family: AddressFamily) -> Option<Netmask> {
        Netmask::from_wire(family, self.netmask).ok()
    }
}

impl TableDestination {
    /// Whether nothing that the file tells contradicts `destination`.
    #[must_use]
    pub fn may_be(&self, destination: &Destination) -> bool {
        self.config()
            == (destination.key, TableForward::of(destination.forward), destination.weight)
    }

    fn config(&self) -> TableConfig {
        (self.key, self.forward, self.weight)
    }
}

// no order of its own: counters aren't identity; a service's destinations are compared by `config`
impl PartialOrd for TableDestination {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TableDestination {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let counts = |it: &Self| (it.active_connections, it.inactive_connections);
        (self.config(), counts(self)).cmp(&(other.config(), counts(other)))
    }
}

impl<T> Ipvs<T> {
    pub(crate) fn read_table(&mut self) -> Result<ServiceTable, Cause> {
        let file = self.proc.as_mut().map_err(|errno| Cause::Io(*errno))?;
        let mut text = String::new();
        file.rewind()?;
        file.read_to_string(&mut text)?;
        ServiceTable::parse(&text)
    }
}
