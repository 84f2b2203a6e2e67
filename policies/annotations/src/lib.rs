//! Lets the owners of a Service say how it is balanced, by annotations on the Service, else on
//! its Namespace.
//!
//! | annotation | value |
//! |---|---|
//! | `weir.dev/dataplane` | `ipvs` or `nftables` |
//! | `weir.dev/scheduler` | `rr`, `wrr`, `lc`, … |
//! | `weir.dev/scheduler-flags` | `mh-port`, `mh-fallback`, `sh-port`, `sh-fallback`, separated by commas |
//! | `weir.dev/weights` | `SELECTOR=WEIGHT` separated by commas; see [`weights`] |
//! | `weir.dev/offload-after-packets` | `never` or a number from 1 |
//! | `weir.dev/node-port-interfaces` | the same, of the interfaces at whose addresses the node port answers |
//! | `weir.dev/offload-interfaces` | `eth0`, `eth*`, `group:uplink`, separated by commas; `!` before one leaves it out |
//!
//! A value that can't be read, or is longer than 20 KiB, is named in the note together with what is
//! allowed; the other annotations hold. With nothing left to decide it is the reason of a refusal.

pub mod weights;
mod words;

use weir_policy::values::{self, OFFLOAD_AFTER_PACKETS, OFFLOAD_INTERFACES, one_of, quoted};
use weir_policy::{Config, Decision, Node, Policy, Refusal, ServiceView};

/// The policy. It has no configuration.
pub struct Annotations;

/// The longest value in bytes: 256 KiB may be written, and reading costs by length.
const LONGEST: usize = 20 << 10;

/// What reads one annotation into the decision; its error says what is allowed.
type Read = fn(&str, &ServiceView, Decision) -> Result<Decision, String>;

const ANNOTATIONS: [(&str, Read); 7] = [
    ("weir.dev/dataplane", |text, _, decision| {
        one_of(text, &words::DATAPLANES).map(|name| decision.dataplane(name))
    }),
    ("weir.dev/scheduler", |text, _, decision| {
        one_of(text, &words::SCHEDULERS).map(|name| decision.scheduler(name))
    }),
    ("weir.dev/scheduler-flags", |text, _, decision| {
        let scheduler_flags = Some(words::flags(text)?);
        Ok(Decision { scheduler_flags, ..decision })
    }),
    ("weir.dev/weights", |text, view, decision| weights::apply(text, view, decision)),
    (OFFLOAD_AFTER_PACKETS, |text, _, decision| {
        let offload = Some(values::offload(text)?);
        Ok(Decision { offload, ..decision })
    }),
    (OFFLOAD_INTERFACES, |text, _, decision| {
        let interfaces = Some(values::interfaces(text)?);
        Ok(Decision { interfaces, ..decision })
    }),
    ("weir.dev/node-port-interfaces", |text, _, decision| {
        values::interfaces(text).map(|_| decision.node_port_interfaces(text))
    }),
];

impl Policy for Annotations {
    fn configure(config: &Config, _node: &Node) -> Result<Self, String> {
        config.only(&[]).map(|()| Self)
    }

    fn decide(&self, view: &ServiceView) -> Result<Decision, Refusal> {
        let (mut decision, mut problems) = (Decision::new(), Vec::new());
        for (name, read) in ANNOTATIONS {
            let Some(text) = view.annotation(name) else { continue };
            let read = if text.len() > LONGEST { too_long } else { read };
            match read(text.trim(), view, decision.clone()) {
                Ok(more) => decision = more,
                Err(allowed) => problems.push(format!("{name}: {}: {allowed}", quoted(text))),
            }
        }
        answer(decision, &problems)
    }
}

fn too_long(text: &str, _: &ServiceView, _: Decision) -> Result<Decision, String> {
    Err(format!("{} bytes, more than {LONGEST}", text.len()))
}

fn answer(decision: Decision, problems: &[String]) -> Result<Decision, Refusal> {
    let nothing = decision == Decision::new();
    match (nothing, problems.is_empty()) {
        (true, true) => Err(Refusal::NotMine),
        (true, false) => Err(Refusal::Reason(problems.join("; "))),
        (false, true) => Ok(decision),
        (false, false) => Ok(decision.note(problems.join("; "))),
    }
}

weir_policy::export!(Annotations);

#[cfg(test)]
mod tests;
