//! Shows on a real kernel what this crate promises: `ok - ` or `not ok - ` a line.
//!
//! Run as root; a word chooses the checks that have it in their name. `conntrack-check offloaded`
//! prints the flows of this network namespace that are offloaded instead, with their packets.
//! Exits non-zero if anything failed.

#![allow(clippy::print_stdout, reason = "its lines are what it is for")]

#[path = "../tests/netns/deletions.rs"]
mod deletions;
#[path = "../tests/netns/dumps.rs"]
mod dumps;
#[path = "../../../tests/isolation.rs"]
mod isolation;
#[path = "../tests/netns/world.rs"]
mod world;

use std::error::Error;
use std::process::ExitCode;

use weir_conntrack::{Filter, Status};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let only = std::env::args().nth(1);
    if only.as_deref() == Some("offloaded") {
        offloaded()?;
        return Ok(ExitCode::SUCCESS);
    }
    let all = [dumps::CHECKS, deletions::CHECKS].concat();
    let chosen = all.iter().filter(|c| only.as_ref().is_none_or(|word| c.name.contains(word)));
    let mut failed = 0;
    for check in chosen {
        match check.run() {
            Ok(()) => println!("ok - {}", check.name),
            Err(why) => {
                failed += 1;
                println!("not ok - {}: {why}", check.name);
            }
        }
    }
    println!("{failed} failed");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn offloaded() -> Result<(), Box<dyn Error>> {
    let filter = Filter { with_status: Status::OFFLOAD, ..Filter::default() };
    let dumped = world::open()?.dump(&filter, |flow| {
        let packets = flow.packets().map_or("?".to_owned(), |packets| packets.to_string());
        println!("{flow}, {packets} packets, timeout {:?}", flow.timeout);
    })?;
    dumped.partial.map_or(Ok(()), |why| Err(why.into()))
}
