//! What the environment says of traces: OpenTelemetry's own variables, read once. Pure.
//!
//! Names and meanings: <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>
//! and <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>. Those of the sampler, the batches,
//! the limits of spans, the headers and the compression are read by the SDK itself.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

/// How long one request may take where nothing is said of it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Samplers that the SDK has.
const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

/// Where spans go, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The whole address that batches are posted to.
    pub endpoint: Uri,
    /// How long one request may take.
    pub timeout: Duration,
    /// The certificates (PEM) that the collector's is held against instead of the system's.
    pub authorities: Option<PathBuf>,
    /// What the daemon shows of itself to the collector.
    pub identity: Option<Identity>,
    /// The service's name, where the environment gives one.
    pub service: Option<String>,
}

/// A client's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// A file with certificates (PEM), the client's own first.
    pub certificate: PathBuf,
    /// A file with its key (PEM).
    pub key: PathBuf,
}

/// A variable of the environment that can't be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {reason}")]
pub struct BadVariable {
    /// Its name.
    pub variable: String,
    /// Why not.
    pub reason: String,
}

/// The variable that asks for traces, if any does: an endpoint is set, and nothing turns them off.
pub fn asked_by(get: &dyn Fn(&str) -> Option<String>) -> Option<&'static str> {
    let get = |name: &str| get(name).filter(|value| !value.is_empty());
    let is = |name, value: &str| get(name).is_some_and(|it| it.eq_ignore_ascii_case(value));
    if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
        return None;
    }
    let endpoints = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    endpoints.into_iter().find(|name| get(name).is_some())
}

impl Settings {
    /// What the environment asks for; `None` where it doesn't ask for traces.
    ///
    /// # Errors
    /// It asks for something that can't be had.
    pub fn read(get: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>, BadVariable> {
        let Some(variable) = asked_by(get) else { return Ok(None) };
        let environment = Environment { get };
        environment.check()?;
        Ok(Some(Self {
            endpoint: environment.endpoint(variable)?,
            timeout: environment.timeout()?,
            authorities: environment.of_traces("CERTIFICATE").map(|(_, file)| file.into()),
            identity: environment.identity()?,
            service: environment.get("OTEL_SERVICE_NAME"),
        }))
    }
}

struct Environment<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
}

impl Environment<'_> {
    /// An empty value is none.
    fn get(&self, name: &str) -> Option<String> {
        (self.get)(name).filter(|value| !value.is_empty())
    }

    /// What is said of traces, else of everything; with the variable that says so.
    fn of_traces(&self, of: &str) -> Option<(String, String)> {
        let names = [format!("OTEL_EXPORTER_OTLP_TRACES_{of}"), format!("OTEL_EXPORTER_OTLP_{of}")];
        names.into_iter().find_map(|name| self.get(&name).map(|value| (name, value)))
    }

    fn check(&self) -> Result<(), BadVariable> {
        if let Some(exporter) = self.get("OTEL_TRACES_EXPORTER").filter(|it| it != "otlp") {
            return bad("OTEL_TRACES_EXPORTER", format!("{exporter}: weir has otlp and none"));
        }
        if let Some((name, protocol)) = self.of_traces("PROTOCOL")
            && protocol != "http/protobuf"
        {
            return bad(name, format!("{protocol}: weir speaks http/protobuf (mostly port 4318)"));
        }
        if let Some((name, how)) = self.of_traces("COMPRESSION")
            && how != "gzip"
        {
            return bad(name, format!("{how}: weir has gzip; leave it out for none"));
        }
        self.check_sampler()
    }

    /// The SDK takes its default without a word.
    fn check_sampler(&self) -> Result<(), BadVariable> {
        let name = "OTEL_TRACES_SAMPLER";
        let Some(sampler) = self.get(name) else { return Ok(()) };
        if !SAMPLERS.contains(&sampler.as_str()) {
            return bad(name, format!("{sampler}: it is one of {}", SAMPLERS.join(", ")));
        }
        let argument = self.get("OTEL_TRACES_SAMPLER_ARG");
        let ratio = argument.as_deref().and_then(|it| it.parse::<f64>().ok());
        if sampler.ends_with("ratio") && !ratio.is_some_and(|it| (0.0..=1.0).contains(&it)) {
            let reason = format!("{sampler} takes a number from 0 to 1");
            return bad("OTEL_TRACES_SAMPLER_ARG", reason);
        }
        Ok(())
    }

    fn endpoint(&self, variable: &str) -> Result<Uri, BadVariable> {
        let mut text = self.get(variable).unwrap_or_default();
        if variable == "OTEL_EXPORTER_OTLP_ENDPOINT" {
            text = format!("{}/v1/traces", text.trim_end_matches('/'));
        }
        let endpoint: Uri = match text.parse() {
            Ok(endpoint) => endpoint,
            Err(error) => return bad(variable, format!("{text}: {error}")),
        };
        if !matches!(endpoint.scheme_str(), Some("http" | "https")) || endpoint.host().is_none() {
            return bad(variable, format!("{text}: it begins with http:// or https:// and a host"));
        }
        Ok(endpoint)
    }

    fn timeout(&self) -> Result<Duration, BadVariable> {
        let Some((name, text)) = self.of_traces("TIMEOUT") else { return Ok(TIMEOUT) };
        match text.parse::<u64>() {
            Ok(millis @ 1..) => Ok(Duration::from_millis(millis)),
            _ => bad(name, format!("{text}: it is a number of milliseconds, 1 or more")),
        }
    }

    fn identity(&self) -> Result<Option<Identity>, BadVariable> {
        match (self.of_traces("CLIENT_CERTIFICATE"), self.of_traces("CLIENT_KEY")) {
            (None, None) => Ok(None),
            (Some((_, certificate)), Some((_, key))) => {
                Ok(Some(Identity { certificate: certificate.into(), key: key.into() }))
            }
            (Some((name, _)), None) => bad(name, "its CLIENT_KEY is missing"),
            (None, Some((name, _))) => bad(name, "its CLIENT_CERTIFICATE is missing"),
        }
    }
}

fn bad<T>(variable: impl Into<String>, reason: impl Into<String>) -> Result<T, BadVariable> {
    Err(BadVariable { variable: variable.into(), reason: reason.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Settings>, BadVariable> {
        let get = |name: &str| {
            let found =
                variables.iter().find(|(it, _)| it.trim_start_matches("OTEL_") == &name[5..]);
            found.map(|(_, value)| (*value).to_owned())
        };
        Settings::read(&get)
    }

    const ON: (&str, &str) = ("EXPORTER_OTLP_ENDPOINT", "http://c:4318");

    #[test]
    fn without_an_endpoint_or_turned_off_there_are_no_traces() {
        let off: [&[_]; 5] = [
            &[],
            &[("EXPORTER_OTLP_ENDPOINT", "")],
            &[("TRACES_SAMPLER", "nonsense")],
            &[ON, ("SDK_DISABLED", "TRUE")],
            &[ON, ("TRACES_EXPORTER", "none")],
        ];
        for variables in off {
            assert_eq!(read(variables), Ok(None), "{variables:?}");
        }
    }

    #[test]
    fn the_endpoint_of_traces_is_whole_and_that_of_everything_gets_a_path() {
        let own = ("EXPORTER_OTLP_TRACES_ENDPOINT", "https://t/in");
        let cases: [(&[_], _); 4] = [
            (&[ON], "http://c:4318/v1/traces"),
            (&[("EXPORTER_OTLP_ENDPOINT", "http://c:4318/")], "http://c:4318/v1/traces"),
            (
                &[("EXPORTER_OTLP_ENDPOINT", "http://[fd00::1]/otlp")],
                "http://[fd00::1]/otlp/v1/traces",
            ),
            (&[ON, own], "https://t/in"),
        ];
        for (variables, want) in cases {
            let read = read(variables).unwrap().unwrap();
            assert_eq!(read.endpoint.to_string(), want);
            assert_eq!((read.timeout, read.authorities), (TIMEOUT, None));
        }
    }

    #[test]
    fn the_rest_is_taken_too() {
        let read = read(&[
            ON,
            ("SERVICE_NAME", "edge"),
            ("TRACES_SAMPLER", "traceidratio"),
            ("TRACES_SAMPLER_ARG", "0.25"),
            ("EXPORTER_OTLP_TIMEOUT", "9000"),
            ("EXPORTER_OTLP_TRACES_TIMEOUT", "1500"),
            ("EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("EXPORTER_OTLP_CERTIFICATE", "/ca"),
            ("EXPORTER_OTLP_CLIENT_CERTIFICATE", "/cert"),
            ("EXPORTER_OTLP_CLIENT_KEY", "/key"),
        ]);
        let want = Settings {
            endpoint: "http://c:4318/v1/traces".parse().unwrap(),
            timeout: Duration::from_millis(1500),
            authorities: Some("/ca".into()),
            identity: Some(Identity { certificate: "/cert".into(), key: "/key".into() }),
            service: Some("edge".to_owned()),
        };
        assert_eq!(read, Ok(Some(want)));
    }

    #[test]
    fn what_cant_be_followed_is_named() {
        let cases = [
            (("EXPORTER_OTLP_TRACES_ENDPOINT", "c:4318"), "TRACES_ENDPOINT: c:4318: it begins"),
            (("EXPORTER_OTLP_TRACES_ENDPOINT", "http://a b"), "TRACES_ENDPOINT: http://a b: "),
            (("EXPORTER_OTLP_PROTOCOL", "grpc"), "OTEL_EXPORTER_OTLP_PROTOCOL: grpc: weir speaks"),
            (("EXPORTER_OTLP_COMPRESSION", "zstd"), "COMPRESSION: zstd"),
            (("TRACES_EXPORTER", "zipkin"), "OTEL_TRACES_EXPORTER: zipkin"),
            (
                ("TRACES_SAMPLER", "jaeger_remote"),
                "OTEL_TRACES_SAMPLER: jaeger_remote: it is one of",
            ),
            (("TRACES_SAMPLER", "traceidratio"), "OTEL_TRACES_SAMPLER_ARG: traceidratio takes"),
            (("EXPORTER_OTLP_TIMEOUT", "10s"), "OTEL_EXPORTER_OTLP_TIMEOUT: 10s: it is a number"),
            (("EXPORTER_OTLP_TIMEOUT", "0"), "TIMEOUT: 0: it is a number"),
            (("EXPORTER_OTLP_CLIENT_KEY", "/k"), "CLIENT_KEY: its CLIENT_CERTIFICATE is missing"),
        ];
        for (variable, want) in cases {
            let words = read(&[ON, variable]).unwrap_err().to_string();
            assert!(words.contains(want), "{variable:?}: {words}");
        }
    }
}
