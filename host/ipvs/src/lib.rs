//! IPVS, the Linux kernel's load balancer, over generic netlink.
//!
//! [`Ipvs`] is a handle to one network namespace. It lists [services](ServiceEntry) and
//! [destinations](DestinationEntry), and [applies](Ipvs::apply) [`Request`]s: many in few sends, one
//! verdict each. Everything but the handle and its socket is a value with no I/O behind it.
//!
//! ```no_run
//! use ipvs_rs::{Destination, DestinationKey, Forward, Ipvs, Options, Protocol, Request, Scheduler, Service, ServiceKey};
//!
//! # fn main() -> Result<(), ipvs_rs::Error> {
//! let mut ipvs = Ipvs::open(Options::default())?;
//! let web = ServiceKey::new(Protocol::Tcp, ([10, 0, 0, 1], 80));
//! let server = DestinationKey::new(([10, 0, 1, 1], 8080));
//! let plan = [
//!     Request::NewService(Service::new(web, Scheduler::RoundRobin)),
//!     Request::NewDestination(web, Destination::new(server, Forward::Masquerade)),
//! ];
//! for (request, verdict) in plan.iter().zip(ipvs.apply(&plan)) {
//!     match verdict {
//!         Ok(()) => println!("{request}"),
//!         Err(error) => eprintln!("{error}: {}", error.cause()),
//!     }
//! }
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

mod batch;
mod client;
mod destination;
mod dump;
mod error;
mod family;
mod flags;
mod forward;
mod invalid;
mod name;
pub mod netlink;
mod persistence;
mod protocol;
mod request;
mod scheduler;
mod service;
mod service_key;
mod settings;
mod stats;
#[cfg(test)]
mod strategy;
mod table;
mod table_text;
mod uapi;

pub use client::{Ipvs, Options};
pub use destination::{Destination, DestinationEntry, DestinationKey, Thresholds, Weight};
pub use error::{Cause, Error, Operation};
pub use family::AddressFamily;
pub use flags::ServiceFlags;
pub use forward::{Checksum, Forward, Tunnel};
pub use invalid::InvalidValue;
pub use persistence::{Netmask, Persistence, PersistenceEngine};
pub use protocol::{OtherProtocol, Protocol};
pub use request::Request;
pub use scheduler::{Scheduler, SchedulerName};
pub use service::{Service, ServiceEntry};
pub use service_key::ServiceKey;
pub use settings::{Info, Timeouts, Version};
pub use stats::{CounterWidth, Stats};
pub use table::{
    ServiceTable, TableDestination, TableForward, TableKey, TablePersistence, TableService,
};

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
