//! What nftables remembers of clients: what leads to an endpoint that is gone is to be forgotten.
//!
//! The kernel writes these elements, and they run out by themselves: each may be gone at any moment.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use weir_core::net::Family;
use weir_core::plan::Operation;
use weir_core::state::{Element as Wanted, Scope, VirtualKey};
use weir_nft::{Element, Nftables, ObserveError, Set, TableState};

use super::table::{Sets, table};

/// One element that is to go.
#[derive(Clone, Debug)]
pub(super) struct Stale {
    /// The operation that makes it stale, by its place.
    pub(super) of: usize,
    /// The map.
    pub(super) set: Arc<Set>,
    /// The element.
    pub(super) element: Element,
}

/// What these operations make stale.
pub(super) fn stale(
    nft: &mut dyn Nftables,
    sets: &Sets,
    operations: &[Operation],
) -> Result<Vec<Stale>, ObserveError> {
    let gone = operations.iter().enumerate();
    let gone: BTreeMap<(VirtualKey, Scope, SocketAddr), usize> =
        gone.filter_map(|(index, operation)| Some((leaves(operation)?, index))).collect();
    let mut all = Vec::new();
    for (family, scope) in
        [Family::V4, Family::V6].into_iter().flat_map(|it| Scope::ALL.map(|of| (it, of)))
    {
        let concerned = |(home, of, _): &(VirtualKey, Scope, _)| {
            Family::of(home.address) == family && *of == scope
        };
        if !gone.keys().any(concerned) {
            continue;
        }
        let (of, set) = (sets.of(family), sets.of(family).affinity_of(scope));
        for element in nft.elements(&table(), set)?.unwrap_or_default() {
            let Some((home, to)) = of.remembered_of(&element) else { continue };
            if let Some(index) = gone.get(&(home, scope, to)) {
                let element = Element::new(element.key);
                all.push(Stale { of: *index, set: Arc::clone(set), element });
            }
        }
    }
    Ok(all)
}

/// Puts what is remembered of clients into what a look found, which leaves out what rules write.
pub(super) fn look(
    nft: &mut dyn Nftables,
    sets: &Sets,
    found: &mut TableState,
) -> Result<(), ObserveError> {
    for (of, scope) in sets.both().into_iter().flat_map(|of| Scope::ALL.map(|scope| (of, scope))) {
        let set = of.affinity_of(scope);
        // One of an earlier version's table may lack it.
        if let Some(there) = found.sets.get_mut(&set.name) {
            there.elements = nft.elements(&table(), set)?.unwrap_or_default();
        }
    }
    Ok(())
}

/// Whether an operation may make anything stale.
pub(super) fn concerns(operation: &Operation) -> bool {
    leaves(operation).is_some()
}

/// The endpoint that clients of a home are no longer to be sent to.
fn leaves(operation: &Operation) -> Option<(VirtualKey, Scope, SocketAddr)> {
    match operation {
        Operation::RemoveElement(Wanted::Member(home, scope, to)) => Some((*home, *scope, *to)),
        _ => None,
    }
}
