//! The pure half of weir: from Kubernetes objects and policy answers to a plan of kernel operations.
//!
//! Nothing here uses a clock, a file, a socket, a log or async: time comes in as a value and
//! everything that leaves is a value. The path of one event through this crate:
//!
//! [`model`] (fold a change) → [`view`] (what a policy sees) → [`wish`] (what it answered) →
//! [`decision`] (checked and clamped) → [`compile`](mod@compile) (desired kernel state) →
//! [`ledger`] (who holds what, known against desired) → [`diff`](mod@diff) → [`plan`].

pub mod alike;
pub mod compile;
pub mod decision;
pub mod diff;
pub mod drain;
pub mod eligible;
#[cfg(test)]
mod fixtures;
pub mod health_checks;
pub mod interfaces;
pub mod kernel;
pub mod leaving;
pub mod ledger;
pub mod model;
pub mod net;
pub mod node_ports;
pub mod offload;
pub mod pack;
pub mod plan;
pub mod ranges;
mod rank;
pub mod seen;
pub mod sight;
pub mod slots;
pub mod state;
mod tags;
mod texts;
pub mod view;
pub mod wish;
