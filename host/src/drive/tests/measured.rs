//! What is counted, kept and shown of turns.

use crate::report::metrics::Format;

use super::*;

impl Subject {
    /// The value of a metric without labels.
    fn metric(&self, name: &str) -> String {
        self.drive.measure_state();
        let text = self.drive.shared.metrics.text(Format::Text).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("no {name}")).to_owned()
    }

    fn programmed(&self) -> String {
        self.metric("kubeproxy_network_programming_duration_seconds_count")
    }
}

/// `shop/web` with other endpoints since this time.
fn since(trigger: u64, endpoints: &[&str]) -> Event {
    let Change::Slice(mut slice) = slice("web", endpoints) else { panic!() };
    slice.last_change_trigger = Some(trigger);
    Event::Changes(vec![Change::Slice(slice)])
}

#[test]
fn the_time_of_a_change_counts_once_after_the_turn_that_carries_it_whole() {
    let mut it = running(two_services());
    let started = it.drive.started_at;
    it.tell(since(started - 1000, &["10.1.0.4"]));
    it.wake();
    assert_eq!(it.programmed(), "0", "it changed before this daemon started");
    it.tell(since(started + 1, &["10.1.0.5"]));
    it.tell(since(started + 1, &["10.1.0.6"]));
    assert_eq!(it.programmed(), "0", "nothing was written yet");
    it.wake();
    assert_eq!(it.programmed(), "1", "the same time tells of the same change");
    let (operation, refusal) = refused();
    it.node().kernel.refuse.push((operation, refusal));
    let lost = VirtualKey {
        address: "10.96.0.1".parse().unwrap(),
        protocol: Protocol::Tcp,
        port: Port::new(80).unwrap(),
    };
    it.node().kernel.state.locals.remove(&lost.address);
    it.drive.look().unwrap();
    it.tell(since(started + 2, &["10.1.0.7"]));
    it.wake();
    assert_eq!(it.programmed(), "1", "a part of what was to be written was refused");
    it.node().kernel.refuse.clear();
    it.drive.all.retry_now();
    it.wake();
    assert_eq!(it.programmed(), "2");
}

#[test]
fn the_last_sync_is_the_last_that_succeeded() {
    let mut it = running(two_services());
    let last = |it: &Subject| {
        it.metric("kubeproxy_sync_proxy_rules_last_timestamp_seconds").parse::<f64>().unwrap()
    };
    assert!(last(&it) > 0.0, "the first turn");
    it.drive.shared.metrics.proxy.sync_last.set(1.0);
    it.node().kernel.refuse.push((
        Operation::AddLocal("10.96.0.3".parse().unwrap()),
        Refusal::new(RefusalKind::Other, "Invalid argument"),
    ));
    it.tell(Event::Changes(vec![service("late", "10.96.0.3")]));
    it.wake();
    assert_eq!(it.drive.last.as_ref().unwrap().refused, 1);
    assert!((last(&it) - 1.0).abs() < f64::EPSILON, "a part of it was refused");
    it.node().kernel.refuse.clear();
    it.drive.all.retry_now();
    it.wake();
    assert!(last(&it) > 1.0);
}

#[test]
fn changes_are_counted_as_they_come_and_wait_until_a_turn() {
    let name = "kubeproxy_sync_proxy_rules";
    let mut it = running(two_services());
    let counts = |it: &Subject| {
        let of = |what: &str| it.metric(&format!("{name}_{what}"));
        [
            "service_changes_total",
            "service_changes_pending",
            "endpoint_changes_total",
            "endpoint_changes_pending",
        ]
        .map(of)
        .join(" ")
    };
    assert_eq!(counts(&it), "2 0 2 0");
    it.tell(Event::Changes(vec![service("web", "10.96.0.9"), slice("web", &["10.1.0.9"])]));
    it.tell(Event::Changes(vec![slice("web", &["10.1.0.9"])]));
    assert_eq!(counts(&it), "3 1 4 1", "what changes nothing is seen, and waits for nothing");
    it.wake();
    assert_eq!(counts(&it), "3 0 4 0");
    let [full, partial] = ["full", "partial"]
        .map(|it| format!("kubeproxy_sync_{it}_proxy_rules_duration_seconds_count"));
    assert_eq!([it.metric(&full), it.metric(&partial)], ["1", "1"]);
}

#[test]
fn the_last_plans_are_kept_in_part_and_the_newest_comes_first() {
    let mut it = running(two_services());
    assert_eq!(it.drive.status().plans.len(), 1);
    for turn in 0..20 {
        it.tell(Event::Changes(vec![slice("web", &[&format!("10.1.1.{turn}")])]));
        it.wake();
    }
    let plans = it.drive.status().plans;
    assert_eq!(plans.len(), 16);
    assert!(plans[0].lines.iter().any(|line| line.contains("10.1.1.19:8080")), "{:?}", plans[0]);
    assert!(plans.windows(2).all(|it| it[0].at >= it[1].at));
    let many: Vec<_> = (0..200).map(|n| format!("10.1.2.{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    it.tell(Event::Changes(vec![slice("web", &many)]));
    it.wake();
    let plan = it.drive.status().plans.swap_remove(0);
    assert!(plan.operations >= 200 && plan.lines.len() == 100, "{}", plan.operations);
}

#[test]
fn traffic_is_counted_by_service_port_and_forgotten_with_it() {
    let mut it = running(two_services());
    let key = *it.node().kernel.state.virtuals.keys().next().unwrap();
    it.drive.count_traffic();
    let carried = Traffic { connections: 3, bytes_in: 700, ..Traffic::default() };
    it.node().kernel.traffic.insert(key, carried);
    it.drive.count_traffic();
    let shown = |it: &Subject| {
        let text = it.drive.shared.metrics.text(Format::Text).unwrap();
        text.lines()
            .filter(|it| it.starts_with("weir_service_connections_total{"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let web =
        "weir_service_connections_total{namespace=\"shop\",service=\"web\",port=\"80/tcp\"} 3";
    assert!(shown(&it).contains(&web.to_owned()), "{:?}", shown(&it));
    let status = it.drive.status();
    let row = status.services.iter().find(|it| it.service == "shop/web").unwrap();
    assert_eq!(row.traffic.map(|it| (it.connections, it.bytes_in)), Some((3, 700)));
    it.tell(Event::Changes(vec![Change::ServiceGone(ObjectName::new("shop", "web"))]));
    it.wake();
    it.drive.count_traffic();
    assert_eq!(shown(&it).len(), 1, "the other service's");
}
