//! What one evaluation used up, and where it is stopped: memory, tables, log, counters.
//!
//! Pure bookkeeping; lives in the store of the evaluation and dies with it.

use std::collections::BTreeMap;

use wasmtime::ResourceLimiter;

use crate::Limits;
use crate::text::clip;

/// How important a policy finds a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For whoever works on the policy.
    Debug,
    /// Worth knowing.
    Info,
    /// Worth looking at.
    Warn,
    /// Something is wrong.
    Error,
}

/// A line that a policy logged, free of control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Its level.
    pub level: Level,
    /// Its text.
    pub text: String,
}

/// What a policy said and counted during an evaluation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Log lines, in order.
    pub lines: Vec<LogLine>,
    /// Lines over the limit, which are lost.
    pub dropped_lines: u64,
    /// Counters and what was added to each.
    pub counts: BTreeMap<String, u64>,
}

/// State of a store.
pub(crate) struct Meter {
    limits: Limits,
    memory_bytes: usize,
    table_elements: usize,
    log_bytes: usize,
    memory_refused: bool,
    said: Said,
}

impl Meter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            memory_bytes: 0,
            table_elements: 0,
            log_bytes: 0,
            memory_refused: false,
            said: Said::default(),
        }
    }

    pub(crate) fn fuel_per_host_call(&self) -> u64 {
        self.limits.fuel_per_host_call
    }

    /// Whether the guest was refused memory, which a later trap is then blamed on.
    pub(crate) fn memory_refused(&self) -> bool {
        self.memory_refused
    }

    pub(crate) fn into_said(self) -> Said {
        self.said
    }

    /// Takes a log line, or counts it as dropped.
    pub(crate) fn log(&mut self, level: Level, line: &str) {
        let left = self.limits.log_bytes.saturating_sub(self.log_bytes);
        if self.said.lines.len() >= self.limits.log_lines || left == 0 {
            self.said.dropped_lines += 1;
            return;
        }
        let text = clip(line, left);
        self.log_bytes += text.len();
        self.said.lines.push(LogLine { level, text });
    }

    /// Adds to a counter, unless its name is unusable or there are too many.
    pub(crate) fn count(&mut self, name: &str, by: u64) {
        if let Some(counter) = self.said.counts.get_mut(name) {
            *counter = counter.saturating_add(by);
        } else if is_counter_name(name) && self.said.counts.len() < self.limits.counters {
            self.said.counts.insert(name.to_owned(), by);
        }
    }
}

/// The rule of `wit/v0.1/host.wit`.
fn is_counter_name(name: &str) -> bool {
    let is_char = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    name.len() <= 64
        && name.bytes().all(is_char)
        && name.bytes().next().is_some_and(|c| c.is_ascii_lowercase())
}

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory_bytes.saturating_sub(current).saturating_add(desired);
        let fits = total <= self.limits.memory_bytes;
        if fits {
            self.memory_bytes = total;
        } else {
            self.memory_refused = true;
        }
        Ok(fits)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.table_elements.saturating_sub(current).saturating_add(desired);
        let fits = total <= self.limits.table_elements;
        if fits {
            self.table_elements = total;
        } else {
            self.memory_refused = true;
        }
        Ok(fits)
    }

    fn instances(&self) -> usize {
        self.limits.instances
    }

    fn tables(&self) -> usize {
        self.limits.instances
    }

    fn memories(&self) -> usize {
        self.limits.instances
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_ends_at_lines_and_at_bytes() {
        let limits = Limits { log_lines: 3, log_bytes: 10, ..Limits::default() };
        let mut meter = Meter::new(&limits);
        for line in ["four", "a\nb", "too long for what is left", "gone", "gone"] {
            meter.log(Level::Info, line);
        }
        let said = meter.into_said();
        let texts: Vec<_> = said.lines.iter().map(|l| l.text.as_str()).collect();
        assert_eq!(texts, ["four", "a\u{fffd}b", "t"]);
        assert_eq!(said.dropped_lines, 2);
    }

    #[test]
    fn counters_are_named_and_few() {
        let limits = Limits { counters: 2, ..Limits::default() };
        let mut meter = Meter::new(&limits);
        for (name, by) in [("a_1", 1), ("B", 1), ("", 1), ("1a", 1), ("b", u64::MAX), ("c", 1)] {
            meter.count(name, by);
        }
        meter.count("b", 7);
        let counts: Vec<_> = meter.into_said().counts.into_iter().collect();
        assert_eq!(counts, [("a_1".to_owned(), 1), ("b".to_owned(), u64::MAX)]);
    }

    #[test]
    fn memories_are_added_up() {
        let limits = Limits { memory_bytes: 100, ..Limits::default() };
        let mut meter = Meter::new(&limits);
        for (current, desired, fits) in [(0, 60, true), (0, 50, false), (60, 100, true)] {
            assert_eq!(meter.memory_growing(current, desired, None).unwrap(), fits);
        }
        assert!(meter.memory_refused());
    }
}
