//! Everything that an API server holds, read once.

use std::sync::Arc;
use std::time::Duration;

use weir_core::model::Change;

use super::follow::AGAIN;
use super::{AccessError, Counts, Followed, Settings, watch_api};
use crate::watch::Event;
use crate::watch::problem::Problem;

/// What an API server held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The objects.
    pub changes: Vec<Change>,
    /// Everything that is wrong with them.
    pub problems: Vec<Problem>,
}

/// An API server that couldn't be read.
#[derive(Debug, thiserror::Error)]
pub enum NotRead {
    /// It can't be asked as configured.
    #[error("ask the API server")]
    Access(#[from] AccessError),
    /// It didn't show everything in time.
    #[error(
        "the API server didn't show everything within {} s: {}", .after.as_secs(), words(.problems)
    )]
    Late {
        /// How long it was waited for.
        after: Duration,
        /// What is wrong, as far as that was told.
        problems: Vec<Problem>,
    },
    /// It refuses, and would again.
    #[error("{}", all_words(.0))]
    Refused(Vec<Problem>),
}

fn words(problems: &[Problem]) -> String {
    match problems {
        [] => "it is slow, or on the way something is".to_owned(),
        [first, ..] => word(first),
    }
}

fn all_words(problems: &[Problem]) -> String {
    problems.iter().map(word).collect::<Vec<_>>().join("\n  ")
}

/// Without a promise that nobody here keeps.
fn word(problem: &Problem) -> String {
    let word = problem.to_string();
    word.strip_suffix(AGAIN).map(str::to_owned).unwrap_or(word)
}

/// How long the rest of what is refused is waited for, once anything is.
const THE_REST: Duration = Duration::from_millis(500);

/// Reads everything once. Must be called inside a tokio runtime.
///
/// # Errors
/// The server can't be asked, refuses something that weir can't do without, or didn't show everything in
/// time.
pub async fn read_api(settings: &Settings, longest: Duration) -> Result<Reading, NotRead> {
    let mut followed = watch_api(settings, Arc::new(Counts::default())).await?;
    let mut reading = Reading::default();
    let whole = tokio::time::timeout(longest, reading.take_in(&mut followed, false)).await;
    if reading.is_refused() {
        // Who may not see one kind is often refused others too: all of it is told at once.
        drop(tokio::time::timeout(THE_REST, reading.take_in(&mut followed, true)).await);
        let mut refused = reading.problems;
        refused.retain(|problem| problem.is_refusal);
        return Err(NotRead::Refused(refused));
    }
    match whole {
        Ok(true) => Ok(reading),
        _ => Err(NotRead::Late { after: longest, problems: reading.problems }),
    }
}

impl Reading {
    fn is_refused(&self) -> bool {
        self.problems.iter().any(|problem| problem.is_refusal)
    }

    /// Takes in what comes until all of it came, which it says, or, unless it is `in_spite` of that,
    /// something is refused.
    async fn take_in(&mut self, from: &mut Followed, in_spite: bool) -> bool {
        while let Some(event) = from.events.recv().await {
            match event {
                Event::Changes(changes) => self.changes.extend(changes),
                Event::Report(report) => {
                    self.problems.retain(|problem| !report.mended.contains(problem));
                    self.problems.extend(report.appeared);
                    if self.is_refused() && !in_spite {
                        return false;
                    }
                }
                Event::Synced => return true,
                Event::Rescanned => {}
            }
        }
        false
    }
}
