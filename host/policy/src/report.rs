//! What the log hears of policies: their own lines, and changes of their state, once each.
//!
//! Not pure: logs.

use std::time::Duration;

use crate::guest::Guest;
use crate::memory::{Reply, Turn};
use crate::meter::{Level, LogLine};
use crate::{Change, PolicyName};

pub(crate) fn loaded(policy: &PolicyName, guest: &Guest) {
    let (digest, interface) = (guest.digest(), guest.version());
    tracing::info!(%policy, %digest, interface, "policy loaded");
    if !guest.unknown_wants().is_empty() {
        let wants = guest.unknown_wants();
        tracing::warn!(%policy, ?wants, "policy wants inputs that this weir does not have");
    }
    let wasi = &guest.code().wasi;
    if !wasi.is_empty() {
        tracing::info!(%policy, imports = ?wasi, "policy imports WASI, which traps when called");
    }
}

pub(crate) fn changed(change: &Change) {
    match change {
        Change::Loaded { .. } => {}
        Change::Refused { policy, problem, kept_old } => {
            let (kind, error) = (problem.kind, &problem.message);
            tracing::warn!(%policy, kind, %error, kept_old, "policy not loaded");
        }
        Change::Restored { policy } => {
            tracing::info!(%policy, "policy's file is again the one that runs");
        }
    }
}

pub(crate) fn suspended(policy: &PolicyName, rest: Duration) {
    let seconds = rest.as_secs();
    tracing::warn!(%policy, seconds, "policy suspended: it costs too much too often");
}

pub(crate) fn turns(policy: &PolicyName, service_port: &str, turns: &[Turn], reply: &Reply) {
    for turn in turns {
        match (turn, reply) {
            (Turn::Fails(kind), Reply::Failed(failed)) => {
                let error = &failed.message;
                tracing::warn!(%policy, service_port, %kind, %error, "policy fails");
            }
            (Turn::Fails(_), _) => {}
            (Turn::Recovered(kind), _) => tracing::info!(%policy, %kind, "policy recovered"),
        }
    }
}

pub(crate) fn lines(policy: &PolicyName, subject: &str, lines: &[LogLine]) {
    for LogLine { level, text } in lines {
        match level {
            Level::Debug => tracing::debug!(%policy, subject, %text, "policy says"),
            Level::Info => tracing::info!(%policy, subject, %text, "policy says"),
            Level::Warn => tracing::warn!(%policy, subject, %text, "policy says"),
            Level::Error => tracing::error!(%policy, subject, %text, "policy says"),
        }
    }
}
