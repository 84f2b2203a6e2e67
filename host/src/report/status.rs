//! What `weir status` shows: the daemon as it is now. Values only; pure.

mod offload;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_core::compile::Front;
use weir_core::drain::Drains;
use weir_core::kernel::{Kernel, Traffic};
use weir_core::model::Service;
use weir_core::state::KernelState;
use weir_core::wish::Refusal;
use weir_policy_host::{PolicyStats, plain};

use super::text_table::TextTable;
use crate::reconcile::{Decided, Policies, Reconciler};

pub use offload::{Class as OffloadClass, Offload};

/// The daemon as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// weir's version.
    pub version: String,
    /// The node's name.
    pub node: String,
    /// The running kernel.
    pub kernel: String,
    /// Seconds since the daemon started.
    pub uptime_seconds: u64,
    /// Whether the source has shown everything once.
    pub synced: bool,
    /// The configuration in force.
    #[serde(default)]
    pub configuration: Configuration,
    /// What the last turn did.
    pub last_sync: Option<Sync>,
    /// Where news of links and addresses comes from.
    pub addresses: String,
    /// Service ports.
    pub services: Vec<ServicePort>,
    /// Flows that leave the slow path.
    #[serde(default)]
    pub offload: Offload,
    /// Ports at which load balancers ask for services.
    #[serde(default)]
    pub health_checks: Vec<HealthCheck>,
    /// Policies in the chain's order.
    pub policies: Vec<Policy>,
    /// Servers that left and still have connections, on either dataplane.
    pub draining: Vec<String>,
    /// What the kernel refused last, and is tried again.
    pub refused: Vec<String>,
    /// Virtual services that somebody else made, left alone.
    pub foreign: Vec<String>,
    /// Virtual services that two Services want.
    pub conflicts: Vec<String>,
    /// Service ports that policies had no time for yet: what is known stands in.
    #[serde(default)]
    pub deferred: usize,
    /// What is wrong with the source's objects.
    pub problems: Vec<String>,
    /// Objects in manifests that weir has no use for, by `apiVersion Kind`.
    #[serde(default)]
    pub ignored: BTreeMap<String, usize>,
    /// Sysctls that aren't as they must be.
    pub sysctls: Vec<String>,
    /// Signs that another proxy is or was on this node.
    #[serde(default)]
    pub neighbours: Vec<String>,
    /// Objects that others had changed, since the start.
    pub drift: u64,
    /// The last plans that wrote anything, the newest first.
    #[serde(default)]
    pub plans: Vec<Written>,
}

/// The configuration, as far as its file isn't what is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    /// The file that is read again when it changes; `None` where there is none.
    pub file: Option<String>,
    /// When what is in force was taken from it, in milliseconds since 1970.
    pub since: u64,
    /// What is wrong with the file as it is now; an earlier version stays in force then.
    pub wrong: Vec<String>,
    /// Fields whose values in the file take effect with a restart only.
    pub needs_restart: Vec<String>,
}

/// One turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sync {
    /// Milliseconds since 1970.
    pub at: u64,
    /// How long it took, in microseconds.
    pub microseconds: u64,
    /// Services worked out.
    pub services: usize,
    /// Operations sent.
    pub operations: usize,
    /// Operations refused.
    pub refused: usize,
}

/// One plan, as it was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Written {
    /// Milliseconds since 1970.
    pub at: u64,
    /// How long the turn took, in microseconds.
    pub microseconds: u64,
    /// Operations in it.
    pub operations: usize,
    /// Those of them that were refused.
    pub refused: usize,
    /// The first of them, one a line.
    pub lines: Vec<String>,
}

/// What one service port has carried since the daemon started to count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Carried {
    /// Connections scheduled.
    pub connections: u64,
    /// Packets from clients.
    pub packets_in: u64,
    /// Packets to clients.
    pub packets_out: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
}

impl From<&Traffic> for Carried {
    fn from(it: &Traffic) -> Self {
        let Traffic { connections, packets_in, packets_out, bytes_in, bytes_out, .. } = *it;
        Self { connections, packets_in, packets_out, bytes_in, bytes_out }
    }
}

/// One service port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    /// `NAMESPACE/NAME`.
    pub service: String,
    /// `80/tcp`.
    pub port: String,
    /// What carries it.
    pub dataplane: String,
    /// Who chose that.
    #[serde(default)]
    pub dataplane_by: String,
    /// Who picks the server, with its flags.
    pub scheduler: String,
    /// Who chose the scheduler.
    pub chosen_by: String,
    /// When flows are offloaded.
    pub offload: String,
    /// Flows that were offloaded when they were last counted; `None` where they aren't counted.
    #[serde(default)]
    pub offloaded_flows: Option<u64>,
    /// What it carried; `None` where that isn't counted: on nftables, and by default.
    #[serde(default)]
    pub traffic: Option<Carried>,
    /// Endpoints in use.
    pub endpoints: usize,
    /// What was asked for and set aside, clamped or downgraded; why policies refused or failed; their notes.
    pub reasons: Vec<String>,
}

/// One port at which load balancers ask for a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// `healthCheckNodePort`.
    pub port: u16,
    /// `NAMESPACE/NAME`.
    pub service: String,
    /// Endpoints on this node that are ready.
    pub local_endpoints: usize,
    /// Where the port can't be opened, and why.
    pub not_open: Vec<String>,
}

/// One policy of the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: String,
    /// SHA-256 of the component that runs.
    pub digest: Option<String>,
    /// Why the file as it is now doesn't run.
    pub problem: Option<String>,
    /// Evaluations that gave an answer.
    pub answers: u64,
    /// Answers that were kept from before.
    pub cached: u64,
    /// Failures of all kinds.
    pub failures: u64,
    /// Failures by kind, for example `fuel`; kinds that never came are left out.
    pub failures_by_kind: BTreeMap<String, u64>,
    /// Seconds for which it is still left alone because it cost too much too often.
    pub suspended_seconds: Option<u64>,
    /// The same for single namespaces, where alone it did.
    #[serde(default)]
    pub suspended_seconds_by_namespace: BTreeMap<String, u64>,
}

/// What the reconciler and the policies know; the rest is the loop's.
pub fn of<K: Kernel, P: Policies>(all: &Reconciler<K, P>, policies: &[PolicyStats]) -> Status {
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        node: all.model.node_name().to_owned(),
        kernel: all.abilities().release.clone(),
        services: all.model.services().flat_map(|service| ports(all, service)).collect(),
        offload: offload::of(all),
        policies: policies.iter().map(policy).collect(),
        draining: draining(all.drains()),
        refused: all.refused().map(|(key, refusal)| format!("{key}: {refusal}")).collect(),
        foreign: all.ledger().foreign().iter().map(ToString::to_string).collect(),
        drift: all.drift(),
        ..Status::default()
    }
}

/// Servers that end, on either dataplane.
fn draining(drains: &Drains) -> Vec<String> {
    let on_ipvs = drains.servers().into_iter().map(|(key, to)| format!("{key} -> {to}"));
    let left = drains.leaving.servers().into_iter();
    on_ipvs.chain(left.map(|(key, to)| format!("{key} -> {to} (nftables)"))).collect()
}

fn ports<K: Kernel, P: Policies>(all: &Reconciler<K, P>, service: &Service) -> Vec<ServicePort> {
    let decided = all.decided(&service.name).into_iter().flatten();
    let wanted = all.ledger().wanted_by(&service.name).unwrap_or_default();
    let rows = decided.map(|(port, decided)| {
        let decision = &decided.decision;
        let flags = match decision.flags.value {
            flags if flags.is_empty() => String::new(),
            flags => format!(" ({flags})"),
        };
        ServicePort {
            service: service.name.to_string(),
            port: port.to_string(),
            dataplane: decision.dataplane.value.to_string(),
            dataplane_by: decision.dataplane.by.clone(),
            scheduler: format!("{}{flags}", decision.scheduler.value),
            chosen_by: decision.scheduler.by.clone(),
            offload: decision.offload.value.to_string(),
            offloaded_flows: all.offloaded(&service.name, *port),
            traffic: None,
            endpoints: endpoints(&wanted, &all.fronts(service, *port)),
            reasons: reasons(decided),
        }
    });
    rows.collect()
}

/// Endpoints of a port, at all of its addresses together, each once.
fn endpoints(wanted: &KernelState, fronts: &[Front]) -> usize {
    let keys = || fronts.iter().map(|front| &front.key);
    let on_ipvs = keys().filter_map(|key| wanted.virtuals.get(key));
    let on_ipvs = on_ipvs.flat_map(|it| it.destinations.keys().copied());
    let on_nftables = keys().flat_map(|key| wanted.translated_to(key));
    on_ipvs.chain(on_nftables).collect::<BTreeSet<SocketAddr>>().len()
}

fn reasons(Decided { decision, answers }: &Decided) -> Vec<String> {
    let refused = answers.refusals.iter().filter_map(|(by, refusal)| match refusal {
        Refusal::Reason(text) => Some(format!("{by}: {text}")),
        Refusal::NotMine => None,
    });
    let failed = answers.failures.iter().map(|it| {
        let stands = if it.stood_in { "; its last good answer stands" } else { "" };
        format!("{} failed ({}): {}{stands}", it.policy, it.kind, it.message)
    });
    let noted = decision.notes.iter().map(|note| format!("{}: {}", note.by, note.value));
    let reasons = decision.reasons.iter().map(ToString::to_string);
    let all = reasons.chain(refused).chain(failed).chain(noted);
    // They hold words of policies.
    all.map(|text| plain(&text)).collect()
}

fn policy(stats: &PolicyStats) -> Policy {
    let failures = stats.tally.failures.iter();
    let by_kind = failures.map(|(kind, count)| (kind.to_string(), *count));
    Policy {
        name: stats.name.to_string(),
        file: stats.file.display().to_string(),
        digest: stats.running.as_ref().map(|it| it.digest.to_string()),
        problem: stats.load_error.as_ref().map(|it| format!("{}: {}", it.kind, it.message)),
        answers: stats.tally.decisions + stats.tally.refusals,
        cached: stats.tally.cache_hits,
        failures: stats.tally.failures.values().sum(),
        failures_by_kind: by_kind.collect(),
        suspended_seconds: stats.suspended.map(whole_seconds),
        suspended_seconds_by_namespace: (stats.suspended_for.iter())
            .map(|(namespace, rest)| (namespace.to_string(), whole_seconds(*rest)))
            .collect(),
    }
}

fn whole_seconds(rest: Duration) -> u64 {
    rest.as_secs() + u64::from(rest.subsec_nanos() > 0)
}

impl Policy {
    /// `3 (fuel 2, trap 1)`.
    fn failed(&self) -> String {
        let kinds = self.failures_by_kind.iter().map(|(kind, count)| format!("{kind} {count}"));
        match self.failures {
            0 => "0".to_owned(),
            all => format!("{all} ({})", kinds.collect::<Vec<_>>().join(", ")),
        }
    }

    /// What keeps its file as it is now from deciding.
    fn trouble(&self) -> String {
        let suspended = self.suspended_seconds.map(|seconds| {
            format!("suspended for another {seconds} s: it cost too much too often")
        });
        let namespaces = self.namespaces().map(|which| {
            format!("suspended for {which}: it cost too much too often there, and nowhere else")
        });
        let problem = self.problem.as_ref().map(|problem| match problem.contains(&self.file) {
            true => problem.clone(),
            false => format!("{}: {problem}", self.file),
        });
        let all = suspended.or(namespaces).into_iter().chain(problem);
        all.collect::<Vec<_>>().join("; ")
    }

    /// `the namespace shop (another 42 s), and 3 more`; `None` where it is suspended for none.
    fn namespaces(&self) -> Option<String> {
        let all = &self.suspended_seconds_by_namespace;
        let (name, seconds) = all.first_key_value()?;
        let more = match all.len() - 1 {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        Some(format!("the namespace {name} (another {seconds} s){more}"))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, node, kernel, uptime_seconds, .. } = self;
        writeln!(f, "weir {version} on node {node}, Linux {kernel}, up {uptime_seconds} s")?;
        match &self.last_sync {
            None if self.synced => writeln!(f, "nothing was written yet")?,
            None => writeln!(f, "waiting for the first full lists")?,
            Some(sync) => writeln!(
                f,
                "last sync: {} services, {} operations, {} refused, in {} µs",
                sync.services, sync.operations, sync.refused, sync.microseconds
            )?,
        }
        writeln!(f, "addresses: {}; objects changed by others: {}", self.addresses, self.drift)?;
        if self.deferred > 0 {
            writeln!(
                f,
                "policies take too long for one turn: {} service ports wait to be asked about, with what is known",
                self.deferred
            )?;
        }
        write_list(
            f,
            "the configuration can't be used as it is now; the one before stays in force",
            &self.configuration.wrong,
        )?;
        let waiting = &self.configuration.needs_restart;
        write_list(f, "changed in the configuration, takes effect with a restart", waiting)?;
        self.write_services(f)?;
        self.offload.fmt(f)?;
        self.write_health_checks(f)?;
        self.write_policies(f)?;
        for (head, lines) in [
            ("draining", &self.draining),
            ("refused by the kernel, tried again", &self.refused),
            ("made by somebody else, left alone", &self.foreign),
            ("wanted by two services", &self.conflicts),
            ("problems", &self.problems),
            ("sysctls", &self.sysctls),
            ("kube-proxy is or was on this node, see `weir doctor`", &self.neighbours),
        ] {
            write_list(f, head, lines)?;
        }
        let ignored = self.ignored.iter().map(|(kind, objects)| format!("{kind}: {objects}"));
        let head = "objects of kinds that weir has no use for, passed over";
        write_list(f, head, &ignored.collect::<Vec<_>>())
    }
}

impl Status {
    fn write_services(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = TextTable::new(&[
            "SERVICE",
            "PORT",
            "DATAPLANE",
            "SCHEDULER",
            "CHOSEN BY",
            "OFFLOAD",
            "ENDPOINTS",
        ]);
        for it in &self.services {
            let words =
                [&it.service, &it.port, &it.dataplane, &it.scheduler, &it.chosen_by, &it.offload];
            let [service, port, dataplane, scheduler, by, offload] = words.map(Clone::clone);
            table.push([
                service,
                port,
                dataplane,
                scheduler,
                by,
                offload,
                it.endpoints.to_string(),
            ]);
        }
        write!(f, "\n{table}")?;
        let reasons = self.services.iter().flat_map(|it| {
            it.reasons.iter().map(move |reason| format!("{} {}: {reason}", it.service, it.port))
        });
        write_list(f, "set aside, refused or noted", &reasons.collect::<Vec<_>>())
    }

    fn write_health_checks(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.health_checks.is_empty() {
            return Ok(());
        }
        let mut table = TextTable::new(&["HEALTH-CHECK PORT", "SERVICE", "LOCAL ENDPOINTS"]);
        for it in &self.health_checks {
            table.push([it.port.to_string(), it.service.clone(), it.local_endpoints.to_string()]);
        }
        write!(f, "\n{table}")?;
        let not_open = self
            .health_checks
            .iter()
            .flat_map(|it| it.not_open.iter().map(move |why| format!("{} at {why}", it.service)));
        let not_open: Vec<_> = not_open.collect();
        write_list(f, "health-check ports that can't be opened, tried again", &not_open)
    }

    fn write_policies(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.policies.is_empty() {
            return writeln!(f, "\nno policies: the built-in defaults hold");
        }
        let mut table =
            TextTable::new(&["POLICY", "DIGEST", "ANSWERS", "CACHED", "FAILURES", "PROBLEM"]);
        for it in &self.policies {
            let digest =
                it.digest.as_deref().map_or("-", |digest| digest.get(..12).unwrap_or(digest));
            let [answers, cached] = [it.answers, it.cached].map(|number| number.to_string());
            let (name, digest) = (it.name.clone(), digest.to_owned());
            table.push([name, digest, answers, cached, it.failed(), it.trouble()]);
        }
        write!(f, "\n{table}")
    }
}

fn write_list(f: &mut fmt::Formatter<'_>, head: &str, lines: &[String]) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{head}:")?;
    lines.iter().try_for_each(|line| writeln!(f, "  {line}"))
}

/// A policy that did a bit of everything.
#[cfg(test)]
pub(super) fn stats_for_tests() -> PolicyStats {
    use weir_policy_host::{FailureKind, Tally};
    PolicyStats {
        name: "balance".into(),
        file: "/policies/balance.wasm".into(),
        running: None,
        load_error: None,
        suspended: Some(Duration::from_millis(41_500)),
        suspended_for: BTreeMap::from([("shop".into(), Duration::from_millis(7_001))]),
        remembered: 1,
        tally: Tally {
            decisions: 4,
            stand_ins: 3,
            ran: Duration::from_millis(250),
            dropped_lines: 7,
            failures: BTreeMap::from([(FailureKind::Fuel, 2), (FailureKind::TooBig, 1)]),
            counters: BTreeMap::from([("asked".to_owned(), 4)]),
            ..Tally::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_s_failures_are_shown_by_kind_and_its_suspension_with_its_end() {
        let shown = policy(&stats_for_tests());
        assert_eq!(shown.suspended_seconds, Some(42));
        let status = Status { policies: vec![shown], ..Status::default() };
        let text = status.to_string();
        assert!(text.contains("  3 (fuel 2, too-big 1)  "), "{text}");
        assert!(text.contains("suspended for another 42 s: it cost too much"), "{text}");
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["policies"][0]["failuresByKind"]["too-big"], 1);
        assert_eq!(json["policies"][0]["suspendedSecondsByNamespace"]["shop"], 8);
    }

    #[test]
    fn a_policy_that_is_suspended_for_some_namespaces_is_shown_with_them() {
        let suspended_seconds_by_namespace =
            [("shop", 42), ("test", 7)].map(|(name, rest)| (name.to_owned(), rest)).into();
        let policy = Policy { suspended_seconds_by_namespace, ..Policy::default() };
        let text = Status { policies: vec![policy], deferred: 7, ..Status::default() }.to_string();
        let want = "suspended for the namespace shop (another 42 s), and 1 more: it cost";
        assert!(text.contains(want), "{text}");
        assert!(text.contains(": 7 service ports wait to be asked about"), "{text}");
    }

    #[test]
    fn a_policy_that_cant_be_used_is_shown_with_its_file_once() {
        let shown = |problem: &str| {
            let (name, file) = ("a".to_owned(), "/p/a.wasm".to_owned());
            let policy = Policy { name, file, problem: Some(problem.to_owned()), ..<_>::default() };
            Status { policies: vec![policy], ..Status::default() }.to_string()
        };
        let text = shown("not-wasm: not WebAssembly: the file is a text");
        assert!(text.contains("  /p/a.wasm: not-wasm: not WebAssembly"), "{text}");
        let text = shown("read: read /p/a.wasm: No such file or directory");
        assert!(text.contains("  read: read /p/a.wasm: No such file"), "{text}");
    }

    #[test]
    fn health_check_ports_are_shown_with_what_keeps_them_shut() {
        let open = HealthCheck {
            port: 30_500,
            service: "shop/web".to_owned(),
            local_endpoints: 2,
            not_open: vec![],
        };
        let not_open = vec!["192.0.2.7:30501: Address already in use (os error 98)".to_owned()];
        let shut =
            HealthCheck { port: 30_501, service: "shop/api".to_owned(), not_open, ..open.clone() };
        let text = Status { health_checks: vec![open, shut], ..Status::default() }.to_string();
        assert!(text.contains("\n30500              shop/web  2\n"), "{text}");
        let told =
            "tried again:\n  shop/api at 192.0.2.7:30501: Address already in use (os error 98)\n";
        assert!(text.contains(told), "{text}");
        assert!(
            !Status::default().to_string().contains("HEALTH-CHECK"),
            "nothing where there are none"
        );
    }
}
