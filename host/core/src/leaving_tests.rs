use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use super::{Leaving, Saved};
use crate::drain::Drains;
use crate::fixtures::{at, key};
use crate::kernel::{Refusal, RefusalKind};
use crate::net::Family;
use crate::net::Protocol::{self, Sctp, Tcp, Udp};
use crate::plan::Plan;
use crate::state::{Class, KernelState, Key, Leg, Nat, Pick, VirtualKey};

const LIMIT: u64 = 900_000;
const A: &str = "10.0.0.1:80";
const B: &str = "10.0.0.2:80";

/// A service port, 10.96.0.1:80, on nftables with these servers.
fn state(key: VirtualKey, servers: &[&str]) -> KernelState {
    let count = u32::try_from(servers.len()).ok().and_then(NonZeroU32::new);
    let class = count.map(|slots| {
        let (family, pick) = (Family::V4, Pick::Random);
        Class { family, pick, slots, sticky: None, inside: false }
    });
    let main = Leg { class, slots: servers.iter().map(|to| Some(at(to))).collect() };
    let nats = [(key, Nat { main, ..Nat::default() }.into())].into();
    KernelState { nats, ..KernelState::default() }
}

struct World {
    key: VirtualKey,
    known: KernelState,
    leaving: Leaving,
}

impl World {
    fn new(protocol: Protocol, servers: &[&str]) -> Self {
        let key = key(protocol, "10.96.0.1:80");
        Self { key, known: state(key, servers), leaving: Leaving::new(LIMIT, &[]) }
    }

    /// Nftables has these servers now, and `takes` are wanted as well. What is done by it.
    fn has(&mut self, servers: &[&str], takes: &[&str], now: u64) -> Vec<String> {
        let desired = state(self.key, servers);
        let keys = [Key::Virtual(self.key)].into();
        let wanted: BTreeSet<_> = servers.iter().chain(takes).map(|to| at(to)).collect();
        self.leaving.note(&keys, &self.known, &desired, |(_, to)| wanted.contains(to), now);
        self.known = desired;
        self.ends(now)
    }

    fn ends(&mut self, now: u64) -> Vec<String> {
        let plan = Plan::new(self.leaving.ends(&[Key::Virtual(self.key)].into(), now));
        self.leaving.settle(&plan, &vec![Ok(()); plan.len()]);
        plan.operations().iter().map(ToString::to_string).collect()
    }

    /// A look finds so many connections.
    fn look(&mut self, open: &[(&str, u64)], now: u64) -> usize {
        let open: BTreeMap<_, _> = open.iter().map(|(to, n)| ((self.key, at(to)), *n)).collect();
        self.leaving.look(&open, now).len()
    }

    fn left(&self) -> Vec<String> {
        self.leaving.of(self.key).map(|to| to.to_string()).collect()
    }
}

const NOTHING: [String; 0] = [];

#[test]
fn connections_of_a_server_that_left_end_when_late() {
    for protocol in [Tcp, Sctp] {
        let mut world = World::new(protocol, &[A, B]);
        assert_eq!(world.has(&[B], &[], 1000), NOTHING);
        assert_eq!(world.left(), [A]);
        assert_eq!(world.look(&[(A, 2)], LIMIT), 0, "not yet");
        assert_eq!(world.has(&[B], &[], LIMIT), NOTHING, "planned again");
        assert_eq!(world.look(&[(A, 2)], 1000 + LIMIT), 1);
        let want = format!("end connections {protocol} 10.96.0.1:80 to {A}");
        assert_eq!(world.ends(1000 + LIMIT), [want]);
        assert_eq!(world.left(), NOTHING);
    }
}

#[test]
fn udp_has_nothing_to_wait_for() {
    let mut world = World::new(Udp, &[A, B]);
    world.has(&[B], &[], 0);
    assert_eq!(world.leaving, Leaving::new(LIMIT, &[]));
}

#[test]
fn one_that_is_idle_is_waited_for_no_longer() {
    let mut world = World::new(Tcp, &[A, B]);
    world.has(&[], &[], 0);
    assert_eq!(world.left(), [A, B], "a service that goes leaves its connections, too");
    assert_eq!(world.look(&[(A, 1), (B, 0)], 1), 0);
    assert_eq!(world.left(), [A]);
    assert_eq!(world.look(&[], 2), 0);
    assert_eq!(world.left(), NOTHING);
}

#[test]
fn one_that_comes_back_has_left_never() {
    let mut world = World::new(Tcp, &[A, B]);
    world.has(&[B], &[], 0);
    world.has(&[A, B], &[], 1);
    assert_eq!(world.left(), NOTHING);
    assert_eq!(world.has(&[A, B], &[], LIMIT * 2), NOTHING);
    world.has(&[B], &[], LIMIT * 2);
    assert_eq!(world.has(&[B], &[], LIMIT * 2 + 1), NOTHING, "it begins anew");
}

#[test]
fn one_without_a_share_may_keep_what_it_has_until_it_leaves() {
    let mut world = World::new(Tcp, &[A, B]);
    world.has(&[B], &[A], 0);
    assert_eq!(world.left(), NOTHING);
    assert_eq!(world.look(&[], 1), 0);
    assert_eq!(world.has(&[B], &[A], LIMIT * 2), NOTHING);
    assert_eq!(world.has(&[B], &[], LIMIT * 2), NOTHING, "only now it leaves");
    assert_eq!(world.left(), [A]);
    assert_eq!(world.ends(LIMIT * 3).len(), 1);
}

#[test]
fn one_that_left_and_is_wanted_without_a_share_is_not_late() {
    let mut world = World::new(Tcp, &[A, B]);
    world.has(&[B], &[], 0);
    assert_eq!(world.has(&[B], &[A], LIMIT), NOTHING);
    assert_eq!(world.left(), NOTHING);
}

#[test]
fn without_a_limit_to_wait_for_they_end_at_once() {
    let mut world = World::new(Tcp, &[A, B]);
    world.leaving = Leaving::new(0, &[]);
    assert_eq!(world.has(&[B], &[], 5), ["end connections tcp 10.96.0.1:80 to 10.0.0.1:80"]);
    assert_eq!(world.left(), NOTHING);
}

#[test]
fn another_limit_holds_for_those_that_have_left() {
    let mut world = World::new(Tcp, &[A, B]);
    let mut drains = Drains::new(LIMIT, &[]);
    drains.leaving = std::mem::take(&mut world.leaving);
    drains.set_limit(10);
    world.leaving = drains.leaving;
    assert_eq!(world.has(&[B], &[], 5), NOTHING);
    assert_eq!(world.ends(15).len(), 1);
}

#[test]
fn a_clock_that_goes_backwards_ends_nothing() {
    let mut world = World::new(Tcp, &[A, B]);
    world.has(&[B], &[], LIMIT * 5);
    assert_eq!(world.ends(1), NOTHING);
}

#[test]
fn what_was_refused_is_tried_again() {
    let mut world = World::new(Tcp, &[A, B]);
    world.has(&[], &[], 0);
    let plan = Plan::new(world.leaving.ends(&[Key::Virtual(world.key)].into(), LIMIT));
    world.leaving.settle(&plan, &[Err(Refusal::new(RefusalKind::Other, "busy"))]);
    assert_eq!(world.left(), [A, B]);
    let both = "end connections tcp 10.96.0.1:80 to 10.0.0.1:80 10.0.0.2:80";
    assert_eq!(world.ends(LIMIT + 1), [both]);
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let mut world = World::new(Tcp, &[A, B]);
    world.has(&[B], &[], 7);
    world.has(&[], &[B], 8);
    let saved = world.leaving.saved();
    let since: Vec<Option<u64>> = saved.iter().map(|it| it.since).collect();
    assert_eq!(since, [Some(7), None]);
    let text = serde_json::to_string(&saved).unwrap();
    let read: Vec<Saved> = serde_json::from_str(&text).unwrap();
    assert_eq!(Leaving::new(LIMIT, &read), world.leaving);
}

#[test]
fn other_service_ports_are_others() {
    let mut world = World::new(Tcp, &[A, B]);
    world.has(&[B], &[], 0);
    let other = Key::Virtual(key(Tcp, "10.96.0.2:80"));
    assert!(world.leaving.ends(&[other].into(), LIMIT).is_empty());
}
