//! `/proc/net/ip_vs`: every service and destination in one cheap reading. The parser is pure.
//!
//! Written by `ip_vs_info_seq_show` in `net/netfilter/ipvs/ip_vs_ctl.c`. Addresses, ports and marks
//! are hexadecimal, weights and counts decimal.

use std::io::{Read, Seek};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

use crate::error::Cause;
use crate::settings::{Info, Version};
use crate::{
    AddressFamily, Destination, DestinationKey, Forward, Ipvs, Netmask, Protocol, Scheduler,
    Service, ServiceFlags, ServiceKey, Weight,
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
    netmask: [u8; 4],
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

    /// Reads the file's text.
    ///
    /// # Errors
    /// [`Cause::MalformedLine`] names the first line that can't be read.
    pub fn parse(text: &str) -> Result<Self, Cause> {
        let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
        let header = lines.next().and_then(|(_, line)| header(line));
        let info = header.ok_or(Cause::MalformedLine { line: 1, what: "version and size" })?;
        let mut services: Vec<TableService> = Vec::new();
        for (line, text) in lines.skip(2) {
            let malformed = |what| Cause::MalformedLine { line, what };
            if let Some(rest) = text.strip_prefix("  -> ") {
                let service =
                    services.last_mut().ok_or(malformed("destination without a service"))?;
                service.destinations.push(destination(rest).ok_or(malformed("destination"))?);
            } else {
                services.push(service(text).ok_or(malformed("service"))?);
            }
        }
        Ok(Self { info, services })
    }

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

/// `IP Virtual Server version 1.2.1 (size=4096)`
fn header(line: &str) -> Option<Info> {
    let (version, size) = line.strip_prefix("IP Virtual Server version ")?.split_once(" (size=")?;
    let mut numbers = version.splitn(3, '.').map(str::parse);
    let mut number = || numbers.next()?.ok();
    let version = Version { major: number()?, minor: number()?, patch: number()? };
    Some(Info { version, connection_table_size: size.strip_suffix(')')?.parse().ok()? })
}

/// `TCP  0A000001:0050 rr ops persistent 75000 FFFFFF00` or `FWM  00000007 dh `
fn service(line: &str) -> Option<TableService> {
    let mut words = line.split_ascii_whitespace();
    let (kind, at) = (words.next()?, words.next()?);
    let key = match kind {
        "FWM" => TableKey::Fwmark(NonZeroU32::new(hex32(at)?)?),
        protocol => {
            let (address, port) = endpoint(at)?;
            TableKey::Address(ServiceKey::Address {
                protocol: self::protocol(protocol)?,
                address,
                port,
            })
        }
    };
    let scheduler = words.next()?.parse().ok()?;
    let (mut one_packet, mut persistence) = (false, None);
    while let Some(word) = words.next() {
        match word {
            "ops" => one_packet = true,
            "persistent" => persistence = Some(self::persistence(words.next()?, words.next()?)?),
            _ => return None,
        }
    }
    let untold = matches!(key, TableKey::Address(key) if key.family() == AddressFamily::V6);
    let one_packet = (one_packet || !untold).then_some(one_packet);
    Some(TableService { key, scheduler, one_packet, persistence, destinations: Vec::new() })
}

fn protocol(name: &str) -> Option<Protocol> {
    match name {
        // the kernel's names for what it can't balance by port
        "AH" => Some(Protocol::from_number(51)),
        "ESP" => Some(Protocol::from_number(50)),
        "ICMP" => Some(Protocol::from_number(1)),
        "ICMPv6" => Some(Protocol::from_number(58)),
        name => {
            let number = name
                .strip_prefix("IP_")
                .map(|number| number.parse().ok().map(Protocol::from_number));
            number.unwrap_or_else(|| name.parse().ok())
        }
    }
}

/// The kernel prints the mask as a number after turning it from network to host order, which for an
/// IPv6 prefix length is once too often.
fn persistence(ticks: &str, netmask: &str) -> Option<TablePersistence> {
    // printed as a signed number: long timeouts are negative
    let ticks =
        ticks.parse::<u32>().or_else(|_| ticks.parse::<i32>().map(i32::cast_unsigned)).ok()?;
    Some(TablePersistence { ticks, netmask: hex32(netmask)?.to_be_bytes() })
}

/// `0A000101:1F90      Masq    3      0          0`
fn destination(rest: &str) -> Option<TableDestination> {
    let mut words = rest.split_ascii_whitespace();
    let (address, port) = endpoint(words.next()?)?;
    let forward = match words.next()? {
        "Masq" => TableForward::Masquerade,
        "Local" => TableForward::Local,
        "Tunnel" => TableForward::Tunnel,
        "Route" => TableForward::Route,
        _ => return None,
    };
    let mut number = || words.next()?.parse::<u32>().ok();
    let weight = Weight::new(number()?).ok()?;
    let (active_connections, inactive_connections) = (number()?, number()?);
    if words.next().is_some() {
        return None;
    }
    let key = DestinationKey { address, port };
    Some(TableDestination { key, forward, weight, active_connections, inactive_connections })
}

/// `0A000001:0050` or `[2001:0db8:0000:0000:0000:0000:0000:0001]:0050`
fn endpoint(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.rsplit_once(':')?;
    let address = match address.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?.into(),
        None => Ipv4Addr::from(hex32(address)?).into(),
    };
    let hex = port.len() == 4 && port.bytes().all(|digit| digit.is_ascii_hexdigit());
    let port = hex.then(|| u16::from_str_radix(port, 16).ok())??;
    Some((address, port))
}

fn hex32(text: &str) -> Option<u32> {
    let hex = text.len() == 8 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    hex.then(|| u32::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
