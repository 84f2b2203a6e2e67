//! What is answered over HTTP: probes, scrapes and what kube-proxy's clients ask. Who is let in is in
//! [`door`]; what only the node itself gets says so by [`near`].

mod checks;
mod debug;
mod door;
mod facts;
mod kept;
mod near;
mod page;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::config::Config;
use crate::drive::{Command, Shared, millis, seconds};
use crate::report::health::Answer;
use crate::report::metrics::{Answers, CodeLabels, Format};
use crate::report::mode::Mode;

pub use checks::serve as checks;

use door::Limits;
use kept::Kept;

/// Wait before an address that can't be had is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// How long a scrape waits for the loop to bring its numbers up to date.
const FRESH: Duration = Duration::from_secs(2);
/// How old its numbers may be: scrapes without end ask the loop no more often.
const KEPT: Duration = Duration::from_millis(250);
/// Of `X-Content-Type-Options`.
const NOSNIFF: &str = "nosniff";

#[derive(Clone)]
struct Site {
    shared: Shared,
    commands: Sender<Command>,
    measured: Arc<Kept<()>>,
    mode: Arc<Kept<Mode>>,
}

impl Site {
    fn new(shared: Shared, commands: Sender<Command>) -> Self {
        let (measured, mode) = (Arc::new(Kept::new(KEPT)), Arc::new(Kept::new(KEPT)));
        Self { shared, commands, measured, mode }
    }
}

/// What one address answers, and how long an answer may take.
pub struct Served {
    router: Router,
    limits: Limits,
}

/// What answers probes.
pub fn health(shared: Shared, commands: Sender<Command>) -> Served {
    Served { router: probes(Site::new(shared, commands)), limits: Limits::default() }
}

fn probes(site: Site) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(site)
}

/// What answers scrapes; probes too, so that one address is enough.
pub fn metrics(shared: Shared, commands: Sender<Command>, config: &Config) -> Served {
    let site = Site::new(shared, commands.clone());
    let scrapes = Router::new().route("/metrics", get(scrape)).with_state(site.clone());
    let page = page::site(commands, config.metrics.status_page);
    let router = scrapes.merge(probes(site.clone())).merge(facts::site(site)).merge(page);
    if !config.metrics.profiling {
        return Served { router, limits: Limits::default() };
    }
    // A profile is as long in the making as it was asked to be.
    let limits = Limits::answering_after(debug::LONGEST);
    Served { router: router.merge(debug::site()), limits }
}

/// Serves on an address for as long as the runtime lives. An address that can't be had is told once
/// and tried again; where it is `required` that is an error instead.
///
/// # Errors
/// The address is required and can't be had.
pub async fn serve(
    what: &'static str,
    at: SocketAddr,
    required: bool,
    site: Served,
) -> std::io::Result<()> {
    let Served { router, limits } = site;
    let listener = match TcpListener::bind(at).await {
        Ok(listener) => listener,
        Err(error) if required => return Err(error),
        Err(error) => {
            tracing::error!(what, %at, %error, "can't listen; trying again");
            tokio::spawn(async move {
                let listener = patiently(at).await;
                tracing::info!(what, %at, "listening");
                door::open(listener, router, limits).await;
            });
            return Ok(());
        }
    };
    tracing::info!(what, %at, "listening");
    tokio::spawn(door::open(listener, router, limits));
    Ok(())
}

async fn patiently(at: SocketAddr) -> TcpListener {
    loop {
        tokio::time::sleep(AGAIN).await;
        if let Ok(listener) = TcpListener::bind(at).await {
            return listener;
        }
    }
}

async fn healthz(State(site): State<Site>) -> Response {
    let answer = site.shared.health().health(millis());
    verdict(&answer, &site.shared.metrics.proxy.healthz)
}

async fn livez(State(site): State<Site>) -> Response {
    let answer = site.shared.health().live(millis());
    verdict(&answer, &site.shared.metrics.proxy.livez)
}

async fn readyz(State(site): State<Site>) -> Response {
    let answer = site.shared.health().ready(millis());
    verdict(&answer, &site.shared.metrics.proxy.readyz)
}

fn verdict(answer: &Answer, count: &Answers) -> Response {
    let good = answer.is_good();
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    count.get_or_create(&CodeLabels { code: status.as_u16() }).inc();
    let headers = [(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF)];
    (status, headers, axum::Json(answer)).into_response()
}

async fn scrape(State(site): State<Site>, headers: HeaderMap) -> Response {
    let accepted = headers.get(header::ACCEPT).and_then(|it| it.to_str().ok());
    let format = Format::accepted(accepted);
    let fresh = tokio::task::spawn_blocking(move || {
        // Without an answer the numbers are as they were last.
        site.measured.get(|| measure(&site.shared, &site.commands, FRESH));
        text(&site.shared, format)
    });
    match fresh.await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, format.content_type())], text).into_response(),
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The metrics by now. A loop that is busy for longer, or gone, leaves its numbers as they were last.
///
/// # Errors
/// Never in practice: it writes into a string.
pub fn measured(
    shared: &Shared,
    commands: &Sender<Command>,
    patience: Duration,
    format: Format,
) -> Result<String, std::fmt::Error> {
    measure(shared, commands, patience);
    text(shared, format)
}

/// Has the loop bring its numbers up to date.
fn measure(shared: &Shared, commands: &Sender<Command>, patience: Duration) -> Option<()> {
    let (done, wait) = mpsc::channel();
    let asked = millis();
    commands.send(Command::Measure(done)).ok()?;
    let answer = wait.recv_timeout(patience).ok();
    // Before the loop runs nobody can expect an answer.
    let in_time = answer.is_some() || !shared.is_running.load(Ordering::Acquire);
    shared.health().asked(asked, in_time);
    answer
}

fn text(shared: &Shared, format: Format) -> Result<String, std::fmt::Error> {
    let waiting_since = shared.health().waiting_since().unwrap_or_default();
    shared.metrics.proxy.waiting_since.set(seconds(waiting_since));
    shared.metrics.process.look();
    shared.metrics.text(format)
}
