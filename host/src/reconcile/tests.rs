//! The loop's turn against a kernel in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_core::kernel::{FakeKernel, Outcome, RefusalKind, Traffic};
use weir_core::model::{
    Endpoint, EndpointSlice, ServicePort, ServiceType, SlicePort, Tags, TrafficPolicy,
};
use weir_core::net::{Family, Port, Protocol};
use weir_core::state::{Balance, KernelState, Virtual, VirtualKey, Weight};
use weir_core::wish::Wish;

use super::*;
use weir_core::decision::SchedulerFlags;
use weir_policy_host::FailureKind;

/// A chain that wishes the same for every service port.
#[derive(Default)]
pub(crate) struct Wishes {
    pub(crate) wish: Wish,
    /// What an answer costs that isn't known, by namespace.
    pub(crate) costs: BTreeMap<String, Duration>,
    pub(crate) ran: Duration,
    pub(crate) known: BTreeSet<(ObjectName, PortKey)>,
    last_good: BTreeSet<(ObjectName, PortKey)>,
    pub(crate) asked: Vec<(String, u64)>,
    nodes: usize,
    wants: Wants,
    ask_again: Option<Duration>,
    pub(crate) failures: Vec<Failure>,
    views: Vec<ServiceView>,
    pub(crate) learned: u64,
    forgotten: usize,
    pub(crate) refreshed: usize,
    pub(crate) names: Vec<String>,
}

impl Policies for Wishes {
    fn ask(&mut self, question: &Question<'_>) -> Answers {
        if let Some(known) = self.recall(question) {
            return known;
        }
        let view = (question.view)(self.wants);
        assert_eq!(view.port.number, question.port.port.get());
        self.asked.push((question.service.to_string(), question.evaluation));
        self.views.push(view);
        let wishes = vec![("test".to_owned(), self.wish.clone())];
        let failures = self.failures.clone();
        Answers { wishes, failures, ask_again: self.ask_again, ..Answers::default() }
    }

    fn ran(&self) -> Duration {
        self.ran
    }

    fn see_node(&mut self, _: Node) {
        self.nodes += 1;
    }

    fn classify(&mut self, _: &Interface) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn forget(&mut self, _: &ObjectName, _: PortKey) {
        self.forgotten += 1;
    }
}

impl Wishes {
    /// The answer to a dear question, unless it has to be worked out.
    fn recall(&mut self, question: &Question<'_>) -> Option<Answers> {
        let cost = *self.costs.get(&*question.service.namespace)?;
        let port = (question.service.clone(), question.port);
        let wishes = vec![("test".to_owned(), self.wish.clone())];
        if self.known.contains(&port) {
            return Some(Answers { wishes, from_cache: true, ..Answers::default() });
        }
        if question.may_run {
            self.ran += cost;
            self.last_good.insert(port.clone());
            self.known.insert(port);
            return None;
        }
        let stood_in = self.last_good.contains(&port);
        let (policy, kind, message) = ("test".into(), FailureKind::Deferred, String::new());
        Some(Answers {
            wishes: if stood_in { wishes } else { Vec::new() },
            failures: vec![Failure { policy, kind, message, stood_in }],
            ask_again: Some(Duration::ZERO),
            ..Answers::default()
        })
    }
}

pub(crate) type Subject = Reconciler<FakeKernel, Wishes>;

/// TCP port 80 of this address.
fn virtual_key(address: &str) -> VirtualKey {
    let (protocol, port) = (Protocol::Tcp, Port::new(80).unwrap());
    VirtualKey { address: address.parse().unwrap(), protocol, port }
}

pub(crate) fn defaults() -> Defaults {
    Defaults {
        limits: AllLimits::default(),
        dataplane: None,
        scheduler: Scheduler::Rr,
        offload: Offload::Never,
        proxy_name: None,
        cpus: 2,
    }
}

pub(crate) fn subject(kernel: FakeKernel, wish: Wish) -> Subject {
    let abilities = KernelAbilities {
        dataplanes: vec!["ipvs".to_owned()],
        ipvs_schedulers: ["rr", "wrr", "mh"].map(str::to_owned).to_vec(),
        ..KernelAbilities::default()
    };
    let policies = Wishes { wish, ..Wishes::default() };
    let mut all = Reconciler::new(Model::new("node-1"), kernel, policies, abilities, defaults());
    all.set_base(Some(Base::default()));
    all
}

pub(crate) fn service(name: &str, address: &str) -> Change {
    Change::Service(Box::new(Service {
        name: ObjectName::new("shop", name),
        uid: None,
        created: None,
        labels: Tags::new(),
        annotations: Tags::new(),
        kind: ServiceType::ClusterIP,
        proxy_name: None,
        cluster_ips: vec![address.parse().unwrap()],
        external_ips: Vec::new(),
        load_balancer_ips: Vec::new(),
        source_ranges: Vec::new(),
        ports: vec![ServicePort {
            name: "http".to_owned(),
            protocol: Protocol::Tcp,
            port: Port::new(80).unwrap(),
            node_port: None,
            app_protocol: None,
        }],
        affinity_seconds: None,
        internal_policy: TrafficPolicy::Cluster,
        external_policy: TrafficPolicy::Cluster,
        traffic_distribution: None,
        health_check_node_port: None,
    }))
}

pub(crate) fn slice(name: &str, endpoints: &[&str]) -> Change {
    let endpoint = |address: &&str| Endpoint {
        address: address.parse().unwrap(),
        ready: true,
        serving: true,
        terminating: false,
        node: None,
        zone: None,
        zone_hints: Box::default(),
        node_hints: Box::default(),
    };
    let port = SlicePort {
        name: "http".to_owned(),
        protocol: Protocol::Tcp,
        port: Port::new(8080).unwrap(),
    };
    Change::Slice(Box::new(EndpointSlice {
        last_change_trigger: None,
        name: ObjectName::new("shop", format!("{name}-1")),
        service: ObjectName::new("shop", name),
        labels: Tags::new(),
        annotations: Tags::new(),
        family: Family::V4,
        ports: vec![port],
        endpoints: endpoints.iter().map(endpoint).collect(),
    }))
}

pub(crate) fn two_services() -> Vec<Change> {
    vec![
        service("web", "10.96.0.1"),
        slice("web", &["10.1.0.1", "10.1.0.2"]),
        service("api", "10.96.0.2"),
        slice("api", &["10.1.0.3"]),
    ]
}

fn lines(turn: &Turn) -> Vec<String> {
    turn.plan.operations().iter().map(ToString::to_string).collect()
}

#[test]
fn the_first_turn_writes_everything_and_the_next_nothing() {
    let mut all = subject(FakeKernel::default(), Wish::default());
    all.fold(two_services(), 0);
    let turn = all.turn(0).unwrap();
    assert_eq!(
        lines(&turn),
        [
            "set base masquerade hairpin",
            "add element services tcp 10.96.0.1:80",
            "add element services tcp 10.96.0.2:80",
            "add element vips 10.96.0.1",
            "add element vips 10.96.0.2",
            "add virtual tcp 10.96.0.1:80 rr",
            "add virtual tcp 10.96.0.2:80 rr",
            "add destination tcp 10.96.0.1:80 -> 10.1.0.1:8080 weight 1",
            "add destination tcp 10.96.0.1:80 -> 10.1.0.2:8080 weight 1",
            "add destination tcp 10.96.0.2:80 -> 10.1.0.3:8080 weight 1",
            "add local 10.96.0.1",
            "add local 10.96.0.2",
        ]
    );
    assert!(!all.has_work() && all.due().is_none());
    assert!(all.turn(1_000).unwrap().plan.is_empty());
}

#[test]
fn a_restart_that_finds_everything_right_writes_nothing() {
    let mut first = subject(FakeKernel::default(), Wish::default());
    first.fold(two_services(), 0);
    first.turn(0).unwrap();
    let mut second = subject(first.kernel.restarted(), Wish::default());
    second.fold(two_services(), 0);
    assert!(second.turn(1_000).unwrap().plan.is_empty());
    assert_eq!((second.kernel.writes, second.drift()), (0, 0));
}

#[test]
fn what_an_earlier_run_left_behind_goes() {
    let mut first = subject(FakeKernel::default(), Wish::default());
    first.fold(two_services(), 0);
    first.turn(0).unwrap();
    let mut second = subject(first.kernel.restarted(), Wish::default());
    second.fold(two_services().split_off(2), 0);
    let turn = second.turn(1_000).unwrap();
    assert_eq!(
        lines(&turn),
        [
            "remove local 10.96.0.1",
            "remove virtual tcp 10.96.0.1:80",
            "remove element services tcp 10.96.0.1:80",
            "remove element vips 10.96.0.1",
        ]
    );
}

#[test]
fn a_refused_operation_is_tried_again_later_and_holds_up_nobody() {
    let refused = Operation::AddLocal("10.96.0.1".parse().unwrap());
    let why = Refusal::new(RefusalKind::Other, "Invalid argument");
    let kernel = FakeKernel { refuse: vec![(refused.clone(), why)], ..FakeKernel::default() };
    let mut all = subject(kernel, Wish::default());
    all.fold(two_services(), 0);
    let turn = all.turn(0).unwrap();
    assert_eq!(turn.refused.len(), 1);
    assert!(
        all.kernel.state.locals.contains(&"10.96.0.2".parse().unwrap()),
        "the other service is served"
    );
    assert_eq!(all.due(), Some(1_000));
    assert!(all.turn(500).unwrap().plan.is_empty(), "not before its time");
    assert_eq!(all.turn(1_000).unwrap().plan.len(), 1);
    assert_eq!(all.due(), Some(3_000), "the wait doubles");
    all.kernel.refuse.clear();
    assert_eq!(lines(&all.turn(3_000).unwrap()), ["add local 10.96.0.1"]);
    assert_eq!((all.due(), all.refused().count()), (None, 0));
}

#[test]
fn a_scheduler_that_the_kernel_lacks_is_learnt_and_replaced() {
    let wish = Wish { scheduler: Some("mh".to_owned()), ..Wish::default() };
    let key = VirtualKey {
        address: "10.96.0.1".parse().unwrap(),
        protocol: Protocol::Tcp,
        port: Port::new(80).unwrap(),
    };
    let mh = SchedulerFlags::default_for(Scheduler::Mh);
    let balance = Balance { scheduler: Scheduler::Mh, flags: mh, persistence: None };
    let why = Refusal::new(RefusalKind::Unsupported, "no such scheduler");
    let refuse = vec![(Operation::AddVirtual(key, balance), why)];
    let mut all = subject(FakeKernel { refuse, ..FakeKernel::default() }, wish);
    all.fold(vec![service("web", "10.96.0.1")], 0);
    all.turn(0).unwrap();
    assert!(all.has_work(), "the service is worked out again");
    all.turn(1).unwrap();
    assert_eq!(all.kernel.state.virtuals[&key].balance.scheduler, Scheduler::Rr);
    let decided = all.decided(&ObjectName::new("shop", "web")).unwrap();
    let reasons = &decided.values().next().unwrap().decision.reasons;
    assert!(reasons[0].text.contains("mh can't be had"), "{reasons:?}");
    assert!(all.policies.nodes > 0, "policies see the node without it");
}

#[test]
fn a_virtual_service_of_somebody_else_is_left_alone() {
    let key = VirtualKey {
        address: "10.96.0.1".parse().unwrap(),
        protocol: Protocol::Tcp,
        port: Port::new(80).unwrap(),
    };
    let balance =
        Balance { scheduler: Scheduler::Wrr, flags: SchedulerFlags::default(), persistence: None };
    let destinations = [("10.9.9.9:80".parse().unwrap(), Weight(5))].into_iter().collect();
    let theirs = Arc::new(Virtual { balance, destinations });
    let mut kernel = FakeKernel::default();
    kernel.state.virtuals.insert(key, theirs.clone());
    let mut all = subject(kernel, Wish::default());
    all.fold(two_services(), 0);
    let turn = all.turn(0).unwrap();
    assert!(
        turn.plan.operations().iter().all(|it| it.virtual_key() != Some(key)),
        "{:?}",
        lines(&turn)
    );
    assert_eq!(all.kernel.state.virtuals[&key], theirs);
    all.kernel.state.virtuals.clear();
    all.look().unwrap();
    assert!(
        lines(&all.turn(1).unwrap()).contains(&"add virtual tcp 10.96.0.1:80 rr".to_owned()),
        "once it is free"
    );
}

#[test]
fn what_others_change_is_put_right_and_counted() {
    let mut all = subject(FakeKernel::default(), Wish::default());
    all.fold(two_services(), 0);
    all.turn(0).unwrap();
    all.kernel.state.virtuals.clear();
    assert_eq!(all.look().unwrap().len(), 2);
    assert_eq!(all.drift(), 2);
    let turn = all.turn(1).unwrap();
    assert_eq!(turn.plan.len(), 5, "{:?}", lines(&turn));
    assert_eq!(turn.services, 0, "nothing was decided anew");
}

#[test]
fn a_policy_is_asked_again_when_it_wants_to_be() {
    let wish = Wish { re_evaluate_after_seconds: Some(10), ..Wish::default() };
    let mut all = subject(FakeKernel::default(), wish);
    all.fold(vec![service("web", "10.96.0.1")], 0);
    all.turn(0).unwrap();
    assert_eq!(all.due(), Some(10_000));
    all.turn(9_999).unwrap();
    all.turn(10_000).unwrap();
    let web = "shop/web".to_owned();
    assert_eq!(all.policies.asked, [(web.clone(), 0), (web, 1)]);
    assert_eq!(all.due(), Some(20_000));
}

#[test]
fn a_leaving_server_drains_and_goes_when_it_is_idle() {
    let mut all = subject(FakeKernel::default(), Wish::default());
    all.resume(Drains::new(60_000, &[]), FirstSeen::default());
    all.fold(vec![service("web", "10.96.0.1"), slice("web", &["10.1.0.1", "10.1.0.2"])], 0);
    all.turn(0).unwrap();
    let leaving = ("10.1.0.2:8080", *all.ledger().known().virtuals.keys().next().unwrap());
    let server = (leaving.1, leaving.0.parse().unwrap());
    all.kernel.open.insert(server, 3);
    all.fold(vec![slice("web", &["10.1.0.1"])], 0);
    let turn = all.turn(1_000).unwrap();
    assert_eq!(lines(&turn), ["set destination tcp 10.96.0.1:80 -> 10.1.0.2:8080 weight 0"]);
    all.check_drains(2_000).unwrap();
    assert!(all.turn(2_000).unwrap().plan.is_empty(), "it is busy");
    all.kernel.open.clear();
    all.check_drains(3_000).unwrap();
    assert_eq!(
        lines(&all.turn(3_000).unwrap()),
        ["remove destination tcp 10.96.0.1:80 -> 10.1.0.2:8080"]
    );
    assert!(all.drains().servers().is_empty());
}

#[test]
fn a_service_that_goes_is_forgotten_everywhere() {
    let mut all = subject(FakeKernel::default(), Wish::default());
    all.fold(two_services(), 0);
    all.turn(0).unwrap();
    all.fold(vec![Change::ServiceGone(ObjectName::new("shop", "web"))], 0);
    all.turn(1).unwrap();
    assert_eq!(all.kernel.state.virtuals.len(), 1);
    assert_eq!(all.policies.forgotten, 1);
    assert!(all.decided(&ObjectName::new("shop", "web")).is_none());
}

/// A kernel whose looks can be made to fail.
struct Blind {
    kernel: FakeKernel,
    blind: bool,
}

fn unseen() -> ObserveError {
    ObserveError { doing: "look".to_owned(), source: "nothing to see".into() }
}

impl Kernel for Blind {
    fn observe(&mut self) -> Result<weir_core::kernel::Observation, ObserveError> {
        if self.blind { Err(unseen()) } else { self.kernel.observe() }
    }

    fn observe_table(&mut self) -> Result<KernelState, ObserveError> {
        if self.blind { Err(unseen()) } else { self.kernel.observe_table() }
    }

    fn apply(&mut self, plan: &Plan) -> Vec<Outcome> {
        self.kernel.apply(plan)
    }

    fn connections(
        &mut self,
        of: &BTreeSet<weir_core::kernel::Server>,
    ) -> Result<BTreeMap<weir_core::kernel::Server, u64>, ObserveError> {
        self.kernel.connections(of)
    }

    fn offloaded(
        &mut self,
        of: &BTreeSet<VirtualKey>,
    ) -> Result<BTreeMap<VirtualKey, u64>, ObserveError> {
        if self.blind { Err(unseen()) } else { self.kernel.offloaded(of) }
    }

    fn translated(
        &mut self,
        of: &BTreeSet<weir_core::kernel::Server>,
    ) -> Result<BTreeMap<weir_core::kernel::Server, u64>, ObserveError> {
        self.kernel.translated(of)
    }

    fn traffic(&mut self, of: VirtualKey) -> Result<Option<Traffic>, ObserveError> {
        if self.blind { Err(unseen()) } else { self.kernel.traffic(of) }
    }
}

fn blind() -> Reconciler<Blind, Wishes> {
    let Subject { kernel, abilities, defaults, .. } =
        subject(FakeKernel::default(), Wish::default());
    let kernel = Blind { kernel, blind: true };
    let mut all = Reconciler::new(Model::new("n"), kernel, Wishes::default(), abilities, defaults);
    all.set_base(Some(Base::default()));
    all.fold(two_services(), 0);
    all
}

#[test]
fn what_failed_for_a_reason_that_passes_is_asked_again_by_itself() {
    let mut all = subject(FakeKernel::default(), Wish::default());
    all.policies.ask_again = Some(Duration::from_secs(60));
    all.fold(vec![service("web", "10.96.0.1"), slice("web", &["10.1.0.1"])], 0);
    all.turn(1_000).unwrap();
    assert_eq!(all.due(), Some(61_001), "a moment after the suspension's end");
    all.turn(61_000).unwrap();
    assert_eq!(all.policies.asked.len(), 1, "not before its time");
    all.policies.ask_again = None;
    all.turn(61_001).unwrap();
    let web = ("shop/web".to_owned(), 0);
    assert_eq!(all.policies.asked, [web.clone(), web], "nothing else of the question changed");
    assert_eq!(all.due(), None);
}

#[test]
fn a_policy_sees_what_was_decided_before_if_it_wants_to() {
    let wish = Wish { scheduler: Some("mh".to_owned()), ..Wish::default() };
    let mut all = subject(FakeKernel::default(), wish);
    all.policies.wants.previous = true;
    for now in 0..2 {
        all.fold(two_services(), 0);
        all.touch(Touched::all());
        all.turn(now).unwrap();
    }
    let previous: Vec<_> = all.policies.views.iter().map(|view| view.previous.as_ref()).collect();
    assert_eq!(previous[..2], [None, None]);
    let before = previous[2].unwrap();
    assert_eq!(before.scheduler.as_deref(), Some("mh"));
    assert_eq!(before.dataplane.as_deref(), Some("ipvs"), "as decided, not as wished");
    assert_eq!(before.scheduler_flags.as_deref(), Some(&["mh-port".to_owned()][..]));
    assert_eq!((before.affinity_seconds, &before.note), (Some(0), &None));
    all.policies.wants.previous = false;
    all.touch(Touched::all());
    all.turn(2).unwrap();
    assert_eq!(all.policies.views.last().unwrap().previous, None);
}

fn carried(connections: u64, bytes_in: u64, open: u64) -> Traffic {
    Traffic { connections, bytes_in, open, ..Traffic::default() }
}

#[test]
fn a_policy_sees_the_traffic_since_it_was_asked_last_if_it_wants_to() {
    let mut all = subject(FakeKernel::default(), Wish::default());
    all.policies.wants.counters = true;
    all.fold(vec![service("web", "10.96.0.1"), slice("web", &["10.1.0.1"])], 0);
    let key = virtual_key("10.96.0.1");
    let seen = |all: &mut Subject, now, traffic| {
        all.kernel.traffic.insert(key, traffic);
        all.touch(Touched::all());
        all.turn(now).unwrap();
        let counters = all.policies.views.last().unwrap().counters;
        counters.map(|it| (it.seconds, it.connections, it.bytes_in, it.active_connections))
    };
    assert_eq!(seen(&mut all, 0, carried(0, 0, 0)), None, "the first time");
    assert_eq!(seen(&mut all, 30_000, carried(9, 900, 2)), Some((30, 9, 900, 2)));
    assert_eq!(seen(&mut all, 40_000, carried(10, 950, 1)), Some((10, 1, 50, 1)));
    assert_eq!(seen(&mut all, 50_000, carried(3, 7, 3)), Some((10, 3, 7, 3)), "made anew");
    all.policies.wants.counters = false;
    assert_eq!(seen(&mut all, 60_000, carried(4, 8, 3)), None);
}

#[test]
fn what_an_earlier_run_s_service_carried_is_not_counted_as_new() {
    let mut first = subject(FakeKernel::default(), Wish::default());
    let objects = || vec![service("web", "10.96.0.1"), slice("web", &["10.1.0.1"])];
    first.fold(objects(), 0);
    first.turn(0).unwrap();
    let mut kernel = first.kernel;
    kernel.traffic.insert(virtual_key("10.96.0.1"), carried(5_000, 1, 0));
    let mut all = subject(kernel, Wish::default());
    all.policies.wants.counters = true;
    all.fold(objects(), 0);
    for now in [0, 10_000] {
        all.touch(Touched::all());
        all.turn(now).unwrap();
    }
    let counters: Vec<_> = all.policies.views.iter().map(|view| view.counters).collect();
    assert_eq!(counters[0], None);
    assert_eq!(counters[1].map(|it| (it.seconds, it.connections)), Some((10, 0)));
}

#[test]
fn traffic_that_cannot_be_read_is_told_and_holds_up_nothing() {
    let mut all = blind();
    all.policies.wants.counters = true;
    all.kernel.blind = false;
    assert!(all.turn(0).unwrap().unmeasured.is_empty());
    all.kernel.blind = true;
    all.fold(vec![slice("web", &["10.1.0.9"])], 1);
    let turn = all.turn(1_000).unwrap();
    assert_eq!(turn.unmeasured, ["shop/web 80/tcp: look: nothing to see"]);
    assert_eq!(turn.plan.len(), 3, "the change is written all the same");
}

#[test]
fn nothing_is_written_on_a_state_that_is_not_known() {
    let mut all = blind();
    assert!(all.turn(0).is_err());
    assert!(all.has_work(), "the services stay touched");
    assert_eq!(all.kernel.kernel.writes, 0);
}

#[test]
fn a_look_out_of_caution_that_fails_keeps_what_was_certain() {
    let mut all = blind();
    all.kernel.blind = false;
    all.turn(0).unwrap();
    all.kernel.blind = true;
    assert!(all.look().is_err() && all.look_at_table().is_err());
    all.fold(vec![slice("web", &["10.1.0.9"])], 1);
    assert_eq!(all.turn(1_000).unwrap().plan.len(), 3, "a change is written all the same");
}

#[test]
fn a_surprise_is_looked_at_and_an_unknown_outcome_must_be() {
    for (kind, must) in [(RefusalKind::Exists, false), (RefusalKind::Unknown, true)] {
        let mut all = blind();
        let refused = Operation::AddLocal("10.96.0.1".parse().unwrap());
        all.kernel.blind = false;
        all.kernel.kernel.refuse = vec![(refused, Refusal::new(kind, "no"))];
        all.turn(0).unwrap();
        assert!(all.has_work(), "{kind}: there is something to look at");
        all.kernel.kernel.refuse.clear();
        all.kernel.blind = true;
        all.fold(vec![service("late", "10.96.0.3")], 1);
        let turn = all.turn(10);
        assert_eq!(turn.is_err(), must, "{kind}");
        assert!(
            turn.is_err() || turn.is_ok_and(|turn| turn.unseen.is_some()),
            "{kind}: it is told"
        );
        all.kernel.blind = false;
        assert!(!all.turn(1_000).unwrap().plan.is_empty(), "{kind}: tried again in time");
        assert!(!all.has_work(), "{kind}");
        let at = |address: &str| all.kernel.kernel.state.locals.contains(&address.parse().unwrap());
        assert!(at("10.96.0.1") && at("10.96.0.3"), "{kind}");
    }
}

#[test]
fn what_was_refused_is_tried_at_once_when_somebody_asks() {
    let refused = Operation::AddLocal("10.96.0.1".parse().unwrap());
    let why = Refusal::new(RefusalKind::Other, "Invalid argument");
    let kernel = FakeKernel { refuse: vec![(refused, why)], ..FakeKernel::default() };
    let mut all = subject(kernel, Wish::default());
    all.fold(two_services(), 0);
    all.turn(0).unwrap();
    assert!(all.turn(10).unwrap().refused.is_empty(), "it waits for its time");
    all.retry_now();
    assert_eq!(all.due(), Some(0));
    assert_eq!(all.turn(20).unwrap().refused.len(), 1);
}

#[test]
fn ages_of_endpoints_outlive_a_restart_however_many_slices_tell_of_them() {
    let web = ObjectName::new("shop", "web");
    let part = |number: u32, address: &str| {
        let Change::Slice(mut it) = slice("web", &[address]) else { unreachable!() };
        it.name = ObjectName::new("shop", format!("web-{number}"));
        Change::Slice(it)
    };
    let objects = || {
        let slices = [part(1, "10.1.0.1"), part(2, "10.1.0.2"), part(3, "10.1.0.3")];
        [service("web", "10.96.0.1")].into_iter().chain(slices)
    };
    let ages = |all: &Subject, now| {
        let age =
            |last: u8| all.seen().age(&web, format!("10.1.0.{last}:8080").parse().unwrap(), now);
        [1, 2, 3, 4].map(age)
    };
    let mut first = subject(FakeKernel::default(), Wish::default());
    first.fold(objects().take(2).collect(), 10);
    first.listed(None);
    first.fold(objects().skip(2).collect(), 100);
    assert_eq!(ages(&first, 130), [None, Some(30), Some(30), None]);

    let mut second = subject(FakeKernel::default(), Wish::default());
    let gone = ObjectName::new("shop", "gone");
    let mut kept = first.seen().clone();
    kept.note(&gone, &BTreeSet::from(["10.1.0.7:8080".parse().unwrap()]), Some(1));
    second.resume(Drains::default(), kept);
    for object in objects().chain([part(4, "10.1.0.4")]) {
        second.fold(vec![object], 200);
    }
    second.listed(Some(200));
    assert_eq!(ages(&second, 230), [None, Some(130), Some(130), Some(30)]);
    assert_eq!(second.seen().age(&gone, "10.1.0.7:8080".parse().unwrap(), 230), None);
    second.fold(vec![Change::SliceGone(ObjectName::new("shop", "web-2"))], 300);
    assert_eq!(ages(&second, 330), [None, None, Some(230), Some(130)], "what goes is forgotten");
}

#[test]
fn a_node_that_differs_in_nothing_of_weight_costs_nothing() {
    let node = |taints: &[&str]| {
        let taints = taints.iter().map(|it| (*it).to_owned()).collect();
        let node =
            weir_core::model::Node { name: "node-1".to_owned(), taints, ..Default::default() };
        Change::Node(Box::new(node))
    };
    let mut all = subject(FakeKernel::default(), Wish::default());
    all.fold(two_services(), 0);
    all.fold(vec![node(&[])], 0);
    all.turn(0).unwrap();
    all.fold(vec![node(&["node.kubernetes.io/unreachable"])], 1);
    all.set_base(Some(Base::default()));
    assert!(!all.has_work());
}
