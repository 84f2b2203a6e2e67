//! The log: static messages with fields, as text or as one JSON object a line, on standard error.
//!
//! Its level is the process's own and can be changed while it runs.

use std::sync::OnceLock;

use tracing::Level;
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::{Log, LogFormat, LogLevel, Notice};

/// What takes events or spans.
pub type Lines = Box<dyn Layer<Registry> + Send + Sync>;

/// Where the level is changed, once the log was started.
static LEVEL: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

/// The level can't be changed: the log was not started, or by somebody else.
#[derive(Debug, thiserror::Error)]
#[error("the level of this process's log can't be changed")]
pub struct NotOurs;

/// Starts the log, and beside it what takes spans, if anything does. A second start changes nothing.
pub fn start(log: &Log, spans: Option<Lines>) {
    let (lines, handle) = lines(log, std::io::stderr);
    let all: Vec<Lines> = std::iter::once(lines).chain(spans).collect();
    // Only a test that runs several daemons in one process starts it twice.
    if tracing_subscriber::registry().with(all).try_init().is_ok() {
        drop(LEVEL.set(handle));
    }
}

/// What writes events down; and the handle that changes its level. Spans are none of its business:
/// whoever else takes them, its lines stay the same.
fn lines<W>(log: &Log, to: W) -> (Lines, reload::Handle<LevelFilter, Registry>)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (level, handle) = reload::Layer::new(filter(log.level));
    let lines = fmt::layer().with_writer(to).with_target(false).with_ansi(false);
    let lines = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let told = filter_fn(|line| {
        !line.is_span()
            && !is_told_elsewhere(line.target())
            && (*line.level() <= Level::INFO || is_ours(line.target()))
    });
    // Without this the most verbose events of libraries would be asked about at any level.
    let told = told.with_max_level_hint(LevelFilter::TRACE);
    (lines.with_filter(told.and(level)).boxed(), handle)
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
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use tracing::Subscriber;
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::{Layer, Registry};

    use super::{Lines, filter, is_ours, is_told_elsewhere, lines};
    use crate::config::{Log, LogFormat, LogLevel};

    /// What was written, to be read while it is written on.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Takes every span and event, as what sends traces takes its own.
    struct Everything;

    impl<S: Subscriber> Layer<S> for Everything {}

    fn said() {
        let walk = tracing::info_span!("walk", service = "shop/web");
        walk.in_scope(|| {
            tracing::debug!("planned");
            tracing::info_span!("turn").in_scope(|| tracing::info!(services = 2, "synced"));
            tracing::warn!(target: "kube_client::client", "told elsewhere");
            tracing::debug!(target: "rustls", "another's");
        });
        tracing::error!("at the end");
    }

    /// What is written of that, without times; at `info`, then at `debug`.
    fn written(format: LogFormat, spans: Option<Lines>) -> Vec<String> {
        let written = Written::default();
        let to = written.clone();
        let log = Log { format, level: LogLevel::Info };
        let (lines, level) = lines(&log, move || to.clone());
        let all: Vec<Lines> = std::iter::once(lines).chain(spans).collect();
        tracing::subscriber::with_default(Registry::default().with(all), || {
            said();
            level.reload(filter(LogLevel::Debug)).unwrap();
            said();
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.split_once("Z").unwrap().1.trim().to_owned()).collect()
    }

    #[test]
    fn lines_are_the_same_whoever_takes_spans_beside_them() {
        let text = ["INFO synced services=2", "ERROR at the end"];
        let debug = ["DEBUG planned", "INFO synced services=2", "ERROR at the end"];
        let want: Vec<_> = text.into_iter().chain(debug).collect();
        assert_eq!(written(LogFormat::Text, None), want);
        assert_eq!(written(LogFormat::Text, Some(Box::new(Everything))), want);
        let json = written(LogFormat::Json, None);
        assert_eq!(json[0], r#"","level":"INFO","message":"synced","services":2}"#);
        assert_eq!(json.len(), want.len());
        assert_eq!(written(LogFormat::Json, Some(Box::new(Everything))), json);
    }

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
