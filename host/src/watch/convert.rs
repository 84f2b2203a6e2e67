//! From Kubernetes' types to the model's: what can't be meant is left out and named, the rest goes on.
//!
//! Pure, and the same for every source. An API server has already refused most of what is checked
//! here; a manifest directory has nobody in front of it.

mod address;
mod fault;
mod meta;
mod node;
mod port;
mod service;
mod service_cidr;
mod service_port;
mod slice;

pub use fault::{Converted, Fault, Verdict};
pub use node::{namespace, node};
pub use service::service;
pub use service_cidr::{ServiceCidrObject, service_cidr};
pub use slice::slice;

/// Names the proxy that is to serve a Service, on its slices too (KEP-2447).
pub(super) const PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";
/// Says of a Service and its slices that no proxy is to serve them; kube-proxy doesn't watch them either.
pub(super) const HEADLESS: &str = "service.kubernetes.io/headless";

#[cfg(test)]
mod tests;
