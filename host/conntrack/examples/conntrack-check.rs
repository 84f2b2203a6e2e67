//! Shows on a real kernel what this crate promises: `ok - ` or `not ok - ` a line.
//!
//! Run as root; a word chooses the checks that have it in their name. Exits non-zero if anything
//! failed. Two words do something else, in the network namespace where they are said: `offloaded`
//! prints the flows that are offloaded, with their packets; `end-offloaded` ends them and says how
//! many that were.

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
    let word = std::env::args().nth(1);
    match word.as_deref() {
        Some("offloaded") => offloaded().map(|()| ExitCode::SUCCESS),
        Some("end-offloaded") => end_offloaded().map(|()| ExitCode::SUCCESS),
        only => Ok(checks(only)),
    }
}

fn checks(only: Option<&str>) -> ExitCode {
    let all = [dumps::CHECKS, deletions::CHECKS].concat();
    let chosen = all.iter().filter(|c| only.is_none_or(|word| c.name.contains(word)));
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
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn offload() -> Filter {
    Filter { with_status: Status::OFFLOAD, ..Filter::default() }
}

fn offloaded() -> Result<(), Box<dyn Error>> {
    let dumped = world::open()?.dump(&offload(), |flow| {
        let packets = flow.packets().map_or("?".to_owned(), |packets| packets.to_string());
        println!("{flow}, {packets} packets, timeout {:?}", flow.timeout);
    })?;
    dumped.partial.map_or(Ok(()), |why| Err(why.into()))
}

fn end_offloaded() -> Result<(), Box<dyn Error>> {
    let ended = world::open()?.end_flows(&mut |_| true, &offload())?;
    if !ended.is_complete() {
        return Err(format!("{ended:?}").into());
    }
    println!("{} ended", ended.deleted);
    Ok(())
}
