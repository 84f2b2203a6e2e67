//! Real clients and servers: what the guest tests and the demo send through the kernel.
//!
//! A server tells its name and the address that it saw; a client counts who answered, from where
//! it was seen, and what failed. TCP, UDP and SCTP (one-to-one style, RFC 6458 section 4), IPv4
//! and IPv6, in any network namespace.

pub mod answer;
pub mod confine;
pub mod endpoint;
pub mod failure;
pub mod hit;
pub mod hold;
pub mod meet;
pub mod netns;
pub mod serve;
pub mod socket;
pub mod stray;
pub mod stream;
pub mod table;
pub mod tally;
pub mod transfer;

pub use endpoint::{Listen, Protocol};
