//! What owners of services are told, each thing once.

use weir_policy_host::{Failure, FailureKind};

use super::*;
use crate::report::checks::Socket;
use crate::watch::{Problem, Report};

impl Subject {
    /// But for the dataplane, which is set aside in every test here.
    fn told(&self) -> Vec<String> {
        let lines = self.all_told();
        lines.into_iter().filter(|line| !line.contains(" SetAside Dataplane: ")).collect()
    }

    fn all_told(&self) -> Vec<String> {
        let line = |(it, _): (Notice, _)| {
            format!("{} {} {}: {}", it.service, it.reason, it.action, it.note)
        };
        self.told.try_iter().map(line).collect()
    }
}

#[test]
fn what_is_set_aside_is_told_once() {
    let mut it = running(vec![service("web", "10.96.0.1")]);
    let told = it.all_told();
    let want = "shop/web SetAside Dataplane: port 80/tcp: dataplane (default): nftables can't be had on this node; ipvs carries the service";
    assert_eq!(told, [want]);
    it.drive.all.touch(weir_core::model::Touched::all());
    it.wake();
    assert_eq!(it.all_told(), Vec::<String>::new());
}

#[test]
fn a_conflict_is_told_to_who_has_less() {
    let mut it = running(vec![service("web", "10.96.0.1"), service("api", "10.96.0.1")]);
    let want = "shop/web PortConflict LeaveOut: tcp 10.96.0.1:80 belongs to Service shop/api, which is older; not served here";
    assert_eq!(it.told(), [want]);
    it.tell(Event::Changes(vec![service("other", "10.96.0.2")]));
    it.wake();
    assert_eq!(it.told(), Vec::<String>::new());
}

#[test]
fn a_policy_that_fails_is_told_once_for_each_service_until_it_answers_again() {
    let mut it = running(Vec::new());
    let failure = |kind| Failure {
        policy: "mine".into(),
        kind,
        message: "no more".to_owned(),
        stood_in: true,
    };
    let mut round = |failures| {
        it.drive.all.policies.failures = failures;
        it.tell(Event::Changes(vec![service("web", "10.96.0.1")]));
        it.drive.all.touch(weir_core::model::Touched::all());
        it.wake();
        it.told()
    };
    let want = "shop/web PolicyFailed Decide: port 80/tcp: policy mine failed (fuel): no more; its last good answer stands";
    assert_eq!(round(vec![failure(FailureKind::Fuel)]), [want]);
    assert_eq!(round(vec![failure(FailureKind::Fuel)]), Vec::<String>::new());
    assert_eq!(round(Vec::new()), Vec::<String>::new());
    assert_eq!(round(vec![failure(FailureKind::Fuel)]), [want]);
    assert_eq!(round(vec![failure(FailureKind::Fuel), failure(FailureKind::Trap)]).len(), 1);
}

#[test]
fn a_health_check_port_that_can_not_be_opened_is_told_once_for_each_reason() {
    let mut it = running(balanced("web", 30_500));
    assert_eq!(it.told(), Vec::<String>::new());
    let at = "192.0.2.7:30500".parse().unwrap();
    let mut note = |socket| {
        it.drive.shared.checks.note(at, socket);
        it.drive.next_alive = Instant::now();
        it.wake();
        it.told()
    };
    let failed = |why: &str| Some(Socket::Failed(why.to_owned()));
    let want = |why: &str| {
        format!(
            "shop/web FailedToStartServiceHealthcheck Listen: health-check port: can't listen on {at}: {why}; trying again"
        )
    };
    assert_eq!(note(failed("in use")), [want("in use")]);
    assert_eq!(note(failed("in use")), Vec::<String>::new());
    assert_eq!(note(failed("not permitted")), [want("not permitted")]);
    assert_eq!(note(Some(Socket::Open)), Vec::<String>::new());
    assert_eq!(note(failed("in use")), [want("in use")]);
    assert_eq!(note(None), Vec::<String>::new());
}

#[test]
fn two_health_check_services_on_one_port_are_told() {
    let mut it = running(balanced("web", 30_500));
    it.tell(Event::Changes(balanced("api", 30_500)));
    it.wake();
    let want = "shop/web PortConflict LeaveOut: health-check port 30500 belongs to Service shop/api, which is older; not served here";
    assert!(it.told().iter().any(|it| it == want));
}

#[test]
fn an_object_that_is_broken_and_mended_all_day_has_few_lines_and_all_of_the_status() {
    let mut it = running(Vec::new());
    let problem = |namespace: &str| Problem {
        object: Some(format!("Service {namespace}/web")),
        message: "no port".to_owned(),
        ..Problem::default()
    };
    let broken = |of: &str| Report { appeared: vec![problem(of)], ..Report::default() };
    for _ in 0..1000 {
        it.tell(Event::Report(broken("bad")));
        it.tell(Event::Report(Report { mended: vec![problem("bad")], ..Report::default() }));
    }
    it.tell(Event::Report(broken("bad")));
    let untold = it.drive.lines.refused();
    assert!((1900..=2001 - 32).contains(&untold), "{untold} of 2,001");
    it.tell(Event::Report(broken("good")));
    assert_eq!(it.drive.lines.refused(), 0, "it takes no line from others");
    let want = ["Service bad/web: no port", "Service good/web: no port"];
    assert_eq!(it.drive.status().problems, want);
    it.tell(Event::Report(broken("bad")));
    it.drive.next_chores = Instant::now();
    it.wake();
    assert_eq!(it.drive.shared.metrics.services.untold.get(), 1);
}

#[test]
fn objects_of_no_use_are_counted_by_kind_for_as_long_as_they_are_there() {
    let mut it = running(Vec::new());
    let mut ignored = |objects: &[(&str, usize)]| {
        let ignored = objects.iter().map(|(kind, n)| ((*kind).to_owned(), *n)).collect();
        it.tell(Event::Report(Report { ignored: Some(ignored), ..Report::default() }));
        (it.drive.status().to_string(), it.drive.shared.metrics.services.ignored.get())
    };
    let (text, all) = ignored(&[("apps/v1 Deployment", 3), ("v2 Service", 1)]);
    let want = "has no use for, passed over:\n  apps/v1 Deployment: 3\n  v2 Service: 1\n";
    assert!(text.contains(want) && all == 4, "{all}: {text}");
    let (text, all) = ignored(&[("v2 Service", 2)]);
    assert!(text.contains("passed over:\n  v2 Service: 2\n") && all == 2, "{all}: {text}");
    let (text, all) = ignored(&[]);
    assert!(!text.contains("passed over") && all == 0, "{all}: {text}");
}
