//! The `weir-vm` command: builds guests, runs commands and the guest tests in them.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("weir-vm: {error:#}");
            ExitCode::from(2)
        }
    }
}
