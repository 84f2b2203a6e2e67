//! Who answered, how often, and what failed. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use serde::Serialize;

use crate::answer::Answer;
use crate::failure;

/// Counts of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Connections or datagrams tried.
    pub attempts: u64,
    /// Those that were answered.
    pub answered: u64,
    /// Answers by server name.
    pub servers: BTreeMap<String, u64>,
    /// Answers by the client address that the server saw, without its port.
    pub sources: BTreeMap<String, u64>,
    /// Failures by name: `refused`, `timeout`, `reset`, ….
    pub errors: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts one attempt.
    pub fn count(&mut self, outcome: &io::Result<Answer>) {
        self.attempts += 1;
        match outcome {
            Ok(answer) => {
                self.answered += 1;
                *self.servers.entry(answer.name.clone()).or_default() += 1;
                *self.sources.entry(answer.peer.ip().to_string()).or_default() += 1;
            }
            Err(error) => *self.errors.entry(failure::name(error)).or_default() += 1,
        }
    }

    /// Adds the counts of another.
    pub fn merge(&mut self, other: Self) {
        self.attempts += other.attempts;
        self.answered += other.answered;
        let pairs = [
            (&mut self.servers, other.servers),
            (&mut self.sources, other.sources),
            (&mut self.errors, other.errors),
        ];
        for (mine, theirs) in pairs {
            for (name, count) in theirs {
                *mine.entry(name).or_default() += count;
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} of {} answered", self.answered, self.attempts)?;
        let parts = [("server", &self.servers), ("source", &self.sources), ("error", &self.errors)];
        for (what, counts) in parts {
            for (name, count) in counts {
                writeln!(f, "{what:<7} {name:<40} {count:>8}")?;
            }
        }
        Ok(())
    }
}
