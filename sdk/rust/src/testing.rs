//! Views for native tests, and what a policy logged and counted.

mod view;

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::Level;

pub use view::{View, endpoint, interface, node};

thread_local! {
    static LOG: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
    static COUNTS: RefCell<BTreeMap<String, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// The lines that this thread logged since the last call.
#[must_use]
pub fn take_log() -> Vec<(Level, String)> {
    LOG.with(RefCell::take)
}

/// The counters that this thread added to since the last call.
#[must_use]
pub fn take_counts() -> BTreeMap<String, u64> {
    COUNTS.with(RefCell::take)
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn record_log(level: Level, line: &str) {
    LOG.with_borrow_mut(|log| log.push((level, line.to_owned())));
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn record_count(name: &str, by: u64) {
    COUNTS.with_borrow_mut(|counts| *counts.entry(name.to_owned()).or_insert(0) += by);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_recorded_once() {
        crate::warn("careful");
        crate::count("seen", 2);
        crate::count("seen", 3);
        assert_eq!(take_log(), [(Level::Warn, "careful".to_owned())]);
        assert_eq!(take_counts().get("seen"), Some(&5));
        assert!(take_log().is_empty() && take_counts().is_empty());
    }
}
