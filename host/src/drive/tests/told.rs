//! What owners of services are told, each thing once.

use weir_policy_host::{Failure, FailureKind};

use super::*;
use crate::report::checks::Socket;

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
