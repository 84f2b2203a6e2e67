//! Health-check ports of services: which sockets listen, and what each answers, as kube-proxy does
//! (`pkg/proxy/healthcheck/service_health.go`, v1.36).
//!
//! A socket has a task of its own, so one that can't be opened holds up no other.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use weir_core::net::ObjectName;

use super::door::{self, Limits};
use super::{AGAIN, NOSNIFF};
use crate::drive::{Shared, millis};
use crate::report::checks::Socket;
use crate::report::events::CHECK_FAILED;

/// How many servers are behind the node: read by load balancers that weigh nodes by it.
const WEIGHT: HeaderName = HeaderName::from_static("x-load-balancing-endpoint-weight");
/// Connections that the kernel keeps for one socket until they are taken.
const BACKLOG: i32 = 64;

/// Keeps the sockets as they are wanted, for as long as the runtime lives. One that can't be opened is
/// tried again.
pub async fn serve(shared: Shared) {
    keep(shared, AGAIN).await;
}

async fn keep(shared: Shared, again: Duration) {
    let mut wanted = shared.checks.wanted();
    let mut tasks = BTreeMap::new();
    loop {
        let sockets = wanted.borrow_and_update().sockets();
        // A socket on the wildcard and one on an address can't have the same port: old ones go first.
        close(&mut tasks, &sockets, &shared).await;
        for at in sockets {
            let keep = || tokio::spawn(keep_open(at, shared.clone(), again));
            tasks.entry(at).or_insert_with(keep);
        }
        if wanted.changed().await.is_err() {
            return;
        }
    }
}

type Tasks = BTreeMap<SocketAddr, JoinHandle<()>>;

async fn close(tasks: &mut Tasks, wanted: &BTreeSet<SocketAddr>, shared: &Shared) {
    let is_old = |at: &&SocketAddr| !wanted.contains(at);
    let old: Vec<_> = tasks.keys().filter(is_old).copied().collect();
    for at in old {
        if let Some(task) = tasks.remove(&at) {
            task.abort();
            // Once it has ended its socket is closed; how it ended is known.
            drop(task.await);
        }
        shared.checks.note(at, None);
        tracing::debug!(%at, "a health-check port is closed");
    }
}

async fn keep_open(at: SocketAddr, shared: Shared, again: Duration) {
    let listener = loop {
        match bind(at) {
            Ok(listener) => break listener,
            Err(error) if at.ip().is_unspecified() && lacks_family(&error) => {
                return tracing::debug!(%at, %error, "this node has no such addresses");
            }
            Err(error) => tell(at, &shared, &error),
        }
        tokio::time::sleep(again).await;
    };
    if shared.checks.note(at, Some(Socket::Open)).is_some() {
        tracing::info!(%at, "a health-check port is open at last");
    }
    let site = Router::new().fallback(answer).with_state((shared, at.port()));
    door::open(listener, site, Limits::few()).await;
}

/// Once for each reason.
fn tell(at: SocketAddr, shared: &Shared, error: &io::Error) {
    let failed = Some(Socket::Failed(error.to_string()));
    if shared.checks.note(at, failed.clone()) != failed {
        let check = shared.checks.check(at.port());
        let service = check.map(|it| it.service.to_string()).unwrap_or_default();
        let port = at.port();
        tracing::warn!(reason = CHECK_FAILED, service, port, %at, %error, "a health-check port can't be opened; trying again");
    }
}

fn lacks_family(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

/// A socket of IPv6 leaves IPv4 alone: that family has its own.
fn bind(at: SocketAddr) -> io::Result<TcpListener> {
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    // Connections of an earlier listener that are still ending hold no port.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if at.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    rustix::net::bind(&socket, &at)?;
    rustix::net::listen(&socket, BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    service: ObjectName,
    local_endpoints: usize,
    service_proxy_healthy: bool,
}

/// Whatever the path and the method: load balancers ask in many ways.
async fn answer(State((shared, port)): State<(Shared, u16)>) -> Response {
    // The port was closed between the question and the answer.
    let Some(check) = shared.checks.check(port) else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let service_proxy_healthy = shared.health().is_healthy(millis());
    let local_endpoints = check.local_endpoints;
    let good = local_endpoints > 0 && service_proxy_healthy;
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = Answer { service: check.service, local_endpoints, service_proxy_healthy };
    let headers = [
        (header::X_CONTENT_TYPE_OPTIONS, NOSNIFF.to_owned()),
        (WEIGHT, local_endpoints.to_string()),
    ];
    (status, headers, axum::Json(body)).into_response()
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;
