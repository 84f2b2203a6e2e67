//! Listings that can be relied on. I/O.
//!
//! A dump takes many reads, and the kernel continues it by counting objects. While another program
//! adds and deletes, objects are missed and doubled, and `NLM_F_DUMP_INTR` is never set. So a listing
//! counts only when the one after it is the same.

use crate::error::{Cause, Error, Operation};
use crate::netlink::Transport;
use crate::uapi::cmd;
use crate::{
    Destination, DestinationEntry, Ipvs, Service, ServiceEntry, ServiceKey, ServiceTable,
    TableService,
};

impl<T: Transport> Ipvs<T> {
    /// All services: two listings in a row that agree, counters aside. In no particular order.
    pub fn services(&mut self) -> Result<Vec<ServiceEntry>, Error> {
        self.agreed(
            Operation::ListServices,
            Self::list_services,
            |entries| entries.iter().map(|entry| entry.service.clone()).collect::<Vec<Service>>(),
            |_| true,
        )
    }

    /// All services by one listing, which may be torn.
    pub fn services_once(&mut self) -> Result<Vec<ServiceEntry>, Error> {
        self.list_services().map_err(|cause| Error::new(Operation::ListServices, cause))
    }

    /// The destinations of a service: two listings in a row that agree, counters aside.
    /// [`Error::is_not_found`] if there is no such service.
    pub fn destinations(&mut self, key: &ServiceKey) -> Result<Vec<DestinationEntry>, Error> {
        let operation = Operation::ListDestinations(*key);
        self.agreed(
            operation,
            |ipvs| ipvs.list_destinations(key),
            |entries| entries.iter().map(|entry| entry.destination).collect::<Vec<Destination>>(),
            |_| true,
        )
    }

    /// The destinations of a service by one listing, which may be torn.
    /// [`Error::is_not_found`] if there is no such service.
    pub fn destinations_once(&mut self, key: &ServiceKey) -> Result<Vec<DestinationEntry>, Error> {
        self.list_destinations(key)
            .map_err(|cause| Error::new(Operation::ListDestinations(*key), cause))
    }

    /// All services and destinations from two agreeing readings of `/proc/net/ip_vs`: far cheaper
    /// than a listing of each service's destinations, and with less in it (see [`ServiceTable`]).
    /// Confirm what it shows to be different by [`Ipvs::confirm`].
    pub fn table(&mut self) -> Result<ServiceTable, Error> {
        let unique = |(service, _): &(TableService, _)| service.key.is_unique();
        self.agreed(Operation::ReadTable, Self::read_table, ServiceTable::config, unique)
    }

    /// The same by one reading, which may be torn.
    pub fn table_once(&mut self) -> Result<ServiceTable, Error> {
        self.read_table().map_err(|cause| Error::new(Operation::ReadTable, cause))
    }

    /// One service with its destinations by netlink, with every setting, or `None` if it is gone.
    pub fn confirm(
        &mut self,
        key: &ServiceKey,
    ) -> Result<Option<(ServiceEntry, Vec<DestinationEntry>)>, Error> {
        let both = self.service(key).and_then(|service| Ok((service, self.destinations(key)?)));
        match both {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn list_services(&mut self) -> Result<Vec<ServiceEntry>, Cause> {
        self.dump(cmd::GET_SERVICE, None, |message| ServiceEntry::decode(message.attributes()?))
    }

    fn list_destinations(&mut self, key: &ServiceKey) -> Result<Vec<DestinationEntry>, Cause> {
        let family = key.family();
        let found = self.dump(cmd::GET_DEST, Some(key), |message| {
            DestinationEntry::decode(message.attributes()?, family)
        })?;
        if found.is_empty() {
            // the kernel lists nothing, without an error, when there is no such service
            self.service(key).map_err(|error| error.cause().clone())?;
        }
        Ok(found)
    }

    /// `unique` says of which objects there can't be two alike: where there are, the listing is torn.
    fn agreed<R, C: Ord>(
        &mut self,
        operation: Operation,
        mut list: impl FnMut(&mut Self) -> Result<R, Cause>,
        config: impl Fn(&R) -> Vec<C>,
        unique: impl Fn(&C) -> bool,
    ) -> Result<R, Error> {
        let attempts = self.options.listings.get().max(2);
        let mut before: Option<Vec<C>> = None;
        for _ in 0..attempts {
            let now = match list(self) {
                Ok(now) => now,
                // torn, and the kernel even said so
                Err(Cause::Unstable { .. }) => continue,
                Err(cause) => return Err(Error::new(operation, cause)),
            };
            let mut objects = config(&now);
            objects.sort_unstable();
            if !is_doubled(&objects, &unique) && before.as_ref() == Some(&objects) {
                return Ok(now);
            }
            before = Some(objects);
        }
        Err(Error::new(operation, Cause::Unstable { attempts }))
    }
}

/// Whether an object of which there can be only one stands twice among these, which are sorted.
fn is_doubled<C: Eq>(sorted: &[C], unique: impl Fn(&C) -> bool) -> bool {
    sorted.windows(2).any(|pair| pair[0] == pair[1] && unique(&pair[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "IP Virtual Server version 1.2.1 (size=4096)\n\
        Prot LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n";

    fn looks_torn(lines: &str) -> bool {
        let table = ServiceTable::parse(&format!("{HEAD}{lines}")).unwrap();
        let mut config = table.config();
        config.sort_unstable();
        is_doubled(&config, |(service, _)| service.key.is_unique())
    }

    #[test]
    fn an_address_stands_once_and_a_mark_once_for_each_family() {
        assert!(!looks_torn("FWM  00000007 rr\nFWM  00000007 rr\nTCP  0A600001:0050 rr\n"));
        assert!(looks_torn("FWM  00000007 rr\nTCP  0A600001:0050 rr\nTCP  0A600001:0050 rr\n"));
    }
}
