//! How batches get to the collector: one request at a time, on the exporter's own thread. I/O.
//!
//! HTTP/1.1 by hyper, TLS by rustls with ring, as the client of the API server is: nothing of another
//! cryptography library gets into the daemon.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{HttpClient, HttpError};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Runtime;

use crate::settings::{Identity, Settings};

/// The most of an answer that is read; one says a few words about spans that were refused.
const ANSWER: usize = 64 * 1024;

/// A client that can't be made.
#[derive(Debug, thiserror::Error)]
pub enum NoClient {
    /// A file of certificates or a key can't be used.
    #[error("{what} {file}: {reason}")]
    File {
        /// Which.
        what: &'static str,
        /// Its path.
        file: String,
        /// Why not.
        reason: String,
    },
    /// The system's certificates can't be read.
    #[error("the system's certificates (name others in OTEL_EXPORTER_OTLP_CERTIFICATE)")]
    Roots(#[source] std::io::Error),
    /// TLS can't be set up.
    #[error("TLS")]
    Tls(#[from] rustls::Error),
    /// The runtime that drives the connection can't be had.
    #[error("a runtime for the connection to the collector")]
    Runtime(#[source] std::io::Error),
}

/// Sends requests from a thread that may block, which is not one of a runtime's.
#[derive(Debug)]
pub(crate) struct Client {
    hyper: Hyper<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Its own: the daemon's must not wait for a collector, nor a collector for the daemon's.
    runtime: Mutex<Runtime>,
    timeout: Duration,
    last_error: LastError,
}

/// Why the last request failed: the exporter's own error says only that it did.
pub(crate) type LastError = Arc<Mutex<Option<String>>>;

impl Client {
    pub(crate) fn new(settings: &Settings, last_error: LastError) -> Result<Self, NoClient> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls(settings)?);
        let connector = connector.https_or_http().enable_http1().build();
        Ok(Self {
            // Between two batches nobody drives a connection, so that none is kept.
            hyper: Hyper::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector),
            runtime: Mutex::new(runtime.map_err(NoClient::Runtime)?),
            timeout: settings.timeout,
            last_error,
        })
    }

    async fn ask(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.hyper.request(request.map(Full::from)).await?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER).collect().await?.to_bytes();
        Ok(Response::from_parts(head, body))
    }

    fn note(&self, answer: &Result<Response<Bytes>, HttpError>) {
        let error = match answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("the collector answered {}", answer.status())),
            Err(error) => Some(words(error.as_ref())),
        };
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = runtime.block_on(async {
            let answer = tokio::time::timeout(self.timeout, self.ask(request)).await;
            answer.map_err(|_| format!("no answer within {:?}", self.timeout))?
        });
        self.note(&answer);
        answer
    }
}

/// An error with all its causes, each said once.
fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_words = cause.to_string();
        if !text.ends_with(&cause_words) {
            text = format!("{text}: {cause_words}");
        }
        source = cause.source();
    }
    text
}

fn tls(settings: &Settings) -> Result<ClientConfig, NoClient> {
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let versions =
        ClientConfig::builder_with_provider(ring).with_safe_default_protocol_versions()?;
    let trusted = versions.with_root_certificates(roots(settings)?);
    Ok(match &settings.identity {
        None => trusted.with_no_client_auth(),
        Some(identity) => {
            let (certificates, key) = own(identity)?;
            trusted.with_client_auth_cert(certificates, key)?
        }
    })
}

/// A collector without TLS needs none, and a system may have none.
fn roots(settings: &Settings) -> Result<RootCertStore, NoClient> {
    let mut roots = RootCertStore::empty();
    if settings.endpoint.scheme_str() != Some("https") {
        return Ok(roots);
    }
    let certificates = match &settings.authorities {
        Some(file) => certificates(file)?,
        None => system()?,
    };
    roots.add_parsable_certificates(certificates);
    Ok(roots)
}

fn system() -> Result<Vec<CertificateDer<'static>>, NoClient> {
    let found = rustls_native_certs::load_native_certs();
    match found.errors.into_iter().next() {
        Some(error) if found.certs.is_empty() => Err(NoClient::Roots(std::io::Error::other(error))),
        None if found.certs.is_empty() => Err(NoClient::Roots(std::io::Error::new(
            std::io::ErrorKind::NotFound,
            "there are none",
        ))),
        _ => Ok(found.certs),
    }
}

fn own(
    identity: &Identity,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), NoClient> {
    let Identity { certificate, key } = identity;
    let read = PrivateKeyDer::from_pem_file(key);
    Ok((certificates(certificate)?, read.map_err(|error| file("the key", key, &error))?))
}

fn certificates(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, NoClient> {
    let bad = |error: &dyn std::fmt::Display| file("the certificates", path, error);
    let read = CertificateDer::pem_file_iter(path).map_err(|error| bad(&error))?;
    let read: Vec<_> = read.collect::<Result<_, _>>().map_err(|error| bad(&error))?;
    if read.is_empty() { Err(bad(&"there is none in it")) } else { Ok(read) }
}

fn file(what: &'static str, file: &std::path::Path, reason: &dyn std::fmt::Display) -> NoClient {
    NoClient::File { what, file: file.display().to_string(), reason: reason.to_string() }
}
