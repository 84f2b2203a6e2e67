//! Traces in a build that has them: what the environment asks for becomes a way to a collector. Part of the
//! program, not of the library, which knows `tracing` alone.

use weir::config::Config;
use weir::kernel::words;
use weir::log::Lines;
use weir::traces::{Traces, Way};
use weir_otel::Settings;

struct ToCollector(weir_otel::Traces);

impl Way for ToCollector {
    fn layer(&self) -> Lines {
        self.0.layer()
    }

    fn finish(self: Box<Self>) {
        self.0.finish();
    }
}

/// Opens the way that the environment asks for.
#[must_use]
pub(crate) fn open(config: &Config, get: &dyn Fn(&str) -> Option<String>) -> Traces {
    let settings = match Settings::read(get) {
        Ok(None) => return Traces::Unasked,
        Ok(Some(settings)) => settings,
        Err(error) => return Traces::Broken(error.to_string()),
    };
    match weir_otel::Traces::start(&settings, &about(config)) {
        Ok(way) => Traces::Sent(settings.endpoint.to_string(), Box::new(ToCollector(way))),
        Err(error) => Traces::Broken(words(&error)),
    }
}

/// Attributes of the resource, in OpenTelemetry's names.
fn about(config: &Config) -> Vec<(&'static str, String)> {
    let mut about = vec![("service.version", env!("CARGO_PKG_VERSION").to_owned())];
    // A name that can't be had is told where it is needed.
    about.extend(config.resolved_node_name().ok().map(|it| ("k8s.node.name", it.to_string())));
    about
}
