//! Who is let in: one request a connection, within a time, and so many connections at once.
//!
//! Probes come from the whole network, so nobody may hold the door. Where it is full the oldest
//! guest goes: an honest one was answered long ago.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::near::Caller;

/// Wait before the next try where the system has no room for another connection.
const NO_ROOM: Duration = Duration::from_millis(100);

/// What one listener grants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections at once.
    connections: usize,
    /// How long a request's header may take to come.
    header: Duration,
    /// How long a connection may last, the answer's way included.
    whole: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 128, header: Duration::from_secs(5), whole: Duration::from_secs(30) }
    }
}

impl Limits {
    /// For a listener whose answers may take so long to come.
    pub(super) fn answering_after(wait: Duration) -> Self {
        let limits = Self::default();
        Self { whole: limits.whole + wait, ..limits }
    }

    /// For a listener that is one of many.
    pub(super) fn few() -> Self {
        Self { connections: 32, ..Self::default() }
    }
}

/// Answers whoever comes, for as long as the runtime lives.
pub(super) async fn open(listener: TcpListener, site: Router, limits: Limits) {
    let mut guests = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                make_room(&mut guests, limits.connections);
                let served = serve(stream, site.clone(), limits);
                guests.push_back(tokio::spawn(served).abort_handle());
            }
            // The guest is gone already; the next may be waiting.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "can't take a connection");
                tokio::time::sleep(NO_ROOM).await;
            }
        }
    }
}

fn make_room(guests: &mut VecDeque<AbortHandle>, connections: usize) {
    guests.retain(|guest| !guest.is_finished());
    while guests.len() >= connections {
        if let Some(oldest) = guests.pop_front() {
            oldest.abort();
        }
    }
}

async fn serve(stream: TcpStream, site: Router, limits: Limits) {
    let (caller, site) = (Caller::of(&stream), TowerToHyperService::new(site));
    let site = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(caller);
        site.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), site);
    // Whoever breaks off or takes too long gets no answer, and wants none.
    drop(tokio::time::timeout(limits.whole, connection).await);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use std::time::Instant;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const LONG: Duration = Duration::from_secs(3600);
    /// A hang ends here, and fails the test.
    const BOUND: Duration = Duration::from_secs(30);

    async fn door(limits: Limits) -> SocketAddr {
        let big = || async { vec![0_u8; 64 << 20] };
        let site = Router::new()
            .route("/", axum::routing::get(|| async { "here" }))
            .route("/big", axum::routing::get(big));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(open(listener, site, limits));
        at
    }

    /// Sends `text`, and returns all that comes until the other side closes.
    async fn say(at: SocketAddr, text: &str) -> String {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        until_closed(&mut stream).await
    }

    async fn until_closed(stream: &mut TcpStream) -> String {
        let mut answer = Vec::new();
        let read = tokio::time::timeout(BOUND, stream.read_to_end(&mut answer)).await;
        // A reset is an end as well.
        drop(read.expect("the connection is closed in time"));
        String::from_utf8_lossy(&answer).into_owned()
    }

    const REQUEST: &str = "GET / HTTP/1.1\r\nHost: weir\r\n\r\n";

    #[tokio::test]
    async fn a_request_is_answered_and_the_connection_ends() {
        let at = door(Limits { header: LONG, whole: LONG, ..Limits::default() }).await;
        let answer = say(at, REQUEST).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"), "{answer}");
    }

    #[tokio::test]
    async fn a_header_that_never_ends_is_cut_off() {
        let limits = Limits { header: Duration::from_millis(50), whole: LONG, connections: 8 };
        let at = door(limits).await;
        for start in ["", "GET / HTTP/1.1\r\nHost: w"] {
            let answer = say(at, start).await;
            assert!(!answer.contains("200"), "{start:?}: {answer}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_nobody_reads_is_cut_off() {
        let limits = Limits { header: LONG, whole: Duration::from_millis(200), connections: 8 };
        let at = door(limits).await;
        let mut stream = TcpStream::connect(at).await.unwrap();
        let request = REQUEST.replace("GET / ", "GET /big ");
        stream.write_all(request.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(600)).await;
        let began = Instant::now();
        let read = until_closed(&mut stream).await.len();
        assert!(read < 64 << 20, "{read} bytes came");
        assert!(began.elapsed() < BOUND);
    }

    #[tokio::test]
    async fn those_who_hold_the_door_give_way_to_those_who_come() {
        let at = door(Limits { header: LONG, whole: LONG, connections: 4 }).await;
        let mut holders = Vec::new();
        for _ in 0..20 {
            let mut holder = TcpStream::connect(at).await.unwrap();
            holder.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
            holders.push(holder);
        }
        assert!(say(at, REQUEST).await.ends_with("here"), "there is still an answer");
        for holder in &mut holders[..17] {
            assert_eq!(until_closed(holder).await, "", "the oldest went");
        }
        let open = tokio::time::timeout(Duration::from_millis(100), holders[19].read_u8()).await;
        assert!(open.is_err(), "the youngest is still let in: {open:?}");
    }
}
