//! Traces of the walk: what a build that has them (feature `otel`) brings along, and what one without says.

use crate::config::Config;
use crate::log::Lines;

/// Opens the way that the environment (read by the function given) asks for. Which one there is the
/// program says: see main.rs.
pub type Open = fn(&Config, &dyn Fn(&str) -> Option<String>) -> Traces;

/// A way of spans to a collector.
pub trait Way {
    /// What takes the spans, to start the log with.
    fn layer(&self) -> Lines;

    /// Sends what is left, within a bound.
    fn finish(self: Box<Self>);
}

/// The way of spans to a collector, if there is one, and what the log is told of it.
pub enum Traces {
    /// Nobody asks for any.
    Unasked,
    /// They are asked for by this variable, and not in this build.
    NotBuilt(&'static str),
    /// What is asked for can't be had.
    Broken(String),
    /// They are sent to an endpoint.
    Sent(String, Box<dyn Way>),
}

impl Traces {
    /// What takes the spans, to start the log with.
    #[must_use]
    pub fn layer(&self) -> Option<Lines> {
        if let Self::Sent(_, way) = self { Some(way.layer()) } else { None }
    }

    /// Says in the log where traces go, or why they go nowhere.
    pub fn tell(&self) {
        match self {
            Self::Unasked => {}
            Self::NotBuilt(variable) => {
                tracing::warn!(
                    variable,
                    "this build has no traces; its cargo feature otel brings them"
                );
            }
            Self::Broken(error) => {
                tracing::error!(error, "no traces are sent: the environment can't be followed");
            }
            Self::Sent(endpoint, _) => tracing::info!(endpoint, "traces are sent"),
        }
    }

    /// Sends what is left, within a bound.
    pub fn finish(self) {
        if let Self::Sent(_, way) = self {
            way.finish();
        }
    }
}

/// Opens nothing: in a build without traces.
#[must_use]
pub fn without(_: &Config, get: &dyn Fn(&str) -> Option<String>) -> Traces {
    asked_by(get).map_or(Traces::Unasked, Traces::NotBuilt)
}

/// The variable that asks for traces: as `weir_otel::asked_by`, which isn't in such a build.
fn asked_by(get: &dyn Fn(&str) -> Option<String>) -> Option<&'static str> {
    let is = |name, value: &str| get(name).is_some_and(|it| it.eq_ignore_ascii_case(value));
    if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
        return None;
    }
    let endpoints = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    endpoints.into_iter().find(|name| get(name).is_some_and(|value| !value.is_empty()))
}

/// Does it while spans go to the collector at this endpoint.
#[cfg(test)]
pub(crate) fn traced<T>(endpoint: &str, work: impl FnOnce() -> T) -> T {
    use tracing_subscriber::layer::SubscriberExt as _;

    let get = |name: &str| (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| endpoint.to_owned());
    let settings = weir_otel::Settings::read(&get).unwrap().unwrap();
    let traces = weir_otel::Traces::start(&settings, &[]).unwrap();
    let subscriber = tracing_subscriber::registry().with(traces.layer());
    let done = tracing::subscriber::with_default(subscriber, work);
    traces.finish();
    done
}
