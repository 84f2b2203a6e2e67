//! What this crate does to a real kernel, each check in a network namespace of its own.
//!
//! As root, or in a user namespace. What the kernel lacks (a dummy device, a bridge), or root of a
//! user namespace may not do, is checked in the guest by `examples/link-check.rs`, which is these
//! same checks.

#![allow(clippy::print_stdout, reason = "a test says what it did")]

mod dummies;
#[path = "../../../../tests/isolation.rs"]
mod isolation;
mod observers;
mod vips;
mod watching;
mod world;

use std::collections::BTreeMap;

use world::{Check, Needs};

/// One after the other: some of them lower limits of the whole process.
#[test]
fn checks_on_this_kernel() {
    isolation::with_namespaces("checks_on_this_kernel", all_that_can_be);
}

fn all_that_can_be() {
    let met: BTreeMap<bool, Vec<Needs>> = [Needs::Nothing, Needs::Dummy, Needs::Bridge]
        .into_iter()
        .fold(BTreeMap::new(), |mut met, needs| {
            met.entry(needs.is_met()).or_insert_with(Vec::new).push(needs);
            met
        });
    let all = [dummies::CHECKS, vips::CHECKS, observers::CHECKS, watching::CHECKS].concat();
    let here: Vec<&Check> = all
        .iter()
        .filter(|check| met.get(&true).is_some_and(|m| m.contains(&check.needs)))
        .collect();
    let failed: Vec<String> = here
        .iter()
        .filter_map(|check| check.run().err().map(|why| format!("{}: {why}", check.name)))
        .collect();
    println!("{} of {} checks ran here", here.len(), all.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
