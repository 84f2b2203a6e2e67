//! What reaches a real policy beside the objects, and what outlives it: the decision before, the traffic
//! since, and its last good answers over a restart.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use weir::config::{Config, Policy};
use weir::keep::Keep;
use weir::policies::Chain;
use weir::reconcile::{Defaults, Reconciler};
use weir::report::explain::explain;
use weir_core::compile::PortKey;
use weir_core::decision::{Offload, Scheduler};
use weir_core::kernel::{FakeKernel, Traffic};
use weir_core::model::{
    Change, Model, Namespace, Service, ServicePort, ServiceType, Tags, TrafficPolicy,
};
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
    build("echo-for-inputs", "policy/tests/echo")
}

/// Builds the policy of a folder.
fn build(name: &str, folder: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name).with_extension("wasm");
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let build = Build { dir, out: Some(file.clone()) };
    build.run(&Limits::default()).expect("the policy builds");
    file
}

fn world(file: &Path, wants: &str) -> World {
    let abilities = KernelAbilities {
        dataplanes: vec!["ipvs".to_owned()],
        ipvs_schedulers: vec!["rr".to_owned(), "mh".to_owned()],
        ..KernelAbilities::default()
    };
    world_with("echo", file, &[("wants", wants)], abilities)
}

/// One policy with these settings, on a kernel that can this.
fn world_with(
    name: &str,
    file: &Path,
    settings: &[(&str, &str)],
    abilities: KernelAbilities,
) -> World {
    let setting = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let policy = Policy {
        name: name.parse().expect("a name"),
        file: file.to_owned(),
        config: settings.iter().map(setting).collect(),
    };
    let config = Config { policies: vec![policy], ..Config::default() };
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
    annotated(&[("revision", revision)])
}

fn annotated(annotations: &[(&str, &str)]) -> Change {
    Change::Service(Box::new(Service {
        name: name(),
        uid: None,
        created: None,
        labels: Default::default(),
        annotations: tags(annotations),
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

fn tags(all: &[(&str, &str)]) -> Tags {
    all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
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

/// A table of Namespaces, an annotation on the Namespace, one on the Service: each beats the one before,
/// and explain names what counts.
#[test]
fn explain_names_where_a_threshold_comes_from() {
    let by_name = |on: fn(Scheduler) -> bool| {
        Scheduler::ALL.into_iter().filter(|it| on(*it)).map(|it| it.as_str().to_owned()).collect()
    };
    let abilities = KernelAbilities {
        dataplanes: vec!["ipvs".to_owned(), "nftables".to_owned()],
        ipvs_schedulers: by_name(Scheduler::on_ipvs),
        nftables_schedulers: by_name(Scheduler::on_nftables),
        flowtable: true,
        ..KernelAbilities::default()
    };
    let file = build("namespace-thresholds-for-inputs", "../policies/namespace-thresholds");
    let table = [("shop", "100"), ("*", "7"), (".max", "1000")];
    let mut all = world_with("thresholds", &file, &table, abilities);
    let (asked, beyond) = ("weir.dev/offload-after-packets", "is beyond .max of this policy: 1000");
    let of = |whose: &str, packets: &str| format!("annotation {asked}: {packets} (of the {whose}");
    let cases = [
        ("the table", None, None, 100, vec![]),
        ("the Namespace", None, Some("20"), 20, vec![of("Namespace", "20") + ")"]),
        (
            "the Service",
            Some("5"),
            Some("20"),
            5,
            vec![of("Service", "5") + ", beats its Namespace's: 20)"],
        ),
        ("the Service alone", Some("6"), None, 6, vec![of("Service", "6") + ")"]),
        (
            "a bound",
            Some("never"),
            None,
            1000,
            vec![of("Service", "never"), format!("of the Service: never {beyond}")],
        ),
        ("the table again", None, None, 100, vec![]),
    ];
    for (now, (source, own, around, packets, lines)) in (1..).zip(cases) {
        let annotations = |value: Option<&'static str>| value.map(|it| (asked, it));
        let shop = Namespace {
            name: "shop".to_owned(),
            annotations: tags(annotations(around).as_slice()),
            ..Namespace::default()
        };
        let changes =
            vec![Change::Namespace(Box::new(shop)), annotated(annotations(own).as_slice())];
        all.fold(changes, now);
        all.turn(now * 1000).expect("the fake can be looked at");
        let text = explain(&all, &name()).expect("it is known").to_string();
        let decided = format!("offload: after {packets} packets (by thresholds)");
        assert!(text.contains(&decided), "{source}: {text}");
        for line in &lines {
            assert!(text.contains(line), "{source}: {line}: {text}");
        }
        assert_eq!(text.contains("annotation "), !lines.is_empty(), "{source}: {text}");
    }
}
