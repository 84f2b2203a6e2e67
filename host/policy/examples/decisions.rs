//! What decisions cost: a fresh instance for each of many service ports, the same again from
//! memory, and what comes before them: compiling a component, or finding it compiled.
//!
//! `decisions COMPONENT [SERVICE-PORTS [ENDPOINTS]]`. Run it where the clock counts instructions:
//! there a repeat agrees within one per cent, elsewhere its numbers are only a hint. Prints one
//! line a measurement, `NAME NANOSECONDS`, by `CLOCK_MONOTONIC`.
#![allow(clippy::print_stdout, reason = "its lines are what it is for")]

use std::error::Error;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use weir_core::view::{Attributes, Endpoint, Namespace, Node, Port, Service, ServiceView, Slice};
use weir_policy_host::{
    Answers, Change, PolicySet, PolicySpec, RevisionKey, Sandbox, SandboxConfig,
};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Asked before anything is measured: code pages and the allocator's memory are there then.
const WARM_UP: u32 = 100;

fn main() -> Outcome {
    let mut words = std::env::args().skip(1);
    let component = words.next().ok_or("usage: decisions COMPONENT [SERVICE-PORTS [ENDPOINTS]]")?;
    let service_ports = words.next().map_or(Ok(10_000), |text| text.parse())?;
    let endpoints = words.next().map_or(Ok(10), |text| text.parse())?;
    let code = tempfile::tempdir()?;
    let set = measure("compile", || load(component.as_ref(), code.path()))?;
    drop(set);
    let set = measure("load-compiled", || load(component.as_ref(), code.path()))?;
    decide(&set, service_ports, endpoints)
}

/// A chain of one policy, its machine code kept in `code`.
fn load(component: &Path, code: &Path) -> Outcome<PolicySet> {
    let config = SandboxConfig { code_dir: Some(code.join("code")), ..SandboxConfig::default() };
    let sandbox = Sandbox::new(config)?;
    if let Some(warning) = sandbox.warning() {
        return Err(warning.into());
    }
    let specs = vec![PolicySpec::file(component)];
    let (set, changes) = PolicySet::load(Arc::clone(&sandbox), specs, node());
    match &changes[..] {
        [Change::Loaded { .. }] => Ok(set),
        other => Err(format!("the policy isn't loaded: {other:?}").into()),
    }
}

fn decide(set: &PolicySet, service_ports: u32, endpoints: u32) -> Outcome {
    let keys: Vec<RevisionKey> = (0..service_ports + WARM_UP).map(key).collect();
    let view_of = |number: usize| view(u32::try_from(number).unwrap_or(u32::MAX), endpoints);
    let (warm_up, measured) = keys.split_at(WARM_UP as usize);
    for (number, key) in warm_up.iter().enumerate() {
        answered(&set.decide(key, |_| view_of(number)), false)?;
    }
    // The views are made before: only asking is measured.
    let mut views: Vec<ServiceView> =
        measure("views", || (0..measured.len()).map(view_of).collect());
    measure("fresh", || {
        measured
            .iter()
            .zip(views.drain(..))
            .try_for_each(|(key, view)| answered(&set.decide(key, |_| view), false))
    })?;
    measure("cached", || {
        measured
            .iter()
            .try_for_each(|key| answered(&set.decide(key, |_| ServiceView::default()), true))
    })?;
    let tally = set.stats().remove(0).tally;
    let asked = tally.decisions + tally.refusals;
    if (asked, tally.cache_hits) != (keys.len() as u64, measured.len() as u64) {
        return Err(format!("asked {asked} times, {} cached", tally.cache_hits).into());
    }
    Ok(())
}

/// A policy that failed, or an answer from elsewhere than meant, would be a measure of nothing.
fn answered(answers: &Answers, from_cache: bool) -> Outcome {
    let one = answers.wishes.len() + answers.refusals.len() == 1;
    if one && answers.failures.is_empty() && answers.from_cache == from_cache {
        return Ok(());
    }
    Err(format!("an answer {}: {answers:?}", if from_cache { "from memory" } else { "afresh" })
        .into())
}

fn measure<R>(name: &str, work: impl FnOnce() -> R) -> R {
    let start = Instant::now();
    let result = work();
    println!("{name} {}", start.elapsed().as_nanos());
    result
}

fn key(number: u32) -> RevisionKey {
    RevisionKey::first(format!("team-{}/web-{number}:http", number % 50))
}

fn node() -> Node {
    Node {
        name: "node-1".into(),
        labels: attributes(&[("topology.kubernetes.io/zone", "a"), ("kubernetes.io/os", "linux")]),
        zone: Some("a".into()),
        cpus: 8,
        ..Node::default()
    }
}

/// A Service as Helm charts write it: a few labels, an annotation, every endpoint with its node.
fn view(number: u32, endpoints: u32) -> ServiceView {
    let name = format!("web-{number}");
    let labels = [("app.kubernetes.io/name", &*name), ("app.kubernetes.io/managed-by", "Helm")];
    ServiceView {
        namespace: Namespace { name: format!("team-{}", number % 50), ..Namespace::default() },
        service: Service {
            name: name.clone(),
            labels: attributes(&labels),
            annotations: attributes(&[("weir.dev/scheduler", "wlc")]),
            kind: "ClusterIP".into(),
            cluster_ips: vec![Ipv4Addr::from(0x0a60_0000 + number).into()],
            internal_traffic_policy: "Cluster".into(),
            ..Service::default()
        },
        port: Port { name: "http".into(), protocol: "TCP".into(), number: 80, ..Port::default() },
        endpoints: (0..endpoints).map(|n| endpoint(number * endpoints + n)).collect(),
        slices: vec![Slice { name: name.clone(), labels: attributes(&labels), ..Slice::default() }],
        node: node(),
        ..ServiceView::default()
    }
}

fn endpoint(number: u32) -> Endpoint {
    Endpoint {
        node: Some(format!("node-{}", number % 100)),
        zone: Some(["a", "b", "c"][number as usize % 3].into()),
        slice: Some(0),
        ..Endpoint::ready(Ipv4Addr::from(0x0a80_0000 + number).into(), 8080)
    }
}

fn attributes(pairs: &[(&str, &str)]) -> Attributes {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
