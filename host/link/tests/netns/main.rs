//! What this crate does to a real kernel, each check in a network namespace of its own.
//!
//! As root, or in a user namespace. What the kernel lacks (a dummy device, a bond), or root of a
//! user namespace may not do, is checked in the guest by `examples/link-check.rs`, which is these
//! same checks.

#![allow(clippy::print_stdout, reason = "a test says what it did")]

mod dummies;
#[path = "../../../../tests/isolation.rs"]
mod isolation;
mod kinds;
mod observers;
mod vips;
mod watching;
mod world;

use world::{Check, Needs};

/// One after the other: some of them lower limits of the whole process.
#[test]
fn checks_on_this_kernel() {
    isolation::with_namespaces("checks_on_this_kernel", all_that_can_be);
}

fn all_that_can_be() {
    let met: Vec<Needs> = Needs::ALL.into_iter().filter(|needs| needs.is_met()).collect();
    let all = [dummies::CHECKS, vips::CHECKS, observers::CHECKS, kinds::CHECKS, watching::CHECKS];
    let all = all.concat();
    let here: Vec<&Check> = all.iter().filter(|check| met.contains(&check.needs)).collect();
    let failed: Vec<String> = here
        .iter()
        .filter_map(|check| check.run().err().map(|why| format!("{}: {why}", check.name)))
        .collect();
    println!("{} of {} checks ran here", here.len(), all.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
