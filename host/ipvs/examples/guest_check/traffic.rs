//! Counters after real packets, and setting them to zero.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use ipvs_rs::{CounterWidth, DestinationEntry, Forward, Ipvs, Request, Stats};

use crate::cases::{key, plain, server};
use crate::namespace::run;
use crate::report::Report;

const SERVICE: &str = "udp 10.77.0.1:5353";
const SENT: u64 = 5;
/// IPv4 and UDP headers, and the payload.
const LENGTH: u64 = 20 + 8 + 4;

pub(crate) fn all(report: &mut Report, ipvs: &mut Ipvs) {
    for address in ["10.77.0.1/32", "10.77.1.1/32", "10.77.2.1/32"] {
        run(&["ip", "addr", "add", address, "dev", "lo"]);
    }
    counted(report, ipvs);
    for address in ["10.77.0.1/32", "10.77.1.1/32", "10.77.2.1/32"] {
        run(&["ip", "addr", "delete", address, "dev", "lo"]);
    }
}

fn counted(report: &mut Report, ipvs: &mut Ipvs) {
    let at = key(SERVICE);
    let plan = [
        Request::NewService(plain(SERVICE, "rr")),
        Request::NewDestination(at, server("10.77.1.1:5353", Forward::Masquerade)),
        Request::NewService(plain("udp 10.77.0.1:5354", "rr")),
    ];
    report.check("a service for real packets", ipvs.apply(&plan).iter().all(Result::is_ok));
    let received = send();
    report.equal("the packets reach the destination", &SENT, &received);
    let (service, destination) = counted_all(ipvs);
    let counts = |stats: &Stats| (stats.connections, stats.packets_in, stats.bytes_in);
    report.equal("the service counted them", &(1, SENT, SENT * LENGTH), &counts(&service));
    report.equal(
        "the destination counted them",
        &(1, SENT, SENT * LENGTH),
        &counts(&destination.stats),
    );
    report.equal(
        "and the connection",
        &(0, 1),
        &(destination.active_connections, destination.inactive_connections),
    );
    report.equal("counters are 64 bits wide", &CounterWidth::Bits64, &service.width);
    let told =
        ipvs.table().unwrap().services.into_iter().find(|it| !it.destinations.is_empty()).unwrap();
    report.equal("the file tells the connection", &1, &told.destinations[0].inactive_connections);
    zeroed(report, ipvs, &Request::ZeroService(at));
    report.equal("packets arrive again", &SENT, &send());
    report.equal("and count again", &SENT, &counted_all(ipvs).0.packets_in);
    zeroed(report, ipvs, &Request::ZeroAll);
    ipvs.apply(&[Request::Flush]);
}

fn zeroed(report: &mut Report, ipvs: &mut Ipvs, request: &Request) {
    report.check(&format!("{request} is taken"), ipvs.apply_one(request).is_ok());
    let (service, destination) = entries(ipvs);
    let left = [
        service.connections,
        service.packets_in,
        destination.stats.packets_in,
        destination.stats.bytes_in,
    ];
    report.equal(&format!("{request} leaves nothing"), &[0; 4], &left);
}

/// Waits until the kernel has summed up: it does so every two seconds.
fn counted_all(ipvs: &mut Ipvs) -> (Stats, DestinationEntry) {
    let until = Instant::now() + Duration::from_secs(15);
    loop {
        let (service, destination) = entries(ipvs);
        let done = service.packets_in == SENT && destination.stats.packets_in == SENT;
        if done || Instant::now() > until {
            return (service, destination);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn entries(ipvs: &mut Ipvs) -> (Stats, DestinationEntry) {
    let (service, mut destinations) = ipvs.confirm(&key(SERVICE)).unwrap().unwrap();
    (service.stats, destinations.remove(0))
}

/// Sends packets from one address to the service's; how many arrived behind it.
fn send() -> u64 {
    let server = UdpSocket::bind("10.77.1.1:5353").unwrap();
    server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let client = UdpSocket::bind("10.77.2.1:4000").unwrap();
    client.connect("10.77.0.1:5353").unwrap();
    let mut buffer = [0; 16];
    (0..SENT).filter(|_| client.send(b"data").is_ok() && server.recv(&mut buffer).is_ok()).count()
        as u64
}
