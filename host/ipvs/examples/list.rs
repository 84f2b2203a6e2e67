//! Lists the virtual services of this network namespace with their destinations.
#![allow(clippy::print_stdout, reason = "that is what it is for")]

use ipvs_rs::{Error, Ipvs, Options};

fn main() -> Result<(), Error> {
    let mut ipvs = Ipvs::open(Options::default())?;
    let info = ipvs.info()?;
    println!("IPVS {}, {} connection buckets", info.version, info.connection_table_size);
    let mut services = ipvs.services()?;
    services.sort_by_key(|entry| *entry.service.key());
    for entry in services {
        println!("{}", entry.service);
        for found in ipvs.destinations(entry.service.key())? {
            println!("  {} ({} connections)", found.destination, found.active_connections);
        }
    }
    Ok(())
}
