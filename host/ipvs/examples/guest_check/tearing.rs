//! Listings while another handle adds and deletes all the time.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ipvs_rs::{Ipvs, Options, Request, ServiceKey};

use crate::cases::{key, plain};
use crate::report::Report;

const LISTINGS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(15);

fn steady() -> Vec<ServiceKey> {
    (0..500).map(|number| key(&format!("tcp 10.50.{}.{}:80", number / 250, number % 250))).collect()
}

pub(crate) fn all(report: &mut Report, ipvs: &mut Ipvs) {
    let steady = steady();
    let plan: Vec<_> =
        steady.iter().map(|key| Request::NewService(plain(&key.to_string(), "rr"))).collect();
    report.check("500 services that stay", ipvs.apply(&plan).iter().all(Result::is_ok));
    let want: BTreeSet<_> = steady.into_iter().collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| churn(&stop));
        single(ipvs, &want);
        agreed(report, ipvs, &want);
        stop.store(true, Ordering::Relaxed);
    });
    report.equal(
        "in peace a listing agrees at once",
        &want,
        &keys(ipvs.services().unwrap().into_iter()),
    );
    ipvs.apply(&[Request::Flush]);
}

/// Adds and deletes others in bursts, with pauses in which listings can agree.
fn churn(stop: &AtomicBool) {
    let mut ipvs = Ipvs::open(Options::default()).expect("open");
    let mut changes = 0;
    let others: Vec<_> = (0..64).map(|number| format!("tcp 10.60.0.{number}:80")).collect();
    let add: Vec<_> = others.iter().map(|at| Request::NewService(plain(at, "rr"))).collect();
    let delete: Vec<_> = others.iter().map(|at| Request::DeleteService(key(at))).collect();
    while !stop.load(Ordering::Relaxed) {
        let burst = Instant::now();
        while burst.elapsed() < Duration::from_millis(300) {
            for plan in [&add, &delete] {
                assert!(ipvs.apply(plan).iter().all(Result::is_ok), "churn");
                changes += plan.len();
            }
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    println!("# the writer made {changes} changes");
}

fn keys(entries: impl Iterator<Item = ipvs_rs::ServiceEntry>) -> BTreeSet<ServiceKey> {
    let steady = |key: &ServiceKey| key.to_string().starts_with("tcp 10.50.");
    entries.map(|entry| *entry.service.key()).filter(steady).collect()
}

/// Said, not checked: how often depends on the kernel and on the moment.
fn single(ipvs: &mut Ipvs, want: &BTreeSet<ServiceKey>) {
    let (mut torn, mut made) = (0, 0);
    let until = Instant::now() + PATIENCE;
    while made < LISTINGS && Instant::now() < until {
        let entries = ipvs.services_once().expect("list");
        let all: BTreeSet<_> = entries.iter().map(|entry| *entry.service.key()).collect();
        let doubled = entries.len() != all.len();
        torn += usize::from(doubled || keys(entries.into_iter()) != *want);
        made += 1;
    }
    println!("# {torn} of {made} single listings were torn");
}

fn agreed(report: &mut Report, ipvs: &mut Ipvs, want: &BTreeSet<ServiceKey>) {
    let (mut whole, mut torn, mut unstable) = (0, 0, 0);
    let until = Instant::now() + PATIENCE;
    while whole < LISTINGS && Instant::now() < until {
        match ipvs.services() {
            Ok(entries) if keys(entries.clone().into_iter()) == *want => whole += 1,
            Ok(_) => torn += 1,
            Err(error) if error.kind() == "unstable" => unstable += 1,
            Err(error) => panic!("{error}: {}", error.cause()),
        }
    }
    println!("# agreed listings: {whole} whole, {torn} torn, {unstable} gave up");
    // Two listings that are torn in the same place agree: rarer by far than a torn one, not impossible.
    let rare = torn * 10 <= whole + torn;
    report.equal("an agreed listing is torn once in ten at most", &true, &rare);
    report.check("listings agree in the writer's pauses", whole > 0);
}
