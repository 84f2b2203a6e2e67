//! Policies whose answers are dear: what a turn may cost, and who waits for whom.

use weir_core::kernel::FakeKernel;
use weir_core::model::ServicePort;
use weir_core::net::Port;
use weir_core::wish::Wish;

use super::tests::{Subject, service, subject};
use super::*;

const DEAR: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(2);

/// A service of so many ports.
pub(crate) fn with_ports(namespace: &str, name: &str, address: &str, ports: u16) -> Change {
    let Change::Service(mut it) = service(name, address) else { unreachable!() };
    it.name = ObjectName::new(namespace, name);
    let port = |n| ServicePort {
        name: format!("p{n}"),
        port: Port::new(1000 + n).unwrap(),
        ..it.ports[0].clone()
    };
    it.ports = (0..ports).map(port).collect();
    Change::Service(it)
}

/// Every policy's answer for these namespaces is dear, and says `mh`.
fn dear(namespaces: &[&str]) -> Subject {
    let wish = Wish { scheduler: Some("mh".to_owned()), ..Wish::default() };
    let mut all = subject(FakeKernel::default(), wish);
    all.policies.costs = namespaces.iter().map(|name| ((*name).to_owned(), DEAR)).collect();
    all.set_patience(Patience { first: PATIENCE, later: PATIENCE });
    all
}

/// The ports of a service on which the policy decided.
fn decided(all: &Subject, service: &str) -> usize {
    let ports = all.decided(&service.parse().unwrap()).expect("it was worked out");
    ports.values().filter(|it| it.decision.scheduler.value == Scheduler::Mh).count()
}

/// Turns until nothing is due; how many, and the longest that policies ran in one.
fn turn_on(all: &mut Subject) -> (usize, Duration) {
    let (mut turns, mut longest) = (0, Duration::ZERO);
    while let Some(due) = all.due() {
        let before = all.policies.ran;
        all.turn(due).unwrap();
        longest = longest.max(all.policies.ran - before);
        turns += 1;
    }
    (turns, longest)
}

#[test]
fn many_dear_ports_of_one_namespace_hold_up_nobody_else() {
    let mut all = dear(&["bad", "shop"]);
    all.fold(vec![with_ports("bad", "a", "10.96.0.1", 400), service("web", "10.96.0.2")], 0);
    let turn = all.turn(0).unwrap();
    assert!(all.policies.ran <= PATIENCE + DEAR, "{:?}", all.policies.ran);
    assert_eq!(decided(&all, "shop/web"), 1, "in the first turn");
    assert_eq!(all.kernel.state.virtuals.len(), 401, "the others are served as by default");
    let Deferred { ports, dearest } = turn.deferred.unwrap();
    assert_eq!((ports, &*dearest), (400 - decided(&all, "bad/a"), "bad"));
    assert!(turn.failed.is_empty(), "nothing failed");

    all.fold(vec![with_ports("new", "web", "10.96.0.3", 1)], 0);
    let turn = all.turn(1).unwrap();
    assert_eq!(decided(&all, "new/web"), 1, "who comes meanwhile is not the last");
    assert!(turn.deferred.is_some());

    let (turns, longest) = turn_on(&mut all);
    assert!(longest <= PATIENCE + DEAR, "{longest:?}");
    assert!((8..=9).contains(&turns), "16 s of policies in turns of two: {turns}");
    assert_eq!(decided(&all, "bad/a"), 400, "in the end all are decided");
    assert_eq!(all.policies.asked.len(), 402, "each asked once");
}

#[test]
fn a_dear_service_holds_up_no_other_of_its_namespace_for_long() {
    let mut all = dear(&["bad"]);
    all.fold(
        vec![with_ports("bad", "a", "10.96.0.1", 100), with_ports("bad", "b", "10.96.0.2", 1)],
        0,
    );
    all.turn(0).unwrap();
    assert_eq!(decided(&all, "bad/b"), 1);
    turn_on(&mut all);
    assert_eq!(decided(&all, "bad/a"), 100);
}

#[test]
fn what_was_decided_stays_as_it_is_while_it_waits() {
    let mut all = dear(&["bad"]);
    all.fold(vec![with_ports("bad", "a", "10.96.0.1", 30)], 0);
    assert!(all.turn(0).unwrap().deferred.is_none());
    // Its ports are asked about anew, and there is no time.
    all.policies.known.clear();
    all.set_patience(Patience { first: Duration::ZERO, later: Duration::ZERO });
    all.touch(Touched::all());
    let turn = all.turn(1).unwrap();
    assert_eq!(turn.deferred.unwrap().ports, 30);
    assert!(turn.plan.is_empty(), "{}", turn.plan);
}
