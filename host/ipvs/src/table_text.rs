//! The text of `/proc/net/ip_vs`. Pure.
//!
//! Written by `ip_vs_info_seq_show` in `net/netfilter/ipvs/ip_vs_ctl.c`. Addresses, ports and marks
//! are hexadecimal, weights and counts decimal.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

use crate::error::Cause;
use crate::settings::{Info, Version};
use crate::{
    AddressFamily, DestinationKey, Protocol, ServiceKey, ServiceTable, TableDestination,
    TableForward, TableKey, TablePersistence, TableService, Weight,
};

impl ServiceTable {
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
#[path = "table_text_tests.rs"]
mod tests;
