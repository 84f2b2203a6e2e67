//! Each path of the metrics address, asked over real connections.

use std::sync::mpsc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use weir_core::decision::Dataplane;

use super::*;
use crate::config::{LogLevel, Metrics, StatusPage};
use crate::report::mode::Mode;
use crate::report::status::Status;

/// A metrics address whose loop answers what these tests ask.
async fn open(metrics: Metrics) -> SocketAddr {
    let (commands, inbox) = mpsc::channel();
    std::thread::spawn(move || {
        for command in inbox {
            match command {
                Command::Mode(reply) => {
                    let mode = Mode { usual: Dataplane::Nftables, ipvs: 2, nftables: 14 };
                    reply.send(mode).unwrap();
                }
                Command::Measure(done) => done.send(()).unwrap(),
                Command::Status(reply) => {
                    let status = Status { node: "node-1".to_owned(), ..Status::default() };
                    reply.send(Box::new(status)).unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
    });
    let config = Config { metrics, ..Config::default() };
    let shared = Shared::new(&config);
    shared.is_running.store(true, Ordering::Release);
    let site = super::metrics(shared, commands, &config);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(door::open(listener, site.router, site.limits));
    at
}

/// Status, head and body of an answer.
async fn ask(at: SocketAddr, what: &str, host: &str, body: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let length = body.len();
    let text = format!("{what} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}

#[tokio::test]
async fn proxy_mode_is_one_word_and_says_the_rest_beside_it() {
    let at = open(Metrics::default()).await;
    let (status, head, body) = ask(at, "GET /proxyMode", "node", "").await;
    assert_eq!((status, body.as_str()), (200, "nftables"));
    for header in [
        "content-type: text/plain; charset=utf-8",
        "x-content-type-options: nosniff",
        "weir-dataplanes: ipvs=2, nftables=14",
    ] {
        assert!(head.lines().any(|line| line == header), "{header}: {head}");
    }
}

/// One request a connection, as fast as they are let in.
#[tokio::test]
async fn scrapes_without_end_ask_a_loop_that_gives_no_answer_once_and_tell_of_it() {
    let (commands, inbox) = mpsc::channel();
    let shared = Shared::new(&Config::default());
    shared.is_running.store(true, Ordering::Release);
    let site = metrics(shared, commands, &Config::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(door::open(listener, site.router, site.limits));
    let all = (0..32).map(|_| tokio::spawn(async move { ask(at, "GET /metrics", "n", "").await }));
    let mut all: Vec<_> = all.collect();
    let (status, _, body) = all.remove(0).await.unwrap();
    let asked = inbox.try_iter().filter(|it| matches!(it, Command::Measure(_))).count();
    assert_eq!((status, asked), (200, 1));
    let line =
        body.lines().find_map(|it| it.strip_prefix("weir_sync_waiting_since_timestamp_seconds "));
    assert!(line.unwrap().parse::<f64>().unwrap() > 0.0, "{line:?}");
    for one in all {
        assert_eq!(one.await.unwrap().0, 200);
    }
}

#[tokio::test]
async fn before_the_loop_runs_proxy_mode_is_unknown_at_once() {
    let (commands, _inbox) = mpsc::channel();
    let site = metrics(Shared::new(&Config::default()), commands, &Config::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(door::open(listener, site.router, site.limits));
    let (status, head, _) = ask(at, "GET /proxyMode", "localhost", "").await;
    assert_eq!(status, 503);
    assert!(head.contains("weir-dataplanes: unknown"), "{head}");
}

#[tokio::test]
async fn configz_is_the_configuration_in_force_under_its_group() {
    let at = open(Metrics { profiling: true, ..Metrics::default() }).await;
    let (status, head, body) = ask(at, "GET /configz", "node", "").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/json"), "{head}");
    let found: serde_json::Value = serde_json::from_str(&body).unwrap();
    let config: Config = serde_json::from_value(found["weir.dev"].clone()).unwrap();
    assert!(config.metrics.profiling);
    assert_eq!(found.as_object().unwrap().len(), 1);
}

#[tokio::test]
async fn what_profiling_opens_is_shut_by_default() {
    let at = open(Metrics::default()).await;
    for what in ["GET /debug/pprof/profile?seconds=1", "PUT /debug/flags/v"] {
        assert_eq!(ask(at, what, "localhost", "4").await.0, 404, "{what}");
    }
}

#[tokio::test]
async fn the_level_is_set_by_the_node_itself_and_only_by_a_number() {
    crate::log::start(&crate::config::Log::default(), None);
    let at = open(Metrics { profiling: true, ..Metrics::default() }).await;
    let put = |host: &'static str, body: &'static str| ask(at, "PUT /debug/flags/v", host, body);
    assert_eq!(put("rebound.example", "4").await.0, 403);
    assert_eq!(put("localhost", "loud").await.0, 400);
    assert_eq!(put("localhost", "00000000000000000000004").await.0, 413);
    assert_eq!(crate::log::level().unwrap(), LogLevel::Info);
    let (status, _, body) = put("localhost", "5\n").await;
    assert_eq!((status, body.as_str()), (200, "log level debug for verbosity 5\n"));
    assert_eq!(crate::log::level().unwrap(), LogLevel::Debug);
    assert_eq!(put("127.0.0.1:10249", "0").await.0, 200);
    assert_eq!(crate::log::level().unwrap(), LogLevel::Info);
    assert_eq!(ask(at, "GET /debug/pprof/profile?seconds=61", "node", "").await.0, 400);
}

#[tokio::test]
async fn the_status_page_is_for_whom_the_configuration_says() {
    let cases = [
        (StatusPage::Local, "localhost:10249", 200),
        (StatusPage::Local, "rebound.example", 403),
        (StatusPage::Open, "node.example", 200),
        (StatusPage::Off, "localhost", 404),
    ];
    for (status_page, host, want) in cases {
        let at = open(Metrics { status_page, ..Metrics::default() }).await;
        for what in ["GET /", "GET /status.json"] {
            assert_eq!(ask(at, what, host, "").await.0, want, "{status_page:?} {host} {what}");
        }
    }
}

#[tokio::test]
async fn the_page_runs_its_own_script_only_and_its_data_is_that_of_weir_status() {
    let at = open(Metrics::default()).await;
    let (_, head, body) = ask(at, "GET /", "localhost", "").await;
    assert!(body.starts_with("<!DOCTYPE html>") && body.trim_end().ends_with("</html>"));
    let policy = head.lines().find(|it| it.starts_with("content-security-policy: ")).unwrap();
    assert!(policy.contains("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(policy.contains("script-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    for header in ["x-content-type-options: nosniff", "cache-control: no-store"] {
        assert!(head.lines().any(|line| line == header), "{header}: {head}");
    }
    let (_, head, body) = ask(at, "GET /status.json", "localhost", "").await;
    assert!(head.contains("content-type: application/json"), "{head}");
    let status: Status = serde_json::from_str(&body).unwrap();
    assert_eq!(status.node, "node-1");
    let (code, _, _) = ask(at, "POST /status.json", "localhost", "").await;
    assert_eq!(code, 405, "it is read only");
}
