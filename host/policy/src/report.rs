//! What the log hears of policies from this crate: their own lines, and what is in no result.
//!
//! Not pure: logs. Changes and failures are results; telling them is left to the caller.

use std::time::Duration;

use crate::breaker::Suspended;
use crate::failure::one_line;
use crate::guest::Guest;
use crate::meter::{Level, LogLine};
use crate::{LoadError, PolicyName};

/// What an operator should know of a version that was loaded, besides that it was.
pub(crate) fn loaded(policy: &PolicyName, guest: &Guest) {
    if !guest.unknown_wants().is_empty() {
        let wants = guest.unknown_wants();
        tracing::warn!(%policy, ?wants, "policy wants inputs that this weir does not have");
    }
    let wasi = &guest.code().wasi;
    if !wasi.is_empty() {
        tracing::info!(%policy, imports = ?wasi, "policy imports WASI, which traps when called");
    }
}

pub(crate) fn refuses_node(policy: &PolicyName, error: &LoadError) {
    let reason = one_line(error);
    tracing::error!(%policy, reason, "policy can't be configured for the node as it is now; it runs on as it was");
}

pub(crate) fn suspended(policy: &PolicyName, who: Suspended, namespace: &str, rest: Duration) {
    let seconds = rest.as_secs();
    match who {
        Suspended::Everybody => {
            tracing::warn!(%policy, seconds, "policy suspended: it costs too much too often");
        }
        Suspended::Namespace => {
            tracing::warn!(%policy, namespace, seconds, "policy suspended for one namespace: it costs too much there");
        }
    }
}

pub(crate) fn lines(policy: &PolicyName, subject: &str, lines: &[LogLine], dropped: u64) {
    for LogLine { level, text } in lines {
        match level {
            Level::Debug => tracing::debug!(%policy, subject, %text, "policy says"),
            Level::Info => tracing::info!(%policy, subject, %text, "policy says"),
            Level::Warn => tracing::warn!(%policy, subject, %text, "policy says"),
            Level::Error => tracing::error!(%policy, subject, %text, "policy says"),
        }
    }
    if dropped > 0 {
        tracing::warn!(%policy, subject, dropped, "policy says too much: lines were dropped");
    }
}
