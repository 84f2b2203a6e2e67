//! Files that are no policies, and files that change.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use weir_core::view::{Attributes, Node};
use weir_policy_host::{
    Change, Limits, PolicySet, PolicySpec, Sandbox, SandboxConfig, build, inspect,
};

use crate::guests::{Guest, component, deciding, good, wit};
use crate::stage::{Stage, ask, schedulers, view};

/// Files that aren't policies, by the word for what is wrong with them.
fn wrong() -> Vec<(&'static str, Vec<u8>)> {
    let good = good();
    let module = wat::parse_str("(module)").unwrap();
    let other_world = component(module.clone(), "package a:b; world w {}", "w");
    let other_version = wit().replace("weir:policy@0.1.0", "weir:policy@0.9.0");
    let newer = Guest { wit: other_version, ..Guest::default() };
    let newer_module = of_version_0_9(newer.module());
    vec![
        ("not-wasm", b"apiVersion: v1\nkind: Service\n".to_vec()),
        ("not-wasm", Vec::new()),
        ("core-module", module),
        ("truncated", good[..good.len() / 2].to_vec()),
        ("truncated", good[..good.len() - 1].to_vec()),
        ("wrong-world", other_world),
        ("unknown-version", component(newer_module, &newer.wit, "policy")),
        ("too-big", vec![0; (32 << 20) + 1]),
    ]
}

/// The guest's module with the version in its names raised, all of one length.
fn of_version_0_9(mut bytes: Vec<u8>) -> Vec<u8> {
    let (from, to) = (b"@0.1.0", b"@0.9.0");
    for at in 0..bytes.len().saturating_sub(from.len()) {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
    bytes
}

#[test]
fn each_wrong_file_is_told_by_kind_and_keeps_the_old_version() {
    let stage = Stage::new();
    for (kind, bytes) in wrong() {
        let error = build::check_bytes(&bytes, &Limits::default()).err();
        assert_eq!(error.map(|e| e.kind()), Some(kind));
        let set = stage.chain(&[("policy", good())]);
        ask(&set, 1);
        stage.write("policy", &bytes);
        let changes = set.refresh();
        let [Change::Refused { problem, kept_old: true, .. }] = &changes[..] else {
            panic!("{kind}: {changes:?}")
        };
        assert_eq!(problem.kind, kind, "{problem:?}");
        assert!(set.refresh().is_empty(), "{kind}: told once");
        assert!(ask(&set, 1).from_cache, "{kind}: the old version is the same version");
        assert_eq!(schedulers(&ask(&set, 2)), [("policy", Some("rr"))], "{kind}");
        stage.write("policy", &good());
        assert!(matches!(set.refresh()[..], [Change::Restored { .. }]), "{kind}");
    }
}

#[test]
fn a_chain_starts_without_what_it_cannot_load() {
    let stage = Stage::new();
    let files = [stage.write("text", b"hello"), stage.write("good", &good())];
    let absent = stage.dir.path().join("absent.wasm");
    let specs = files.into_iter().chain([absent.clone()]).map(PolicySpec::file).collect();
    let (set, changes) = PolicySet::load(Arc::clone(&stage.sandbox), specs, Node::default());
    assert_eq!(changes.len(), 3);
    let answers = ask(&set, 1);
    assert_eq!(schedulers(&answers), [("good", Some("rr"))]);
    let kinds: Vec<_> = answers.failures.iter().map(|f| f.kind.kind()).collect();
    assert_eq!(kinds, ["not-loaded", "not-loaded"]);
    fs::write(absent, good()).unwrap();
    assert!(matches!(set.refresh()[..], [Change::Loaded { .. }]));
    assert_eq!(schedulers(&ask(&set, 1)), [("good", Some("rr")), ("absent", Some("rr"))]);
}

#[test]
fn a_file_replaced_while_it_is_read_is_one_or_the_other() {
    let stage = Stage::new();
    let set = stage.chain(&[("policy", good())]);
    let (file, stop) = (stage.dir.path().join("policy.wasm"), AtomicBool::new(false));
    let versions = [good(), deciding("global.get $none"), good()[..100].to_vec()];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for bytes in versions.iter().cycle().take_while(|_| !stop.load(Ordering::SeqCst)) {
                // In place, the worst way: readers can see half of it.
                fs::write(&file, bytes).unwrap();
            }
        });
        for n in 0..60 {
            set.refresh();
            let answers = ask(&set, n);
            assert!(answers.failures.is_empty(), "{:?}", answers.failures);
            assert_eq!(answers.wishes.len(), 1);
        }
        stop.store(true, Ordering::SeqCst);
    });
    fs::write(&file, good()).unwrap();
    set.refresh();
    assert_eq!(schedulers(&ask(&set, 99)), [("policy", Some("rr"))]);
}

#[test]
fn compiled_code_is_found_by_the_next_run() {
    let stage = Stage::new();
    stage.chain(&[("policy", good())]);
    let code = stage.dir.path().join("code");
    let names = || -> Vec<String> {
        let entries = fs::read_dir(&code).unwrap();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    };
    let before = names();
    assert_eq!(before.len(), 1, "{before:?}");
    let modified = fs::metadata(code.join(&before[0])).unwrap().modified().unwrap();
    let config = SandboxConfig { limits: Limits::default(), code_dir: Some(code.clone()) };
    let next = Stage { dir: tempfile::tempdir().unwrap(), sandbox: Sandbox::new(config).unwrap() };
    let set = next.chain(&[("policy", good())]);
    assert_eq!(schedulers(&ask(&set, 1)), [("policy", Some("rr"))]);
    assert_eq!(names(), before);
    let again = fs::metadata(code.join(&before[0])).unwrap().modified().unwrap();
    assert_eq!(modified, again, "it was loaded, not compiled again");
    next.write("policy", &deciding("global.get $none"));
    set.refresh();
    assert_ne!(names(), before, "the old version's code is gone");
    assert_eq!(names().len(), 1);
}

#[test]
fn without_a_private_directory_it_works_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a-file");
    fs::write(&file, b"").unwrap();
    let code_dir = Some(file.join("code"));
    let sandbox = Sandbox::new(SandboxConfig { code_dir, ..SandboxConfig::default() }).unwrap();
    assert!(sandbox.warning().unwrap().contains("a-file/code"), "{:?}", sandbox.warning());
    let stage = Stage { dir, sandbox };
    assert_eq!(schedulers(&ask(&stage.chain(&[("p", good())]), 1)), [("p", Some("rr"))]);
}

#[test]
fn a_bit_flipped_anywhere_never_panics() {
    // Looking at every byte, and compiling each that stays valid, would take minutes.
    let good = good();
    let flipped = (0..good.len()).step_by(13).map(|at| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        bytes
    });
    let valid: Vec<_> =
        flipped.filter(|bytes| inspect(bytes, &Limits::default()).is_ok()).collect();
    assert!(valid.len() > 10, "some flips have to leave a component");
    for bytes in valid.iter().step_by(valid.len() / 10) {
        let checked = build::check_bytes(bytes, &Limits::default());
        let configured = checked.and_then(|c| c.configure(Attributes::new(), Node::default()));
        if let Ok(configured) = configured {
            let _outcome_does_not_matter = configured.decide(&view(2));
        }
    }
}
