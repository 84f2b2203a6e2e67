//! Where Kubernetes objects come in: every source ends in the [`Change`]s of the model.
//!
//! Kubernetes words end in this room. [`convert`] is pure and serves every source; [`manifests`]
//! is the source that reads a directory, [`api`] the one that follows an API server.

use weir_core::model::Change;

pub mod api;
pub mod convert;
pub mod key;
pub mod kinds;
pub mod manifests;
pub mod problem;
pub mod rights;

mod typed;

pub use key::Key;
pub use problem::{Problem, Report};

/// What a source tells the rest of weir, in the order in which it is to be taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// These objects came, changed or went. Never empty; only what differs from what was last told.
    Changes(Vec<Change>),
    /// Everything that was there at the start has been told. Comes once.
    Synced,
    /// What was there when a look was asked for has been told; one for each that was asked for.
    Rescanned,
    /// What turned out to be wrong, and what was mended, since the last report. Never empty.
    Report(Report),
}
