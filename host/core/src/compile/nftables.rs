//! A service port that nftables carries: its slots, its class, and what stands beside. Pure.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use super::{OfPort, WaysOut, served};
use crate::decision::{Decision, Offload, Scheduler};
use crate::ledger::Wanted;
use crate::net::Family;
use crate::slots::{in_turns, maglev, side_by_side};
use crate::state::{Class, Element, Memory, Nat, OffloadClass, Pick, VirtualKey, Weight};

pub(super) fn compile(of: &OfPort<'_>, ways_out: WaysOut, wanted: &mut Wanted) {
    for address in served(of.model, of.service) {
        let family = Family::of(address);
        let key = of.key(address);
        let eligible = of.eligible(address);
        let used = eligible.internal(of.service.internal_policy);
        let state = &mut wanted.state;
        state.elements.insert(Element::Vip(address));
        if !ways_out.of(family) {
            // The node's own connections get as far as the hook that translates them.
            state.locals.insert(address);
        }
        let slots = slots(of.decision, used);
        if let Some(class) = class(of.decision, key, &slots) {
            let memory = of.decision.affinity.value.map(|seconds| Memory { family, seconds });
            if memory.is_some() {
                state.elements.extend(slots.iter().map(|to| Element::Member(key, *to)));
            }
            let (class, offload) = (Some(class), offload(of.decision));
            let nat = Nat { class, slots: slots.into_iter().map(Some).collect(), offload, memory };
            state.chains.extend(nat.chains());
            state.nats.insert(key, nat);
            state.elements.extend(of.hairpins(used));
        }
        of.keep_flows(key, wanted);
    }
}

fn slots(decision: &Decision, used: &[SocketAddr]) -> Vec<SocketAddr> {
    let scheduler = decision.scheduler.value;
    let weight = |to: &SocketAddr| {
        let weight = decision.weight(*to);
        let heeded = if scheduler.heeds_weights() { weight } else { Weight(weight.0.min(1)) };
        (*to, heeded)
    };
    let weights: Vec<_> = used.iter().map(weight).collect();
    match scheduler {
        Scheduler::Wrr => in_turns(&weights),
        Scheduler::Mh => maglev(&weights),
        _ => side_by_side(&weights),
    }
}

/// `None` without an endpoint to pick.
fn class(decision: &Decision, key: VirtualKey, slots: &[SocketAddr]) -> Option<Class> {
    let slots = NonZeroU32::new(u32::try_from(slots.len()).ok()?)?;
    let pick = match decision.scheduler.value {
        Scheduler::Rr | Scheduler::Wrr => Pick::Turn(key),
        Scheduler::Sh | Scheduler::Mh => Pick::Source { port: decision.flags.value.port },
        Scheduler::Dh => Pick::Destination,
        _ => Pick::Random,
    };
    // With one endpoint there is nothing to pick, nor to count.
    let pick = if slots.get() == 1 { Pick::Random } else { pick };
    Some(Class {
        family: Family::of(key.address),
        pick,
        slots,
        sticky: decision.affinity.value.is_some(),
    })
}

fn offload(decision: &Decision) -> Option<OffloadClass> {
    match decision.offload.value {
        Offload::Never => None,
        Offload::After(after) => {
            let interfaces = decision
                .interfaces
                .as_ref()
                .filter(|it| !it.value.is_all())
                .map(|chosen| chosen.value.digest());
            Some(OffloadClass { after, interfaces })
        }
    }
}
