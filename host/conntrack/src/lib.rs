#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod conntrack;
mod delete;
mod dump;
mod end;
mod error;
mod filter;
mod flow;
mod key;
pub mod netlink;
mod status;
#[cfg(test)]
mod strategy;
mod tuple;
mod uapi;

pub use conntrack::{Conntrack, Options};
pub use delete::Deleted;
pub use dump::{Dumped, Partial};
pub use end::Ended;
pub use error::{Cause, Error, Operation};
pub use filter::{Filter, TupleFilter};
pub use flow::{Count, Flow};
pub use key::FlowKey;
pub use status::Status;
pub use tuple::{Family, Ports, Tuple};
