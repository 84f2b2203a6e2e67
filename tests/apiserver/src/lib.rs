//! A scripted Kubernetes API server for tests.
//!
//! It speaks the part of the API that a service proxier uses, over real TLS: lists in pages, watches
//! with bookmarks, lists streamed as watches, events, bearer tokens. What is in it and how it fails
//! is scripted, by calls ([`Server`]) or by requests of any HTTP client. It knows nothing of weir and
//! nothing of Kubernetes' types: objects are JSON.

mod answer;
mod authority;
mod fault;
mod question;
mod selector;
mod server;
mod store;
mod watch;

pub use authority::Authority;
pub use fault::Fault;
pub use server::{Asked, Server, Settings};
pub use store::Resource;
