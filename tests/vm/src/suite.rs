//! Runs scripts of tests/guest in guests, and says what their checks found.
//!
//! A script's leading comments say what it needs ([`Script`]); the binaries are built and staged
//! (`stage`); scripts that can share a boot do; their TAP lines are streamed and counted.

mod batch;
mod run;
mod script;
mod stage;
mod tap;

pub use run::{Options, Total, run_one, run_suite};
pub use script::{Need, Script};
pub use stage::Stage;
