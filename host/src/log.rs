//! The log: static messages with fields, as text or as one JSON object a line, on standard error.
//!
//! Its level is the process's own and can be changed while it runs.

use std::sync::OnceLock;

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::{Log, LogFormat, LogLevel, Notice};

/// Where the level is changed, once the log was started.
static LEVEL: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

/// The level can't be changed: the log was not started, or by somebody else.
#[derive(Debug, thiserror::Error)]
#[error("the level of this process's log can't be changed")]
pub struct NotOurs;

/// Starts the log. A second start changes nothing.
pub fn start(log: &Log) {
    let (level, handle) = reload::Layer::new(filter(log.level));
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(false);
    let lines = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let lines = lines.with_filter(filter_fn(|line| {
        !is_told_elsewhere(line.target())
            && (*line.level() <= Level::INFO || is_ours(line.target()))
    }));
    // Only a test that runs several daemons in one process starts it twice.
    if tracing_subscriber::registry().with(level).with(lines).try_init().is_ok() {
        drop(LEVEL.set(handle));
    }
}

/// Says what of a configuration isn't taken as it stands.
pub fn notices(notices: &[Notice]) {
    for notice in notices {
        if notice.kind.is_loss() {
            tracing::warn!(%notice, "configuration");
        } else {
            tracing::info!(%notice, "configuration");
        }
    }
}

/// What libraries say of every function that they compile and every handshake hides what weir says.
fn is_ours(target: &str) -> bool {
    target.starts_with("weir")
}

/// The client of the API server warns of what its caller tells better, and writes out whole answers
/// that it can't read, with whatever stands in them.
fn is_told_elsewhere(target: &str) -> bool {
    let of = |name: &str| {
        target.strip_prefix(name).is_some_and(|it| it.is_empty() || it.starts_with("::"))
    };
    of("kube_client") || of("kube_runtime")
}

/// The least important line that is written now.
///
/// # Errors
/// The log was not started.
pub fn level() -> Result<LogLevel, NotOurs> {
    let level = LEVEL.get().and_then(reload::Handle::clone_current).ok_or(NotOurs)?;
    Ok(match level {
        LevelFilter::TRACE => LogLevel::Trace,
        LevelFilter::DEBUG => LogLevel::Debug,
        LevelFilter::INFO => LogLevel::Info,
        LevelFilter::WARN => LogLevel::Warn,
        _ => LogLevel::Error,
    })
}

/// From now on writes lines of this importance and above; until the process ends. Says so at the
/// louder of both levels, so that the log tells why it grew or fell silent.
///
/// # Errors
/// The log was not started.
pub fn set_level(to: LogLevel) -> Result<(), NotOurs> {
    let handle = LEVEL.get().ok_or(NotOurs)?;
    let from = level()?;
    let (from, to) = (from.as_str(), to);
    let tell = || tracing::info!(from, to = to.as_str(), "the log's level was changed");
    tell_if(to < LogLevel::Info, tell);
    handle.reload(filter(to)).map_err(|_| NotOurs)?;
    tell_if(to >= LogLevel::Info, tell);
    Ok(())
}

fn tell_if(now: bool, tell: impl Fn()) {
    if now {
        tell();
    }
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use super::{is_ours, is_told_elsewhere};

    #[test]
    fn the_clients_own_words_are_left_out_and_nobody_elses() {
        assert!(is_told_elsewhere("kube_client::client") && is_told_elsewhere("kube_runtime"));
        assert!(!is_told_elsewhere("weir::watch::api") && !is_told_elsewhere("kube_clients"));
        assert!(
            is_ours("weir::watch::api")
                && is_ours("weir_policy_host")
                && !is_ours("cranelift_codegen")
        );
    }
}
