//! `/proxyMode` and `/configz`: what this daemon is, in kube-proxy's words.

use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::{NOSNIFF, Site};
use crate::config::GROUP;
use crate::drive::Command;

/// Service ports by dataplane, beside the one word.
const DATAPLANES: HeaderName = HeaderName::from_static("weir-dataplanes");

/// How long the loop may take, less than whoever asks by loopback waits.
const PATIENCE: Duration = Duration::from_secs(1);

/// The two pages.
pub(super) fn site(site: Site) -> Router {
    Router::new().route("/proxyMode", get(mode)).route("/configz", get(configz)).with_state(site)
}

async fn configz(State(Site { shared, .. }): State<Site>) -> Response {
    let kind =
        [(header::CONTENT_TYPE, "application/json"), (header::X_CONTENT_TYPE_OPTIONS, NOSNIFF)];
    (kind, serde_json::json!({ GROUP: *shared.config() }).to_string()).into_response()
}

/// Before the loop runs nobody waits for it: the daemon itself looks for a kube-proxy here by then.
async fn mode(State(site): State<Site>) -> Response {
    if !site.shared.is_running.load(Ordering::Acquire) {
        return unknown();
    }
    let asked = tokio::task::spawn_blocking(move || {
        site.mode.get(|| {
            let (reply, answer) = mpsc::channel();
            site.commands.send(Command::Mode(reply)).ok()?;
            answer.recv_timeout(PATIENCE).ok()
        })
    });
    let Ok(Some(mode)) = asked.await else { return unknown() };
    let headers =
        [(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF.to_owned()), (DATAPLANES, mode.to_string())];
    (headers, mode.usual.as_str()).into_response()
}

fn unknown() -> Response {
    let text = "the daemon is busy, starting or ending\n";
    (StatusCode::SERVICE_UNAVAILABLE, [(DATAPLANES, "unknown")], text).into_response()
}
