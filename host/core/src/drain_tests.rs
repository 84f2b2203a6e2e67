use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;

use super::{Drains, Saved};
use crate::decision::Scheduler;
use crate::fixtures::{at, key, rr, whole};
use crate::kernel::{FakeKernel, Kernel, Server};
use crate::ledger::Ledger;
use crate::net::Protocol::{self, Sctp, Tcp, Udp};
use crate::net::{Family, ObjectName};
use crate::state::{Base, Class, KernelState, Key, Leg, Nat, Pick, VirtualKey};

const LIMIT: u64 = 900_000;
const A: &str = "10.0.0.1:80";
const B: &str = "10.0.0.2:80";

/// A node with one service, 10.96.0.1:80.
struct World {
    key: VirtualKey,
    ledger: Ledger,
    kernel: FakeKernel,
    drains: Drains,
}

impl World {
    fn new(protocol: Protocol, servers: &[&str]) -> Self {
        let mut world = Self {
            key: key(protocol, "10.96.0.1:80"),
            ledger: Ledger::default(),
            kernel: FakeKernel::default(),
            drains: Drains::new(LIMIT, &[]),
        };
        let base = world.ledger.set_base(Some(Base::default()));
        world.turn(&BTreeSet::from_iter(base), 0);
        world.wants(servers, 0);
        world
    }

    fn claim(&mut self, state: KernelState) -> BTreeSet<Key> {
        let state = KernelState { base: None, ..state };
        self.ledger.claim(&ObjectName::new("shop", "web"), Some(1), state)
    }

    /// The service has these servers now; returns the steps on servers.
    fn wants(&mut self, servers: &[&str], now: u64) -> Vec<String> {
        let servers: Vec<_> = servers.iter().map(|to| (*to, 1)).collect();
        let keys = self.claim(whole(&[(self.key, rr(&servers))]));
        self.turn(&keys, now)
    }

    fn turn(&mut self, keys: &BTreeSet<Key>, now: u64) -> Vec<String> {
        let plan = self.ledger.plan(keys, &mut self.drains, now);
        let outcomes = self.kernel.apply(&plan);
        assert_eq!(self.ledger.settle(&plan, &outcomes), []);
        self.drains.leaving.settle(&plan, &outcomes);
        plan.operations()
            .iter()
            .map(|it| it.to_string().replace(&format!("{} ", self.key), ""))
            .collect()
    }

    /// Asks the kernel who is idle, and plans what follows.
    fn look(&mut self, now: u64) -> Vec<String> {
        let connections = self.kernel.connections(&self.drains.servers()).unwrap();
        let keys = self.drains.look(&connections, now);
        self.turn(&keys, now)
    }

    fn open(&mut self, to: &str, connections: u64) {
        self.kernel.open.insert((self.key, at(to)), connections);
    }

    fn ending(&self) -> Vec<String> {
        self.drains.servers().iter().map(|(_, to)| to.to_string()).collect()
    }
}

#[test]
fn a_busy_server_is_quiesced_and_goes_when_idle() {
    for protocol in [Tcp, Sctp] {
        let mut world = World::new(protocol, &[A, B]);
        world.open(A, 2);
        assert_eq!(world.wants(&[B], 1000), ["set destination -> 10.0.0.1:80 weight 0"]);
        assert_eq!(world.ending(), [A]);
        assert_eq!(world.look(2000), Vec::<String>::new(), "busy");
        assert_eq!(world.wants(&[B], 3000), Vec::<String>::new(), "planned again while it ends");
        world.open(A, 0);
        assert_eq!(world.look(4000), ["remove destination -> 10.0.0.1:80"]);
        assert_eq!(world.ending(), Vec::<String>::new());
        assert_eq!(world.look(5000), Vec::<String>::new());
    }
}

#[test]
fn a_server_that_stays_busy_goes_when_late() {
    let mut world = World::new(Tcp, &[A, B]);
    world.open(A, 1);
    world.wants(&[B], 1000);
    assert_eq!(world.look(1000 + LIMIT - 1), Vec::<String>::new());
    assert_eq!(world.look(1000 + LIMIT), ["remove destination -> 10.0.0.1:80"]);
}

#[test]
fn a_clock_that_goes_backwards_ends_nothing() {
    let mut world = World::new(Tcp, &[A, B]);
    world.open(A, 1);
    world.wants(&[B], LIMIT * 5);
    assert_eq!(world.look(1), Vec::<String>::new());
}

#[test]
fn udp_servers_go_at_once() {
    let mut world = World::new(Udp, &[A, B]);
    world.open(A, 5);
    assert_eq!(world.wants(&[B], 1000), ["remove destination -> 10.0.0.1:80"]);
    assert_eq!(world.ending(), Vec::<String>::new());
}

#[test]
fn the_last_server_drains_as_well() {
    let mut world = World::new(Tcp, &[A]);
    world.open(A, 1);
    assert_eq!(world.wants(&[], 1000), ["set destination -> 10.0.0.1:80 weight 0"]);
    world.open(A, 0);
    assert_eq!(world.look(2000), ["remove destination -> 10.0.0.1:80"]);
}

#[test]
fn a_server_that_comes_back_takes_connections_again() {
    let mut world = World::new(Tcp, &[A, B]);
    world.open(A, 1);
    world.wants(&[B], 1000);
    assert_eq!(world.wants(&[A, B], 2000), ["set destination -> 10.0.0.1:80 weight 1"]);
    assert_eq!(world.ending(), Vec::<String>::new());
    world.open(A, 0);
    assert_eq!(world.look(3000), Vec::<String>::new(), "never removed");
    world.open(A, 1);
    world.wants(&[B], LIMIT);
    assert_eq!(
        world.look(LIMIT + 1000),
        Vec::<String>::new(),
        "its second end has a time of its own"
    );
}

#[test]
fn a_server_that_comes_back_between_idle_and_removal_stays() {
    let mut world = World::new(Tcp, &[A, B]);
    world.wants(&[B], 1000);
    let idle = world.drains.look(&BTreeMap::from([((world.key, at(A)), 0)]), 2000);
    assert_eq!(idle, [Key::Virtual(world.key)].into());
    assert_eq!(world.wants(&[A, B], 2001), ["set destination -> 10.0.0.1:80 weight 1"]);
    assert_eq!(world.turn(&idle, 2002), Vec::<String>::new());
    assert_eq!(
        world.wants(&[B], 3000),
        ["set destination -> 10.0.0.1:80 weight 0"],
        "and drains anew"
    );
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let mut world = World::new(Tcp, &[A, B]);
    world.open(A, 1);
    world.wants(&[B], 1000);
    let saved = world.drains.saved();
    assert_eq!(saved, [Saved { key: world.key, to: at(A), since: 1000 }]);
    world.drains = Drains::new(LIMIT, &saved);
    assert_eq!(world.wants(&[B], 2000), Vec::<String>::new());
    assert_eq!(world.look(1000 + LIMIT - 1), Vec::<String>::new());
    assert_eq!(world.look(1000 + LIMIT), ["remove destination -> 10.0.0.1:80"]);
}

#[test]
fn after_a_restart_without_memory_what_is_wanted_gets_its_weight_back_and_what_is_not_drains_anew()
{
    let mut world = World::new(Tcp, &[A, B]);
    world.open(A, 1);
    world.wants(&[B], 1000);
    world.drains = Drains::new(LIMIT, &[]);
    assert_eq!(world.wants(&[B], 5000), Vec::<String>::new(), "already at weight 0");
    assert_eq!(world.ending(), [A]);
    world.drains = Drains::new(LIMIT, &[]);
    assert_eq!(world.wants(&[A, B], 6000), ["set destination -> 10.0.0.1:80 weight 1"]);
}

#[test]
fn a_service_that_goes_takes_its_drains_along() {
    let mut world = World::new(Tcp, &[A, B]);
    world.open(A, 1);
    world.wants(&[B], 1000);
    let keys = world.claim(KernelState::default());
    assert!(world.turn(&keys, 2000).iter().all(|step| !step.contains("destination")));
    assert_eq!(world.ending(), Vec::<String>::new());
    assert_eq!(world.kernel.state, whole(&[]));
}

#[test]
fn a_server_that_the_kernel_lost_is_not_waited_for() {
    let mut world = World::new(Tcp, &[A, B]);
    world.open(A, 1);
    world.wants(&[B], 1000);
    let it = world.kernel.state.virtuals.get_mut(&world.key).unwrap();
    Arc::make_mut(it).destinations.remove(&at(A));
    let differs = world.ledger.observed(world.kernel.observe().unwrap());
    assert_eq!(world.turn(&differs, 2000), Vec::<String>::new());
    assert_eq!(world.ending(), Vec::<String>::new());
}

#[test]
fn what_was_saved_before_a_reboot_is_forgotten() {
    let mut world = World::new(Tcp, &[B]);
    let gone = key(Tcp, "10.96.0.9:80");
    let saved = [(world.key, at(A)), (gone, at(A))].map(|(key, to)| Saved { key, to, since: 0 });
    world.drains = Drains::new(LIMIT, &saved);
    assert_eq!(world.look(1000), Vec::<String>::new());
    assert_eq!(world.ending(), Vec::<String>::new());
}

#[test]
fn services_drain_apart() {
    let mut drains = Drains::new(LIMIT, &[]);
    let keys = [key(Tcp, "10.96.0.1:80"), key(Tcp, "10.96.0.2:80"), key(Tcp, "[fd00::1]:80")];
    let servers = [rr(&[(A, 1), ("[fd00::a]:80", 1)])];
    let known = whole(&keys.map(|key| (key, servers[0].clone())));
    let mut desired = whole(&keys.map(|key| (key, rr(&[]))));
    drains.hold(&known.keys().collect(), &known, &mut desired, 0);
    assert_eq!(drains.servers().len(), 6);
    let busy: BTreeMap<Server, u64> =
        drains.servers().into_iter().map(|server| (server, 1)).collect();
    let mut connections = busy;
    connections.insert((keys[1], at("[fd00::a]:80")), 0);
    assert_eq!(drains.look(&connections, 1), [Key::Virtual(keys[1])].into());
    let all = whole(&[]);
    drains.hold(&[Key::Virtual(keys[0])].into(), &all, &mut all.clone(), 1);
    assert_eq!(drains.servers().len(), 4, "both servers of the first are forgotten, and no other");
}

/// The steps when one of two servers of a service with this scheduler leaves.
fn steps_with(scheduler: Scheduler) -> Vec<String> {
    let mut world = World::new(Tcp, &[A, B]);
    world.open(A, 1);
    let wants = |servers: &[(&str, u32)]| {
        let mut it = rr(servers);
        it.balance.scheduler = scheduler;
        whole(&[(key(Tcp, "10.96.0.1:80"), it)])
    };
    let keys = world.claim(wants(&[(A, 1), (B, 1)]));
    world.turn(&keys, 0);
    let keys = world.claim(wants(&[(B, 1)]));
    world.turn(&keys, 1000)
}

#[test]
fn source_hashing_falls_back_while_a_server_drains() {
    assert_eq!(
        steps_with(Scheduler::Sh),
        ["set virtual sh (fallback)", "set destination -> 10.0.0.1:80 weight 0"]
    );
    assert_eq!(steps_with(Scheduler::Mh), ["set destination -> 10.0.0.1:80 weight 0"]);
}

#[test]
fn destination_hashing_does_not_drain() {
    assert_eq!(steps_with(Scheduler::Dh), ["remove destination -> 10.0.0.1:80"]);
}

#[test]
fn a_limit_of_nothing_removes_at_once() {
    let mut world = World::new(Tcp, &[A, B]);
    world.drains = Drains::new(0, &[]);
    world.open(A, 1);
    assert_eq!(world.wants(&[B], 1000), ["remove destination -> 10.0.0.1:80"]);
}

/// The service on nftables, with these endpoints.
fn on_nftables(world: &mut World, endpoints: &[&str], now: u64) -> Vec<String> {
    let slots: Vec<_> = endpoints.iter().map(|to| Some(at(to))).collect();
    let count = NonZeroU32::new(u32::try_from(slots.len()).unwrap()).unwrap();
    let (family, pick) = (Family::V4, Pick::Random);
    let class = Class { family, pick, slots: count, sticky: None, inside: false };
    let main = Leg { class: Some(class), slots };
    let nat = Nat { main, ..Nat::default() };
    let chains = nat.chains().collect();
    let nats = BTreeMap::from([(world.key, nat.into())]);
    let keys = world.claim(KernelState { nats, chains, ..KernelState::default() });
    world
        .turn(&keys, now)
        .into_iter()
        .filter(|it| !it.contains(" nat ") && !it.contains(" chain "))
        .collect()
}

#[test]
fn connections_of_a_service_that_moved_to_nftables_run_on_as_long_as_they_like() {
    let mut world = World::new(Tcp, &[A, B]);
    world.open(A, 1);
    world.open(B, 1);
    let moved = on_nftables(&mut world, &[A, B], 0);
    let quiesced = |to| format!("set destination -> {to} weight 0");
    assert_eq!(
        moved,
        [quiesced(A), quiesced(B)],
        "as long as it is local its unknown ports are refused"
    );
    assert_eq!(world.look(LIMIT * 9), [""; 0], "the servers aren't leaving");
    assert_eq!(on_nftables(&mut world, &[A], LIMIT * 9), [""; 0], "now one does");
    let late = [format!("remove destination -> {B}"), format!("end connections to {B}")];
    assert_eq!(world.look(LIMIT * 10), late, "and is late, on either dataplane");
    world.open(A, 0);
    let last = ["remove local 10.96.0.1", "remove virtual tcp 10.96.0.1:80"];
    assert_eq!(world.look(LIMIT * 10)[..2], last, "the last is idle");
}

#[test]
fn flows_of_udp_that_moved_to_nftables_stay_with_servers_that_are_there_alone() {
    let mut world = World::new(Udp, &[A, B]);
    world.open(A, 1);
    world.open(B, 1);
    let moved = on_nftables(&mut world, &[A], 0);
    assert_eq!(
        moved[..2],
        [format!("set destination -> {A} weight 0"), format!("remove destination -> {B}")]
    );
    assert_eq!(world.look(LIMIT * 9), [""; 0]);
}

#[test]
fn without_a_limit_for_leaving_servers_a_move_still_ends_no_connection() {
    let mut world = World::new(Tcp, &[A]);
    world.drains = Drains::new(0, &[]);
    world.open(A, 1);
    assert_eq!(on_nftables(&mut world, &[A], 0)[0], format!("set destination -> {A} weight 0"));
    assert_eq!(world.look(LIMIT), [""; 0]);
}
