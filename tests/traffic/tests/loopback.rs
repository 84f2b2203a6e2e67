//! Every client against every server over loopback, and the command line.
#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use weir_traffic::Protocol::{self, Sctp, Tcp, Udp};
use weir_traffic::hit::Hit;
use weir_traffic::hold::Hold;
use weir_traffic::serve::Server;
use weir_traffic::socket::{Dial, listen};
use weir_traffic::stream::Stream;
use weir_traffic::transfer::Transfer;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// The protocols that this machine has. What it lacks is said on standard error, past the capture.
fn protocols() -> Vec<Protocol> {
    let all = [Tcp, Udp, Sctp].into_iter();
    let has = |protocol: &Protocol| match listen(*protocol, SocketAddr::new(V4, 0)) {
        Ok(_) => true,
        Err(error) if *protocol == Sctp => {
            let words = format!("NOT TESTED: SCTP, which this machine lacks: {error}\n");
            io::stderr().write_all(words.as_bytes()).unwrap();
            false
        }
        Err(error) => panic!("{protocol}: {error}"),
    };
    all.filter(has).collect()
}

fn start(name: &str, protocol: Protocol, address: IpAddr) -> SocketAddr {
    let address = SocketAddr::new(address, 0);
    Server { name: name.into(), protocol, address, netns: None }.start().unwrap()
}

fn dial(protocol: Protocol, target: SocketAddr) -> Dial {
    Dial { target, protocol, source: None, timeout: Duration::from_secs(5) }
}

fn hits(dial: Dial, count: u64) -> Hit {
    let pause = Duration::ZERO;
    Hit { dial, count, concurrency: 4, keep: false, same_port: false, pause }
}

#[test]
fn every_protocol_and_family_answers_with_name_and_source() {
    for protocol in protocols() {
        for family in [V4, V6] {
            let target = start("blue", protocol, family);
            for (keep, same_port) in [(false, false), (true, false), (false, true)] {
                let hit = Hit { keep, same_port, ..hits(dial(protocol, target), 40) };
                let tally = hit.run().tally;
                let what = format!("{protocol} {target} keep {keep} same port {same_port}");
                assert_eq!((tally.attempts, tally.answered), (40, 40), "{what}: {tally:?}");
                assert_eq!(tally.servers, [("blue".to_owned(), 40)].into(), "{what}");
                assert_eq!(tally.sources, [(family.to_string(), 40)].into(), "{what}");
            }
        }
    }
}

#[test]
fn the_source_address_is_the_one_asked_for() {
    let source: IpAddr = "127.0.0.9".parse().unwrap();
    for protocol in protocols() {
        let target = start("blue", protocol, V4);
        let dial = Dial { source: Some(source), ..dial(protocol, target) };
        let tally = hits(dial, 4).run().tally;
        assert_eq!(tally.sources, [(source.to_string(), 4)].into(), "{protocol} {tally:?}");
    }
}

#[test]
fn failures_are_counted_by_name() {
    // A port that was free a moment ago and has no listener.
    let free = TcpListener::bind((V4, 0)).unwrap().local_addr().unwrap();
    for protocol in protocols() {
        let tally = hits(dial(protocol, free), 3).run().tally;
        assert_eq!(tally.errors, [("refused".to_owned(), 3)].into(), "{protocol}");
        assert_eq!((tally.attempts, tally.answered), (3, 0), "{protocol}");
    }
    // Listens, and never accepts or answers.
    let mute = TcpListener::bind((V4, 0)).unwrap();
    let timeout = Duration::from_millis(100);
    let dial = Dial { timeout, ..dial(Tcp, mute.local_addr().unwrap()) };
    assert_eq!(hits(dial, 3).run().tally.errors, [("timeout".to_owned(), 3)].into());
}

#[test]
fn a_transfer_is_checked() {
    for protocol in protocols().into_iter().filter(|&protocol| protocol != Udp) {
        let target = start("blue", protocol, V6);
        let bytes = 3_000_001;
        let dial = dial(protocol, target);
        let transfer = Transfer { dial, bytes, seed: 42, rate: 0, until: None };
        let report = transfer.run();
        assert!(report.ok, "{protocol} {report:?}");
        assert_eq!((report.bytes, report.server.as_deref()), (bytes, Some("blue")));
        assert_eq!(report.sha256, Stream::new(42, bytes).sha256());
    }
}

#[test]
fn a_rate_is_kept() {
    let target = start("blue", Tcp, V4);
    let (dial, bytes, rate) = (dial(Tcp, target), 200_000, 400_000);
    let transfer = Transfer { dial, bytes, seed: 1, rate, until: None };
    let report = transfer.run();
    assert!(report.ok && report.seconds >= 0.4, "{report:?}");
}

#[test]
fn a_transfer_goes_on_until_it_is_told() {
    let target = start("blue", Tcp, V4);
    let enough = std::env::temp_dir().join(format!("weir-traffic-enough-{}", std::process::id()));
    let bytes = 1001;
    let until = Some(enough.clone());
    let transfer = Transfer { dial: dial(Tcp, target), bytes, seed: 9, rate: 10_000, until };
    let running = std::thread::spawn(move || transfer.run());
    std::thread::sleep(Duration::from_millis(400));
    assert!(!running.is_finished());
    std::fs::write(&enough, "").unwrap();
    let report = running.join().unwrap();
    std::fs::remove_file(enough).unwrap();
    assert!(report.ok && report.bytes > bytes && report.bytes % bytes == 0, "{report:?}");
}

/// A server that sends other bytes than it should, and one that stops half-way.
#[test]
fn a_wrong_and_a_short_transfer_are_not_ok() {
    for (bytes, error) in [(1000, None), (500, Some("closed"))] {
        let listener = TcpListener::bind((V4, 0)).unwrap();
        let target = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut connection, peer) = listener.accept().unwrap();
            connection.write_all(format!("evil {peer} \n").as_bytes()).unwrap();
            let mut request = String::new();
            BufReader::new(connection.try_clone().unwrap()).read_line(&mut request).unwrap();
            connection.write_all(&vec![0; bytes]).unwrap();
        });
        let dial = dial(Tcp, target);
        let transfer = Transfer { dial, bytes: 1000, seed: 1, rate: 0, until: None };
        let report = transfer.run();
        server.join().unwrap();
        assert_eq!((report.ok, report.error.as_deref()), (false, error), "{report:?}");
    }
}

#[test]
fn held_connections_last() {
    for protocol in protocols() {
        let target = start("blue", protocol, V4);
        let (time, interval) = (Duration::from_millis(400), Duration::from_millis(20));
        let hold = Hold { dial: dial(protocol, target), count: 5, time, interval };
        let mut ready = false;
        let report = hold.run(|| ready = true);
        assert!(ready && report.is_whole(), "{protocol} {report:?}");
        assert_eq!(report.tally.servers, [("blue".to_owned(), 5)].into());
        assert!(report.pings >= 5, "{report:?}");
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already is as good.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_weir-traffic"))
}

/// Starts the real program with these listeners; the addresses come back in their order.
fn serve(listeners: &[&str]) -> (Running, Vec<String>) {
    let mut command = program();
    command.arg("serve").stdout(Stdio::piped());
    for listener in listeners {
        command.args(["--listen", listener]);
    }
    let mut server = Running(command.spawn().unwrap());
    let out = BufReader::new(server.0.stdout.take().unwrap());
    let lines = out.lines().take(listeners.len()).map(Result::unwrap).collect();
    (server, lines)
}

fn json(arguments: &[&str]) -> (bool, serde_json::Value) {
    let output = program().args(arguments).arg("--json").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let value = serde_json::from_str(&text);
    (output.status.success(), value.unwrap_or_else(|e| panic!("{arguments:?} {e}: {output:?}")))
}

#[test]
fn the_command_line_serves_and_hits() {
    let (_server, lines) = serve(&["a=tcp/127.0.0.1:0", "b=udp/[::1]:0"]);
    let target = |line: &str, prefix: &str| line.strip_prefix(prefix).unwrap().to_owned();
    let (tcp, udp) = (target(&lines[0], "a=tcp/"), target(&lines[1], "b=udp/"));
    let (good, report) = json(&["hit", &tcp, "--count", "7", "--must-answer"]);
    assert!(good);
    assert_eq!(report["servers"], serde_json::json!({"a": 7}));
    let (good, report) = json(&["hit", &udp, "--protocol", "udp", "--count", "3"]);
    assert!(good);
    assert_eq!(report["sources"], serde_json::json!({"::1": 3}));
    let (good, report) = json(&["transfer", &tcp, "--bytes", "64K"]);
    assert!(good && report["ok"] == true && report["bytes"] == 65_536, "{report}");
    let (good, report) = json(&["hold", &tcp, "--seconds", "0.1", "--count", "2"]);
    assert!(good && report["answered"] == 2, "{report}");
}

#[test]
fn connections_that_break_are_told() {
    let (server, lines) = serve(&["a=tcp/127.0.0.1:0"]);
    let target = lines[0].strip_prefix("a=tcp/").unwrap();
    let ready = std::env::temp_dir().join(format!("weir-traffic-{}", std::process::id()));
    let mut hold = program();
    hold.args(["hold", target, "--seconds", "30", "--count", "3", "--interval", "20", "--json"]);
    hold.arg("--ready-file").arg(&ready).stdout(Stdio::piped());
    let client = hold.spawn().unwrap();
    let start = Instant::now();
    while !ready.exists() {
        assert!(start.elapsed() < Duration::from_secs(20), "never ready");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::fs::remove_file(&ready).unwrap();
    drop(server);
    let output = client.wait_with_output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(report["broken"].as_array().unwrap().len(), 3, "{report}");
}

#[test]
fn wrong_arguments_are_refused_with_words() {
    let cases: [(&[&str], &str); 4] = [
        (&["--netns", "no-such", "hit", "127.0.0.1:1"], "enter the network namespace no-such"),
        (&["serve", "--listen", "127.0.0.1"], "has no port"),
        (&["serve", "--listen", "192.0.2.1:1"], "listen on tcp/192.0.2.1:1"),
        (&["transfer", "127.0.0.1:1", "--protocol", "udp"], "a transfer needs a connection"),
    ];
    for (arguments, want) in cases {
        let output = program().args(arguments).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && words.contains(want), "{arguments:?}: {words}");
    }
}
