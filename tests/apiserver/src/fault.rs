//! Ways to fail. Pure.

use std::time::Duration;

/// What a request gets in place of a good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This HTTP status, with a `Status` object that says this.
    Status(u16, String),
    /// The connection is closed before anything is said.
    Close,
    /// Nothing, for ever.
    Silence,
    /// The good answer, so much later.
    Delay(Duration),
    /// The good answer up to this byte; then the connection is closed.
    Cut(usize),
    /// The good answer up to this byte; then nothing more, on a connection that stays.
    Stall(usize),
    /// Status 200, and nothing more.
    Empty,
    /// Status 200, and bytes that are no JSON.
    Garbage,
}
