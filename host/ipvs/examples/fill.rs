//! What it costs to fill IPVS and to change one destination, against one request at a time and against
//! `ipvsadm`. For a guest that may be changed; run it where the clock counts instructions.
//!
//! Prints one line a measurement, `NAME NANOSECONDS`, by `CLOCK_MONOTONIC`. Each is made in a network
//! namespace of its own: what was deleted before would slow down what is added after.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test program: it prints, and stops where it can't go on"
)]

#[path = "guest_check/namespace.rs"]
mod namespace;

use std::fs::File;
use std::process::Command;
use std::time::{Duration, Instant};

use ipvs_rs::netlink::Writer;
use ipvs_rs::{
    Destination, DestinationKey, Forward, Ipvs, Options, Protocol, Request, Scheduler, Service,
    ServiceKey,
};

/// Longer than the kernel keeps deleted destinations.
const SETTLE: Duration = Duration::from_secs(200);
const RULES: &str = "/tmp/ipvs-bench-rules";
const CHANGE: &str = "/tmp/ipvs-bench-change";

fn main() {
    let services: u32 = std::env::args().nth(1).map_or(10_000, |text| text.parse().unwrap());
    let plan = plan(services);
    let change = [change(services / 2)];
    std::fs::write(RULES, rules(services)).unwrap();
    std::fs::write(CHANGE, rule_change(services / 2)).unwrap();
    // loads the modules and fills the kernel's caches of memory, which is not what is measured
    fresh("warm-up", |ipvs| applied(ipvs, &plan));
    measure("encode-only", || {
        let mut writer = Writer::default();
        plan.iter().for_each(|request| request.encode(&mut writer));
    });

    fresh("create-batched", |ipvs| measure("create-batched", || applied(ipvs, &plan)));
    fresh("create-one-by-one", |ipvs| measure("create-one-by-one", || one_by_one(ipvs, &plan)));
    fresh("create-ipvsadm", |_| measure("create-ipvsadm", || restore(RULES)));
    filled("change-one", &plan, |ipvs| measure("change-one", || applied(ipvs, &change)));
    filled("change-ipvsadm", &plan, |_| measure("change-ipvsadm", || restore(CHANGE)));
    let all: Vec<Request> = plan.iter().filter_map(heavier).collect();
    filled("update-batched", &plan, |ipvs| measure("update-batched", || applied(ipvs, &all)));
    filled("update-one-by-one", &plan, |ipvs| {
        measure("update-one-by-one", || one_by_one(ipvs, &all));
    });
    filled("read", &plan, |ipvs| {
        measure_reading("read-file-once", || {
            assert_eq!(ipvs.table_once().unwrap().services.len(), services as usize);
        });
        measure_reading("read-netlink", || {
            let listed = ipvs.services_once().unwrap();
            let servers = listed
                .iter()
                .map(|entry| ipvs.destinations_once(entry.service.key()).unwrap().len());
            assert_eq!(servers.sum::<usize>(), 2 * services as usize);
        });
        measure_reading("read-ipvsadm", || {
            assert!(Command::new("ipvsadm").arg("-Sn").output().unwrap().status.success());
        });
    });
}

fn measure<R>(name: &str, work: impl FnOnce() -> R) {
    let start = Instant::now();
    work();
    println!("{name} {}", start.elapsed().as_nanos());
}

/// The least of three: what the kernel does beside, such as finding out how fast it can estimate rates,
/// is none of a reader's cost.
fn measure_reading(name: &str, mut work: impl FnMut()) {
    let times = std::iter::repeat_with(|| {
        let start = Instant::now();
        work();
        start.elapsed()
    });
    let least = times.take(3).min().unwrap_or_default();
    println!("{name} {}", least.as_nanos());
}

/// Runs `work` with a handle in a new namespace.
fn fresh(name: &str, work: impl FnOnce(&mut Ipvs) + Send) {
    namespace::make(name, true);
    namespace::within(name, || {
        let mut ipvs = Ipvs::open(Options::default()).unwrap();
        work(&mut ipvs);
        ipvs.apply_one(&Request::Flush).unwrap();
    });
    namespace::delete(name);
    // the kernel takes a namespace down in the background; where the clock skips idle time this is short
    std::thread::sleep(SETTLE);
}

fn filled(name: &str, plan: &[Request], work: impl FnOnce(&mut Ipvs) + Send) {
    fresh(name, |ipvs| {
        applied(ipvs, plan);
        work(ipvs);
    });
}

fn applied(ipvs: &mut Ipvs, plan: &[Request]) {
    assert!(ipvs.apply(plan).iter().all(Result::is_ok));
}

fn one_by_one(ipvs: &mut Ipvs, plan: &[Request]) {
    assert!(plan.iter().all(|request| ipvs.apply_one(request).is_ok()));
}

fn restore(file: &str) {
    let mut command = Command::new("ipvsadm");
    assert!(command.arg("-R").stdin(File::open(file).unwrap()).status().unwrap().success());
}

fn service(number: u32) -> ServiceKey {
    let [_, _, third, fourth] = number.to_be_bytes();
    ServiceKey::new(Protocol::Tcp, ([10, 96, third, fourth], 80))
}

fn server(number: u32, host: u8) -> DestinationKey {
    let [_, _, third, fourth] = number.to_be_bytes();
    DestinationKey::new(([10, 128 + host, third, fourth], 8080))
}

fn plan(services: u32) -> Vec<Request> {
    let one = |number| {
        let key = service(number);
        let to = move |host| {
            Request::NewDestination(
                key,
                Destination::new(server(number, host), Forward::Masquerade),
            )
        };
        [Request::NewService(Service::new(key, Scheduler::RoundRobin)), to(1), to(2)]
    };
    (0..services).flat_map(one).collect()
}

fn change(number: u32) -> Request {
    let destination = Destination::new(server(number, 1), Forward::Masquerade);
    Request::SetDestination(service(number), destination.with_weight(7.into()))
}

fn heavier(request: &Request) -> Option<Request> {
    match request {
        Request::NewDestination(key, destination) => {
            Some(Request::SetDestination(*key, destination.with_weight(7.into())))
        }
        _ => None,
    }
}

fn rules(services: u32) -> String {
    let one = |number| {
        let at = at(service(number));
        let to = |host| format!("-a -t {at} -r {} -m -w 1\n", server(number, host));
        format!("-A -t {at} -s rr\n{}{}", to(1), to(2))
    };
    (0..services).map(one).collect()
}

fn rule_change(number: u32) -> String {
    format!("-e -t {} -r {} -m -w 7\n", at(service(number)), server(number, 1))
}

fn at(key: ServiceKey) -> String {
    key.to_string().trim_start_matches("tcp ").to_owned()
}
