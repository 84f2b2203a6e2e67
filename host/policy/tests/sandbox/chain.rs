//! Chains: order, kept answers, last good answers, revisions.

use std::sync::Arc;

use weir_core::view::{Interface, Node};
use weir_core::wish::Wish;
use weir_policy_host::{FailureKind, PolicySet, PolicySpec, RevisionKey};

use crate::guests::{Guest, deciding, good};
use crate::stage::{Stage, ask, schedulers, view};

#[test]
fn all_are_heard_in_order() {
    let stage = Stage::new();
    let set = stage.chain(&[
        ("silent", deciding("global.get $none")),
        ("shy", deciding("global.get $refusal")),
        ("bad", deciding("unreachable")),
        ("good", good()),
    ]);
    let answers = ask(&set, 1);
    assert_eq!(schedulers(&answers), [("silent", None), ("good", Some("rr"))]);
    assert_eq!((answers.refusals.len(), answers.failures.len()), (1, 1));
}

#[test]
fn an_empty_chain_answers_nothing() {
    let stage = Stage::new();
    let answers = ask(&stage.chain(&[]), 1);
    assert!(answers.wishes.is_empty() && answers.from_cache);
}

#[test]
fn a_known_answer_needs_no_view() {
    let stage = Stage::new();
    let set = stage.chain(&[
        ("good", good()),
        ("shy", deciding("global.get $refusal")),
        ("bad", deciding("unreachable")),
    ]);
    let first = ask(&set, 1);
    assert!(!first.from_cache);
    let key = RevisionKey { service: 1, ..RevisionKey::first("shop/cart:http") };
    let again = set.decide(&key, |_| panic!("the view was built"));
    assert!(again.from_cache);
    assert_eq!((again.wishes, again.refusals), (first.wishes, first.refusals));
    assert_eq!(again.failures, first.failures);
    let hits: Vec<_> = set.stats().iter().map(|stats| stats.tally.cache_hits).collect();
    assert_eq!(hits, [1, 1, 1]);
}

#[test]
fn every_revision_counts_but_evaluation_only_for_those_who_want() {
    let stage = Stage::new();
    // setup with one want, "age": a list of one string
    let wanting = Guest {
        configure: "(i32.store (i32.const 4) (i32.const 32)) (i32.store (i32.const 8) (i32.const 1))
                    (i32.store (i32.const 32) (i32.const 2048)) (i32.store (i32.const 36) (i32.const 3))
                    (i32.const 0)",
        decide: "global.get $rr",
        more: r#"(data (i32.const 2048) "age")"#,
        ..Guest::default()
    };
    let set = stage.chain(&[("plain", good()), ("wanting", wanting.build())]);
    assert!(set.stats()[1].running.as_ref().unwrap().wants.age);
    let first = RevisionKey::first("shop/cart:http");
    set.decide(&first, |_| view(2));
    let asked = |key: &RevisionKey| {
        let before: Vec<_> = set.stats().iter().map(|s| s.tally.decisions).collect();
        set.decide(key, |_| view(2));
        let after: Vec<_> = set.stats().iter().map(|s| s.tally.decisions).collect();
        [after[0] - before[0], after[1] - before[1]]
    };
    assert_eq!(asked(&first), [0, 0]);
    assert_eq!(asked(&RevisionKey { evaluation: 1, ..first.clone() }), [0, 1]);
    assert_eq!(asked(&RevisionKey { namespace: 1, ..first.clone() }), [1, 1]);
    assert_eq!(asked(&RevisionKey { slices: 1, ..first.clone() }), [1, 1]);
    assert_eq!(asked(&RevisionKey { service: 1, ..first.clone() }), [1, 1]);
    assert_eq!(asked(&RevisionKey::first("shop/other:http")), [1, 1]);
    set.set_node(Node { cpus: 7, ..Node::default() });
    let last = RevisionKey { service: 1, ..first };
    assert_eq!(asked(&last), [1, 1]);
}

#[test]
fn the_last_good_answer_stands_in_until_there_is_a_new_one() {
    let stage = Stage::new();
    let set = stage.chain(&[("moody", good())]);
    ask(&set, 1);
    stage.write("moody", &deciding("unreachable"));
    set.refresh();
    let answers = ask(&set, 2);
    assert_eq!(schedulers(&answers), [("moody", Some("rr"))]);
    assert_eq!(answers.failures[0].kind, FailureKind::Trap);
    assert!(answers.failures[0].stood_in);
    let other = set.decide(&RevisionKey::first("shop/new:http"), |_| view(1));
    assert!(other.wishes.is_empty() && !other.failures[0].stood_in, "never answered for it");
    stage.write("moody", &deciding("global.get $none"));
    set.refresh();
    assert_eq!(schedulers(&ask(&set, 2)), [("moody", None)]);
}

#[test]
fn last_good_answers_survive_a_restart() {
    let stage = Stage::new();
    let before = stage.chain(&[("moody", good())]);
    ask(&before, 1);
    let known = before.last_good();
    assert_eq!(known.len(), 1);
    let after = stage.chain(&[("moody", deciding("unreachable"))]);
    after.restore(known);
    let answers = ask(&after, 1);
    assert_eq!(schedulers(&answers), [("moody", Some("rr"))]);
    after.forget(&"shop/cart:http".into());
    assert!(ask(&after, 1).wishes.is_empty());
}

#[test]
fn a_new_chain_keeps_what_stays() {
    let stage = Stage::new();
    let set = stage.chain(&[("a", good()), ("b", good())]);
    ask(&set, 1);
    let spec = |name: &str| PolicySpec::file(stage.dir.path().join(format!("{name}.wasm")));
    assert!(set.update(vec![spec("b"), spec("a")]).is_empty());
    let answers = ask(&set, 1);
    assert!(answers.from_cache);
    assert_eq!(schedulers(&answers), [("b", Some("rr")), ("a", Some("rr"))]);
    let mut configured = spec("a");
    configured.config.insert("name".into(), "value".into());
    assert_eq!(set.update(vec![configured]).len(), 1);
    assert!(!ask(&set, 1).from_cache, "another configuration is another policy");
}

#[test]
fn the_same_view_brings_the_same_decision_whatever_ran_before() {
    let stage = Stage::new();
    // A counter in memory: an instance that lived on would answer differently the second time.
    let stateful =
        "(i32.store (i32.const 4096) (i32.add (i32.load (i32.const 4096)) (i32.const 1)))
        (if (result i32) (i32.eq (i32.load (i32.const 4096)) (i32.const 1))
          (then (global.get $rr)) (else (global.get $none)))";
    let set = stage.chain(&[("stateful", deciding(stateful))]);
    let answers: Vec<Vec<(String, Wish)>> = (0..20).map(|n| ask(&set, n).wishes).collect();
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(answers[0][0].1.scheduler.as_deref(), Some("rr"));
}

#[test]
fn it_is_asked_from_many_threads() {
    let stage = Stage::new();
    let set: Arc<PolicySet> =
        Arc::new(stage.chain(&[("good", good()), ("bad", deciding("unreachable"))]));
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let set = Arc::clone(&set);
            scope.spawn(move || {
                for n in 0..50 {
                    let answers = ask(&set, thread * 1000 + n);
                    assert_eq!(schedulers(&answers), [("good", Some("rr"))]);
                }
            });
        }
    });
    assert_eq!(set.stats()[0].tally.decisions + set.stats()[0].tally.cache_hits, 200);
}

#[test]
fn groups_come_from_all_who_classify() {
    let stage = Stage::new();
    // list of one string "rr, said"
    let body =
        "(i32.store (i32.const 64) (i32.const 1024)) (i32.store (i32.const 68) (i32.const 8))
        (i32.store (i32.const 32) (i32.const 64)) (i32.store (i32.const 36) (i32.const 1))
        (i32.const 32)";
    let world = "policy-with-interfaces";
    let sorting = Guest { classify: Some(body), world, ..Guest::default() }.build();
    let failing = Guest { classify: Some("unreachable"), world, ..Guest::default() }.build();
    let set = stage.chain(&[("plain", good()), ("sorting", sorting), ("failing", failing)]);
    let groups = set.classify(&Interface { name: "eth0".into(), ..Interface::default() });
    assert_eq!(groups.groups.into_iter().collect::<Vec<_>>(), ["rr, said"]);
    assert_eq!(groups.failures[0].kind, FailureKind::Trap);
}
