//! The host survives whatever a component does, and the next good decision still works.

use std::time::{Duration, Instant};

use weir_core::wish::Refusal;
use weir_policy_host::{FailureKind, Limits, RevisionKey, build};

use crate::guests::{Guest, deciding, good};
use crate::stage::{Stage, ask, schedulers, view};

/// Endless recursion, calling itself through a function that the compiler can't unroll.
const RECURSION: &str = r"(func $down (param i32) (result i32)
    (i32.add (call $down (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))";

/// A guest that does something bad in `decide`, and in which way that has to fail.
fn bad() -> Vec<(&'static str, Vec<u8>, FailureKind)> {
    let recursion =
        Guest { decide: "(call $down (i32.const 0))", more: RECURSION, ..Guest::default() };
    let million_logs = "(local $n i32)
        (loop $again
          (call $log (i32.const 1) (i32.const 1024) (i32.const 17))
          (local.set $n (i32.add (local.get $n) (i32.const 1)))
          (br_if $again (i32.lt_u (local.get $n) (i32.const 1000000))))
        (global.get $none)";
    // A note of so many bytes. There is no memory for 64 MB, so there the length itself is a lie.
    let big = |bytes: u32| {
        format!(
            "(drop (memory.grow (i32.const 200)))
             (i32.store (i32.add (global.get $none) (i32.const {NOTE})) (i32.const 1))
             (i32.store (i32.add (global.get $none) (i32.const {})) (i32.const 0x100000))
             (i32.store (i32.add (global.get $none) (i32.const {})) (i32.const {bytes}))
             (global.get $none)",
            NOTE + 4,
            NOTE + 8,
        )
    };
    vec![
        ("trap", deciding("unreachable"), FailureKind::Trap),
        ("divides by zero", deciding("(i32.div_u (i32.const 1) (i32.const 0))"), FailureKind::Trap),
        ("endless loop", deciding("(loop $again (br $again)) unreachable"), FailureKind::Fuel),
        ("memory bomb", deciding(BOMB), FailureKind::Memory),
        ("deep recursion", recursion.build(), FailureKind::Stack),
        ("64 MB result", deciding(&big(64 << 20)), FailureKind::Trap),
        ("2 MB result", deciding(&big(2 << 20)), FailureKind::TooBig),
        ("200 kB result", deciding(&big(200 << 10)), FailureKind::TooBig),
        ("million log calls", deciding(million_logs), FailureKind::Fuel),
        ("answer outside memory", deciding("(i32.const 0x7ffffff0)"), FailureKind::Trap),
        ("answer misaligned", deciding("(i32.const 3)"), FailureKind::Trap),
        ("no such case", deciding("(i32.store (i32.const 0) (i32.const 7)) (i32.const 0)"), {
            FailureKind::Trap
        }),
    ]
}

/// Offset of the note's option in a result: found by the layout of `decision` (canonical ABI).
const NOTE: u32 = 100;

/// Takes pages until there are no more, then dies as a language's allocator does.
const BOMB: &str = "(loop $again
    (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    unreachable";

#[test]
fn bad_components_fail_in_their_own_way_and_the_next_decision_works() {
    let stage = Stage::new();
    for (name, bytes, kind) in bad() {
        let set = stage.chain(&[("bad", bytes), ("good", good())]);
        let answers = ask(&set, 1);
        let kinds: Vec<_> = answers.failures.iter().map(|failure| failure.kind).collect();
        assert_eq!(kinds, [kind], "{name}: {:?}", answers.failures);
        assert!(!answers.failures[0].message.is_empty() && !answers.failures[0].stood_in, "{name}");
        assert_eq!(schedulers(&answers), [("good", Some("rr"))], "{name}");
        assert_eq!(set.stats()[0].tally.failures.get(&kind), Some(&1), "{name}");
    }
}

#[test]
fn failing_is_over_soon() {
    let stage = Stage::new();
    let set = stage.chain(&[("bad", deciding("(loop $again (br $again)) unreachable"))]);
    let start = Instant::now();
    ask(&set, 1);
    // Fuel ends it in some 50 ms; the deadline would take two seconds.
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn the_deadline_stops_what_the_fuel_does_not() {
    let deadline = Duration::from_millis(200);
    let stage = Stage::with(Limits { fuel: u64::MAX / 2, deadline, ..Limits::default() });
    let set = stage.chain(&[("bad", deciding("(loop $again (br $again)) unreachable"))]);
    let answers = ask(&set, 1);
    assert_eq!(answers.failures[0].kind, FailureKind::Deadline);
    assert_eq!(answers.ask_again, Some(Duration::from_secs(5)), "it may be better then");
    let again = ask(&set, 1);
    assert!(!again.from_cache, "a busy node is no reason to keep the failure");
    assert_eq!(again.ask_again, Some(Duration::from_secs(10)));
}

#[test]
fn who_met_a_suspended_policy_asks_again_when_it_ends() {
    let suspension = Duration::from_millis(500);
    let limits = Limits { fuel: 1_000_000, costly_failures: 1, suspension, ..Limits::default() };
    let stage = Stage::with(limits);
    let set = stage.chain(&[("moody", moody())]);
    let asked = |name: &str, endpoints| set.decide(&RevisionKey::first(name), |_| view(endpoints));
    let first = asked("shop/a:http", 1);
    assert_eq!((first.failures[0].kind, first.ask_again), (FailureKind::Fuel, None));
    let second = asked("shop/b:http", 0);
    assert_eq!(second.failures[0].kind, FailureKind::Suspended);
    assert!(set.stats()[0].suspended_for.contains_key("shop"));
    let rest = second.ask_again.unwrap();
    assert!(rest <= suspension && !rest.is_zero(), "{rest:?}");
    std::thread::sleep(rest);
    let third = asked("shop/b:http", 0);
    assert_eq!(schedulers(&third), [("moody", Some("rr"))]);
    assert_eq!(third.ask_again, None);
    assert!(set.stats()[0].suspended_for.is_empty());
}

/// Loops for a Service with endpoints, and answers for one without.
fn moody() -> Vec<u8> {
    deciding(&format!(
        "(if (i32.load (i32.add (local.get 0) (i32.const {ENDPOINTS})))
          (then (loop $again (br $again))))
        (global.get $rr)"
    ))
}

#[test]
fn a_tenant_who_makes_a_policy_fail_takes_it_from_nobody_else() {
    let limits = Limits { fuel: 1_000_000, costly_failures: 3, ..Limits::default() };
    let stage = Stage::with(limits);
    let set = stage.chain(&[("moody", moody())]);
    let asked = |name: &str, endpoints| set.decide(&RevisionKey::first(name), |_| view(endpoints));
    let kind = |n: u32| asked(&format!("bad/s{n}:http"), 1).failures[0].kind;
    let kinds: Vec<_> = (0..40).map(kind).collect();
    assert_eq!(kinds[..3], [FailureKind::Fuel; 3]);
    assert_eq!(kinds[3..], [FailureKind::Suspended; 37], "no more of the daemon's time");
    let good = asked("good/new:http", 0);
    assert_eq!(schedulers(&good), [("moody", Some("rr"))], "{:?}", good.failures);
    let stats = &set.stats()[0];
    assert_eq!(stats.suspended, None);
    assert_eq!(stats.suspended_for.keys().map(|it| &**it).collect::<Vec<_>>(), ["bad"]);
    assert_eq!(asked("bad/new:http", 0).failures[0].kind, FailureKind::Suspended);
}

#[test]
fn a_policy_that_answers_nobody_is_suspended_for_all_after_a_few_namespaces() {
    let limits =
        Limits { fuel: 1_000_000, costly_failures: 3, failing_namespaces: 4, ..Limits::default() };
    let stage = Stage::with(limits);
    let set = stage.chain(&[("bad", deciding("(loop $again (br $again)) unreachable"))]);
    for n in 0..100 {
        set.decide(&RevisionKey::first(format!("n{n}/web:http")), |_| view(1));
    }
    let stats = &set.stats()[0];
    assert_eq!(stats.tally.failures[&FailureKind::Fuel], 4);
    assert_eq!(stats.tally.failures[&FailureKind::Suspended], 96);
    assert!(stats.suspended.is_some() && stats.suspended_for.is_empty());
    assert!(!stats.tally.ran.is_zero() && set.ran() == stats.tally.ran);
}

#[test]
fn without_time_what_is_known_stands_in_and_nothing_counts_as_failed() {
    let stage = Stage::new();
    let set = stage.chain(&[("good", good())]);
    let of = |service| RevisionKey { service, ..RevisionKey::first("shop/cart:http") };
    let none = set.recall(&of(1));
    assert_eq!((none.is_deferred(), none.ask_again), (true, Some(Duration::ZERO)));
    assert!(none.wishes.is_empty() && !none.failures[0].stood_in);
    assert!(!ask(&set, 1).is_deferred());
    let kept = set.recall(&of(1));
    assert!(kept.from_cache && !kept.is_deferred());
    let stands = set.recall(&of(2));
    assert_eq!(schedulers(&stands), [("good", Some("rr"))]);
    assert!(stands.is_deferred() && stands.failures[0].stood_in);
    let tally = &set.stats()[0].tally;
    assert_eq!((tally.failures.len(), tally.stand_ins, tally.decisions), (0, 0, 1));
}

/// Offset of the number of endpoints in a view: found by the layout of `service-view` (canonical ABI).
const ENDPOINTS: u32 = 156;

#[test]
fn logging_is_cut_and_the_decision_counts() {
    let chatty = "(local $n i32)
        (loop $again
          (call $log (i32.const 2) (i32.const 1024) (i32.const 17))
          (call $count (i32.const 1024) (i32.const 2) (i64.const 2))
          (local.set $n (i32.add (local.get $n) (i32.const 1)))
          (br_if $again (i32.lt_u (local.get $n) (i32.const 1000))))
        (global.get $rr)";
    let stage = Stage::new();
    let set = stage.chain(&[("chatty", deciding(chatty))]);
    assert_eq!(schedulers(&ask(&set, 1)), [("chatty", Some("rr"))]);
    let tally = &set.stats()[0].tally;
    assert_eq!(tally.dropped_lines, 1000 - 16);
    assert_eq!(tally.counters.get("rr"), Some(&2000));
}

#[test]
fn a_bad_configure_fails_at_load_and_by_kind() {
    let limits = Limits::default();
    for (body, want) in [
        ("unreachable", "trap"),
        ("(loop $again (br $again)) unreachable", "fuel"),
        (BOMB, "memory"),
    ] {
        let component = Guest { configure: body, ..Guest::default() }.build();
        let checked = build::check_bytes(&component, &limits).unwrap();
        let error = checked.configure(Default::default(), Default::default()).err().unwrap();
        assert_eq!(error.kind(), "configure");
        assert!(error.to_string().contains(want), "{error}");
    }
}

#[test]
fn a_start_function_is_limited_as_well() {
    let more = "(func $start (loop $again (br $again))) (start $start)";
    let component = Guest { more, ..Guest::default() }.build();
    let checked = build::check_bytes(&component, &Limits::default()).unwrap();
    let error = checked.configure(Default::default(), Default::default()).err().unwrap();
    assert!(error.to_string().contains("fuel"), "{error}");
}

#[test]
fn a_memory_that_starts_too_big_never_starts() {
    let component = Guest::default().build();
    let limits = Limits { memory_bytes: 64 << 10, ..Limits::default() };
    let checked = build::check_bytes(&component, &limits).unwrap();
    let error = checked.configure(Default::default(), Default::default()).err().unwrap();
    assert!(error.to_string().contains("memory"), "{error}");
}

#[test]
fn a_costly_policy_is_suspended_until_its_file_changes() {
    let stage = Stage::with(Limits { fuel: 1_000_000, costly_failures: 3, ..Limits::default() });
    let set = stage.chain(&[("bad", deciding("(loop $again (br $again)) unreachable"))]);
    let kinds: Vec<_> = (0..5).map(|n| ask(&set, n).failures[0].kind).collect();
    let (fuel, suspended) = (FailureKind::Fuel, FailureKind::Suspended);
    assert_eq!(kinds, [fuel, fuel, fuel, suspended, suspended]);
    assert!(set.stats()[0].suspended_for.contains_key("shop"));
    stage.write("bad", &good());
    assert_eq!(set.refresh().len(), 1);
    assert_eq!(schedulers(&ask(&set, 9)), [("bad", Some("rr"))]);
}

#[test]
fn a_refusal_is_no_failure() {
    let stage = Stage::new();
    let set = stage.chain(&[("shy", deciding("global.get $refusal")), ("good", good())]);
    let answers = ask(&set, 1);
    assert_eq!(answers.refusals, [("shy".to_owned(), Refusal::NotMine)]);
    assert!(answers.failures.is_empty());
    assert_eq!(schedulers(&answers), [("good", Some("rr"))]);
}

#[test]
fn fuel_grows_with_the_endpoints() {
    let stage = Stage::with(Limits { fuel: 400_000, ..Limits::default() });
    let busy = "(local $n i32)
        (loop $again
          (local.set $n (i32.add (local.get $n) (i32.const 1)))
          (br_if $again (i32.lt_u (local.get $n) (i32.const 300000))))
        (global.get $rr)";
    let component = deciding(busy);
    let checked = build::check_bytes(&component, &stage.sandbox.limits()).unwrap();
    let configured = checked.configure(Default::default(), Default::default()).unwrap();
    assert!(configured.decide(&view(0)).answer.is_err());
    assert!(configured.decide(&view(250)).answer.is_ok());
}
