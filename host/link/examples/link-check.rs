//! Shows on a real kernel what this crate promises: `ok - ` or `not ok - ` a line.
//!
//! Run as root. Exits non-zero if anything failed or couldn't be tried on this kernel.

#![allow(clippy::print_stdout, reason = "its lines are what it is for")]

#[path = "../tests/netns/dummies.rs"]
mod dummies;
#[path = "../../../tests/isolation.rs"]
mod isolation;
#[path = "../tests/netns/kinds.rs"]
mod kinds;
#[path = "../tests/netns/observers.rs"]
mod observers;
#[path = "../tests/netns/vips.rs"]
mod vips;
#[path = "../tests/netns/watching.rs"]
mod watching;
#[path = "../tests/netns/world.rs"]
mod world;

use std::process::ExitCode;

use world::Needs;

fn main() -> ExitCode {
    let all = [dummies::CHECKS, vips::CHECKS, observers::CHECKS, kinds::CHECKS, watching::CHECKS];
    let all = all.concat();
    let only = std::env::args().nth(1);
    let chosen = all.iter().filter(|c| only.as_ref().is_none_or(|word| c.name.contains(word)));
    let met: Vec<Needs> = Needs::ALL.into_iter().filter(|needs| needs.is_met()).collect();
    let mut failed = 0;
    for check in chosen {
        let is_met = met.contains(&check.needs);
        let outcome = if is_met { check.run() } else { Err("not in this kernel".to_owned()) };
        match outcome {
            Ok(()) => println!("ok - {}", check.name),
            Err(why) => {
                failed += 1;
                println!("not ok - {}: {why}", check.name);
            }
        }
    }
    println!("{failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
