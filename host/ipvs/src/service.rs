//! Virtual services and their wire form. Pure.

use std::fmt;

use crate::netlink::{Attribute, Attributes, DecodeError, Writer};
use crate::service_key::KeyFields;
use crate::stats::Widest;
use crate::uapi::{attr, svc};
use crate::{
    CounterWidth, InvalidValue, Netmask, Persistence, PersistenceEngine, Scheduler, ServiceFlags,
    ServiceKey, Stats,
};

/// A virtual service as it is configured.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Service {
    key: ServiceKey,
    scheduler: Scheduler,
    flags: ServiceFlags,
    persistence: Option<Persistence>,
    engine: Option<PersistenceEngine>,
}

impl Service {
    /// A service without flags or persistence.
    #[must_use]
    pub const fn new(key: ServiceKey, scheduler: Scheduler) -> Self {
        Self { key, scheduler, flags: ServiceFlags::NONE, persistence: None, engine: None }
    }

    /// The same service with these flags instead of its own.
    #[must_use]
    pub fn with_flags(mut self, flags: ServiceFlags) -> Self {
        self.flags = flags;
        self
    }

    /// The same service, persistent. Refused when the netmask is of the other address family.
    pub fn with_persistence(mut self, persistence: Persistence) -> Result<Self, InvalidValue> {
        if persistence.netmask.family() != self.key.family() {
            let must_be = "of the service's address family";
            return Err(InvalidValue::new("netmask", persistence.netmask, must_be));
        }
        self.persistence = Some(persistence);
        Ok(self)
    }

    /// The same service with clients told apart by `engine`. It acts on persistent and one-packet
    /// services.
    #[must_use]
    pub fn with_engine(mut self, engine: PersistenceEngine) -> Self {
        self.engine = Some(engine);
        self
    }

    /// Its identity.
    #[must_use]
    pub const fn key(&self) -> &ServiceKey {
        &self.key
    }

    /// Its scheduler.
    #[must_use]
    pub const fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    /// Its flags.
    #[must_use]
    pub const fn flags(&self) -> ServiceFlags {
        self.flags
    }

    /// Its persistence, if it is persistent.
    #[must_use]
    pub const fn persistence(&self) -> Option<Persistence> {
        self.persistence
    }

    /// Its persistence engine.
    #[must_use]
    pub const fn engine(&self) -> Option<&PersistenceEngine> {
        self.engine.as_ref()
    }

    /// Writes `IPVS_CMD_ATTR_SERVICE` with every setting. The mask of the flags is all ones, so that
    /// a changed service keeps none of its old ones.
    pub fn encode(&self, writer: &mut Writer) {
        let persistent = if self.persistence.is_some() { svc::F_PERSISTENT } else { 0 };
        let timeout = self.persistence.map_or(0, |persistence| persistence.timeout);
        // an IPv6 service without a prefix length is refused, persistent or not
        let netmask = self
            .persistence
            .map_or_else(|| Netmask::host(self.key.family()), |persistence| persistence.netmask);
        writer.nest(attr::SERVICE, |nest| {
            self.key.encode(nest);
            nest.text(svc::SCHED_NAME, self.scheduler.name());
            if let Some(engine) = &self.engine {
                nest.text(svc::PE_NAME, engine.name());
            }
            let mut flags = [0xff; 8];
            flags[..4].copy_from_slice(&(self.flags.bits() | persistent).to_ne_bytes());
            nest.bytes(svc::FLAGS, &flags);
            nest.u32(svc::TIMEOUT, timeout);
            nest.bytes(svc::NETMASK, &netmask.to_wire());
        });
    }
}

impl fmt::Display for Service {
    /// `tcp 10.0.0.1:80 rr persistent 300 mask 255.255.255.0 ops`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key, self.scheduler)?;
        if let Some(Persistence { timeout, netmask }) = self.persistence {
            write!(f, " persistent {timeout}")?;
            if netmask != Netmask::host(self.key.family()) {
                write!(f, " mask {netmask}")?;
            }
        }
        if let Some(engine) = &self.engine {
            write!(f, " pe {engine}")?;
        }
        self.flags.names(&self.scheduler).iter().try_for_each(|name| write!(f, " {name}"))
    }
}

/// A virtual service as the kernel reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceEntry {
    /// What is configured.
    pub service: Service,
    /// What has passed.
    pub stats: Stats,
}

impl ServiceEntry {
    /// Reads the attributes of a message that holds `IPVS_CMD_ATTR_SERVICE`.
    pub fn decode(message: Attributes<'_>) -> Result<Self, DecodeError> {
        let mut found = None;
        for attribute in message {
            let attribute = attribute?;
            if attribute.kind == attr::SERVICE {
                found = Some(attribute);
            }
        }
        let mut fields = Fields::default();
        for attribute in found.ok_or(DecodeError::Missing("service"))?.nested() {
            fields.take(&attribute?)?;
        }
        fields.entry()
    }
}

#[derive(Default)]
struct Fields {
    key: KeyFields,
    scheduler: Option<Scheduler>,
    engine: Option<PersistenceEngine>,
    flags: u32,
    timeout: u32,
    netmask: Option<[u8; 4]>,
    stats: Widest,
}

impl Fields {
    fn take(&mut self, attribute: &Attribute<'_>) -> Result<(), DecodeError> {
        if self.key.take(attribute)? {
            return Ok(());
        }
        match attribute.kind {
            svc::SCHED_NAME => self.scheduler = Some(parse("scheduler", attribute)?),
            svc::PE_NAME => self.engine = Some(parse("persistence engine", attribute)?),
            svc::FLAGS => {
                let [f0, f1, f2, f3, ..] = attribute.array::<8>("service flags")?;
                self.flags = u32::from_ne_bytes([f0, f1, f2, f3]);
            }
            svc::TIMEOUT => self.timeout = attribute.u32("persistence timeout")?,
            svc::NETMASK => self.netmask = Some(attribute.array("persistence netmask")?),
            svc::STATS => self.stats.take(attribute, CounterWidth::Bits32)?,
            svc::STATS64 => self.stats.take(attribute, CounterWidth::Bits64)?,
            _ => {} // a later kernel's
        }
        Ok(())
    }

    fn entry(self) -> Result<ServiceEntry, DecodeError> {
        let key = self.key.key()?;
        let persistence = if self.flags & svc::F_PERSISTENT == 0 {
            None
        } else {
            let wire = self.netmask.ok_or(DecodeError::Missing("persistence netmask"))?;
            Some(Persistence {
                timeout: self.timeout,
                netmask: Netmask::from_wire(key.family(), wire)?,
            })
        };
        let service = Service {
            key,
            scheduler: self.scheduler.ok_or(DecodeError::Missing("scheduler"))?,
            flags: ServiceFlags::from_bits(self.flags),
            persistence,
            engine: self.engine,
        };
        Ok(ServiceEntry { service, stats: self.stats.stats() })
    }
}

fn parse<T: std::str::FromStr>(
    field: &'static str,
    attribute: &Attribute<'_>,
) -> Result<T, DecodeError> {
    let text = attribute.text(field)?;
    text.parse().map_err(|_| DecodeError::meaningless(field, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AddressFamily, strategy};
    use proptest::prelude::*;

    fn decode(bytes: &[u8]) -> Result<ServiceEntry, DecodeError> {
        ServiceEntry::decode(Attributes::new(bytes))
    }

    #[test]
    fn a_service_prints_as_a_person_would_say_it() {
        let udp = ServiceKey::new(Protocol::Udp, ([10, 0, 0, 1], 53));
        let hash = Service::new(udp, Scheduler::SourceHash)
            .with_flags(ServiceFlags::SH_PORT | ServiceFlags::ONE_PACKET);
        let netmask = Netmask::prefix(AddressFamily::V4, 24).unwrap();
        let sticky = Service::new(udp, Scheduler::RoundRobin)
            .with_persistence(Persistence { timeout: 300, netmask })
            .unwrap()
            .with_engine("sip".parse().unwrap());
        let cases = [
            (hash, "udp 10.0.0.1:53 sh ops sh-port"),
            (sticky, "udp 10.0.0.1:53 rr persistent 300 mask 255.255.255.0 pe sip"),
        ];
        for (service, want) in cases {
            assert_eq!(service.to_string(), want);
        }
    }

    #[test]
    fn a_netmask_of_the_other_family_is_refused() {
        let key = ServiceKey::new(Protocol::Tcp, ([10, 0, 0, 1], 80));
        let service = Service::new(key, Scheduler::RoundRobin);
        assert!(service.with_persistence(Persistence::hosts(AddressFamily::V6, 1)).is_err());
    }

    use crate::Protocol;

    proptest! {
        #[test]
        fn round_trip(service in strategy::service()) {
            let mut writer = Writer::default();
            service.encode(&mut writer);
            let entry = decode(writer.as_bytes());
            prop_assert_eq!(entry, Ok(ServiceEntry { service, stats: Stats::default() }));
        }

        #[test]
        fn damage_never_panics(service in strategy::service(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
            let mut writer = Writer::default();
            service.encode(&mut writer);
            let mut bytes = writer.as_bytes().to_vec();
            let target = at.index(bytes.len());
            bytes[target] = byte;
            let _ = decode(&bytes);
            bytes.truncate(cut.index(bytes.len()));
            let _ = decode(&bytes);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }
}
