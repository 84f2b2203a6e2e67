//! An OpenTelemetry collector for tests: takes spans by OTLP over HTTP, and keeps them to be looked at.
//!
//! It answers on a thread of its own. As a program it prints a line for each span.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as Code;
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{self, ServerConfig};

/// A span as it came, with bytes and values in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its trace.
    pub trace: Vec<u8>,
    /// Its own identifier.
    pub id: Vec<u8>,
    /// That of the span around it; empty at the root.
    pub parent: Vec<u8>,
    /// Its name.
    pub name: String,
    /// When it began, in nanoseconds since 1970.
    pub began: u64,
    /// When it ended.
    pub ended: u64,
    /// It is marked as failed.
    pub failed: bool,
    /// Its attributes, in the order in which they came.
    pub attributes: Vec<(String, String)>,
    /// How many events it carries.
    pub events: usize,
    /// What it is of.
    pub resource: Vec<(String, String)>,
}

impl Span {
    /// An attribute's value, in words.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<&str> {
        find(&self.attributes, key)
    }

    /// A value of what it is of, in words.
    #[must_use]
    pub fn of(&self, key: &str) -> Option<&str> {
        find(&self.resource, key)
    }
}

fn find<'a>(among: &'a [(String, String)], key: &str) -> Option<&'a str> {
    among.iter().find(|(it, _)| it == key).map(|(_, value)| value.as_str())
}

/// A request that was answered.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its path.
    pub path: String,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
}

/// What the collector holds and how it answers.
#[derive(Debug, Default)]
struct Kept {
    spans: Vec<Span>,
    asked: Vec<Asked>,
    refuse: Option<u16>,
    stall: bool,
}

#[derive(Debug, Default)]
struct Shared {
    kept: Mutex<Kept>,
    changed: Condvar,
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A collector that runs until the process ends.
#[derive(Clone, Debug)]
pub struct Collector {
    address: SocketAddr,
    is_tls: bool,
    shared: Arc<Shared>,
}

impl Collector {
    /// Starts one on a port of the loopback that the system chooses.
    ///
    /// # Errors
    /// No port or thread can be had.
    pub fn start() -> std::io::Result<Self> {
        Self::listen(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Starts one that speaks TLS; with the certificate (PEM) that it shows, which nobody has signed but
    /// itself.
    ///
    /// # Errors
    /// No port, thread or certificate can be had.
    pub fn start_tls() -> std::io::Result<(Self, String)> {
        let shown = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
        let shown = shown.map_err(std::io::Error::other)?;
        let key = PrivateKeyDer::try_from(shown.signing_key.serialize_der());
        let key = key.map_err(std::io::Error::other)?;
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(ring).with_safe_default_protocol_versions();
        let config = config.map_err(std::io::Error::other)?.with_no_client_auth();
        let config = config.with_single_cert(vec![shown.cert.der().clone()], key);
        let acceptor = TlsAcceptor::from(Arc::new(config.map_err(std::io::Error::other)?));
        let it = Self::open(SocketAddr::from(([127, 0, 0, 1], 0)), Some(acceptor))?;
        Ok((it, shown.cert.pem()))
    }

    /// Starts one there.
    ///
    /// # Errors
    /// The address can't be listened on, or no thread can be had.
    pub fn listen(on: SocketAddr) -> std::io::Result<Self> {
        Self::open(on, None)
    }

    fn open(on: SocketAddr, tls: Option<TlsAcceptor>) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind(on))?;
        let (address, is_tls) = (listener.local_addr()?, tls.is_some());
        let it = Self { address, is_tls, shared: Arc::default() };
        let shared = Arc::clone(&it.shared);
        let serve = move || runtime.block_on(serve(&listener, tls.as_ref(), &shared));
        std::thread::Builder::new().name("collector".to_owned()).spawn(serve)?;
        Ok(it)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `OTEL_EXPORTER_OTLP_ENDPOINT` would say.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http{}://{}", if self.is_tls { "s" } else { "" }, self.address)
    }

    /// From now on answers with this status and keeps nothing; `None`: as it should.
    pub fn refuse(&self, with: Option<u16>) {
        self.shared.kept().refuse = with;
    }

    /// From now on takes connections and requests, and never answers.
    pub fn stall(&self) {
        self.shared.kept().stall = true;
    }

    /// All spans that have come.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        self.shared.kept().spans.clone()
    }

    /// All requests that were answered, refused ones too.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.kept().asked.clone()
    }

    /// Waits until that many requests have come; says whether they did in time.
    #[must_use]
    pub fn is_asked(&self, times: usize, within: Duration) -> bool {
        let end = Instant::now() + within;
        let mut kept = self.shared.kept();
        while kept.asked.len() < times {
            let Some(left) = end.checked_duration_since(Instant::now()) else { return false };
            let woken = self.shared.changed.wait_timeout(kept, left);
            kept = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

async fn serve(listener: &TcpListener, tls: Option<&TlsAcceptor>, shared: &Arc<Shared>) {
    let connections = tokio::task::LocalSet::new();
    let accept = async {
        while let Ok((stream, _)) = listener.accept().await {
            let shared = Arc::clone(shared);
            let tls = tls.cloned();
            tokio::task::spawn_local(async move {
                let Some(tls) = tls else { return speak(stream, shared).await };
                // One that doesn't trust the certificate goes away.
                let Ok(stream) = tls.accept(stream).await else { return };
                speak(stream, shared).await;
            });
        }
    };
    connections.run_until(accept).await;
}

async fn speak(over: impl AsyncRead + AsyncWrite + Unpin + 'static, shared: Arc<Shared>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
    let connection = hyper::server::conn::http1::Builder::new();
    // A client that goes away in the middle is a client's matter.
    drop(connection.serve_connection(TokioIo::new(over), service).await);
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes);
    let stalls = shared.kept().stall;
    let status = take(&shared, &head, body.ok().as_deref());
    shared.changed.notify_all();
    if stalls {
        std::future::pending::<()>().await;
    }
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = status;
    Ok(response)
}

fn take(shared: &Shared, head: &hyper::http::request::Parts, body: Option<&[u8]>) -> StatusCode {
    let mut kept = shared.kept();
    let text = |value: &hyper::header::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
    kept.asked.push(Asked { path: head.uri.path().to_owned(), headers: headers.collect() });
    if let Some(refused) = kept.refuse {
        return StatusCode::from_u16(refused).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    }
    let is_protobuf =
        head.headers.get("content-type").is_some_and(|it| it == "application/x-protobuf");
    let request = body.filter(|_| is_protobuf).map(ExportTraceServiceRequest::decode);
    let Some(Ok(request)) = request else { return StatusCode::BAD_REQUEST };
    kept.spans.extend(spans(request));
    StatusCode::OK
}

fn spans(request: ExportTraceServiceRequest) -> Vec<Span> {
    let mut all = Vec::new();
    for of in request.resource_spans {
        let resource = words(of.resource.map(|it| it.attributes).unwrap_or_default());
        let spans = of.scope_spans.into_iter().flat_map(|it| it.spans);
        all.extend(spans.map(|span| Span {
            trace: span.trace_id,
            id: span.span_id,
            parent: span.parent_span_id,
            name: span.name,
            began: span.start_time_unix_nano,
            ended: span.end_time_unix_nano,
            failed: span.status.is_some_and(|it| it.code == Code::Error as i32),
            attributes: words(span.attributes),
            events: span.events.len(),
            resource: resource.clone(),
        }));
    }
    all
}

fn words(of: Vec<KeyValue>) -> Vec<(String, String)> {
    of.into_iter().map(|it| (it.key, word(it.value))).collect()
}

fn word(of: Option<AnyValue>) -> String {
    match of.and_then(|it| it.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => value.to_string(),
        other => format!("{other:?}"),
    }
}
