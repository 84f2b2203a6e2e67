//! Policies written with the SDK, built as users build them, in the sandbox.
//!
//! `BLESS=1` rewrites the golden text of the view that a guest sees.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use weir_core::view::{
    Attributes, Counters, Endpoint, Interface, KernelAbilities, Namespace, Node, Port, Service,
    ServiceView, Slice,
};
use weir_core::wish::{Interfaces, Offload, Refusal, Weight, Wish};
use weir_policy_host::build::{Build, Checked, Configured, New, Sdk, check, check_bytes, new};
use weir_policy_host::{
    Change, FailureKind, Limits, PolicySet, PolicySpec, RevisionKey, Sandbox, SandboxConfig,
};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Builds a crate of this repository.
fn built(dir: &str) -> PathBuf {
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(dir.replace('/', "-"));
    let file = out.with_extension("wasm");
    let build = Build { dir: Path::new(ROOT).join(dir), out: Some(file.clone()) };
    let built = build.run(&Limits::default()).unwrap();
    assert_eq!(built.file, file);
    assert_eq!(built.checked.wasi, [""; 0], "no WASI on wasm32-unknown-unknown");
    file
}

fn echo() -> Checked {
    check(built_echo(), &Limits::default()).unwrap()
}

fn built_echo() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| built("host/policy/tests/echo"))
}

fn echo_with(config: &[(&str, &str)]) -> Configured {
    echo().configure(attributes(config), node()).unwrap()
}

fn attributes(pairs: &[(&str, &str)]) -> Attributes {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn node() -> Node {
    Node {
        name: "node-1".into(),
        labels: attributes(&[("rack", "7")]),
        zone: Some("zone-a".into()),
        cpus: 12,
        kernel: KernelAbilities {
            release: "6.12.43".into(),
            dataplanes: strings(&["ipvs", "nftables"]),
            ipvs_schedulers: strings(&["rr", "mh"]),
            nftables_schedulers: strings(&["random"]),
            flowtable: true,
        },
        attributes: attributes(&[("new-in-node", "1")]),
    }
}

fn service() -> Service {
    let ip = |text: &str| text.parse().unwrap();
    Service {
        name: "cart".into(),
        labels: attributes(&[("app", "cart"), ("tier", "front")]),
        annotations: attributes(&[("weir.dev/scheduler", "lc")]),
        kind: "LoadBalancer".into(),
        cluster_ips: vec![ip("10.96.0.10"), ip("2001:db8::10")],
        external_ips: vec![ip("192.0.2.1")],
        load_balancer_ips: vec![ip("198.51.100.1")],
        affinity_seconds: Some(10_800),
        internal_traffic_policy: "Cluster".into(),
        external_traffic_policy: "Local".into(),
        traffic_distribution: Some("PreferSameZone".into()),
    }
}

fn endpoints() -> Vec<Endpoint> {
    let full = Endpoint {
        ready: false,
        serving: true,
        terminating: true,
        local: true,
        node: Some("node-1".into()),
        zone: Some("zone-a".into()),
        hint_zones: strings(&["zone-a", "zone-b"]),
        hint_nodes: strings(&["node-1"]),
        age_seconds: Some(64),
        slice: Some(0),
        ..Endpoint::ready([10, 0, 0, 1].into(), 8080)
    };
    vec![full, Endpoint::ready("2001:db8::1".parse().unwrap(), 8081)]
}

/// A view in which every field differs from its default and from its neighbours.
fn full_view() -> ServiceView {
    ServiceView {
        namespace: Namespace {
            name: "shop".into(),
            labels: attributes(&[("team", "a")]),
            annotations: attributes(&[("note", "äöü €")]),
        },
        service: service(),
        port: Port {
            name: "http".into(),
            protocol: "TCP".into(),
            number: 80,
            app_protocol: Some("kubernetes.io/h2c".into()),
            node_port: Some(30_080),
        },
        endpoints: endpoints(),
        slices: vec![Slice {
            name: "cart-abcde".into(),
            labels: attributes(&[("kubernetes.io/service-name", "cart")]),
            annotations: attributes(&[("weight", "3")]),
        }],
        node: node(),
        counters: Some(Counters {
            seconds: 30,
            connections: 1001,
            active_connections: 7,
            packets_in: 100_001,
            packets_out: 200_002,
            bytes_in: 1 << 40,
            bytes_out: (1 << 41) + 1,
        }),
        previous: Some(full_wish()),
        attributes: attributes(&[("new-in-view", "2")]),
    }
}

fn full_wish() -> Wish {
    let weight = |address: &str, weight| Weight { address: address.into(), port: 8080, weight };
    Wish {
        dataplane: Some("ipvs".into()),
        scheduler: Some("mh".into()),
        scheduler_flags: Some(strings(&["mh-port"])),
        weights: Some(vec![weight("10.0.0.1", 3), weight("not an address", u32::MAX)]),
        offload: Some(Offload::After(0)),
        interfaces: Some(Interfaces {
            include: strings(&["eth*", "group:uplink"]),
            exclude: strings(&["eth9"]),
        }),
        affinity_seconds: Some(60),
        re_evaluate_after_seconds: Some(5),
        note: Some("why".into()),
        attributes: attributes(&[("new-in-decision", "3")]),
    }
}

#[test]
fn a_guest_sees_the_whole_view() {
    let decided = echo_with(&[]).decide(&full_view());
    let seen = decided.answer.unwrap().unwrap().note.unwrap() + "\n";
    let golden = Path::new(ROOT).join("host/policy/tests/echo/view.txt");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&golden, &seen).unwrap();
    }
    assert_eq!(seen, fs::read_to_string(golden).unwrap());
    assert_eq!(decided.said.lines[0].text, "asked about cart");
    assert_eq!(decided.said.counts.get("asked"), Some(&1));
    assert!(decided.fuel > 0 && decided.fuel < decided.fuel_limit / 10, "{}", decided.fuel);
}

#[test]
fn changing_inputs_go_only_to_those_who_want_them() {
    let decided = echo_with(&[("wants", "nothing")]).decide(&full_view());
    let seen = decided.answer.unwrap().unwrap().note.unwrap();
    for absent in ["age-seconds: None", "counters: None", "previous: None"] {
        assert!(seen.contains(absent), "{absent}");
    }
    assert!(!seen.contains("age-seconds: Some"));
}

#[test]
fn a_decision_comes_back_as_it_was_made() {
    let previous = echo_with(&[("answer", "previous")]);
    for wish in [full_wish(), Wish::default(), never()] {
        let view = ServiceView { previous: Some(wish.clone()), ..full_view() };
        assert_eq!(previous.decide(&view).answer, Ok(Ok(wish)));
    }
    let nothing = ServiceView { previous: None, ..full_view() };
    assert_eq!(previous.decide(&nothing).answer, Ok(Err(Refusal::NotMine)));
    let refusing = echo_with(&[("answer", "refusal")]).decide(&full_view());
    assert_eq!(refusing.answer, Ok(Err(Refusal::Reason("told to".into()))));
}

/// Answers that are empty rather than absent.
fn never() -> Wish {
    Wish {
        scheduler_flags: Some(Vec::new()),
        weights: Some(Vec::new()),
        offload: Some(Offload::Never),
        interfaces: Some(Interfaces::default()),
        affinity_seconds: Some(0),
        ..Wish::default()
    }
}

#[test]
fn a_changed_node_reaches_a_policy_whose_file_is_of_no_use_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("echo.wasm");
    fs::copy(built_echo(), &file).unwrap();
    let sandbox = Sandbox::new(SandboxConfig::default()).unwrap();
    let (set, _) = PolicySet::load(sandbox, vec![PolicySpec::file(&file)], node());
    let key = RevisionKey::first("shop/cart:http");
    let ask = |node: &Node| set.decide(&key, |_| ServiceView { node: node.clone(), ..full_view() });
    assert_eq!(ask(&node()).failures, []);
    fs::write(&file, "broken").unwrap();
    let moved = Node { zone: Some("zone-b".into()), ..node() };
    assert!(matches!(&set.set_node(moved.clone())[..], [Change::Refused { kept_old: true, .. }]));
    let answers = ask(&moved);
    // The guest fails where it was configured for another node than the view's.
    assert_eq!(answers.failures, []);
    assert!(answers.wishes[0].1.note.as_ref().unwrap().contains("zone-b"), "asked anew");
    assert!(ask(&moved).from_cache, "and kept from then on");
}

#[test]
fn a_panic_is_a_trap_with_its_words_in_the_log() {
    let decided = echo_with(&[("answer", "panic")]).decide(&full_view());
    assert_eq!(decided.answer.unwrap_err().kind, FailureKind::Trap);
    let said = &decided.said.lines.last().unwrap().text;
    assert!(said.contains("told to") && said.contains("lib.rs"), "{said}");
}

#[test]
fn a_refused_configuration_says_why() {
    let error = echo().configure(attributes(&[("refuse", "no such thing")]), node()).err().unwrap();
    assert_eq!(error.to_string(), "refuses its configuration: no such thing");
}

#[test]
fn a_guest_sees_the_whole_interface() {
    let interface = Interface {
        index: 3,
        name: "eth0".into(),
        kind: "bond".into(),
        master: Some("br0".into()),
        mtu: 9000,
        flags: strings(&["up", "running"]),
        addresses: vec!["192.0.2.1/24".parse().unwrap(), "2001:db8::1/64".parse().unwrap()],
        default_route: true,
        pod: false,
        attributes: attributes(&[("speed", "25000")]),
    };
    let want = [
        "3 eth0 bond Some(\"br0\") 9000",
        "default-route true pod false",
        "up running",
        "192.0.2.1/24 2001:db8::1/64",
        "speed=25000",
    ];
    assert_eq!(echo_with(&[]).classify(&interface), want);
}

#[test]
fn the_shipped_policies_decide() {
    let annotations = check(&built("policies/annotations"), &Limits::default()).unwrap();
    assert!(annotations.size < 200_000, "{} bytes", annotations.size);
    let decided = annotations.configure(Attributes::new(), node()).unwrap().decide(&full_view());
    assert_eq!(decided.service_port, "shop/cart:http");
    let want = Wish { scheduler: Some("lc".into()), ..Wish::default() };
    assert_eq!(decided.answer, Ok(Ok(want)));

    let default = check(&built("policies/default"), &Limits::default()).unwrap();
    let decided = default.configure(Attributes::new(), node()).unwrap().decide(&full_view());
    let want = Wish { affinity_seconds: Some(10_800), ..Wish::default() };
    assert_eq!(decided.answer, Ok(Ok(want)));
}

/// What a shipped policy, built and configured, says of a view.
fn shipped(name: &str, config: &[(&str, &str)], view: &ServiceView) -> Wish {
    let checked = check(&built(&format!("policies/{name}")), &Limits::default()).unwrap();
    assert!(checked.size < 200_000, "{name}: {} bytes", checked.size);
    let decided = checked.configure(attributes(config), node()).unwrap().decide(view);
    decided.answer.unwrap().unwrap()
}

/// Annotations as long as they may be, on the Service and on its Namespace, and not read to their end.
#[test]
fn the_longest_annotations_cost_their_owner_no_more_than_a_bit_of_the_fuel() {
    let of = |entry: &str, bytes: usize| entry.repeat(bytes / entry.len());
    let (all, most) = (256 << 10, 20 << 10);
    let cases = [
        [("weir.dev/weights", of("10.0.0.1=1,", all))].to_vec(),
        [("weir.dev/weights", of("::=1,", most))].to_vec(),
        [("weir.dev/weights", of("[2001:db8:1:2:3:4:5:6]:80=1,", most))].to_vec(),
        vec![
            ("weir.dev/node-port-interfaces", of("e,", most)),
            ("weir.dev/offload-interfaces", of("!,e,", most)),
            ("weir.dev/scheduler-flags", of(",", most)),
        ],
        vec![
            ("weir.dev/node-port-interfaces", of(",", most)),
            ("weir.dev/offload-interfaces", of("e,", most)),
            ("weir.dev/scheduler-flags", of("mh-port,", most)),
        ],
    ];
    let annotations = check(&built("policies/annotations"), &Limits::default()).unwrap();
    let configured = annotations.configure(Attributes::new(), node()).unwrap();
    for values in &cases {
        let mut view = full_view();
        let values: Vec<(&str, &str)> = values.iter().map(|(n, v)| (*n, v.as_str())).collect();
        view.service.annotations = attributes(&values);
        view.endpoints = (1..=10).map(|n| Endpoint::ready([10, 9, 9, n].into(), 8080)).collect();
        let decided = configured.decide(&view);
        let (used, limit) = (decided.fuel, decided.fuel_limit);
        let start: Vec<_> = values.iter().map(|(name, text)| (*name, &text[..12])).collect();
        println!("{used} of {limit}: {start:?}");
        let costly = [FailureKind::Fuel, FailureKind::Memory, FailureKind::Deadline];
        let failed = decided.answer.as_ref().err().map(|it| it.kind);
        assert!(failed.is_none_or(|kind| !costly.contains(&kind)), "{start:?}: {failed:?}");
        assert!(used < limit / 2, "{used} of {limit}: {start:?}");
    }
}

#[test]
fn the_shipped_policies_of_offload_decide() {
    let table = [("*", "never"), (".max", "100"), ("shop", "30")];
    let after = |packets| Wish { offload: Some(Offload::After(packets)), ..Wish::default() };
    assert_eq!(shipped("namespace-thresholds", &table, &full_view()), after(30));
    let mut view = full_view();
    view.namespace.annotations = attributes(&[("weir.dev/offload-after-packets", "2000")]);
    let wish = shipped("namespace-thresholds", &table, &view);
    let words = "2000 is beyond .max of this policy: 100";
    assert!(wish.note.as_ref().unwrap().ends_with(words), "{wish:?}");
    assert_eq!(Wish { note: None, ..wish }, after(100));

    // As the configuration hands over a YAML list.
    let wish = shipped("uplinks-only", &[("exclude", r#"["group:tunnel","eth9"]"#)], &full_view());
    let interfaces = Interfaces {
        include: strings(&["group:uplink", "group:pod"]),
        exclude: strings(&["group:tunnel", "eth9"]),
    };
    assert_eq!(wish, Wish { interfaces: Some(interfaces), ..Wish::default() });

    let wish = shipped("no-offload-for-audit", &[("labels", "app=cart")], &full_view());
    let note = "every packet is to be seen: label app=cart of the Service";
    let want = Wish { offload: Some(Offload::Never), note: Some(note.into()), ..Wish::default() };
    assert_eq!(wish, want);
}

#[test]
fn a_new_crate_builds_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let created = new(&New { dir: dir.path().join("least-conn"), sdk: Sdk::Copy }).unwrap();
    // The versions that the rest of the test has, so that nothing is downloaded again.
    fs::copy(Path::new(ROOT).join("Cargo.lock"), created.dir.join("Cargo.lock")).unwrap();
    let built = Build { dir: created.dir.clone(), out: None }.run(&Limits::default()).unwrap();
    assert_eq!(built.file, fs::canonicalize(created.dir).unwrap().join("least-conn.wasm"));
    let policy = built.checked.configure(Attributes::new(), node()).unwrap();
    let answer = policy.decide(&full_view()).answer.unwrap().unwrap();
    assert_eq!(answer.scheduler.as_deref(), Some("lc"));
}

#[test]
fn what_is_shown_names_imports_exports_and_answers() {
    let checked = echo();
    let shown = checked.to_string();
    for part in
        ["imports    weir:policy/host@0.1.0", "weir:policy/service-policy@0.1.0", "sha256     "]
    {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
    let shown = echo_with(&[("answer", "previous")]).decide(&full_view()).to_string();
    for part in [
        "shop/cart:http\n",
        "  scheduler: mh\n",
        "  weights: 10.0.0.1 port 8080 = 3, not an address port 8080 = 4294967295\n",
        "  offload: after 0 packets\n",
        "  interfaces: eth*, group:uplink, !eth9\n",
        "  info: asked about cart\n",
        "  counted asked: 1\n",
    ] {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
}

#[test]
fn what_a_policy_says_steers_no_terminal() {
    let evil = "a\u{1b}[2Jb\nc\u{9b}31m\u{202e}d\u{2066}e";
    let wish = Wish {
        dataplane: Some(evil.into()),
        scheduler: Some(evil.into()),
        scheduler_flags: Some(strings(&[evil])),
        weights: Some(vec![Weight { address: evil.into(), port: 1, weight: 1 }]),
        interfaces: Some(Interfaces { include: strings(&[evil]), exclude: strings(&[evil]) }),
        note: Some(evil.into()),
        attributes: attributes(&[(evil, evil)]),
        ..Wish::default()
    };
    let view = ServiceView { previous: Some(wish), ..full_view() };
    let shown = echo_with(&[("answer", "previous")]).decide(&view).to_string();
    assert_eq!(shown.lines().count(), 11, "no field has a line of its own making: {shown}");
    for line in shown.lines() {
        assert_eq!(line, weir_policy_host::plain(line));
    }
}

#[test]
fn the_core_module_is_told_apart_from_the_component() {
    let error = check_bytes(b"\0asm\x01\0\0\0", &Limits::default()).unwrap_err();
    assert_eq!(error.kind(), "core-module");
}
