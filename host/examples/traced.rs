//! The `weir` command as a build with the feature `otel` has it, for tests in guests: the library is the
//! same in both, and so isn't compiled twice.

#[path = "../src/sent.rs"]
mod sent;

use std::process::ExitCode;

use clap::Parser;
use weir::args::Cli;
use weir::commands;

fn main() -> ExitCode {
    commands::run(Cli::parse(), sent::open)
}
