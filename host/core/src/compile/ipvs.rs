//! A service port that IPVS carries: a virtual service for each front, and what nftables does beside.
//! Pure.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::fronts::Way;
use super::{At, OfPort, nftables};
use crate::decision::Decision;
use crate::ledger::Wanted;
use crate::state::{Balance, Destinations, Element, Nat, Virtual, Weight};

pub(super) fn compile(of: &OfPort<'_>, at: &At<'_>, wanted: &mut Wanted) {
    let At { front, taken, .. } = at;
    let key = front.key;
    let weighted = taken.everybody.iter().map(|to| (*to, of.decision.weight(*to)));
    let it = Virtual { balance: balance(of.decision), destinations: destinations(weighted) };
    wanted.state.virtuals.insert(key, it.into());
    wanted.state.elements.insert(Element::Service(key));
    if front.way != Way::NodePort && !front.own {
        // Through an address that is local every port of the node could be reached.
        wanted.state.locals.insert(key.address);
        wanted.state.elements.insert(Element::Vip(key.address));
    }
    let beside = Nat { offload: None, ..nftables::beside(of, at, wanted) };
    if !beside.is_empty() {
        wanted.state.chains.extend(beside.chains());
        wanted.state.nats.insert(key, beside.into());
    }
}

/// As [`FromIterator`] would make them, without room for more.
fn destinations(weighted: impl Iterator<Item = (SocketAddr, Weight)>) -> Destinations {
    let in_order: BTreeMap<_, _> = weighted.collect();
    let mut all = Vec::with_capacity(in_order.len());
    all.extend(in_order);
    Destinations::from_sorted_store_unchecked(all)
}

fn balance(decision: &Decision) -> Balance {
    Balance {
        scheduler: decision.scheduler.value,
        flags: decision.flags.value,
        persistence: decision.affinity.value,
    }
}
