//! Packs ordered maps that were filled in order, as the first lists fill them. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::take;

/// Makes the nodes of a map full again: one that is filled in order splits each node in the middle, and
/// never fills the half that it leaves behind. For a time at which all of the map is worked through anyway.
pub fn pack<K: Ord, V>(map: &mut BTreeMap<K, V>) {
    *map = take(map).into_iter().collect();
}

/// The same for a set.
pub fn pack_set<T: Ord>(set: &mut BTreeSet<T>) {
    *set = take(set).into_iter().collect();
}
