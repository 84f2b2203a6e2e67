//! Real components in the sandbox: hostile ones, chains of them, files that change.

mod chain;
mod files;
mod guests;
mod hostility;
mod interface;
mod stage;
