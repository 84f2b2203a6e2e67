//! Checks the crate against a real kernel, with `ipvsadm` as the oracle. For a guest that may be
//! changed: it needs root, IPVS and no service of anyone else.
//!
//! `guest_check` runs every check; `guest_check absent` expects a kernel without IPVS.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test program: it prints, and stops where it can't go on"
)]

mod cases;
mod namespace;
mod refusals;
mod report;
mod tearing;
mod traffic;

use std::io::Write;
use std::process::{Command, ExitCode, Stdio};

use ipvs_rs::{
    Destination, Ipvs, Options, Request, Service, ServiceTable, TableKey, Thresholds, Timeouts,
};

use cases::{Case, key, plain, server};
use namespace::run;
use report::Report;

fn main() -> ExitCode {
    let mut report = Report::default();
    match std::env::args().nth(1).as_deref() {
        Some("absent") => absent(&mut report),
        Some("unprivileged") => refusals::as_nobody(),
        Some(other) => panic!("no such check: {other}"),
        None => everything(&mut report),
    }
    report.code()
}

fn everything(report: &mut Report) {
    let mut ipvs = Ipvs::open(Options::default()).expect("IPVS");
    information(report, &mut ipvs);
    let cases = cases::all(two_choices(&mut ipvs));
    written(report, &mut ipvs, &cases);
    read(report, &mut ipvs, &cases);
    changed(report, &mut ipvs);
    thresholds(report, &mut ipvs);
    timeouts(report, &mut ipvs);
    refusals::all(report, &mut ipvs);
    traffic::all(report, &mut ipvs);
    many(report, &mut ipvs);
    tearing::all(report, &mut ipvs);
    namespaces(report, &mut ipvs);
}

fn absent(report: &mut Report) {
    let error = Ipvs::open(Options::default()).err();
    report.check(
        "a kernel without IPVS is told apart",
        error.as_ref().is_some_and(ipvs_rs::Error::is_unavailable),
    );
    println!("# {error:?}");
}

fn information(report: &mut Report, ipvs: &mut Ipvs) {
    let info = ipvs.info().unwrap();
    let header = run(&["ipvsadm", "-Ln"]);
    let want =
        format!("IP Virtual Server version {} (size={})", info.version, info.connection_table_size);
    report.equal(
        "version and size are those of ipvsadm",
        &want.as_str(),
        &header.lines().next().unwrap(),
    );
    report.equal("the file says the same", &info, &ipvs.table().unwrap().info);
}

fn requests(cases: &[Case]) -> Vec<Request> {
    let mut plan = Vec::new();
    for case in cases {
        plan.push(Request::NewService(case.service.clone()));
        let all = case.destinations.iter();
        plan.extend(
            all.map(|(destination, _)| Request::NewDestination(*case.service.key(), *destination)),
        );
    }
    plan
}

fn lines(cases: &[Case]) -> Vec<String> {
    let with = |case: &Case| {
        let destinations = case.destinations.iter().map(|(_, line)| line.clone());
        std::iter::once(case.line.clone()).chain(destinations).collect::<Vec<_>>()
    };
    cases.iter().flat_map(with).collect()
}

fn apply(report: &mut Report, ipvs: &mut Ipvs, text: &str, plan: &[Request]) {
    let failed: Vec<String> = ipvs
        .apply(plan)
        .into_iter()
        .filter_map(Result::err)
        .map(|error| format!("{error}: {}", error.cause()))
        .collect();
    report.equal(text, &Vec::<String>::new(), &failed);
}

fn saved() -> Vec<String> {
    run(&["ipvsadm", "-Sn"]).lines().map(str::to_owned).collect()
}

fn two_choices(ipvs: &mut Ipvs) -> bool {
    let twos = Request::NewService(plain("tcp 10.0.0.1:80", "twos"));
    let known = match ipvs.apply_one(&twos) {
        Ok(()) => true,
        Err(error) if error.is_unknown_scheduler() => false,
        Err(error) => panic!("{error}: {}", error.cause()),
    };
    println!("ok - the kernel says whether it has twos # {known}");
    assert!(ipvs.apply_one(&Request::Flush).is_ok());
    known
}

fn written(report: &mut Report, ipvs: &mut Ipvs, cases: &[Case]) {
    apply(report, ipvs, "every kind of service and destination is taken", &requests(cases));
    report.same("ipvsadm -Sn lists exactly what was written", &lines(cases), &saved());
    compare(report, ipvs, cases, "our own listing is what was written");
    table(report, ipvs, cases);
    apply(report, ipvs, "flush", &[Request::Flush]);
    report.equal("nothing is left", &Vec::new(), &saved());
}

fn read(report: &mut Report, ipvs: &mut Ipvs, cases: &[Case]) {
    let mut child = Command::new("ipvsadm").arg("-R").stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all((lines(cases).join("\n") + "\n").as_bytes()).unwrap();
    report.check("ipvsadm -R takes the same lines", child.wait().unwrap().success());
    compare(report, ipvs, cases, "what ipvsadm wrote is what we read");
    let deletions: Vec<_> =
        cases.iter().map(|case| Request::DeleteService(*case.service.key())).collect();
    apply(report, ipvs, "every service is deleted by its key", &deletions);
    report.equal("nothing is left after that", &0, &ipvs.services().unwrap().len());
}

fn compare(report: &mut Report, ipvs: &mut Ipvs, cases: &[Case], text: &str) {
    let listed: Vec<Service> =
        ipvs.services().unwrap().into_iter().map(|entry| entry.service).collect();
    let want: Vec<Service> = cases.iter().map(|case| case.service.clone()).collect();
    report.same(&format!("{text}: services"), &want, &listed);
    let (mut want, mut got) = (Vec::new(), Vec::new());
    for case in cases {
        let key = *case.service.key();
        want.extend(case.destinations.iter().map(|(destination, _)| (key, *destination)));
        got.extend(
            ipvs.destinations(&key).unwrap().into_iter().map(|entry| (key, entry.destination)),
        );
    }
    report.same(&format!("{text}: destinations"), &want, &got);
    let single =
        cases.iter().all(|case| ipvs.service(case.service.key()).unwrap().service == case.service);
    report.check(&format!("{text}: one at a time"), single);
}

fn table(report: &mut Report, ipvs: &mut Ipvs, cases: &[Case]) {
    let table = ipvs.table().unwrap();
    report.equal("the file has every service", &cases.len(), &table.services.len());
    let unlike: Vec<_> =
        cases.iter().filter(|case| !told(&table, case)).map(|case| case.line.clone()).collect();
    report.equal("the file tells each service and its destinations", &Vec::new(), &unlike);
}

fn told(table: &ServiceTable, case: &Case) -> bool {
    let fits = |destinations: &[ipvs_rs::TableDestination], mine: &Destination| {
        destinations.iter().any(|found| found.may_be(mine))
    };
    table.services.iter().any(|found| {
        matches!(found.key, TableKey::Address(_) | TableKey::Fwmark(_))
            && found.may_be(&case.service)
            && found.destinations.len() == case.destinations.len()
            && case.destinations.iter().all(|(mine, _)| fits(&found.destinations, mine))
    })
}

fn changed(report: &mut Report, ipvs: &mut Ipvs) {
    let at = key("udp 10.0.0.1:53");
    let first =
        cases::all(false).into_iter().find(|case| *case.service.key() == at).unwrap().service;
    let one = server("10.0.1.1:53", ipvs_rs::Forward::Masquerade);
    let gue = cases::all(false).swap_remove(0).destinations[5].0;
    let moved = Destination { key: one.key, ..gue }.with_weight(9.into());
    let plan = [
        Request::NewService(first),
        Request::NewDestination(at, one),
        Request::SetService(
            plain("udp 10.0.0.1:53", "sh").with_flags(ipvs_rs::ServiceFlags::SH_PORT),
        ),
        Request::SetDestination(at, moved),
    ];
    apply(report, ipvs, "a service and a destination are changed", &plan);
    let want = [
        "-A -u 10.0.0.1:53 -s sh -b sh-port".to_owned(),
        "-a -u 10.0.0.1:53 -r 10.0.1.1:53 -i -w 9 --tun-type gue --tun-port 6080 --tun-remcsum"
            .to_owned(),
    ];
    report.same("nothing of the old settings stays", &want, &saved());
    apply(report, ipvs, "the tunnel is set back", &[Request::SetDestination(at, one)]);
    report.equal("and is gone", &one, &ipvs.destinations(&at).unwrap()[0].destination);
    apply(report, ipvs, "the destination is deleted", &[Request::DeleteDestination(at, one.key)]);
    report.equal("the service is empty", &0, &ipvs.destinations(&at).unwrap().len());
    apply(report, ipvs, "the service is deleted", &[Request::DeleteService(at)]);
}

/// `ipvsadm -Sn` forgets thresholds; another listing has them.
fn thresholds(report: &mut Report, ipvs: &mut Ipvs) {
    let at = key("tcp 10.0.0.1:80");
    let limited = server("10.0.1.1:80", ipvs_rs::Forward::Masquerade)
        .with_thresholds(Thresholds::new(100, 50).unwrap());
    let plan =
        [Request::NewService(plain("tcp 10.0.0.1:80", "lc")), Request::NewDestination(at, limited)];
    apply(report, ipvs, "thresholds are taken", &plan);
    let listed = run(&["ipvsadm", "-Ln", "--thresholds"]);
    let line = listed.lines().last().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    report.equal("ipvsadm lists the thresholds", &"-> 10.0.1.1:80 100 50 0 0", &line.as_str());
    report.equal(
        "we read the thresholds",
        &limited,
        &ipvs.destinations(&at).unwrap()[0].destination,
    );
    apply(report, ipvs, "flush the thresholds", &[Request::Flush]);
}

fn timeouts(report: &mut Report, ipvs: &mut Ipvs) {
    let before = ipvs.timeouts().unwrap();
    let set = Timeouts { tcp: 901, tcp_fin: 121, udp: 301 };
    apply(report, ipvs, "timeouts are taken", &[Request::SetTimeouts(set)]);
    let listed = run(&["ipvsadm", "-L", "--timeout"]);
    report.equal(
        "ipvsadm lists the timeouts",
        &"Timeout (tcp tcpfin udp): 901 121 301",
        &listed.trim(),
    );
    run(&["ipvsadm", "--set", "902", "122", "302"]);
    let want = Timeouts { tcp: 902, tcp_fin: 122, udp: 302 };
    report.equal("timeouts that ipvsadm set are read", &want, &ipvs.timeouts().unwrap());
    apply(
        report,
        ipvs,
        "zeros are taken",
        &[Request::SetTimeouts(Timeouts { tcp: 0, tcp_fin: 0, udp: 303 })],
    );
    report.equal("and leave what was", &Timeouts { udp: 303, ..want }, &ipvs.timeouts().unwrap());
    apply(report, ipvs, "timeouts are put back", &[Request::SetTimeouts(before)]);
}

fn many(report: &mut Report, ipvs: &mut Ipvs) {
    let mut plan = Vec::new();
    for number in 0..10_000u32 {
        let at = format!("tcp 10.{}.{}.1:80", 100 + number / 256, number % 256);
        plan.push(Request::NewService(plain(&at, "rr")));
        for host in 1..=2 {
            let server =
                server(&format!("10.9.{}.{host}:80", number % 256), ipvs_rs::Forward::Masquerade);
            plan.push(Request::NewDestination(key(&at), server));
        }
    }
    apply(report, ipvs, "10,000 services with 2 destinations are taken", &plan);
    report.equal("all are listed", &10_000, &ipvs.services().unwrap().len());
    let table = ipvs.table().unwrap();
    let servers: usize = table.services.iter().map(|service| service.destinations.len()).sum();
    report.equal("all are in the file", &(10_000, 20_000), &(table.services.len(), servers));
    let again = ipvs.apply(&plan[..3_000]);
    let exists = again
        .iter()
        .filter(|verdict| verdict.as_ref().is_err_and(ipvs_rs::Error::is_exists))
        .count();
    report.equal("3,000 refusals come back, none is lost", &3_000, &exists);
    apply(report, ipvs, "flush the 10,000", &[Request::Flush]);
}

fn namespaces(report: &mut Report, ipvs: &mut Ipvs) {
    let at = key("tcp 10.0.0.1:80");
    let plan = [
        Request::NewService(plain("tcp 10.0.0.1:80", "rr")),
        Request::NewDestination(at, server("10.0.1.1:80", ipvs_rs::Forward::Masquerade)),
    ];
    apply(report, ipvs, "a service outside", &plan[..1]);
    namespace::make("inner", false);
    let (seen, verdicts, mut moved) = namespace::within("inner", || {
        let mut inner = Ipvs::open(Options::default()).unwrap();
        let seen = (inner.services().unwrap().len(), inner.table().unwrap().services.len());
        (seen, inner.apply(&plan), inner)
    });
    report.equal("a namespace has its own services, in the file too", &(0, 0), &seen);
    let kinds: Vec<_> = verdicts
        .iter()
        .map(|it| it.as_ref().map_or_else(ipvs_rs::Error::kind, |()| "ok"))
        .collect();
    report.equal("without lo, a destination is invalid", &vec!["ok", "invalid"], &kinds);
    // used from outside, the handle still speaks to the namespace it was opened in
    let outside =
        (ipvs.table().unwrap().services[0].destinations.len(), ipvs.services().unwrap().len());
    run(&["ip", "-n", "inner", "link", "set", "lo", "up"]);
    apply(report, &mut moved, "with lo up the destination is taken", &plan[1..]);
    let inside = moved.table().unwrap().services[0].destinations.len();
    report.equal("a handle stays in its namespace", &((0, 1), 1), &(outside, inside));
    drop(moved);
    namespace::delete("inner");
    apply(report, ipvs, "flush outside", &[Request::Flush]);
}
