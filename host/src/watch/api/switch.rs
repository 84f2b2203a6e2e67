//! Carries requests to the API server that answers: from one that fails to the next.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::http::{Request, Response, StatusCode, Uri};
use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt as _};
use kube::config::Config;
use tokio::sync::watch;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt as _};

use super::Patience;
use super::access::{Access, AccessError, Files, Read};
use super::counts::{Counts, LatencyLabels, RequestLabels};

/// After how long without a word the kernel asks whether the other side is still there, how often it
/// asks again, and how often in vain: a server that vanished is found within a minute.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(30), Duration::from_secs(10), 3);

/// Sends requests to one API server, with credentials.
type Sender = BoxCloneSyncService<Request<Body>, Response<Incoming>, BoxError>;

/// Carries requests to the API server that answers. All share the server; each [`Switch::own`] knows by
/// itself when it was last answered well.
#[derive(Clone)]
pub(super) struct Switch {
    shared: Arc<Shared>,
    own: Arc<Own>,
}

struct Shared {
    access: Access,
    patience: Patience,
    counts: Arc<Counts>,
    state: Mutex<State>,
    /// Somebody was answered well.
    answered: watch::Sender<()>,
}

/// What concerns one kind of object.
#[derive(Default)]
struct Own {
    answered: watch::Sender<()>,
    watches: Mutex<Watches>,
}

/// How watches went. One that is answered well and ends at once is no failure to whoever follows it,
/// who begins the next at once: these are held apart here.
#[derive(Default)]
struct Watches {
    last: Option<Instant>,
    pause: Duration,
}

impl Watches {
    /// How long to wait before the next is begun.
    fn next(&mut self, now: Instant, patience: &Patience) -> Duration {
        let is_short = self.last.is_some_and(|last| now - last < patience.longest_pause);
        self.pause = if is_short {
            (self.pause * 2).clamp(patience.first_pause, patience.longest_pause / 4)
        } else {
            Duration::ZERO
        };
        self.pause
    }
}

/// A server, how to send to it, and the files that this was made with.
#[derive(Clone)]
struct Line {
    server: Uri,
    sender: Sender,
    files: Files,
}

impl Line {
    fn to(config: &Config, files: &Files) -> Result<Self, AccessError> {
        let (server, sender) = (config.cluster_url.clone(), connect(config)?);
        Ok(Self { server, sender, files: files.clone() })
    }
}

struct State {
    /// Which of the servers is asked, counted on and on.
    turn: usize,
    line: Option<Line>,
    /// The server that failed last.
    failed: Option<Uri>,
    /// As whom servers are asked, when the files were read last.
    identity: String,
}

/// A server gave no answer.
#[derive(Debug)]
pub(super) struct Unanswered {
    server: Uri,
    cause: BoxError,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} gives no answer", self.server)
    }
}

impl Error for Unanswered {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.cause)
    }
}

/// No answer came in time.
#[derive(Debug, thiserror::Error)]
#[error("it kept silent for {} s", .0.as_secs())]
struct Silent(Duration);

impl Switch {
    /// Opens no connection yet, but reads all that one takes.
    pub(super) async fn open(
        access: Access,
        patience: Patience,
        counts: Arc<Counts>,
    ) -> Result<Self, AccessError> {
        let Read { servers, files, identity } = access.read().await?;
        let mut lines = Vec::new();
        for config in &servers {
            lines.push(Line::to(config, &files)?);
        }
        let state =
            Mutex::new(State { turn: 0, line: lines.into_iter().next(), failed: None, identity });
        let answered = watch::Sender::default();
        let shared = Arc::new(Shared { access, patience, counts, state, answered });
        Ok(Self { shared, own: Arc::default() })
    }

    /// The same servers, for somebody who wants to know when a watch of his alone is answered well.
    pub(super) fn own(&self) -> (Self, watch::Receiver<()>) {
        let own = Arc::<Own>::default();
        let heard = own.answered.subscribe();
        (Self { shared: Arc::clone(&self.shared), own }, heard)
    }

    /// Hears of each good answer from now on, whoever asked.
    pub(super) fn anybody(&self) -> watch::Receiver<()> {
        self.shared.answered.subscribe()
    }

    /// The server that a refusal came from, and as whom it was asked.
    pub(super) fn refuser(&self) -> String {
        let state = self.shared.state();
        let server = state.failed.as_ref().or(state.line.as_ref().map(|line| &line.server));
        let server = server.map_or_else(|| "the API server".to_owned(), ToString::to_string);
        format!("{server}, asked as {}", state.identity)
    }

    async fn carry(self, request: Request<Body>) -> Result<Response<Incoming>, BoxError> {
        let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        if is_watch {
            let pause = lock(&self.own.watches).next(Instant::now(), &self.shared.patience);
            tokio::time::sleep(pause).await;
        }
        let (turn, Line { server, sender, .. }) = self.shared.line().await?;
        let method = request.method().to_string();
        let silence = self.shared.patience.silence;
        let asked = Instant::now();
        let answer = match tokio::time::timeout(silence, sender.oneshot(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(BoxError::from(Silent(silence))),
        };
        let status = answer.as_ref().ok().map(Response::status);
        self.shared.count(method, &server, status, asked.elapsed());
        match answer {
            Ok(response) => {
                let status = response.status();
                if status.is_server_error() || status == StatusCode::UNAUTHORIZED {
                    self.shared.leave(turn, server);
                } else if status.is_success() {
                    self.answered(is_watch);
                }
                Ok(response)
            }
            Err(cause) => {
                self.shared.leave(turn, server.clone());
                Err(Unanswered { server, cause }.into())
            }
        }
    }

    fn answered(&self, is_watch: bool) {
        self.shared.state().failed = None;
        if is_watch {
            lock(&self.own.watches).last = Some(Instant::now());
            self.own.answered.send_replace(());
        }
        self.shared.answered.send_replace(());
    }
}

/// Never held over a wait; a panic while it is held leaves nothing half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn count(&self, method: String, server: &Uri, status: Option<StatusCode>, took: Duration) {
        let code = status.map_or_else(|| "<error>".to_owned(), |it| it.as_u16().to_string());
        let host = server.authority().map(ToString::to_string).unwrap_or_default();
        let labels = LatencyLabels { verb: method.clone(), host: host.clone() };
        self.counts.latencies.get_or_create(&labels).observe(took.as_secs_f64());
        self.counts.requests.get_or_create(&RequestLabels { code, host, method }).inc();
    }

    /// The line to use now: made anew where there is none, or where its files have changed.
    async fn line(&self) -> Result<(usize, Line), BoxError> {
        let turn = {
            let state = self.state();
            if let Some(line) = state.line.as_ref().filter(|line| line.files.are_as_they_were()) {
                return Ok((state.turn, line.clone()));
            }
            state.turn
        };
        let Read { servers, files, identity } = self.access.read().await?;
        let line = Line::to(&servers[turn % servers.len()], &files)?;
        let mut state = self.state();
        if state.turn == turn {
            state.identity = identity;
            state.line = Some(line.clone());
        }
        Ok((turn, line))
    }

    /// This server failed: the next is asked from now on, with credentials read again.
    fn leave(&self, turn: usize, server: Uri) {
        let mut state = self.state();
        if state.turn == turn {
            state.turn = turn.wrapping_add(1);
            (state.line, state.failed) = (None, Some(server));
        }
    }
}

fn connect(config: &Config) -> Result<Sender, AccessError> {
    let wrong =
        |error| AccessError::Tls { server: config.cluster_url.clone(), error: Box::new(error) };
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(config.connect_timeout);
    let (after, every, times) = KEEPALIVE;
    http.set_keepalive(Some(after));
    http.set_keepalive_interval(Some(every));
    http.set_keepalive_retries(Some(times));
    http.set_tcp_user_timeout(Some(after + every * times));
    let https = config.rustls_https_connector_with_connector(http).map_err(wrong)?;
    let client = Client::builder(TokioExecutor::new()).build::<_, Body>(https);
    let stack = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer().map_err(wrong)?)
        .layer(config.extra_headers_layer().map_err(wrong)?)
        .map_err(BoxError::from)
        .service(client);
    Ok(BoxCloneSyncService::new(stack.map_err(BoxError::from)))
}

impl Service<Request<Body>> for Switch {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Incoming>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().carry(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watches_that_end_at_once_are_held_apart() {
        let patience = Patience::default();
        let (mut watches, began) = (Watches::default(), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        assert_eq!(watches.next(at(0), &patience), Duration::ZERO);
        // One that nobody answered isn't counted: whoever follows it has waited.
        assert_eq!(watches.next(at(1), &patience), Duration::ZERO);
        let mut pauses = Vec::new();
        for round in 2..8 {
            watches.last = Some(at(round));
            pauses.push(watches.next(at(round), &patience).as_millis());
        }
        assert_eq!(pauses, [800, 1600, 3200, 6400, 7500, 7500]);
        assert_eq!(watches.next(at(300), &patience), Duration::ZERO, "one that lived long");
    }
}
