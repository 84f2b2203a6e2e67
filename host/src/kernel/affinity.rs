//! What nftables remembers of clients: what leads to an endpoint that is gone is to be forgotten.
//!
//! The kernel writes these elements, and they run out by themselves: each may be gone at any moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_core::net::Family;
use weir_core::plan::Operation;
use weir_core::state::{Nat, VirtualKey};
use weir_nft::{Element, Nftables, ObserveError, Set};

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
    let lose = operations.iter().enumerate();
    let lose = lose.filter_map(|(index, operation)| {
        let (key, left) = loss(operation)?;
        Some((key, (index, left)))
    });
    let lose: BTreeMap<VirtualKey, (usize, &Nat)> = lose.collect();
    let mut all = Vec::new();
    for family in [Family::V4, Family::V6] {
        if !lose.keys().any(|key| Family::of(key.address) == family) {
            continue;
        }
        let of = sets.of(family);
        for element in nft.elements(&table(), &of.affinity)?.unwrap_or_default() {
            let Some((key, to)) = of.remembered_of(&element) else { continue };
            let Some((index, nat)) = lose.get(&key) else { continue };
            if !nat.endpoints().any(|it| it == to) {
                let element = Element::new(element.key);
                all.push(Stale { of: *index, set: Arc::clone(&of.affinity), element });
            }
        }
    }
    Ok(all)
}

/// Whether an operation may make anything stale.
pub(super) fn concerns(operation: &Operation) -> bool {
    loss(operation).is_some()
}

/// The service port of which an operation may make something stale, and what is left of it.
fn loss(operation: &Operation) -> Option<(VirtualKey, &Nat)> {
    let (Operation::SetNat { key, from, to } | Operation::RemoveNat { key, from, to }) = operation
    else {
        return None;
    };
    loses(from, to).then_some((*key, to))
}

/// Whether something may be remembered that no longer holds. Of a service port that is new to
/// nftables, something may be left from before.
fn loses(from: &Nat, to: &Nat) -> bool {
    let remembers = from.memory.is_some() || to.memory.is_some();
    let (before, after): (BTreeSet<_>, BTreeSet<_>) =
        (from.endpoints().collect(), to.endpoints().collect());
    let anew = before.is_empty() || from.memory.is_none() || to.memory.is_none();
    remembers && (anew || !before.is_subset(&after))
}
