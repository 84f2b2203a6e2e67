//! The configuration's file changes while the loop runs.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::config::{ConfigFile, LogLevel, Overrides};

/// A loop that has written two services as this file says.
struct Configured {
    it: Subject,
    file: PathBuf,
}

impl std::ops::Deref for Configured {
    type Target = Subject;

    fn deref(&self) -> &Subject {
        &self.it
    }
}

impl std::ops::DerefMut for Configured {
    fn deref_mut(&mut self) -> &mut Subject {
        &mut self.it
    }
}

fn text(sections: &str) -> String {
    format!("apiVersion: weir.dev/v1alpha1\nkind: WeirConfiguration\n{sections}")
}

fn configured(sections: &str, flags: Overrides) -> Configured {
    let mut it = start(FakeKernel::default());
    let file = it._dir.path().join("weir.yaml");
    fs::write(&file, text(sections)).unwrap();
    let (read, (config, _)) = ConfigFile::open(Some(&file), flags).unwrap();
    it.drive.shared.set_config(&config);
    it.drive.config = config;
    it.drive = it.drive.reading(read, None);
    it.tell(Event::Changes(two_services()));
    it.tell(Event::Synced);
    it.wake();
    Configured { it, file }
}

impl Configured {
    /// The file says this from now on; what is due happens.
    fn says(&mut self, sections: &str) {
        fs::write(&self.file, text(sections)).unwrap();
        self.drive.take(Command::Files);
        self.wake();
    }

    fn metrics(&self) -> String {
        let text = self.drive.shared.metrics.text(crate::report::metrics::Format::Text).unwrap();
        text.lines().filter(|it| it.starts_with("weir_config_")).collect::<Vec<_>>().join("\n")
    }

    fn masquerades_all(&mut self) -> bool {
        self.node().kernel.state.base.as_ref().unwrap().masquerade_all
    }
}

#[test]
fn what_is_new_is_written_and_what_is_the_same_writes_nothing() {
    let mut it = configured("offload: {afterPackets: 5}", Overrides::default());
    let writes = it.node().kernel.writes;
    it.says("# the same in other words\noffload: {afterPackets: 0x5}");
    it.says("offload: {afterPackets: 5}\nlog: {level: info}\ndrain: {limit: 10m}");
    assert_eq!(it.node().kernel.writes, writes);
    assert!(!it.masquerades_all());
    let before = it.node().kernel.state.clone();
    it.says("masquerade: {all: true}");
    assert!(it.masquerades_all());
    let mut after = it.node().kernel.state.clone();
    after.base.clone_from(&before.base);
    assert_eq!(after, before, "and nothing else");
    assert!(it.drive.shared.config().masquerade.all, "others know it too");
    assert!(it.is_live_tomorrow(), "nothing waits");
}

#[test]
fn defaults_of_services_are_decided_on_anew() {
    let mut it = configured("", Overrides::default());
    let asked_for = |it: &Configured| {
        let name = ObjectName::new("shop", "web");
        let decided = it.drive.all.decided(&name).unwrap().values().next().unwrap();
        decided.decision.reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert!(!asked_for(&it).contains("lc"));
    it.says("ipvs: {scheduler: lc}");
    assert!(asked_for(&it).contains("lc can't be had on ipvs"), "{}", asked_for(&it));
}

#[test]
fn limits_hold_once_they_are_set_and_are_explained() {
    let mut it = configured("", Overrides::default());
    it.says("limits: [{namespaces: [shop], schedulers: [lc]}, {minAfterPackets: 7}]");
    let explained = explain(&it.drive.all, &ObjectName::new("shop", "web")).unwrap();
    let limits = explained.limits.as_deref().unwrap();
    assert!(limits.ends_with("schedulers lc"), "{limits}");
    let reasons = explained.ports[0].reasons.join("\n");
    assert!(reasons.contains("scheduler (limits): no scheduler that they allow"), "{reasons}");
    it.says("limits: [{namespaces: [blog], schedulers: [lc]}]");
    let explained = explain(&it.drive.all, &ObjectName::new("shop", "web")).unwrap();
    assert_eq!(explained.limits, None);
    assert!(!explained.ports[0].reasons.join("\n").contains("limits"));
}

#[test]
fn annotations_are_explained_with_whose_they_are() {
    let mut it = configured("", Overrides::default());
    let annotated = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(name, value)| (format!("weir.dev/{name}"), (*value).to_owned()))
            .collect()
    };
    let Change::Service(mut web) = service("web", "10.96.0.1") else { unreachable!() };
    web.annotations = annotated(&[("scheduler", "lc")]);
    let namespace = Namespace {
        name: "shop".to_owned(),
        annotations: annotated(&[("scheduler", "rr"), ("dataplane", "ipvs")]),
        ..Namespace::default()
    };
    it.tell(Event::Changes(vec![Change::Service(web), Change::Namespace(Box::new(namespace))]));
    it.wake();
    let text = explain(&it.drive.all, &ObjectName::new("shop", "web")).unwrap().to_string();
    let want = "  annotation weir.dev/dataplane: ipvs (of the Namespace)
  annotation weir.dev/scheduler: lc (of the Service, beats its Namespace's: rr)\n";
    assert!(text.contains(want), "{text}");
}

#[test]
fn a_wrong_file_keeps_the_configuration_loudly_and_is_forgiven() {
    let mut it = configured("masquerade: {all: true}", Overrides::default());
    let good = it.drive.config.clone();
    for wrong in ["masquerade: {all: maybe}", "masqurade: {}", "masquerade: {al"] {
        it.says(wrong);
        assert_eq!(it.drive.config, good, "{wrong}");
        let shown = it.drive.status();
        assert_eq!(shown.configuration.wrong.len(), 1, "{wrong}");
        assert!(shown.configuration.wrong[0].contains("weir.yaml:3"), "{shown:?}");
        assert!(shown.to_string().contains("can't be used as it is now"), "{shown}");
        assert!(it.metrics().contains("weir_config_last_reload_successful 0"), "{}", it.metrics());
        assert!(it.is_live_tomorrow(), "no restart would help");
    }
    assert!(it.metrics().contains("reloads_total{outcome=\"refused\"} 3"), "{}", it.metrics());
    fs::remove_file(&it.file).unwrap();
    it.drive.take(Command::Files);
    assert!(it.drive.status().configuration.wrong[0].contains("can't be read"));
    it.says("masquerade: {all: true}");
    assert_eq!(it.drive.status().configuration.wrong, Vec::<String>::new());
    assert!(it.metrics().contains("weir_config_last_reload_successful 1"), "{}", it.metrics());
}

#[test]
fn what_needs_a_restart_is_named_and_the_rest_is_taken() {
    let mut it = configured("", Overrides::default());
    it.says("metrics: {address: '127.0.0.1:7'}\nnodeName: other\nmasquerade: {all: true}");
    assert!(it.masquerades_all());
    assert_eq!(it.drive.status().configuration.needs_restart, ["nodeName", "metrics.address"]);
    assert!(it.drive.status().to_string().contains("takes effect with a restart:\n  nodeName"));
    assert!(it.metrics().contains("weir_config_fields_waiting_for_restart 2"));
    assert_eq!(it.drive.config.metrics, crate::config::Metrics::default());
    it.says("masquerade: {all: true}");
    assert_eq!(it.drive.status().configuration.needs_restart, Vec::<String>::new());
}

#[test]
fn flags_beat_the_file_as_they_did_at_the_start() {
    let flags = Overrides {
        fastpath_packet_threshold: Some(crate::config::Packets::new(3)),
        log_level: Some(LogLevel::Info),
        ..Overrides::default()
    };
    let mut it = configured("offload: {afterPackets: 9}", flags);
    it.says("offload: {afterPackets: 99, countFlows: 7s}\nlog: {level: trace}");
    let config = &it.drive.config;
    assert_eq!((config.offload.after_packets.get(), config.log.level), (3, LogLevel::Info));
    assert_eq!(config.offload.count_flows.get(), Duration::from_secs(7));
}

#[test]
fn periods_hold_at_once_and_the_node_is_settled_where_its_settings_changed() {
    let mut it = configured("sync: {syncPeriod: 1h}", Overrides::default());
    it.says("sync: {syncPeriod: 50m}\noffload: {countFlows: 1h}");
    assert_eq!(it.node().settled, 0, "nothing of the node is another");
    assert!(it.drive.next_chores <= Instant::now() + Duration::from_secs(50 * 60));
    it.says("sync: {syncPeriod: 10s}\noffload: {countFlows: 5s}\nipvs: {udpTimeout: 9s}");
    let soon = Instant::now() + Duration::from_secs(10);
    assert!(it.drive.next_chores <= soon && it.drive.next_count <= soon);
    assert!(it.drive.pace.look_at(Instant::now()) <= soon);
    assert_eq!(it.node().settled, 1);
    assert_eq!(it.drive.status().sysctls, ["net.x must be 1"]);
    it.says("sync: {syncPeriod: 10s}");
    assert_eq!(it.node().settled, 2, "back to what leaves the kernel's value");
}

#[test]
fn other_policies_are_asked_about_everything() {
    let mut it = configured("", Overrides::default());
    let turned = |it: &Configured| it.drive.last.as_ref().unwrap().services;
    it.says("policies: [{name: a, file: a.wasm}]");
    assert_eq!((turned(&it), it.drive.all.policies.names.clone()), (2, vec!["a".to_owned()]));
    it.tell(Event::Changes(vec![slice("web", &["10.1.0.9"])]));
    it.wake();
    assert_eq!(turned(&it), 1);
    it.says("policies: [{name: a, file: a.wasm}]\n# the same");
    assert_ne!(turned(&it), 2, "there was nothing to ask");
}

#[test]
fn a_sync_and_a_period_look_at_the_file_as_well() {
    let mut it = configured("", Overrides::default());
    fs::write(&it.file, text("masquerade: {all: true}")).unwrap();
    let _answer = it.sync();
    it.wake();
    assert!(it.masquerades_all(), "SIGHUP and weir sync");
    fs::write(&it.file, text("masquerade: {all: false}")).unwrap();
    it.drive.next_chores = Instant::now();
    it.wake();
    it.wake();
    assert!(!it.masquerades_all());
}
