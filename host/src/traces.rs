//! Traces of the walk, in a build that has them (feature `otel`): from what the environment asks for to
//! the layer that takes the spans. In a build without, the environment's wish is answered in the log.

use crate::config::Config;
use crate::log::Lines;

/// The way of spans to a collector, if there is one.
#[derive(Debug)]
pub struct Traces {
    #[cfg(feature = "otel")]
    way: Option<weir_otel::Traces>,
    said: Said,
}

/// What the log is told once it has begun.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    #[cfg(feature = "otel")]
    Sent {
        endpoint: String,
    },
    #[cfg(feature = "otel")]
    Broken {
        error: String,
    },
    #[cfg(not(feature = "otel"))]
    NotBuilt {
        variable: &'static str,
    },
}

impl Traces {
    /// The way that the environment asks for.
    #[must_use]
    pub fn open(config: &Config) -> Self {
        open(config, &|name| std::env::var(name).ok())
    }

    /// What takes the spans, to start the log with.
    #[must_use]
    pub fn layer(&self) -> Option<Lines> {
        #[cfg(feature = "otel")]
        return self.way.as_ref().map(weir_otel::Traces::layer);
        #[cfg(not(feature = "otel"))]
        None
    }

    /// Says in the log where traces go, or why they go nowhere.
    pub fn tell(&self) {
        match &self.said {
            Said::Nothing => {}
            #[cfg(feature = "otel")]
            Said::Sent { endpoint } => tracing::info!(endpoint, "traces are sent"),
            #[cfg(feature = "otel")]
            Said::Broken { error } => {
                tracing::error!(error, "no traces are sent: the environment can't be followed");
            }
            #[cfg(not(feature = "otel"))]
            Said::NotBuilt { variable } => tracing::warn!(
                variable,
                "this build has no traces; its cargo feature otel brings them"
            ),
        }
    }

    /// Sends what is left, within a bound.
    pub fn finish(self) {
        #[cfg(feature = "otel")]
        if let Some(way) = self.way {
            way.finish();
        }
    }
}

#[cfg(feature = "otel")]
fn open(config: &Config, get: &dyn Fn(&str) -> Option<String>) -> Traces {
    let started = weir_otel::Settings::read(get).map_err(|error| error.to_string());
    let started = started.and_then(|settings| {
        let Some(settings) = settings else { return Ok(None) };
        let way = weir_otel::Traces::start(&settings, &about(config));
        let way = way.map_err(|error| crate::kernel::words(&error))?;
        Ok(Some((way, settings.endpoint.to_string())))
    });
    match started {
        Ok(None) => Traces { way: None, said: Said::Nothing },
        Ok(Some((way, endpoint))) => Traces { way: Some(way), said: Said::Sent { endpoint } },
        Err(error) => Traces { way: None, said: Said::Broken { error } },
    }
}

/// Attributes of the resource, in OpenTelemetry's names.
#[cfg(feature = "otel")]
fn about(config: &Config) -> Vec<(&'static str, String)> {
    let mut about = vec![("service.version", env!("CARGO_PKG_VERSION").to_owned())];
    // A name that can't be had is told where it is needed.
    about.extend(config.resolved_node_name().ok().map(|it| ("k8s.node.name", it.to_string())));
    about
}

#[cfg(not(feature = "otel"))]
fn open(_: &Config, get: &dyn Fn(&str) -> Option<String>) -> Traces {
    Traces { said: asked_by(get).map_or(Said::Nothing, |variable| Said::NotBuilt { variable }) }
}

/// The variable that asks for traces: as `weir_otel::asked_by`, which is not in this build.
#[cfg(not(feature = "otel"))]
fn asked_by(get: &dyn Fn(&str) -> Option<String>) -> Option<&'static str> {
    let is = |name, value: &str| get(name).is_some_and(|it| it.eq_ignore_ascii_case(value));
    if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
        return None;
    }
    let endpoints = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    endpoints.into_iter().find(|name| get(name).is_some_and(|value| !value.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(variables: &[(&str, &str)]) -> Said {
        let get = |name: &str| {
            variables.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned())
        };
        #[cfg(not(feature = "otel"))]
        assert_eq!(asked_by(&get), weir_otel::asked_by(&get), "both builds hear the same");
        open(&Config::default(), &get).said
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");

    #[test]
    fn an_environment_that_asks_for_nothing_is_told_of_nothing() {
        assert_eq!(said(&[]), Said::Nothing);
        assert_eq!(said(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), Said::Nothing);
        assert_eq!(said(&[ENDPOINT, ("OTEL_SDK_DISABLED", "true")]), Said::Nothing);
        assert_eq!(said(&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")]), Said::Nothing);
    }

    #[cfg(not(feature = "otel"))]
    #[test]
    fn a_build_without_traces_says_which_variable_it_cant_follow() {
        let variable = ENDPOINT.0;
        assert_eq!(said(&[ENDPOINT]), Said::NotBuilt { variable });
        let variable = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        assert_eq!(said(&[ENDPOINT, (variable, "http://t")]), Said::NotBuilt { variable });
    }

    #[cfg(feature = "otel")]
    #[test]
    fn a_build_with_traces_says_where_they_go_or_why_they_dont() {
        let endpoint = "http://127.0.0.1:4318/v1/traces".to_owned();
        assert_eq!(said(&[ENDPOINT]), Said::Sent { endpoint });
        let broken = said(&[ENDPOINT, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]);
        assert!(matches!(broken, Said::Broken { error } if error.contains("_PROTOCOL: grpc")));
    }
}
