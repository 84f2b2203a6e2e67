//! Destinations (real servers) of a virtual service and their wire form. Pure.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::family::{Endpoint, from_inet, to_inet};
use crate::forward::ForwardFields;
use crate::netlink::{Attribute, Attributes, DecodeError, Writer};
use crate::stats::Widest;
use crate::uapi::{attr, dest};
use crate::{AddressFamily, CounterWidth, Forward, InvalidValue, Stats};

/// The identity of a destination within its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DestinationKey {
    /// Address of the real server.
    pub address: IpAddr,
    /// Its port; 0 keeps the packet's own, as firewall mark services do.
    pub port: u16,
}

impl DestinationKey {
    /// The destination at an address and port.
    #[must_use]
    pub fn new(at: impl Into<SocketAddr>) -> Self {
        let at = at.into();
        Self { address: at.ip(), port: at.port() }
    }

    fn fields(&self, nest: &mut Writer) {
        nest.u16(dest::ADDR_FAMILY, AddressFamily::of(self.address).number());
        nest.bytes(dest::ADDR, &to_inet(self.address));
        nest.be16(dest::PORT, self.port);
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.nest(attr::DEST, |nest| self.fields(nest));
    }
}

impl fmt::Display for DestinationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Endpoint(self.address, self.port).fmt(f)
    }
}

/// A share of new connections, relative to the other destinations; 0 takes no new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Weight(u32);

impl Weight {
    /// No new connections; those that are there go on.
    pub const ZERO: Self = Self(0);
    /// An equal share.
    pub const ONE: Self = Self(1);

    /// A weight of at most `i32::MAX`, above which the kernel would see a negative number.
    pub fn new(weight: u32) -> Result<Self, InvalidValue> {
        if i32::try_from(weight).is_ok() {
            return Ok(Self(weight));
        }
        Err(InvalidValue::new("weight", weight, "0 to 2147483647"))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl From<u16> for Weight {
    fn from(weight: u16) -> Self {
        Self(weight.into())
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Connection counts between which a destination stops and takes new connections again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Thresholds {
    upper: u32,
    lower: u32,
}

impl Thresholds {
    /// No limit.
    pub const NONE: Self = Self { upper: 0, lower: 0 };

    /// Overloaded above `upper` connections until there are fewer than `lower`. An `upper` of zero is
    /// no limit; a `lower` of zero means three quarters of `upper`.
    pub fn new(upper: u32, lower: u32) -> Result<Self, InvalidValue> {
        if lower <= upper {
            return Ok(Self { upper, lower });
        }
        Err(InvalidValue::new("lower threshold", lower, "at most the upper threshold"))
    }

    /// Connections above which no new ones come; 0 is no limit.
    #[must_use]
    pub const fn upper(self) -> u32 {
        self.upper
    }

    /// Connections below which new ones come again.
    #[must_use]
    pub const fn lower(self) -> u32 {
        self.lower
    }
}

/// A destination as it is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Destination {
    /// Its identity within the service.
    pub key: DestinationKey,
    /// How packets get there.
    pub forward: Forward,
    /// Its share.
    pub weight: Weight,
    /// Its connection limits.
    pub thresholds: Thresholds,
}

impl Destination {
    /// A destination of weight 1 without connection limits.
    #[must_use]
    pub const fn new(key: DestinationKey, forward: Forward) -> Self {
        Self { key, forward, weight: Weight::ONE, thresholds: Thresholds::NONE }
    }

    /// The same destination with this weight.
    #[must_use]
    pub const fn with_weight(self, weight: Weight) -> Self {
        Self { weight, ..self }
    }

    /// The same destination with these connection limits.
    #[must_use]
    pub const fn with_thresholds(self, thresholds: Thresholds) -> Self {
        Self { thresholds, ..self }
    }

    /// Writes `IPVS_CMD_ATTR_DEST` with every setting.
    pub fn encode(&self, writer: &mut Writer) {
        writer.nest(attr::DEST, |nest| {
            self.key.fields(nest);
            self.forward.encode_method(nest);
            nest.u32(dest::WEIGHT, self.weight.0);
            self.forward.encode_tunnel(nest);
            nest.u32(dest::U_THRESH, self.thresholds.upper);
            nest.u32(dest::L_THRESH, self.thresholds.lower);
        });
    }
}

impl fmt::Display for Destination {
    /// `10.0.1.1:8080 masquerade weight 1 upper 100 lower 50`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} weight {}", self.key, self.forward, self.weight)?;
        if self.thresholds != Thresholds::NONE {
            write!(f, " upper {} lower {}", self.thresholds.upper, self.thresholds.lower)?;
        }
        Ok(())
    }
}

/// A destination as the kernel reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationEntry {
    /// What is configured.
    pub destination: Destination,
    /// Established connections.
    pub active_connections: u32,
    /// Connections that are ending or, with UDP, any.
    pub inactive_connections: u32,
    /// Persistence entries.
    pub persistent_connections: u32,
    /// What has passed.
    pub stats: Stats,
}

impl DestinationEntry {
    /// Reads the attributes of a message that holds `IPVS_CMD_ATTR_DEST`. Kernels before 3.18 don't
    /// tell the address family: there it is the service's.
    pub fn decode(message: Attributes<'_>, service: AddressFamily) -> Result<Self, DecodeError> {
        let mut found = None;
        for attribute in message {
            let attribute = attribute?;
            if attribute.kind == attr::DEST {
                found = Some(attribute);
            }
        }
        let mut fields = Fields::default();
        for attribute in found.ok_or(DecodeError::Missing("destination"))?.nested() {
            fields.take(&attribute?)?;
        }
        fields.entry(service)
    }
}

#[derive(Default)]
struct Fields {
    family: Option<u16>,
    address: Option<[u8; 16]>,
    port: Option<u16>,
    forward: ForwardFields,
    weight: Option<u32>,
    thresholds: Thresholds,
    /// Active, inactive, persistent.
    connections: [u32; 3],
    stats: Widest,
}

impl Fields {
    fn take(&mut self, attribute: &Attribute<'_>) -> Result<(), DecodeError> {
        if self.forward.take(attribute)? {
            return Ok(());
        }
        match attribute.kind {
            dest::ADDR => self.address = Some(attribute.array("destination address")?),
            dest::PORT => self.port = Some(attribute.be16("destination port")?),
            dest::ADDR_FAMILY => self.family = Some(attribute.u16("destination family")?),
            dest::WEIGHT => self.weight = Some(attribute.u32("weight")?),
            dest::U_THRESH => self.thresholds.upper = attribute.u32("upper threshold")?,
            dest::L_THRESH => self.thresholds.lower = attribute.u32("lower threshold")?,
            dest::ACTIVE_CONNS => self.connections[0] = attribute.u32("active connections")?,
            dest::INACT_CONNS => self.connections[1] = attribute.u32("inactive connections")?,
            dest::PERSIST_CONNS => self.connections[2] = attribute.u32("persistent connections")?,
            dest::STATS => self.stats.take(attribute, CounterWidth::Bits32)?,
            dest::STATS64 => self.stats.take(attribute, CounterWidth::Bits64)?,
            _ => {} // a later kernel's
        }
        Ok(())
    }

    fn entry(self, service: AddressFamily) -> Result<DestinationEntry, DecodeError> {
        let family = self.family.map_or(Ok(service), AddressFamily::from_number)?;
        let address = self.address.ok_or(DecodeError::Missing("destination address"))?;
        let port = self.port.ok_or(DecodeError::Missing("destination port"))?;
        let weight = self.weight.ok_or(DecodeError::Missing("weight"))?;
        let Thresholds { upper, lower } = self.thresholds;
        let destination = Destination {
            key: DestinationKey { address: from_inet(family, address), port },
            forward: self.forward.forward()?,
            weight: Weight::new(weight).map_err(|_| DecodeError::meaningless("weight", weight))?,
            thresholds: Thresholds::new(upper, lower)
                .map_err(|_| DecodeError::meaningless("lower threshold", lower))?,
        };
        let [active_connections, inactive_connections, persistent_connections] = self.connections;
        let stats = self.stats.stats();
        Ok(DestinationEntry {
            destination,
            active_connections,
            inactive_connections,
            persistent_connections,
            stats,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy;
    use proptest::prelude::*;

    #[test]
    fn a_destination_prints_as_a_person_would_say_it() {
        let plain =
            Destination::new(DestinationKey::new(([10, 0, 1, 1], 8080)), Forward::Masquerade);
        assert_eq!(plain.to_string(), "10.0.1.1:8080 masquerade weight 1");
        let limited =
            plain.with_weight(3.into()).with_thresholds(Thresholds::new(100, 50).unwrap());
        assert_eq!(limited.to_string(), "10.0.1.1:8080 masquerade weight 3 upper 100 lower 50");
    }

    #[test]
    fn numbers_that_the_kernel_would_refuse_cannot_be_made() {
        assert!(Weight::new(1 << 31).is_err());
        assert!(Weight::new((1 << 31) - 1).is_ok());
        assert!(Thresholds::new(1, 2).is_err());
    }

    #[test]
    fn an_old_kernel_leaves_the_family_to_the_service() {
        let mut writer = Writer::default();
        writer.nest(attr::DEST, |nest| {
            nest.bytes(dest::ADDR, &to_inet([10, 0, 1, 1].into()));
            nest.be16(dest::PORT, 80);
            Forward::Route.encode_method(nest);
            nest.u32(dest::WEIGHT, 1);
        });
        let entry = DestinationEntry::decode(Attributes::new(writer.as_bytes()), AddressFamily::V4)
            .unwrap();
        assert_eq!(entry.destination.to_string(), "10.0.1.1:80 route weight 1");
    }

    proptest! {
        #[test]
        fn round_trip(destination in strategy::destination()) {
            let mut writer = Writer::default();
            destination.encode(&mut writer);
            let entry = DestinationEntry::decode(Attributes::new(writer.as_bytes()), AddressFamily::V4);
            prop_assert_eq!(entry.map(|entry| entry.destination), Ok(destination));
        }

        #[test]
        fn damage_never_panics(destination in strategy::destination(), at: prop::sample::Index, byte: u8) {
            let mut writer = Writer::default();
            destination.encode(&mut writer);
            let mut bytes = writer.as_bytes().to_vec();
            let target = at.index(bytes.len());
            bytes[target] = byte;
            let _ = DestinationEntry::decode(Attributes::new(&bytes), AddressFamily::V6);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = DestinationEntry::decode(Attributes::new(&bytes), AddressFamily::V4);
        }
    }
}
