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

/// After the first lists and plans much is free at once: glibc's allocator keeps nearly all of it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// One arena, since one thread does nearly all; what is free goes back to the kernel within half a second.
/// jemalloc(3) looks for a text of this name; `_RJEM_MALLOC_CONF` in the environment has the last word.
#[allow(unsafe_code, reason = "the name is jemalloc's to give")]
// SAFETY: a C string that lives as long as the program, where jemalloc expects a pointer to one.
#[unsafe(export_name = "_rjem_malloc_conf")]
static MALLOC_CONF: &[u8; 69] =
    b"narenas:1,dirty_decay_ms:500,muzzy_decay_ms:0,background_thread:true\0";

fn main() -> ExitCode {
    commands::run(Cli::parse(), traces)
}
