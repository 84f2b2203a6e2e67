//! What reaches a real policy beside the objects, and what outlives it: the decision before, the traffic
//! since, and its last good answers over a restart.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use weir::config::{Config, Policy};
use weir::keep::Keep;
use weir::policies::Chain;
use weir::reconcile::{Defaults, Reconciler};
use weir_core::compile::PortKey;
use weir_core::decision::{Offload, Scheduler};
use weir_core::kernel::{FakeKernel, Traffic};
use weir_core::model::{Change, Model, Service, ServicePort, ServiceType, TrafficPolicy};
use weir_core::net::{ObjectName, Port, Protocol};
use weir_core::sight;
use weir_core::state::{Base, VirtualKey};
use weir_core::view::KernelAbilities;
use weir_policy_host::Limits;
use weir_policy_host::build::Build;

type World = Reconciler<FakeKernel, Chain>;

/// The policy that answers with the view that it got, as its note.
fn echo() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(build_echo)
}

fn build_echo() -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("echo-for-inputs.wasm");
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("policy/tests/echo");
    let build = Build { dir, out: Some(file.clone()) };
    build.run(&Limits::default()).expect("the policy builds");
    file
}

fn world(file: &Path, wants: &str) -> World {
    let setting = ("wants".to_owned(), wants.to_owned());
    let policy = Policy {
        name: "echo".parse().expect("a name"),
        file: file.to_owned(),
        config: [setting].into_iter().collect(),
    };
    let config = Config { policies: vec![policy], ..Config::default() };
    let abilities = KernelAbilities {
        dataplanes: vec!["ipvs".to_owned()],
        ipvs_schedulers: vec!["rr".to_owned(), "mh".to_owned()],
        ..KernelAbilities::default()
    };
    let model = Model::new("node-1");
    let node = sight::node(&model, &abilities, 2);
    let chain = Chain::load(&config, None, node).expect("this machine runs WebAssembly");
    let defaults = Defaults {
        limits: weir_core::decision::AllLimits::default(),
        dataplane: None,
        scheduler: Scheduler::Mh,
        offload: Offload::Never,
        proxy_name: None,
        cpus: 2,
    };
    let mut all = Reconciler::new(model, FakeKernel::default(), chain, abilities, defaults);
    all.set_base(Some(Base::default()));
    all
}

fn name() -> ObjectName {
    ObjectName::new("shop", "cart")
}

fn http() -> ServicePort {
    ServicePort {
        name: "http".to_owned(),
        protocol: Protocol::Tcp,
        port: Port::new(80).expect("a port"),
        node_port: None,
        app_protocol: None,
    }
}

/// The service with this value of an annotation, which makes it another revision.
fn service(revision: &str) -> Change {
    Change::Service(Box::new(Service {
        name: name(),
        uid: None,
        created: None,
        labels: Default::default(),
        annotations: [("revision".to_owned(), revision.to_owned())].into(),
        kind: ServiceType::ClusterIP,
        proxy_name: None,
        cluster_ips: vec!["10.96.0.1".parse().expect("an address")],
        external_ips: Vec::new(),
        load_balancer_ips: Vec::new(),
        source_ranges: Vec::new(),
        ports: vec![http()],
        affinity_seconds: None,
        internal_policy: TrafficPolicy::Cluster,
        external_policy: TrafficPolicy::Cluster,
        traffic_distribution: None,
        health_check_node_port: None,
    }))
}

/// What the policy saw when it was asked last.
fn seen(all: &World) -> String {
    let decided = &all.decided(&name()).expect("it was decided")[&PortKey::of(&http())];
    let [(_, wish)] = &decided.answers.wishes[..] else { panic!("{:?}", decided.answers) };
    wish.note.clone().expect("the policy answers with its view")
}

fn turn(all: &mut World, revision: &str, now: u64) {
    all.fold(vec![service(revision)], now / 1000);
    all.turn(now).expect("the fake can be looked at");
}

#[test]
fn the_decision_before_and_the_traffic_since_reach_a_policy_that_wants_them() {
    let mut all = world(echo(), "all");
    turn(&mut all, "1", 0);
    let first = seen(&all);
    assert!(first.contains("counters: None") && first.contains("previous: None"), "{first}");
    let (protocol, port) = (Protocol::Tcp, http().port);
    let key = VirtualKey { address: "10.96.0.1".parse().expect("an address"), protocol, port };
    let carried = Traffic { connections: 9, open: 2, bytes_in: 1000, ..Traffic::default() };
    all.kernel.traffic.insert(key, carried);
    turn(&mut all, "2", 30_000);
    let second = seen(&all);
    for part in [
        "seconds: 30",
        "connections: 8,",
        "active-connections: 2",
        "bytes-in: 896",
        "scheduler: Some(\n                \"mh\"",
        "\"mh-port\"",
    ] {
        assert!(second.contains(part), "{part} is not in {second}");
    }
}

#[test]
fn a_policy_that_wants_neither_gets_neither() {
    let mut all = world(echo(), "nothing");
    for (revision, now) in [("1", 0), ("2", 30_000)] {
        turn(&mut all, revision, now);
        let seen = seen(&all);
        assert!(seen.contains("counters: None") && seen.contains("previous: None"), "{seen}");
    }
}

#[test]
fn last_good_answers_stand_in_after_a_restart_with_a_broken_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("echo.wasm");
    std::fs::copy(echo(), &file).expect("a copy");
    let (keep, ..) = Keep::open(dir.path(), 1000);
    let mut before = world(&file, "nothing");
    turn(&mut before, "1", 0);
    assert!(before.policies.learned() > 0);
    keep.save_answers(&before.policies.last_good(before.decided_ports())).expect("it is kept");
    assert!(before.policies.last_good(std::iter::empty()).is_empty(), "services that are gone");
    std::fs::write(&file, "broken").expect("written");
    let mut after = world(&file, "nothing");
    after.policies.restore(keep.answers());
    turn(&mut after, "2", 0);
    assert_eq!(seen(&after), seen(&before));
    let failure =
        &after.decided(&name()).expect("decided")[&PortKey::of(&http())].answers.failures[0];
    assert_eq!((failure.kind.kind(), failure.stood_in), ("not-loaded", true));
}
