//! A service port that nftables carries: its slots, its class, and what stands beside. Pure.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use super::fronts::Way;
use super::{At, OfPort};
use crate::decision::{Decision, Offload, Scheduler};
use crate::ledger::Wanted;
use crate::net::Family;
use crate::slots::{in_turns, maglev, side_by_side};
use crate::state::{
    Class, Element, Leg, Memory, Nat, OffloadClass, Pick, Scope, VirtualKey, Weight,
};

pub(super) fn compile(of: &OfPort<'_>, at: &At<'_>, wanted: &mut Wanted) {
    let At { front, taken, home } = *at;
    let key = front.key;
    if front.way == Way::Cluster {
        wanted.state.elements.insert(Element::Vip(key.address));
        if !of.here.ways_out.of(Family::of(key.address)) {
            // The node's own connections get as far as the hook that translates them.
            wanted.state.locals.insert(key.address);
        }
    }
    let main = leg(of.decision, key, taken.everybody, To { scope: taken.scope, inside: false });
    let mut nat = beside(of, at, wanted);
    note_members(home, &main, wanted);
    if main.class.is_some() || nat.inside.class.is_some() {
        nat.offload = offload(of.decision);
        nat.memory = memory(of.decision, key);
        nat.home = nat.memory.map(|_| home);
    }
    nat.main = main;
    if !nat.is_empty() {
        wanted.state.chains.extend(nat.chains());
        wanted.state.nats.insert(key, nat.into());
    }
}

/// What nftables does with a service port whoever carries it: clients inside, masquerade, refusals.
pub(super) fn beside(of: &OfPort<'_>, at: &At<'_>, wanted: &mut Wanted) -> Nat {
    let At { front, taken, home } = *at;
    let takes = |to: &SocketAddr| {
        taken.everybody.contains(to) || taken.inside.is_some_and(|it| it.contains(to))
    };
    let without =
        of.decision.weights.iter().filter(|(to, weight)| weight.value == Weight(0) && takes(to));
    let without: BTreeSet<SocketAddr> = without.map(|(to, _)| *to).collect();
    if !without.is_empty() {
        wanted.shareless.insert(front.key, without);
    }
    let inside = taken.inside.filter(|_| of.here.translates);
    let to = To { scope: Scope::Cluster, inside: true };
    let inside = inside.map(|used| leg(of.decision, front.key, used, to)).unwrap_or_default();
    note_members(home, &inside, wanted);
    let memory = memory(of.decision, front.key).filter(|_| inside.class.is_some());
    Nat {
        memory,
        home: memory.map(|_| home),
        inside,
        masquerade: taken.masquerade,
        closed: taken.closed,
        sources: front.sources(of.model, of.here, of.service),
        ..Nat::default()
    }
}

fn memory(decision: &Decision, key: VirtualKey) -> Option<Memory> {
    decision.affinity.value.map(|seconds| Memory { family: Family::of(key.address), seconds })
}

fn note_members(home: VirtualKey, leg: &Leg, wanted: &mut Wanted) {
    if let Some(scope) = leg.class.and_then(|class| class.sticky) {
        let members = leg.slots.iter().flatten().map(|to| Element::Member(home, scope, *to));
        wanted.state.elements.extend(members);
    }
}

/// Which endpoints a leg leads to, and for whom.
#[derive(Clone, Copy)]
struct To {
    scope: Scope,
    inside: bool,
}

/// Empty without an endpoint to pick.
fn leg(decision: &Decision, key: VirtualKey, used: &[SocketAddr], to: To) -> Leg {
    let slots = slots(decision, used);
    let class = class(decision, key, &slots, to);
    Leg { class, slots: slots.into_iter().map(Some).collect() }
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

/// `None` without an endpoint to pick. What has no counterpart here (an IPVS scheduler that counts
/// connections) is by chance.
fn class(decision: &Decision, key: VirtualKey, slots: &[SocketAddr], to: To) -> Option<Class> {
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
        sticky: decision.affinity.value.map(|_| to.scope),
        inside: to.inside,
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
