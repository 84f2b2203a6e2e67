#![doc = include_str!("../README.md")]

pub mod address;
mod address_set;
mod address_table;
mod answer;
mod default_route;
mod driver;
mod error;
mod event;
mod event_socket;
mod link;
mod links;
mod local_addresses;
mod name;
mod op;
mod port;
mod requests;
mod source;
mod view;
mod vip;
mod watcher;
pub mod wire;

pub use address::Address;
pub use address_set::AddressSet;
pub use default_route::DefaultRoute;
pub use error::{Error, Refusal};
pub use event::Event;
pub use link::{Link, LinkMessage};
pub use links::{DEFAULT_TIMEOUT, Links};
pub use local_addresses::LocalAddresses;
pub use name::{BadLinkName, Family, LinkIndex, LinkName};
pub use op::{Change, Op};
pub use requests::Traffic;
pub use source::Sources;
pub use view::{NodeView, Snapshot};
pub use vip::{BadVip, ROUTE_PRIORITY, ROUTE_PROTOCOL, Vip, VipRoute};
pub use watcher::{Counters, Feed, NodeState, Options, Watcher};
