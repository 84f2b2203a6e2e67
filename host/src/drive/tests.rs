//! The loop against a kernel in memory: what it looks at, when, and whom it answers.

mod measured;
mod reloaded;
mod rhythm;
mod told;
mod traced;

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, mpsc};

use weir_core::compile::PortKey;
use weir_core::decision::{Scheduler, SchedulerFlags};
use weir_core::kernel::{
    FakeKernel, Kernel, Observation, ObserveError, Outcome, Refusal, RefusalKind, Traffic,
};
use weir_core::model::{Change, Model, Namespace, ServiceType, TrafficPolicy};
use weir_core::net::{ObjectName, Port, Protocol};
use weir_core::plan::{Operation, Plan};
use weir_core::state::{Balance, Base, KernelState, VirtualKey};
use weir_core::view::KernelAbilities;
use weir_policy_host::PolicyStats;

use super::*;
use crate::keep::Answer;
use crate::reconcile::fairness_tests::with_ports;
use crate::reconcile::tests::{Wishes, defaults, service, slice, two_services};
use crate::watch::Event;

/// A node: a kernel that counts looks, and that others change.
#[derive(Default)]
struct Node {
    kernel: FakeKernel,
    moved: bool,
    blind: bool,
    looks: usize,
    looks_at_table: usize,
    repointed: usize,
    tidied: usize,
    settled: usize,
}

impl Node {
    fn see<T>(&self, seen: T) -> Result<T, ObserveError> {
        let failed = || ObserveError { doing: "look".to_owned(), source: "nothing to see".into() };
        if self.blind { Err(failed()) } else { Ok(seen) }
    }
}

impl Kernel for Node {
    fn observe(&mut self) -> Result<Observation, ObserveError> {
        self.looks += 1;
        let seen = self.kernel.observe()?;
        self.moved &= self.blind;
        self.see(seen)
    }

    fn observe_table(&mut self) -> Result<KernelState, ObserveError> {
        self.looks_at_table += 1;
        let seen = self.kernel.observe_table()?;
        self.moved &= self.blind;
        self.see(seen)
    }

    fn apply(&mut self, plan: &Plan) -> Vec<Outcome> {
        self.kernel.apply(plan)
    }

    fn connections(
        &mut self,
        of: &BTreeSet<Server>,
    ) -> Result<BTreeMap<Server, u64>, ObserveError> {
        self.kernel.connections(of)
    }

    fn translated(&mut self, of: &BTreeSet<Server>) -> Result<BTreeMap<Server, u64>, ObserveError> {
        self.kernel.translated(of)
    }

    fn traffic(&mut self, of: VirtualKey) -> Result<Option<Traffic>, ObserveError> {
        self.kernel.traffic(of)
    }

    fn offloaded(
        &mut self,
        of: &BTreeSet<VirtualKey>,
    ) -> Result<BTreeMap<VirtualKey, u64>, ObserveError> {
        self.kernel.offloaded(of)
    }
}

impl Machine for Node {
    fn expect(&mut self, _: Base) {}

    fn set_sources(&mut self, _: Sources) {}

    fn repoint(&mut self) -> (usize, Vec<String>) {
        self.repointed += 1;
        (0, Vec::new())
    }

    fn tidy(&mut self) -> Vec<String> {
        self.tidied += 1;
        Vec::new()
    }

    fn settle(&mut self, _: &Config) -> Vec<String> {
        self.settled += 1;
        vec!["net.x must be 1".to_owned()]
    }

    fn rule_set_moved(&mut self) -> Result<bool, String> {
        Ok(self.moved)
    }

    fn carried(&mut self) -> Result<BTreeMap<VirtualKey, Traffic>, String> {
        Ok(self.kernel.traffic.clone())
    }

    fn has_virtual(&mut self, key: VirtualKey) -> Result<bool, String> {
        Ok(self.kernel.state.virtuals.contains_key(&key))
    }
}

impl Reloads for Wishes {
    fn refresh(&mut self) -> bool {
        self.refreshed += 1;
        false
    }

    fn reconfigure(&mut self, config: &Config) -> bool {
        let names: Vec<_> = config.policies.iter().map(|it| it.name.to_string()).collect();
        std::mem::replace(&mut self.names, names.clone()) != names
    }

    fn stats(&self) -> Vec<PolicyStats> {
        Vec::new()
    }

    fn learned(&self) -> u64 {
        self.learned
    }

    fn last_good(&self, known: &mut dyn Iterator<Item = (&ObjectName, PortKey)>) -> Vec<Answer> {
        let answer = |(name, port): (&ObjectName, PortKey)| Answer {
            policy: "test".to_owned(),
            service_port: format!("{name}:{port}"),
            wish: self.wish.clone(),
        };
        known.map(answer).collect()
    }
}

struct Subject {
    drive: Drive<Node, Wishes>,
    rescans: Arc<AtomicUsize>,
    told: Receiver<(Notice, Option<String>)>,
    _dir: tempfile::TempDir,
}

/// A loop that has been told nothing yet, on a node whose kernel holds this.
fn start(kernel: FakeKernel) -> Subject {
    let abilities =
        KernelAbilities { ipvs_schedulers: vec!["rr".to_owned()], ..KernelAbilities::default() };
    let node = Node { kernel, ..Node::default() };
    let policies = Wishes::default();
    let all = Reconciler::new(Model::new("node-1"), node, policies, abilities, defaults());
    let config = Config::default();
    let shared = Shared::new(&config);
    let dir = tempfile::tempdir().unwrap();
    let (keep, _, _) = Keep::open(dir.path(), 0);
    let rescans = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&rescans);
    let rescan = Box::new(move || {
        count.fetch_add(1, Ordering::Relaxed);
        true
    });
    let (tell, told) = mpsc::channel();
    let tell = Box::new(move |notice, uid| tell.send((notice, uid)).unwrap());
    let mut drive = Drive::new(all, config, shared, keep, Vec::new(), rescan).telling(tell);
    drive.oriented = true;
    Subject { drive, rescans, told, _dir: dir }
}

/// A loop that has written these services.
fn running(objects: Vec<Change>) -> Subject {
    let mut it = start(FakeKernel::default());
    it.tell(Event::Changes(objects));
    it.tell(Event::Synced);
    it.wake();
    assert!(it.drive.last.is_some(), "the first turn came");
    it
}

#[test]
fn the_first_turn_waits_for_the_node_s_interfaces() {
    let mut it = start(FakeKernel::default());
    it.drive.oriented = false;
    it.tell(Event::Changes(two_services()));
    it.tell(Event::Synced);
    it.wake();
    assert!(it.drive.last.is_none(), "a flowtable without devices would end all offload");
    assert_eq!(it.drive.next_wake(), it.drive.started + ORIENTATION);
    it.drive.take(Command::Node(Box::new(NodeState {
        view: weir_link::NodeView::default(),
        feed: weir_link::Feed::Events,
        current: true,
        counters: weir_link::Counters::default(),
    })));
    it.wake();
    assert!(it.drive.last.is_some());
}

#[test]
fn a_node_that_can_not_be_looked_at_is_served_all_the_same() {
    let mut it = start(FakeKernel::default());
    it.drive.oriented = false;
    it.tell(Event::Changes(two_services()));
    it.tell(Event::Synced);
    it.drive.started -= ORIENTATION;
    it.wake();
    assert!(it.drive.last.is_some());
}

impl Subject {
    fn tell(&mut self, event: Event) {
        self.drive.take(Command::Source(event));
    }

    /// What is due happens, as if the least time between two syncs had passed.
    fn wake(&mut self) {
        let config = &self.drive.config.sync;
        let mut pace = Pace::new(config.min_sync_period.get(), config.sync_period.get());
        if self.drive.last.is_some() {
            pace.looked(Instant::now());
        }
        self.drive.pace = pace;
        self.drive.wake();
    }

    fn sync(&mut self) -> Receiver<Result<(), String>> {
        let (done, answer) = mpsc::channel();
        self.drive.take(Command::Sync(done));
        answer
    }

    fn node(&mut self) -> &mut Node {
        &mut self.drive.all.kernel
    }

    fn looks(&mut self) -> (usize, usize) {
        (self.node().looks, self.node().looks_at_table)
    }

    fn is_live_tomorrow(&self) -> bool {
        self.drive.shared.health().live(millis() + 86_400_000).healthy
    }
}

fn refused() -> (Operation, Refusal) {
    let operation = Operation::AddLocal("10.96.0.1".parse().unwrap());
    (operation, Refusal::new(RefusalKind::Other, "Invalid argument"))
}

#[test]
fn a_change_that_touches_nothing_leaves_it_healthy() {
    let mut it = running(two_services());
    assert!(it.is_live_tomorrow());
    let empty = Namespace { name: "empty".to_owned(), ..Namespace::default() };
    it.tell(Event::Changes(vec![Change::Namespace(Box::new(empty))]));
    it.wake();
    assert!(it.is_live_tomorrow(), "nothing waits");
    it.tell(Event::Changes(vec![slice("web", &["10.1.0.9"])]));
    assert!(!it.is_live_tomorrow(), "work waits");
    it.wake();
    assert!(it.is_live_tomorrow(), "and is done");
}

#[test]
fn policies_that_take_long_for_one_namespace_leave_it_live_and_are_all_asked_in_the_end() {
    let mut it = start(FakeKernel::default());
    it.drive.all.policies.costs = [("bad".to_owned(), Duration::from_millis(50))].into();
    it.tell(Event::Changes(vec![with_ports("bad", "a", "10.96.0.1", 500)]));
    it.tell(Event::Synced);
    assert!(!it.is_live_tomorrow(), "work waits");
    it.wake();
    let patience = base::patience(&it.drive.config);
    let ran = it.drive.all.policies.ran;
    assert!(ran >= patience.first && ran < patience.first + Duration::from_millis(51), "{ran:?}");
    let period = it.drive.config.sync.sync_period.get();
    assert!(ran < period * 2, "a turn is over before it is late");
    assert!(it.is_live_tomorrow(), "what waits for policies is served meanwhile");
    assert_eq!(it.node().kernel.state.virtuals.len(), 500);
    let mut waits = vec![it.drive.status().deferred];
    while waits.last().is_some_and(|ports| *ports > 0) {
        assert!(it.drive.next_wake() <= Instant::now() + Duration::from_secs(1), "by itself");
        std::thread::sleep(Duration::from_millis(2));
        it.wake();
        assert!(it.is_live_tomorrow());
        waits.push(it.drive.status().deferred);
    }
    assert!(waits.is_sorted_by(|before, now| before > now), "{waits:?}");
    assert_eq!(it.drive.all.policies.asked.len(), 500);
    assert_eq!(it.drive.shared.metrics.policies.deferred.get(), 0);
}

#[test]
fn a_foreign_change_of_the_rule_set_costs_a_look_at_our_table_alone() {
    let mut it = running(two_services());
    let right = it.node().kernel.state.clone();
    let looks = it.looks();
    it.drive.take(Command::Look);
    assert_eq!(it.looks(), looks, "our own commits are no reason to look");
    it.node().kernel.state.elements.clear();
    it.node().moved = true;
    it.drive.take(Command::Look);
    assert_eq!(it.looks(), (looks.0, looks.1 + 1));
    assert!(it.drive.all.drift() > 0);
    it.wake();
    assert_eq!(it.node().kernel.state, right);
    assert_eq!(it.looks(), (looks.0, looks.1 + 1));
}

#[test]
fn looks_that_fail_because_others_write_all_the_time_hold_up_no_change() {
    let mut it = running(two_services());
    (it.node().moved, it.node().blind) = (true, true);
    it.drive.take(Command::Look);
    it.tell(Event::Changes(vec![slice("web", &["10.1.0.9"])]));
    it.wake();
    let server = |it: &mut Subject, to: &str| {
        let to = to.parse().unwrap();
        it.node().kernel.state.virtuals.values().any(|it| it.destinations.contains_key(&to))
    };
    assert!(server(&mut it, "10.1.0.9:8080"));
    assert!(it.is_live_tomorrow());
}

#[test]
fn a_restart_writes_nothing_even_if_others_change_the_rule_set_meanwhile() {
    let mut before = running(two_services());
    let mut it = start(before.node().kernel.clone().restarted());
    it.node().moved = true;
    it.drive.take(Command::Look);
    let answer = it.sync();
    assert_eq!(it.looks(), (0, 0), "it isn't known yet what is wanted");
    it.tell(Event::Changes(two_services()));
    it.wake();
    assert!(answer.try_recv().is_err(), "a sync waits for the first lists");
    it.tell(Event::Synced);
    it.wake();
    assert_eq!(answer.try_recv(), Ok(Ok(())), "and is answered by the first turn");
    assert_eq!((it.node().kernel.writes, it.looks()), (0, (1, 0)));
}

#[test]
fn a_sync_asks_the_sources_first_and_tells_what_is_still_refused() {
    let mut it = start(FakeKernel { refuse: vec![refused()], ..FakeKernel::default() });
    it.tell(Event::Changes(two_services()));
    it.tell(Event::Synced);
    it.wake();
    let (refreshed, looks) = (it.drive.all.policies.refreshed, it.looks());
    let [first, second] = [it.sync(), it.sync()];
    assert_eq!(it.rescans.load(Ordering::Relaxed), 2, "manifests are read again");
    assert_eq!(it.drive.all.policies.refreshed, refreshed + 2, "so are policies");
    it.wake();
    assert!(first.try_recv().is_err(), "what the source finds comes first");
    it.tell(Event::Changes(vec![service("late", "10.96.0.3")]));
    it.tell(Event::Rescanned);
    it.wake();
    let verdict = first.try_recv().unwrap().unwrap_err();
    assert!(verdict.contains("refused 1 operations"), "{verdict}");
    assert!(it.node().kernel.state.locals.contains(&"10.96.0.3".parse().unwrap()));
    assert_eq!(it.looks().0, looks.0 + 1, "the kernel is looked at");
    assert!(second.try_recv().is_err(), "each is answered for itself");
    it.node().kernel.refuse.clear();
    it.tell(Event::Rescanned);
    it.wake();
    assert_eq!(second.try_recv(), Ok(Ok(())));
}

#[test]
fn the_earlier_way_goes_when_nothing_is_refused_any_more() {
    let mut it = start(FakeKernel { refuse: vec![refused()], ..FakeKernel::default() });
    it.tell(Event::Changes(two_services()));
    it.tell(Event::Synced);
    it.wake();
    it.tell(Event::Changes(vec![service("late", "10.96.0.3")]));
    it.wake();
    assert!(it.node().kernel.state.locals.contains(&"10.96.0.3".parse().unwrap()));
    assert_eq!(it.node().tidied, 0, "a turn that works is no proof");
    it.node().kernel.refuse.clear();
    let _answer = it.sync();
    it.tell(Event::Rescanned);
    it.wake();
    assert_eq!(it.node().tidied, 1);
    it.tell(Event::Changes(vec![service("later", "10.96.0.4")]));
    it.wake();
    assert_eq!(it.node().tidied, 1, "once");
}

#[test]
fn routes_are_pointed_after_each_look_and_turn() {
    let mut it = running(two_services());
    let before = it.node().repointed;
    assert!(before > 0, "the first look and turn");
    assert!(it.drive.look().is_ok());
    assert_eq!(it.node().repointed, before + 1);
    it.tell(Event::Changes(vec![service("late", "10.96.0.3")]));
    it.wake();
    assert_eq!(it.node().repointed, before + 2);
}

#[test]
fn a_sync_that_can_not_see_says_so() {
    let mut it = running(two_services());
    let answer = it.sync();
    it.node().blind = true;
    it.tell(Event::Rescanned);
    assert!(answer.try_recv().unwrap().unwrap_err().contains("can't look at the kernel"));
    it.drive.source = Box::new(|| false);
    let answer = it.sync();
    assert!(answer.try_recv().unwrap().unwrap_err().contains("source of services ended"));
}

#[test]
fn looks_put_off_no_chores() {
    let mut it = running(two_services());
    let refreshed = it.drive.all.policies.refreshed;
    it.wake();
    assert_eq!(it.drive.all.policies.refreshed, refreshed, "not before the period");
    let due = it.drive.next_chores;
    assert!(it.drive.look().is_ok());
    assert!(it.drive.next_chores <= due && it.drive.next_wake() <= due);
    it.drive.next_chores = Instant::now();
    it.wake();
    assert_eq!(it.drive.all.policies.refreshed, refreshed + 1);
}

#[test]
fn a_conflict_is_shown_for_as_long_as_it_stands() {
    let mut it = running(vec![service("web", "10.96.0.1"), service("api", "10.96.0.1")]);
    let conflicts = |it: &Subject| it.drive.status().conflicts;
    assert_eq!(conflicts(&it), ["tcp 10.96.0.1:80 belongs to shop/api; shop/web also wants it"]);
    it.tell(Event::Changes(vec![service("other", "10.96.0.2")]));
    it.wake();
    assert_eq!(conflicts(&it).len(), 1, "an unrelated change is no news of it");
    it.tell(Event::Changes(vec![Change::ServiceGone(ObjectName::new("shop", "api"))]));
    it.wake();
    assert_eq!(conflicts(&it), Vec::<String>::new());
}

#[test]
fn who_wants_what_another_has_is_told_when_it_comes_and_not_again() {
    let mut it = running(vec![service("web", "10.96.0.1"), service("api", "10.96.0.1")]);
    let told = |it: &mut Subject, changes| {
        it.tell(Event::Changes(changes));
        it.drive.all.turn(millis()).unwrap().conflicts.len()
    };
    assert_eq!(told(&mut it, vec![slice("web", &["10.1.0.9"])]), 0);
    assert_eq!(told(&mut it, vec![service("third", "10.96.0.1")]), 1, "the third alone");
    assert_eq!(told(&mut it, vec![Change::ServiceGone(ObjectName::new("shop", "third"))]), 0);
    assert_eq!(told(&mut it, vec![service("third", "10.96.0.1")]), 1, "it came anew");
}

#[test]
fn nobody_is_ready_whose_kernel_refuses_every_service() {
    let refuse = ["10.96.0.1", "10.96.0.2"].map(|address| {
        let key = VirtualKey {
            address: address.parse().unwrap(),
            protocol: Protocol::Tcp,
            port: Port::new(80).unwrap(),
        };
        (key, Refusal::new(RefusalKind::Other, "Cannot allocate memory"))
    });
    let [first, second] = refuse.map(|(key, why)| {
        let balance = Balance {
            scheduler: Scheduler::Rr,
            flags: SchedulerFlags::default_for(Scheduler::Rr),
            persistence: None,
        };
        (Operation::AddVirtual(key, balance), why)
    });
    let is_ready = |it: &Subject| it.drive.shared.health().ready(millis()).is_good();
    let mut it = start(FakeKernel { refuse: vec![first, second], ..FakeKernel::default() });
    it.tell(Event::Changes(two_services()));
    it.tell(Event::Synced);
    it.wake();
    assert!(it.drive.last.is_some() && !is_ready(&it));
    it.wake();
    assert!(!is_ready(&it), "a turn with nothing to do changes nothing");
    it.node().kernel.refuse.pop();
    it.drive.all.retry_now();
    it.wake();
    assert!(is_ready(&it), "one bad service holds up no roll-out");
}

#[test]
fn what_waits_for_its_time_is_done_where_the_clock_goes_back() {
    let mut it = start(FakeKernel { refuse: vec![refused()], ..FakeKernel::default() });
    it.tell(Event::Changes(two_services()));
    it.tell(Event::Synced);
    it.wake();
    let due = it.drive.all.due();
    assert!(due.is_some_and(|due| due > millis()), "{due:?}");
    it.drive.mind_clock(millis() + 500);
    it.drive.mind_clock(millis());
    assert_eq!(it.drive.all.due(), due, "small steps are nothing");
    it.drive.mind_clock(millis() + 86_400_000);
    it.drive.mind_clock(millis());
    assert_eq!(it.drive.all.due(), Some(0));
}

#[test]
fn a_service_before_its_first_turn_is_explained_as_new() {
    let mut it = running(two_services());
    it.tell(Event::Changes(vec![service("late", "10.96.0.3")]));
    let explained = |it: &Subject| {
        let name = ObjectName::new("shop", "late");
        explain(&it.drive.all, &name).unwrap().not_served
    };
    assert!(explained(&it).unwrap().contains("not worked out yet"));
    it.wake();
    assert_eq!(explained(&it), None);
}

#[test]
fn last_good_answers_are_kept_once_all_is_worked_out_and_again_when_they_change() {
    let mut it = start(FakeKernel::default());
    it.drive.all.policies.learned = 1;
    it.drive.save_answers();
    assert!(it.drive.keep.answers().is_empty(), "what an earlier run kept still holds");
    it.tell(Event::Changes(two_services()));
    it.tell(Event::Synced);
    it.wake();
    let ports: Vec<_> = it.drive.keep.answers().into_iter().map(|it| it.service_port).collect();
    assert_eq!(ports, ["shop/api:80/tcp", "shop/web:80/tcp"]);
    it.tell(Event::Changes(vec![Change::ServiceGone(ObjectName::new("shop", "web"))]));
    it.drive.all.policies.learned = 2;
    it.wake();
    assert_eq!(it.drive.keep.answers().len(), 2, "it was kept a moment ago");
    let Subject { drive, _dir: dir, .. } = it;
    drive.save();
    assert_eq!(Keep::open(dir.path(), 0).0.answers().len(), 1, "an end keeps them as they are");
}

/// A Service of type LoadBalancer with a health-check port, and one endpoint here.
fn balanced(name: &str, port: u16) -> Vec<Change> {
    let Change::Service(mut of_kind) = service(name, "10.96.0.9") else { unreachable!() };
    of_kind.kind = ServiceType::LoadBalancer;
    of_kind.external_policy = TrafficPolicy::Local;
    of_kind.health_check_node_port = Port::new(port);
    let Change::Slice(mut here) = slice(name, &["10.1.0.9"]) else { unreachable!() };
    here.endpoints[0].node = Some("node-1".into());
    vec![Change::Service(of_kind), Change::Slice(here)]
}

fn node(addresses: &[&str]) -> Change {
    let addresses = addresses.iter().map(|it| it.parse().unwrap()).collect();
    let name = "node-1".to_owned();
    Change::Node(Box::new(weir_core::model::Node { name, addresses, ..Default::default() }))
}

impl Subject {
    /// Sockets of health-check ports, and the endpoints told at the first.
    fn checks(&self) -> (Vec<String>, Option<usize>) {
        let wanted = self.drive.shared.checks.wanted().borrow().clone();
        let sockets = wanted.sockets().iter().map(ToString::to_string).collect();
        (sockets, wanted.checks.values().next().map(|it| it.local_endpoints))
    }
}

#[test]
fn health_checks_follow_services_and_the_node_once_the_kernel_has_them() {
    let mut it = running(two_services());
    it.tell(Event::Changes(vec![node(&["192.0.2.7", "2001:db8::7"])]));
    it.wake();
    assert_eq!(it.checks(), (vec![], None));
    it.tell(Event::Changes(balanced("lb", 30_500)));
    assert_eq!(it.checks(), (vec![], None), "its rules aren't written");
    it.wake();
    let both = ["192.0.2.7:30500", "[2001:db8::7]:30500"].map(str::to_owned).to_vec();
    assert_eq!(it.checks(), (both, Some(1)));
    it.tell(Event::Changes(vec![node(&["192.0.2.8"])]));
    assert_eq!(it.checks().0, ["192.0.2.8:30500"], "at once: no rule depends on it");
    it.tell(Event::Changes(vec![slice("lb", &["10.1.0.9"])]));
    it.wake();
    assert_eq!(it.checks().1, Some(0), "the endpoint is elsewhere");
    it.tell(Event::Changes(vec![Change::NodeGone("node-1".to_owned())]));
    assert_eq!(it.checks().0, Vec::<String>::new(), "it isn't known where");
    it.drive.config.node_port_addresses = crate::config::NodePortAddresses::Ranges(Vec::new());
    it.tell(Event::Changes(vec![node(&["192.0.2.7"])]));
    assert_eq!(it.checks().0, ["0.0.0.0:30500", "[::]:30500"]);
    it.tell(Event::Changes(vec![Change::ServiceGone(ObjectName::new("shop", "lb"))]));
    it.wake();
    assert_eq!(it.checks(), (vec![], None));
}

#[test]
fn two_services_that_want_one_health_check_port_are_told() {
    let mut it = running(balanced("web", 30_500));
    it.tell(Event::Changes(balanced("api", 30_500)));
    it.wake();
    let status = it.drive.status();
    let shown: Vec<_> =
        status.health_checks.iter().map(|it| (it.port, it.service.as_str())).collect();
    assert_eq!(shown, [(30_500, "shop/api")]);
    let told = "health-check port 30500 belongs to shop/api; shop/web also wants it";
    assert!(status.conflicts.iter().any(|it| it == told), "{:?}", status.conflicts);
}

#[test]
fn what_is_read_for_the_first_time_is_not_late() {
    let mut it = start(FakeKernel::default());
    it.tell(Event::Changes(two_services()));
    assert!(it.is_live_tomorrow(), "a large cluster takes long to read");
    it.tell(Event::Synced);
    assert!(!it.is_live_tomorrow(), "now it waits for the kernel");
    it.wake();
    assert!(it.is_live_tomorrow());
}

#[test]
fn a_source_without_nodes_leaves_the_node_eligible() {
    let mut it = running(two_services());
    let eligible = |it: &Subject| it.drive.shared.health().health(millis()).is_good();
    assert!(eligible(&it));
    it.tell(Event::Changes(vec![node(&["192.0.2.7"])]));
    it.wake();
    assert!(eligible(&it));
    it.tell(Event::Changes(vec![Change::NodeGone("node-1".to_owned())]));
    it.wake();
    assert!(!eligible(&it), "a node that was there and is gone");
}
