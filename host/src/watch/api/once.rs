//! Everything that an API server holds, read once.

use std::sync::Arc;
use std::time::Duration;

use weir_core::model::Change;

use super::{AccessError, Counts, Settings, watch_api};
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
}

fn words(problems: &[Problem]) -> String {
    match problems {
        [] => "it is slow, or on the way something is".to_owned(),
        [first, ..] => first.to_string(),
    }
}

/// Reads everything once. Must be called inside a tokio runtime.
///
/// # Errors
/// The server can't be asked, or didn't show everything in time.
pub async fn read_api(settings: &Settings, longest: Duration) -> Result<Reading, NotRead> {
    let mut followed = watch_api(settings, Arc::new(Counts::default())).await?;
    let mut reading = Reading::default();
    let whole = async {
        while let Some(event) = followed.events.recv().await {
            match event {
                Event::Changes(changes) => reading.changes.extend(changes),
                Event::Report(report) => {
                    reading.problems.retain(|problem| !report.mended.contains(problem));
                    reading.problems.extend(report.appeared);
                }
                Event::Synced => return true,
                Event::Rescanned => {}
            }
        }
        false
    };
    match tokio::time::timeout(longest, whole).await {
        Ok(true) => Ok(reading),
        _ => Err(NotRead::Late { after: longest, problems: reading.problems }),
    }
}
