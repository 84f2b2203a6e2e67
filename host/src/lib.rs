//! Filled in by the next commits.

pub mod args;
pub mod config;
