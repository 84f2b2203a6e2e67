use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::{Conflict, Ledger};
use crate::drain::Drains;
use crate::fixtures::{any_whole, ip, key, rr, whole};
use crate::kernel::{FakeKernel, Kernel, Observation, Refusal, RefusalKind};
use crate::net::ObjectName;
use crate::net::Protocol::{Tcp, Udp};
use crate::plan::{Operation, Plan};
use crate::state::{Base, Element, KernelState, Key, Virtual, VirtualKey};

fn name(of: &str) -> ObjectName {
    ObjectName::new("shop", of)
}

/// What a service at 10.96.0.1 with these ports wants, without the table.
fn wants(ports: &[u16], server: &str) -> KernelState {
    let one = |port: &u16| (key(Tcp, &format!("10.96.0.1:{port}")), rr(&[(server, 1)]));
    state(&ports.iter().map(one).collect::<Vec<_>>())
}

fn state(virtuals: &[(VirtualKey, Virtual)]) -> KernelState {
    KernelState { base: None, ..whole(virtuals) }
}

/// A ledger that has its table, and a kernel.
fn start() -> (Ledger, FakeKernel) {
    let mut ledger = Ledger::default();
    let mut kernel = FakeKernel::default();
    let base = ledger.set_base(Some(Base::default()));
    assert_eq!(turn(&mut ledger, &mut kernel, &BTreeSet::from_iter(base)).len(), 1);
    assert_eq!(ledger.set_base(Some(Base::default())), None, "nothing changed");
    (ledger, kernel)
}

/// Plans and applies, then once more with every drain at its end; returns all steps.
fn turn(ledger: &mut Ledger, kernel: &mut FakeKernel, keys: &BTreeSet<Key>) -> Vec<String> {
    let mut drains = Drains::new(1, &[]);
    let mut steps = Vec::new();
    for _ in 0..2 {
        let plan = ledger.plan(keys, &mut drains, 0);
        let outcomes = kernel.apply(&plan);
        ledger.settle(&plan, &outcomes);
        steps.extend(plan.operations().iter().map(ToString::to_string));
        drains.look(&kernel.connections(&drains.servers()).unwrap(), 0);
    }
    assert_eq!(drains.servers(), BTreeSet::new());
    steps
}

fn virtuals(kernel: &FakeKernel) -> Vec<String> {
    kernel.state.virtuals.keys().map(ToString::to_string).collect()
}

#[test]
fn a_shared_address_goes_with_its_last_holder() {
    let (mut ledger, mut kernel) = start();
    for (service, port) in [("a", 80), ("b", 81)] {
        let keys = ledger.claim(&name(service), Some(1), wants(&[port], "10.0.0.1:80"));
        turn(&mut ledger, &mut kernel, &keys);
    }
    assert_eq!(virtuals(&kernel), ["tcp 10.96.0.1:80", "tcp 10.96.0.1:81"]);
    let gone = ledger.claim(&name("a"), None, KernelState::default());
    let steps = turn(&mut ledger, &mut kernel, &gone);
    assert_eq!(
        steps,
        ["remove virtual tcp 10.96.0.1:80", "remove element services tcp 10.96.0.1:80"]
    );
    let gone = ledger.claim(&name("b"), None, KernelState::default());
    let steps = turn(&mut ledger, &mut kernel, &gone);
    assert_eq!(
        steps,
        [
            "remove local 10.96.0.1",
            "remove virtual tcp 10.96.0.1:81",
            "remove element services tcp 10.96.0.1:81",
            "remove element vips 10.96.0.1",
        ]
    );
    assert_eq!(kernel.state, whole(&[]), "the table stays");
    assert_eq!(ledger.services().count(), 0);
}

#[test]
fn the_oldest_claim_wins_whatever_comes_first() {
    let cases = [
        ("older by time", [("z", Some(1)), ("a", Some(2))], "z"),
        ("of one age, by name", [("b", Some(1)), ("a", Some(1))], "a"),
        ("no time is younger than any", [("a", None), ("b", Some(i64::MAX - 1))], "b"),
        ("no times, by name", [("b", None), ("a", None)], "a"),
    ];
    for (case, claims, winner) in cases {
        for order in [[0, 1], [1, 0]] {
            let (mut ledger, mut kernel) = start();
            for (service, created) in order.map(|i| claims[i]) {
                let server = if service == winner { "10.0.0.1:80" } else { "10.0.0.2:80" };
                let keys = ledger.claim(&name(service), created, wants(&[80], server));
                turn(&mut ledger, &mut kernel, &keys);
            }
            assert_eq!(kernel.state, whole(&[web("10.0.0.1:80")]), "{case}");
            let loser = claims.iter().find(|(s, _)| *s != winner).map(|(s, _)| name(s)).unwrap();
            let key = web("10.0.0.1:80").0;
            let want = Conflict { key, winner: name(winner), loser: loser.clone() };
            assert_eq!(ledger.conflicts(Key::Virtual(key)), std::slice::from_ref(&want), "{case}");
            assert_eq!(ledger.all_conflicts(), [want], "{case}");
            let gone = ledger.claim(&name(winner), None, KernelState::default());
            turn(&mut ledger, &mut kernel, &gone);
            assert_eq!(kernel.state, whole(&[web("10.0.0.2:80")]), "{case}: the loser takes over");
            assert_eq!(ledger.conflicts(Key::Virtual(key)), [], "{case}");
        }
    }
}

/// The virtual service 10.96.0.1:80 with this server.
fn web(server: &str) -> (VirtualKey, Virtual) {
    (key(Tcp, "10.96.0.1:80"), rr(&[(server, 1)]))
}

#[test]
fn a_takeover_does_not_interrupt_the_virtual_service() {
    let (mut ledger, mut kernel) = start();
    for (service, server) in [("a", "10.0.0.1:80"), ("b", "10.0.0.2:80")] {
        let keys = ledger.claim(&name(service), Some(1), wants(&[80], server));
        turn(&mut ledger, &mut kernel, &keys);
    }
    let gone = ledger.claim(&name("a"), None, KernelState::default());
    assert_eq!(
        turn(&mut ledger, &mut kernel, &gone),
        [
            "add destination tcp 10.96.0.1:80 -> 10.0.0.2:80 weight 1",
            "set destination tcp 10.96.0.1:80 -> 10.0.0.1:80 weight 0",
            "remove destination tcp 10.96.0.1:80 -> 10.0.0.1:80",
        ]
    );
}

#[test]
fn a_claim_looks_at_its_own_objects_only() {
    let (mut ledger, _) = start();
    for n in 0..1000u16 {
        let to = format!("10.97.{}.{}:80", n / 200, n % 200 + 1);
        ledger.claim(&name(&format!("s{n}")), Some(1), state(&[(key(Tcp, &to), rr(&[]))]));
    }
    let old = ledger.claim(&name("a"), Some(1), wants(&[80], "10.0.0.1:80"));
    let new = ledger.claim(&name("a"), Some(1), wants(&[81], "10.0.0.1:80"));
    let keys = |ports: &[u16]| {
        let of_port = |port: &u16| {
            let key = key(Tcp, &format!("10.96.0.1:{port}"));
            [Key::Virtual(key), Key::Element(Element::Service(key))]
        };
        let address = [Key::Local(ip("10.96.0.1")), Key::Element(Element::Vip(ip("10.96.0.1")))];
        ports.iter().flat_map(of_port).chain(address).collect::<BTreeSet<_>>()
    };
    assert_eq!((old, new), (keys(&[80]), keys(&[80, 81])), "what it wants, and what it wanted");
    let empty = ledger.claim(&name("unknown"), None, KernelState::default());
    assert!(empty.is_empty());
    assert_eq!(ledger.wanting(Key::Virtual(key(Tcp, "10.96.0.1:81"))), [name("a")].into());
    assert!(ledger.wanting(Key::Virtual(key(Tcp, "10.96.0.1:80"))).is_empty());
    assert!(ledger.wanted_by(&name("a")).is_some() && ledger.wanted_by(&name("b")).is_none());
}

/// Somebody else's virtual service, as a look shows it.
fn foreign(kernel: &mut FakeKernel, key: VirtualKey) {
    kernel.state.virtuals.insert(key, rr(&[("203.0.113.1:80", 1)]).into());
}

#[test]
fn what_somebody_else_made_is_left_alone() {
    let (mut ledger, mut kernel) = start();
    foreign(&mut kernel, key(Tcp, "10.96.0.1:80"));
    ledger.observed(kernel.observe().unwrap());
    let before = kernel.state.clone();
    let keys = ledger.claim(&name("a"), Some(1), wants(&[80], "10.0.0.1:80"));
    assert_eq!(turn(&mut ledger, &mut kernel, &keys), Vec::<String>::new());
    assert_eq!(kernel.state, before);
    let gone = ledger.claim(&name("a"), None, KernelState::default());
    assert_eq!(turn(&mut ledger, &mut kernel, &gone), Vec::<String>::new());
    assert_eq!(kernel.state, before);
}

#[test]
fn a_foreign_port_is_not_refused_at_an_address_that_we_share() {
    let (mut ledger, mut kernel) = start();
    foreign(&mut kernel, key(Tcp, "10.96.0.1:80"));
    ledger.observed(kernel.observe().unwrap());
    let keys = ledger.claim(&name("a"), Some(1), wants(&[80, 81], "10.0.0.1:80"));
    assert_eq!(
        turn(&mut ledger, &mut kernel, &keys),
        [
            "add element services tcp 10.96.0.1:81",
            "add virtual tcp 10.96.0.1:81 rr",
            "add destination tcp 10.96.0.1:81 -> 10.0.0.1:80 weight 1",
            "add local 10.96.0.1",
        ]
    );
}

#[test]
fn what_somebody_gave_up_is_taken() {
    let (mut ledger, mut kernel) = start();
    foreign(&mut kernel, key(Tcp, "10.96.0.1:80"));
    ledger.observed(kernel.observe().unwrap());
    let keys = ledger.claim(&name("a"), Some(1), wants(&[80], "10.0.0.1:80"));
    turn(&mut ledger, &mut kernel, &keys);
    kernel.state.virtuals.clear();
    let keys = ledger.observed(kernel.observe().unwrap());
    turn(&mut ledger, &mut kernel, &keys);
    assert_eq!(kernel.state, whole(&[web("10.0.0.1:80")]));
}

#[test]
fn a_refusal_can_tell_that_it_is_somebody_elses() {
    let (mut ledger, mut kernel) = start();
    foreign(&mut kernel, key(Tcp, "10.96.0.1:80"));
    let theirs = kernel.state.virtuals.clone();
    let keys = ledger.claim(&name("a"), Some(1), wants(&[80], "10.0.0.1:80"));
    turn(&mut ledger, &mut kernel, &keys);
    assert_eq!(ledger.foreign(), &BTreeSet::from([key(Tcp, "10.96.0.1:80")]));
    turn(&mut ledger, &mut kernel, &keys);
    assert_eq!(
        kernel.state,
        KernelState { virtuals: theirs, ..whole(&[]) },
        "all that we had put beside it is gone"
    );
    assert_eq!(turn(&mut ledger, &mut kernel, &keys), Vec::<String>::new());
}

#[test]
fn what_was_refused_is_not_known_and_planned_again() {
    let (mut ledger, mut kernel) = start();
    let (key, _) = web("10.0.0.1:80");
    let refused =
        Operation::AddDestination(key, crate::fixtures::at("10.0.0.1:80"), crate::state::Weight(1));
    let refusal = Refusal::new(RefusalKind::Other, "Cannot allocate memory");
    kernel.refuse.push((refused.clone(), refusal.clone()));
    let keys = ledger.claim(&name("a"), Some(1), wants(&[80], "10.0.0.1:80"));
    let plan = ledger.plan(&keys, &mut Drains::default(), 0);
    let outcomes = kernel.apply(&plan);
    let told = ledger.settle(&plan, &outcomes);
    assert_eq!(format!("{told:?}").matches("Cannot allocate memory").count(), 1);
    assert_eq!(ledger.known(), &kernel.state, "the other steps are known");
    kernel.refuse.clear();
    assert_eq!(turn(&mut ledger, &mut kernel, &keys), [refused.to_string()]);
    assert_eq!(kernel.state, whole(&[web("10.0.0.1:80")]));
}

#[test]
fn a_look_tells_what_differs() {
    let (mut ledger, mut kernel) = start();
    let keys = ledger.claim(&name("a"), Some(1), wants(&[80, 81], "10.0.0.1:80"));
    turn(&mut ledger, &mut kernel, &keys);
    assert_eq!(ledger.observed(kernel.observe().unwrap()), [].into(), "nothing moved");
    let emptied = kernel.state.virtuals.get_mut(&key(Tcp, "10.96.0.1:80")).unwrap();
    Arc::make_mut(emptied).destinations.clear();
    kernel.state.locals.insert(ip("10.96.0.9"));
    kernel.state.elements.remove(&Element::Vip(ip("10.96.0.1")));
    let differs = ledger.observed(kernel.observe().unwrap());
    let want = [
        Key::Virtual(key(Tcp, "10.96.0.1:80")),
        Key::Local(ip("10.96.0.9")),
        Key::Element(Element::Vip(ip("10.96.0.1"))),
    ];
    assert_eq!(differs, want.into());
    assert_eq!(ledger.moved(), 3);
    assert_eq!(
        turn(&mut ledger, &mut kernel, &differs),
        [
            "add element vips 10.96.0.1",
            "add destination tcp 10.96.0.1:80 -> 10.0.0.1:80 weight 1",
            "remove local 10.96.0.9",
        ]
    );
    assert_eq!(ledger.observed(kernel.observe().unwrap()), [].into());
}

#[test]
fn what_others_do_with_their_own_is_no_change_of_ours() {
    let (mut ledger, mut kernel) = start();
    foreign(&mut kernel, key(Tcp, "192.0.2.1:80"));
    assert_eq!(ledger.observed(kernel.observe().unwrap()).len(), 4, "and what may stand beside it");
    assert_eq!(ledger.moved(), 0);
}

#[test]
fn a_look_at_a_flushed_kernel_restores_all() {
    let (mut ledger, mut kernel) = start();
    let keys = ledger.claim(&name("a"), Some(1), wants(&[80, 81], "10.0.0.1:80"));
    turn(&mut ledger, &mut kernel, &keys);
    let right = std::mem::take(&mut kernel.state);
    let keys = ledger.observed(Observation::default());
    turn(&mut ledger, &mut kernel, &keys);
    assert_eq!(kernel.state, right);
}

#[test]
fn a_look_at_the_table_alone_finds_what_is_spoilt_there_and_keeps_the_rest() {
    let (mut ledger, mut kernel) = start();
    let keys = ledger.claim(&name("a"), Some(1), wants(&[80], "10.0.0.1:80"));
    turn(&mut ledger, &mut kernel, &keys);
    assert_eq!(ledger.observed_table(kernel.observe_table().unwrap()), [].into());
    let right = kernel.state.clone();
    kernel.state.base = None;
    kernel.state.elements.clear();
    kernel.state.locals.clear();
    let keys = ledger.observed_table(kernel.observe_table().unwrap());
    assert_eq!((keys.len(), ledger.moved()), (3, 3), "{keys:?}");
    turn(&mut ledger, &mut kernel, &keys);
    let table = |of: &KernelState| (of.base.clone(), of.elements.clone());
    assert_eq!(table(&kernel.state), table(&right));
    assert_eq!(ledger.known(), &right, "the address is still taken to be there");
}

#[test]
fn what_an_earlier_run_left_is_removed_and_what_is_right_stays() {
    let (mut ledger, mut kernel) = (Ledger::default(), FakeKernel::default());
    kernel.state = whole(&[web("10.0.0.1:80"), (key(Udp, "10.96.0.7:53"), rr(&[]))]);
    ledger.set_base(Some(Base::default()));
    let mut keys = ledger.observed(kernel.observe().unwrap());
    keys.extend(ledger.claim(&name("a"), Some(1), wants(&[80], "10.0.0.1:80")));
    assert_eq!(
        turn(&mut ledger, &mut kernel, &keys),
        [
            "remove local 10.96.0.7",
            "remove virtual udp 10.96.0.7:53",
            "remove element services udp 10.96.0.7:53",
            "remove element vips 10.96.0.7",
        ]
    );
    assert!(ledger.plan(&ledger.all_keys(), &mut Drains::default(), 0).is_empty());
}

proptest! {
    /// However claims come and go, touched objects alone lead to what all claims together want.
    #[test]
    fn planning_what_is_touched_is_enough(
        claims in proptest::collection::vec((0..4u8, 0..3i64, any_whole()), 1..12),
    ) {
        let (mut ledger, mut kernel) = start();
        for (service, created, wanted) in claims {
            let wanted = KernelState { base: None, ..wanted };
            let keys = ledger.claim(&name(&service.to_string()), Some(created), wanted);
            turn(&mut ledger, &mut kernel, &keys);
            prop_assert_eq!(&kernel.state, ledger.known());
            prop_assert_eq!(&kernel.state, &ledger.desired(&ledger.all_keys()));
            let rest: Plan = ledger.plan(&ledger.all_keys(), &mut Drains::default(), 0);
            prop_assert!(rest.is_empty(), "left to do: {}", rest);
        }
    }
}
