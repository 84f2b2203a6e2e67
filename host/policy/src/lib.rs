//! Runs weir's policies: WebAssembly components in a sandbox with hard limits.
//!
//! The only room that sees wasmtime. A policy is compiled once ([`Sandbox`]) and asked in a fresh
//! instance each time, so that an answer is a function of the component, its configuration and
//! the view, and may be kept. [`PolicySet`] holds the chain: it keeps answers, reloads changed
//! files, and lets a failed policy's last good answer stand in for it.
//!
//! ```no_run
//! # use weir_policy_host::{PolicySet, PolicySpec, RevisionKey, Sandbox, SandboxConfig};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (node, view) = (Default::default(), Default::default());
//! let sandbox = Sandbox::new(SandboxConfig::default())?;
//! let (set, _changes) = PolicySet::load(sandbox, vec![PolicySpec::file("lc.wasm")], node);
//! let key = RevisionKey::first("default/web:http");
//! let answers = set.decide(&key, |_| view);
//! # Ok(()) }
//! ```

mod abi;
mod answers;
mod breaker;
pub mod build;
mod digest;
mod failure;
mod file;
mod guest;
mod inspect;
mod limits;
mod memory;
mod meter;
mod precompiled;
mod report;
mod sandbox;
mod set;
mod slot;
mod stats;
mod text;
mod ticker;
mod wants;

use std::sync::Arc;

pub use answers::{Answers, RevisionKey};
pub use digest::Digest;
pub use failure::{Failure, FailureKind, LoadError};
pub use file::read_component;
pub use inspect::inspect;
pub use limits::Limits;
pub use meter::{Level, LogLine, Said};
pub use sandbox::{Sandbox, SandboxConfig, SandboxError};
pub use set::{Change, Groups, PolicySet, PolicySpec};
pub use stats::{LoadProblem, PolicyStats, RunningPolicy, Tally};
pub use text::plain;
pub use wants::Wants;

/// Name of a policy in the chain, unique there.
pub type PolicyName = Arc<str>;
