//! The `weir` command.

use std::process::ExitCode;

use clap::Parser;
use weir::args::Cli;
use weir::commands;

fn main() -> ExitCode {
    match commands::run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            commands::complain(&error);
            ExitCode::FAILURE
        }
    }
}
