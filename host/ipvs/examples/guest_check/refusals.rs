//! What the kernel refuses, and to which request the refusal is given.

use std::os::unix::process::CommandExt;
use std::process::Command;

use ipvs_rs::{Error, Forward, Ipvs, Options, Request};

use crate::cases::{key, plain, server};
use crate::report::Report;

fn kinds(verdicts: &[Result<(), Error>]) -> Vec<&'static str> {
    verdicts.iter().map(|verdict| verdict.as_ref().map_or_else(Error::kind, |()| "ok")).collect()
}

pub(crate) fn all(report: &mut Report, ipvs: &mut Ipvs) {
    attribution(report, ipvs);
    many_in_one_send(report, ipvs);
    idempotent(report, ipvs);
    unprivileged(report);
}

fn attribution(report: &mut Report, ipvs: &mut Ipvs) {
    let (at, other) = (key("tcp 10.0.0.1:80"), key("tcp 10.0.0.2:80"));
    let (one, two) =
        (server("10.0.1.1:80", Forward::Masquerade), server("10.0.1.2:80", Forward::Masquerade));
    let across = server("[2001:db8::1]:80", Forward::Masquerade);
    let plan = [
        (Request::NewService(plain("tcp 10.0.0.1:80", "rr")), "ok"),
        (Request::NewService(plain("tcp 10.0.0.1:80", "rr")), "exists"),
        (Request::NewService(plain("tcp 10.0.0.2:80", "nosuch")), "unknown_scheduler"),
        (Request::SetService(plain("tcp 10.0.0.2:80", "rr")), "not_found"),
        (Request::NewDestination(at, one), "ok"),
        (Request::NewDestination(at, one), "exists"),
        (Request::NewDestination(other, one), "not_found"),
        (Request::SetDestination(at, two), "not_found"),
        (Request::NewDestination(at, across), "invalid"),
        (Request::DeleteDestination(at, two.key), "not_found"),
        (Request::DeleteDestination(other, one.key), "not_found"),
        (Request::DeleteService(other), "not_found"),
        (Request::ZeroService(other), "not_found"),
        (Request::SetDestination(at, one.with_weight(7.into())), "ok"),
        (Request::SetService(plain("tcp 10.0.0.1:80", "nosuch")), "unknown_scheduler"),
    ];
    let (requests, want): (Vec<_>, Vec<_>) = plan.into_iter().unzip();
    let verdicts = ipvs.apply(&requests);
    report.equal("each refusal in a batch is given to its request", &want, &kinds(&verdicts));
    report.equal(
        "the last of a batch may be the refused one",
        &Some(libc::ENOENT),
        &verdicts[14].as_ref().unwrap_err().errno(),
    );
    let missing = [6, 7].map(|index| verdicts[index].as_ref().unwrap_err().is_service_not_found());
    report.equal("a missing service is told from a missing destination", &[true, false], &missing);
    report.equal(
        "what came after refusals was done",
        &7,
        &ipvs.destinations(&at).unwrap()[0].destination.weight.get(),
    );
    report.check(
        "destinations of no service are not found",
        ipvs.destinations(&other).is_err_and(|error| error.is_not_found()),
    );
    report.check(
        "a service that isn't is not found",
        ipvs.service(&other).is_err_and(|error| error.is_not_found()),
    );
    report.equal("confirm finds nothing there", &None, &ipvs.confirm(&other).unwrap());
    report.equal("flush the refusals", &vec!["ok"], &kinds(&ipvs.apply(&[Request::Flush])));
}

/// 1,024 refusals answer one send; with a small receive buffer the sends get smaller instead.
fn many_in_one_send(report: &mut Report, ipvs: &mut Ipvs) {
    let plan = vec![Request::NewService(plain("tcp 10.0.0.1:80", "rr")); 1025];
    for (name, receive_buffer) in [("large", 4 << 20), ("small", 1)] {
        ipvs.apply(&[Request::Flush]);
        let options = Options {
            batch: 1024.try_into().expect("not zero"),
            receive_buffer,
            ..Options::default()
        };
        let verdicts = Ipvs::open(options).expect("open").apply(&plan);
        let kinds = kinds(&verdicts);
        let exists = kinds.iter().filter(|kind| **kind == "exists").count();
        report.equal(
            &format!("1,024 refusals with a {name} buffer"),
            &("ok", 1024),
            &(kinds[0], exists),
        );
    }
    ipvs.apply(&[Request::Flush]);
}

fn idempotent(report: &mut Report, ipvs: &mut Ipvs) {
    let at = key("tcp 10.0.0.1:80");
    let (one, two) =
        (server("10.0.1.1:80", Forward::Masquerade), server("10.0.1.2:80", Forward::Route));
    let plan = [
        Request::SetService(plain("tcp 10.0.0.1:80", "wrr")),
        Request::NewDestination(at, one),
        Request::SetDestination(at, two),
        Request::DeleteService(key("tcp 10.0.0.2:80")),
        Request::DeleteDestination(at, server("10.0.1.3:80", Forward::Route).key),
    ];
    for round in ["first", "second"] {
        report.equal(
            &format!("idempotent changes, {round} time"),
            &vec!["ok"; 5],
            &kinds(&ipvs.apply_idempotent(&plan)),
        );
    }
    report.equal("both destinations are there", &2, &ipvs.destinations(&at).unwrap().len());
    ipvs.apply(&[Request::Flush]);
}

/// This program again, as a user without privilege.
fn unprivileged(report: &mut Report) {
    let copy = "/tmp/guest_check";
    std::fs::copy(std::env::current_exe().expect("program"), copy).expect("copy");
    let output = Command::new(copy).arg("unprivileged").uid(65534).output().expect(copy);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    let want = "changes [\"permission\", \"permission\"], listing permission, file ok";
    report.equal("without privilege only the file is read", &want, &printed.trim());
}

pub(crate) fn as_nobody() {
    // the family can be found by anyone
    let mut ipvs = Ipvs::open(Options::default()).expect("open");
    let listing = ipvs.services().map_or_else(|error| error.kind(), |_| "ok");
    let file = ipvs.table().map_or_else(|error| error.kind(), |_| "ok");
    let changes = kinds(&ipvs.apply(&[Request::ZeroAll, Request::Flush]));
    println!("changes {changes:?}, listing {listing}, file {file}");
}
