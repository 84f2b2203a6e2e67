//! `/healthz`, `/livez`, `/metrics` and health checks of services over HTTP: what is answered. Who is let in is in [`door`].

mod checks;
mod door;

use std::net::SocketAddr;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::drive::{Command, Shared, millis};
use crate::report::health::Answer;
use crate::report::metrics::{Answers, CONTENT_TYPE, CodeLabels};

pub use checks::serve as checks;

use door::Limits;

/// Wait before an address that can't be had is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// How long a scrape waits for the loop to bring its numbers up to date.
const FRESH: Duration = Duration::from_secs(2);
/// Of `X-Content-Type-Options`.
const NOSNIFF: &str = "nosniff";

#[derive(Clone)]
struct Site {
    shared: Shared,
    commands: Sender<Command>,
}

/// What answers probes.
pub fn health(shared: Shared, commands: Sender<Command>) -> Router {
    let site = Site { shared, commands };
    Router::new().route("/healthz", get(healthz)).route("/livez", get(livez)).with_state(site)
}

/// What answers scrapes; probes too, so that one address is enough.
pub fn metrics(shared: Shared, commands: Sender<Command>) -> Router {
    let site = Site { shared: shared.clone(), commands: commands.clone() };
    Router::new().route("/metrics", get(scrape)).with_state(site).merge(health(shared, commands))
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
    site: Router,
) -> std::io::Result<()> {
    let listener = match TcpListener::bind(at).await {
        Ok(listener) => listener,
        Err(error) if required => return Err(error),
        Err(error) => {
            tracing::error!(what, %at, %error, "can't listen; trying again");
            tokio::spawn(async move {
                let listener = patiently(at).await;
                tracing::info!(what, %at, "listening");
                door::open(listener, site, Limits::default()).await;
            });
            return Ok(());
        }
    };
    tracing::info!(what, %at, "listening");
    tokio::spawn(door::open(listener, site, Limits::default()));
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
    verdict(&answer, &site.shared.metrics.healthz)
}

async fn livez(State(site): State<Site>) -> Response {
    let answer = site.shared.health().live(millis());
    verdict(&answer, &site.shared.metrics.livez)
}

fn verdict(answer: &Answer, count: &Answers) -> Response {
    let good = answer.is_good();
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    count.get_or_create(&CodeLabels { code: status.as_u16() }).inc();
    let headers = [(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF)];
    (status, headers, axum::Json(answer)).into_response()
}

async fn scrape(State(site): State<Site>) -> Response {
    let fresh = tokio::task::spawn_blocking(move || {
        let (done, wait) = mpsc::channel();
        // A loop that is busy or gone leaves the numbers as they were last.
        if site.commands.send(Command::Measure(done)).is_ok() {
            let _ = wait.recv_timeout(FRESH);
        }
        site.shared.metrics.text()
    });
    match fresh.await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
