//! Write policies for weir, the Kubernetes service proxier.
//!
//! A policy decides how a Service is balanced on a node. It is a WebAssembly component; with
//! this crate it is a type with two methods and a line that exports it:
//!
//! ```
//! use weir_policy::{Config, Decision, Node, Policy, Refusal, ServiceView};
//!
//! /// Least connections for gRPC, where connections live long.
//! struct LeastConn;
//!
//! impl Policy for LeastConn {
//!     fn configure(_config: &Config, _node: &Node) -> Result<Self, String> {
//!         Ok(Self)
//!     }
//!
//!     fn decide(&self, view: &ServiceView) -> Result<Decision, Refusal> {
//!         match view.port.app_protocol.as_deref() {
//!             Some("kubernetes.io/h2c" | "grpc") => Ok(Decision::new().scheduler("lc")),
//!             _ => Err(Refusal::NotMine),
//!         }
//!     }
//! }
//!
//! weir_policy::export!(LeastConn);
//!
//! // Policies are tested natively, without any WebAssembly:
//! # fn main() {
//! use weir_policy::testing::View;
//! let policy = LeastConn::configure(&Config::default(), &Node::default()).unwrap();
//! let grpc = View::new("shop/cart").app_protocol("grpc").build();
//! assert_eq!(policy.decide(&grpc), Ok(Decision::new().scheduler("lc")));
//! # }
//! ```
//!
//! Build it as a `cdylib` for `wasm32-unknown-unknown` with `weir policy build`, or with
//! `cargo component build`. An answer has to be a function of the configuration and the view:
//! there is no clock, no randomness and no state between calls, each of which runs in a fresh
//! instance.

#[doc(hidden)]
pub mod bindings;
mod config;
mod decision;
#[doc(hidden)]
pub mod export;
mod host;
mod json;
mod policy;
mod sight;
pub mod testing;
pub mod values;

pub use bindings::weir::policy::host::Level;
pub use bindings::weir::policy::types::{
    Counters, Decision, Endpoint, EndpointWeight, InterfaceSelection, KernelAbilities, Namespace,
    NetworkInterface, Node, Offload, Port, Refusal, Service, ServiceView, Slice,
};
pub use config::Config;
pub use host::{count, debug, error, info, log, warn};
pub use policy::{Classify, Policy, Want};
pub use sight::Attributes;
