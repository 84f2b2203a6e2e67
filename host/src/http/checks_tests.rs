use std::net::IpAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use weir_core::health_checks::HealthCheck;
use weir_core::net::{ObjectName, Port};

use super::*;
use crate::config::Config;
use crate::report::checks::Wanted;

/// A hang ends here, and fails the test.
const BOUND: Duration = Duration::from_secs(30);

const LOOPBACK: [&str; 2] = ["127.0.0.1", "::1"];

/// Ports that nothing listens on now, on either family.
fn free<const N: usize>() -> [u16; N] {
    let sockets = [(); N].map(|()| std::net::TcpListener::bind("[::]:0").unwrap());
    sockets.map(|it| it.local_addr().unwrap().port())
}

fn wanted(addresses: &[&str], checks: &[(u16, &str, usize)]) -> Wanted {
    let check = |(port, name, local_endpoints): &(u16, &str, usize)| {
        let service = ObjectName::new("shop", *name);
        (Port::new(*port).unwrap(), HealthCheck { service, local_endpoints: *local_endpoints })
    };
    Wanted {
        addresses: addresses.iter().map(|it| it.parse().unwrap()).collect(),
        checks: checks.iter().map(check).collect(),
    }
}

fn served() -> Shared {
    let shared = Shared::new(&Config::default());
    tokio::spawn(keep(shared.clone(), Duration::from_millis(20)));
    shared
}

async fn ask(address: &str, port: u16) -> io::Result<String> {
    let address: IpAddr = address.parse().unwrap();
    let mut stream = TcpStream::connect((address, port)).await?;
    stream.write_all(b"GET /anything HTTP/1.1\r\nHost: node\r\n\r\n").await?;
    let mut text = String::new();
    tokio::time::timeout(BOUND, stream.read_to_string(&mut text)).await??;
    Ok(text)
}

/// The answer, once it is like this.
async fn until(address: &str, port: u16, is: impl Fn(&io::Result<String>) -> bool) {
    let asked = async {
        loop {
            if is(&ask(address, port).await) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let in_time = tokio::time::timeout(BOUND, asked).await.is_ok();
    assert!(in_time, "{address} {port}: {:?}", ask(address, port).await);
}

fn says(status: u16) -> impl Fn(&io::Result<String>) -> bool {
    let head = format!("HTTP/1.1 {status} ");
    move |answer| answer.as_ref().is_ok_and(|it| it.starts_with(&head))
}

fn refused(answer: &io::Result<String>) -> bool {
    answer.as_ref().is_err_and(|it| it.kind() == io::ErrorKind::ConnectionRefused)
}

#[tokio::test]
async fn an_answer_has_kube_proxy_s_status_headers_and_words() {
    let (shared, [port]) = (served(), free());
    let cases = [(2, true, 200), (0, true, 503), (2, false, 503), (0, false, 503)];
    for (count, healthy, status) in cases {
        let now = millis();
        shared.health().updated(now);
        if !healthy {
            shared.health().queued(now - 60_000);
        }
        shared.checks.want(wanted(&LOOPBACK, &[(port, "web", count)]));
        for address in LOOPBACK {
            until(address, port, says(status)).await;
            let answer = ask(address, port).await.unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            let want = format!(
                r#"{{"service":{{"namespace":"shop","name":"web"}},"localEndpoints":{count},"serviceProxyHealthy":{healthy}}}"#
            );
            assert_eq!(body, want);
            for header in [
                "content-type: application/json".to_owned(),
                "x-content-type-options: nosniff".to_owned(),
                format!("x-load-balancing-endpoint-weight: {count}"),
            ] {
                assert!(head.lines().any(|line| line == header), "{header}: {head}");
            }
        }
    }
}

#[tokio::test]
async fn sockets_follow_services_and_addresses() {
    let (shared, [one, other]) = (served(), free());
    let want = |addresses: &[&str], checks: &[(u16, &str, usize)]| {
        shared.checks.want(wanted(addresses, checks));
    };
    want(&["127.0.0.1"], &[(one, "web", 1), (other, "api", 0)]);
    until("127.0.0.1", one, says(200)).await;
    until("127.0.0.1", other, says(503)).await;
    assert!(refused(&ask("::1", one).await), "that address isn't the node's");
    want(&["::1"], &[(one, "web", 1)]);
    until("::1", one, says(200)).await;
    until("127.0.0.1", one, refused).await;
    until("127.0.0.1", other, refused).await;
    want(&["0.0.0.0", "::"], &[(one, "web", 1)]);
    for address in LOOPBACK {
        until(address, one, says(200)).await;
    }
    want(&LOOPBACK, &[(one, "web", 1)]);
    for address in LOOPBACK {
        until(address, one, says(200)).await;
    }
    want(&LOOPBACK, &[(one, "api", 0)]);
    until("::1", one, |it| it.as_ref().is_ok_and(|it| it.contains(r#""name":"api""#))).await;
    want(&LOOPBACK, &[]);
    for address in LOOPBACK {
        until(address, one, refused).await;
    }
    assert_eq!(shared.checks.count(), (0, 0));
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_tried_again_and_holds_up_no_other() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (at, shared, [free]) = (taken.local_addr().unwrap(), served(), free());
    shared.checks.want(wanted(&["127.0.0.1"], &[(at.port(), "web", 1), (free, "api", 1)]));
    until("127.0.0.1", free, says(200)).await;
    let counted = async {
        while shared.checks.count() != (1, 1) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(BOUND, counted).await.unwrap();
    let [(told, why)] = shared.checks.failures().try_into().unwrap();
    assert_eq!((told, why.contains("in use")), (at, true), "{why}");
    drop(taken);
    until("127.0.0.1", at.port(), says(200)).await;
    assert_eq!((shared.checks.count(), shared.checks.failures()), ((2, 0), vec![]));
}

#[tokio::test]
async fn a_port_that_was_never_had_is_forgotten_with_its_service() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, shared) = (taken.local_addr().unwrap().port(), Arc::new(served()));
    shared.checks.want(wanted(&["127.0.0.1"], &[(port, "web", 1)]));
    let told = |count: (usize, usize)| {
        let shared = Arc::clone(&shared);
        async move {
            while shared.checks.count() != count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    tokio::time::timeout(BOUND, told((0, 1))).await.unwrap();
    shared.checks.want(Wanted::default());
    tokio::time::timeout(BOUND, told((0, 0))).await.unwrap();
}
