//! Flows of a real kernel, each check in a network namespace of its own.
//!
//! As root, or in a user namespace. `examples/conntrack-check.rs` is these same checks, for a guest.

#![allow(clippy::print_stdout, reason = "a test says what it did")]

mod deletions;
mod dumps;
#[path = "../../../../tests/isolation.rs"]
mod isolation;
mod world;

/// One after the other: one of them binds itself to a processor.
#[test]
fn checks_on_this_kernel() {
    isolation::with_namespaces("checks_on_this_kernel", || {
        let all = [dumps::CHECKS, deletions::CHECKS].concat();
        let failed: Vec<String> = all
            .iter()
            .filter_map(|check| check.run().err().map(|why| format!("{}: {why}", check.name)))
            .collect();
        println!("{} checks ran here", all.len());
        assert!(failed.is_empty(), "{}", failed.join("\n"));
    });
}
