//! The `weir` command.

#[cfg(feature = "otel")]
mod sent;

use std::process::ExitCode;

use clap::Parser;
use weir::args::Cli;
use weir::commands;
#[cfg(not(feature = "otel"))]
use weir::traces::without as traces;

#[cfg(feature = "otel")]
use sent::open as traces;

fn main() -> ExitCode {
    match commands::run(Cli::parse(), traces) {
        Ok(code) => code,
        Err(error) => {
            commands::complain(&error);
            ExitCode::FAILURE
        }
    }
}
