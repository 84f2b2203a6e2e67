//! How many connections servers have.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use ipvs_rs::{Error, Ipvs};
use weir_core::kernel::Server;
use weir_core::state::VirtualKey;

use super::index;
use super::virtuals::service_key;

/// Of all servers of these services: a few requests each, whatever else IPVS holds. A service that
/// isn't there is left out. A listing that another program tore would miss servers, which would
/// then count as gone: so only one that is confirmed will do.
pub(super) fn by_service(
    ipvs: &mut Ipvs,
    services: &BTreeSet<VirtualKey>,
) -> Result<BTreeMap<Server, u64>, Error> {
    let mut open = BTreeMap::new();
    for key in services {
        match ipvs.destinations(&service_key(*key)) {
            Ok(listed) => open.extend(listed.iter().map(|it| {
                let to = it.destination.key;
                let to = SocketAddr::new(to.address, to.port);
                let active = u64::from(it.active_connections);
                ((*key, to), active + u64::from(it.inactive_connections))
            })),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(open)
}

/// Of all servers there are, from one listing of all of IPVS.
pub(super) fn of_all(ipvs: &mut Ipvs) -> Result<BTreeMap<Server, u64>, Error> {
    let listed = ipvs.table()?;
    let servers = index(&listed).into_iter().flat_map(|(key, service)| {
        service.destinations.iter().map(move |it| {
            let to = SocketAddr::new(it.key.address, it.key.port);
            let active = u64::from(it.active_connections);
            ((key, to), active + u64::from(it.inactive_connections))
        })
    });
    Ok(servers.collect())
}
