//! What a scrape reads off the reconciler, and the format that it gets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use weir_core::decision::{Dataplane, Offload};
use weir_core::eligible::{by_family, candidates};
use weir_core::kernel::Kernel;
use weir_core::model::TrafficPolicy;
use weir_core::net::Family;

use super::proxy::LocalLabels;
use super::services::{DataplaneLabel, DataplaneLabels, FieldLabels, ThresholdLabels};
use super::traffic::ServicePortLabels;
use super::{Metrics, number};
use crate::reconcile::{Policies, Reconciler};

/// The most thresholds that have a label of their own: tenants may choose them.
const THRESHOLDS: usize = 32;

/// How a scraper wants its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The Prometheus text format 0.0.4, which everything reads.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// What an `Accept` header asks for.
    #[must_use]
    pub fn accepted(header: Option<&str>) -> Self {
        let open = header.is_some_and(|it| it.contains("application/openmetrics-text"));
        if open { Self::OpenMetrics } else { Self::Text }
    }

    /// Its media type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// In the older format a counter's family has the ending of its samples, and there is no end mark.
    pub(super) fn of_open_metrics(self, text: String) -> String {
        if self == Self::OpenMetrics {
            return text;
        }
        let mut older = String::with_capacity(text.len());
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let (head, name) = (line.get(..7).unwrap_or_default(), line.split(' ').nth(2));
            let counter = |it: &&str| it.starts_with("# TYPE ") && it.ends_with(" counter");
            let is_counter = match head {
                "# HELP " => lines.peek().is_some_and(counter),
                "# TYPE " => counter(&line),
                _ => false,
            };
            // It writes into a string.
            let _ = match name {
                Some(name) if is_counter => {
                    let rest = line.get(7 + name.len()..).unwrap_or_default();
                    writeln!(older, "{head}{name}_total{rest}")
                }
                _ if line == "# EOF" => Ok(()),
                _ => writeln!(older, "{line}"),
            };
        }
        older
    }
}

/// Sets what can be read off the reconciler.
pub fn gauges<K: Kernel, P: Policies>(metrics: &Metrics, all: &Reconciler<K, P>) {
    let known = all.ledger().known();
    let kernel = &metrics.kernel;
    let destinations = known.virtuals.values().map(|it| it.destinations.len()).sum::<usize>();
    kernel.destinations.set(number(destinations));
    let draining = all.drains().servers().len() + all.drains().leaving.servers().len();
    kernel.draining.set(number(draining));
    kernel.refused.set(number(all.refused().count()));
    let devices = known.flowtable.as_ref().map_or(0, BTreeSet::len);
    kernel.flowtable_devices.set(number(devices));
    kernel.foreign.set(number(all.ledger().foreign().len()));
    metrics.services.conflicts.set(number(all.ledger().all_conflicts().len()));
    for (dataplane, label) in
        [(Dataplane::Ipvs, DataplaneLabel::ipvs), (Dataplane::Nftables, DataplaneLabel::nftables)]
    {
        let labels = DataplaneLabels { dataplane: label };
        metrics.services.ports.get_or_create(&labels).set(number(all.ports_on(dataplane)));
    }
    decisions(metrics, all);
    flows(metrics, all);
    none_here(metrics, all);
}

fn decisions<K: Kernel, P: Policies>(metrics: &Metrics, all: &Reconciler<K, P>) {
    let (mut fields, mut thresholds) = (BTreeMap::new(), BTreeMap::new());
    for decision in all.decisions() {
        for reason in &decision.reasons {
            *fields.entry(reason.field.clone()).or_default() += 1;
        }
        if decision.dataplane.value == Dataplane::Nftables {
            *thresholds.entry(decision.offload.value).or_default() += 1;
        }
    }
    let services = &metrics.services;
    services.set_aside.clear();
    for (field, count) in fields {
        services.set_aside.get_or_create(&FieldLabels { field }).set(count);
    }
    services.thresholds.clear();
    for (after_packets, count) in labelled(thresholds) {
        services.thresholds.get_or_create(&ThresholdLabels { after_packets }).inc_by(count);
    }
}

/// The same by label: the least thresholds have their own.
fn labelled(thresholds: BTreeMap<Offload, i64>) -> BTreeMap<String, i64> {
    let (mut labels, mut own) = (BTreeMap::new(), 0);
    for (offload, count) in thresholds {
        let label = match offload {
            Offload::Never => "never".to_owned(),
            Offload::After(_) if own == THRESHOLDS => "other".to_owned(),
            Offload::After(packets) => {
                own += 1;
                packets.to_string()
            }
        };
        *labels.entry(label).or_default() += count;
    }
    labels
}

fn flows<K: Kernel, P: Policies>(metrics: &Metrics, all: &Reconciler<K, P>) {
    let flows = &metrics.traffic.offloaded_flows;
    flows.clear();
    for (name, port) in all.decided_ports() {
        let Some(count) = all.offloaded(name, port).filter(|count| *count > 0) else { continue };
        flows.get_or_create(&ServicePortLabels::of(name, port)).set(number(count));
    }
}

/// Looks at services with a Local policy only.
fn none_here<K: Kernel, P: Policies>(metrics: &Metrics, all: &Reconciler<K, P>) {
    let family = &metrics.proxy.no_local_endpoints;
    let gauge = |family_of: Family, traffic_policy| {
        let ip_family = match family_of {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        };
        family.get_or_create(&LocalLabels { ip_family, traffic_policy })
    };
    for (of, policy) in
        [Family::V4, Family::V6].into_iter().flat_map(|of| [(of, "internal"), (of, "external")])
    {
        gauge(of, policy).set(0);
    }
    for service in all.model.services().filter(|it| all.is_ours(it)) {
        let internal = service.internal_policy == TrafficPolicy::Local;
        let external =
            service.external_policy == TrafficPolicy::Local && service.is_reachable_from_outside();
        if !internal && !external {
            continue;
        }
        for port in &service.ports {
            let eligible = by_family(&all.model, &candidates(&all.model, service, port));
            let lacking = [Family::V4, Family::V6].into_iter().zip(&eligible);
            for (of, _) in lacking.filter(|(_, it)| it.anywhere && it.local.is_empty()) {
                for (_, policy) in [(internal, "internal"), (external, "external")]
                    .into_iter()
                    .filter(|(is, _)| *is)
                {
                    gauge(of, policy).inc();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn so_many_thresholds_have_a_label_whether_or_not_never_is_one() {
        let after = |n| (Offload::After(NonZeroU32::new(n).unwrap()), 1);
        for never in [None, Some((Offload::Never, 1))] {
            let labels = labelled((1..=40).map(after).chain(never).collect());
            let has = |label: &str| labels.get(label).copied();
            assert_eq!((has("32"), has("33"), has("other")), (Some(1), None, Some(8)));
            assert_eq!(has("never"), never.map(|_| 1));
        }
    }
}
