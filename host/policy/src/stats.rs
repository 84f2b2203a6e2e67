//! What is known about each policy of the chain, for metrics and status. Pure: values only.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::{Digest, FailureKind, LogLine, PolicyName, Said, Wants};

/// Numbers and state of one policy since it entered the chain.
#[derive(Clone, Debug)]
pub struct PolicyStats {
    /// Its name.
    pub name: PolicyName,
    /// Its file.
    pub file: PathBuf,
    /// The version that runs; `None` while none does.
    pub running: Option<RunningPolicy>,
    /// Why the file as it is now doesn't run, if it doesn't.
    pub load_error: Option<LoadProblem>,
    /// How much longer it is left alone because it cost too much too often; `None` when it isn't.
    pub suspended: Option<Duration>,
    /// The same for single namespaces, which alone don't get it.
    pub suspended_for: BTreeMap<Arc<str>, Duration>,
    /// Service ports with a kept answer.
    pub remembered: usize,
    /// What it did.
    pub tally: Tally,
}

/// The version of a policy that runs.
#[derive(Clone, Debug)]
pub struct RunningPolicy {
    /// SHA-256 of the component.
    pub digest: Digest,
    /// Version of the interface, as `0.1`.
    pub interface: &'static str,
    /// Changing inputs that it asked for.
    pub wants: Wants,
    /// Whether it names groups of interfaces.
    pub classifies: bool,
}

/// A [`crate::LoadError`] as text, to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadProblem {
    /// [`crate::LoadError::kind`].
    pub kind: &'static str,
    /// The error with its causes, in one line.
    pub message: String,
}

/// Counts that only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Evaluations that ended in a decision.
    pub decisions: u64,
    /// Evaluations that ended in a refusal.
    pub refusals: u64,
    /// Answers that were kept from before.
    pub cache_hits: u64,
    /// Failures by kind.
    pub failures: BTreeMap<FailureKind, u64>,
    /// Times that a last good answer stood in.
    pub stand_ins: u64,
    /// Fuel used.
    pub fuel: u64,
    /// How long its evaluations took.
    pub ran: Duration,
    /// Log lines over the limit.
    pub dropped_lines: u64,
    /// The policy's own counters.
    pub counters: BTreeMap<String, u64>,
}

impl Tally {
    /// Adds what was said during an evaluation; gives back its log lines.
    pub(crate) fn add_said(&mut self, said: Said, most_counters: usize) -> Vec<LogLine> {
        self.dropped_lines += said.dropped_lines;
        for (name, by) in said.counts {
            if let Some(counter) = self.counters.get_mut(&name) {
                *counter = counter.saturating_add(by);
            } else if self.counters.len() < most_counters {
                self.counters.insert(name, by);
            }
        }
        said.lines
    }

    pub(crate) fn add_failure(&mut self, kind: FailureKind) {
        *self.failures.entry(kind).or_insert(0) += 1;
    }
}
