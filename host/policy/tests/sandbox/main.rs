//! Real components in the sandbox: hostile ones, chains of them, files that change.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod chain;
mod files;
mod guests;
mod hostility;
mod interface;
mod stage;
