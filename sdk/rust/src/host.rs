//! What a policy can call: the daemon's log and counters. In native tests both are recorded
//! instead, see [`crate::testing::take_log`] and [`crate::testing::take_counts`].

use crate::Level;

/// Writes a line to the daemon's log. Lines and bytes of one call are limited.
pub fn log(level: Level, line: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::weir::policy::host::log(level, line);
    #[cfg(not(target_arch = "wasm32"))]
    crate::testing::record_log(level, line);
}

/// Adds to a counter of this policy, shown with the daemon's metrics. `name`: at most 64 of
/// `a-z`, `0-9` and `_`, starting with a letter.
pub fn count(name: &str, by: u64) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::weir::policy::host::count(name, by);
    #[cfg(not(target_arch = "wasm32"))]
    crate::testing::record_count(name, by);
}

/// Logs for whoever works on the policy.
pub fn debug(line: &str) {
    log(Level::Debug, line);
}

/// Logs what is worth knowing.
pub fn info(line: &str) {
    log(Level::Info, line);
}

/// Logs what is worth looking at.
pub fn warn(line: &str) {
    log(Level::Warn, line);
}

/// Logs what is wrong.
pub fn error(line: &str) {
    log(Level::Error, line);
}
