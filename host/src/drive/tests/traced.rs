//! The walk as a collector gets it: from the loop's own spans, over HTTP.

use weir_collector::{Collector, Span};

use super::*;
use crate::traces::traced;

/// Each trace as lines, in the order in which they began: the span's name, and those of its attributes
/// that aren't times.
fn trees(collector: &Collector) -> Vec<Vec<String>> {
    let mut spans = collector.spans();
    spans.sort_by_key(|it| it.began);
    let roots = spans.iter().filter(|it| it.parent.is_empty());
    roots.map(|root| tree(root, &spans, "")).collect()
}

fn tree(of: &Span, all: &[Span], indent: &str) -> Vec<String> {
    const TIMES: [&str; 3] = ["busy_ns", "idle_ns", "waited_ms"];
    let mut line = format!("{indent}{}{}", of.name, if of.failed { " FAILED" } else { "" });
    for (key, value) in of.attributes.iter().filter(|(key, _)| !TIMES.contains(&key.as_str())) {
        line.push_str(&format!(" {key}={value}"));
    }
    let children = all.iter().filter(|it| it.parent == of.id);
    let deeper = format!("{indent}  ");
    let below = children.flat_map(|it| {
        assert_eq!(it.trace, of.trace, "{}", it.name);
        assert!(of.began <= it.began && it.ended <= of.ended, "{} in {}", it.name, of.name);
        tree(it, all, &deeper)
    });
    std::iter::once(line).chain(below).collect()
}

fn the_walks(collector: &Collector) -> Vec<Vec<String>> {
    trees(collector).into_iter().filter(|tree| tree[0].starts_with("walk")).collect()
}

/// A change of endpoints as the cluster tells it, with the time at which it was made.
fn slice_changed(at: u64) -> Change {
    let Change::Slice(mut slice) = slice("web", &["10.1.0.9"]) else { panic!("not a slice") };
    slice.last_change_trigger = Some(at);
    Change::Slice(slice)
}

#[test]
fn one_change_is_one_trace_from_its_coming_to_the_kernel() {
    let collector = Collector::start().unwrap();
    let changed_at = 1_700_000_000_250;
    traced(&collector.endpoint(), || {
        let mut it = running(two_services());
        it.tell(Event::Changes(vec![slice_changed(changed_at)]));
        it.tell(Event::Changes(vec![service("web", "10.96.0.1")]));
        it.drive.taken();
        it.wake();
    });
    let walks = the_walks(&collector);
    assert_eq!(walks.len(), 2, "{walks:#?}");
    let want = [
        "walk",
        "  take in batches=2 changes=2",
        "    fold",
        "  turn named=shop/web asked=0 remembered=0 failed=0 services=1 full=false operations=3 refused=0 conflicts=0 oldest_trigger=2023-11-14T22:13:20.25Z",
        "    decide services=1",
        "    compile services=1",
        "    plan objects=4",
        "    commit operations=3",
        "  follow up",
    ];
    assert_eq!(walks[1], want);
    let waited = collector.spans().iter().any(|it| it.attribute("waited_ms").is_some());
    assert!(waited, "a change with a time says how long it took");
}

#[test]
fn the_first_walk_holds_all_that_was_listed_and_names_no_service() {
    let collector = Collector::start().unwrap();
    traced(&collector.endpoint(), || {
        let address = |n| format!("10.96.0.{n}");
        drop(running((1..=9).map(|n| service(&format!("s{n}"), &address(n))).collect()));
    });
    let walks = the_walks(&collector);
    let [first] = &walks[..] else { panic!("{walks:#?}") };
    let turn = first.iter().find(|line| line.starts_with("  turn ")).unwrap();
    assert!(turn.contains(" services=9 full=true ") && !turn.contains("named"), "{turn}");
    assert!(first.contains(&"  take in batches=1 changes=9".to_owned()), "{first:#?}");
}

#[test]
fn what_is_refused_or_cant_be_seen_marks_its_turn() {
    let collector = Collector::start().unwrap();
    traced(&collector.endpoint(), || {
        let mut it = start(FakeKernel { refuse: vec![refused()], ..FakeKernel::default() });
        it.tell(Event::Changes(two_services()));
        it.tell(Event::Synced);
        it.wake();
        let mut it = start(FakeKernel::default());
        it.node().blind = true;
        it.tell(Event::Changes(two_services()));
        it.tell(Event::Synced);
        it.wake();
    });
    let turns: Vec<String> = the_walks(&collector)
        .iter()
        .flat_map(|tree| tree.iter().filter(|line| line.starts_with("  turn ")).cloned())
        .collect();
    let [refused, blind] = &turns[..] else { panic!("{turns:#?}") };
    assert!(refused.starts_with("  turn FAILED ") && refused.contains(" refused=1 "), "{refused}");
    assert!(blind.starts_with("  turn FAILED ") && blind.contains(" error=look"), "{blind}");
}

#[test]
fn what_touches_nothing_or_comes_by_itself_is_a_trace_of_its_own() {
    let collector = Collector::start().unwrap();
    traced(&collector.endpoint(), || {
        let mut it = running(two_services());
        let empty = Namespace { name: "empty".to_owned(), ..Namespace::default() };
        it.tell(Event::Changes(vec![Change::Namespace(Box::new(empty))]));
        it.drive.taken();
        it.wake();
        it.node().moved = true;
        it.drive.take(Command::Look);
    });
    let trees = trees(&collector);
    let last: Vec<_> = trees.iter().rev().take(2).rev().cloned().collect();
    let nothing = ["walk", "  take in batches=1 changes=1", "    fold"].map(str::to_owned);
    assert_eq!(last, [nothing.to_vec(), vec!["look at=table".to_owned()]], "{trees:#?}");
}

#[test]
fn a_collector_that_isnt_there_keeps_no_change_from_the_kernel() {
    // Nothing listens on a port that was let go.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let state = traced(&format!("http://{gone}"), || {
        let mut it = running(two_services());
        for n in 1..=200 {
            it.tell(Event::Changes(vec![slice("web", &[&format!("10.1.1.{n}")])]));
            it.wake();
        }
        it.node().kernel.state.clone()
    });
    let last = "10.1.1.200:8080".parse().unwrap();
    assert!(state.virtuals.values().any(|it| it.destinations.contains_key(&last)));
}
