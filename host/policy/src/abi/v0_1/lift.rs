//! From the answers of version 0.1 to weir's. Pure.

use weir_core::wish::{Interfaces, Offload, Refusal, Weight, Wish};

use super::bindings::weir::policy::types as wire;

pub(super) fn wish(decision: wire::DecisionResult) -> Wish {
    Wish {
        dataplane: decision.dataplane,
        scheduler: decision.scheduler,
        scheduler_flags: decision.scheduler_flags,
        weights: decision.weights.map(|list| list.into_iter().map(weight).collect()),
        offload: decision.offload.map(offload),
        interfaces: decision.interfaces.map(interfaces),
        affinity_seconds: decision.affinity_seconds,
        re_evaluate_after_seconds: decision.re_evaluate_after_seconds,
        note: decision.note,
        attributes: decision.attributes.into_iter().collect(),
    }
}

pub(super) fn refusal(refusal: wire::Refusal) -> Refusal {
    match refusal {
        wire::Refusal::NotMine => Refusal::NotMine,
        wire::Refusal::Reason(reason) => Refusal::Reason(reason),
    }
}

fn weight(weight: wire::EndpointWeightResult) -> Weight {
    Weight { address: weight.address, port: weight.port, weight: weight.weight }
}

fn offload(offload: wire::Offload) -> Offload {
    match offload {
        wire::Offload::Never => Offload::Never,
        wire::Offload::After(packets) => Offload::After(packets),
    }
}

fn interfaces(selection: wire::InterfaceSelectionResult) -> Interfaces {
    Interfaces { include: selection.include, exclude: selection.exclude }
}
