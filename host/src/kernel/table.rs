//! weir's nftables table: its sets, maps, chains and rules, as `weir-nft` writes them. Pure.
//!
//! Everything that belongs to a service is an element of a set or map; the rules are the same
//! whatever the number of services. Rules use the connection's original tuple, so that no packet
//! mark is needed. The nat chains exist from the start: a first nat chain that comes later would
//! send running IPVS connections into DNAT and reset them.

pub(super) mod names;
mod read;
mod rules;
mod sets;

use std::sync::Arc;

use weir_core::interfaces::Digest;
use weir_core::net::Family as CoreFamily;
use weir_core::state::{Base, Chain as Shared, KernelState};
use weir_nft::value::{Ifname, Value};
use weir_nft::{
    Batch, Chain, DataType, Element, Family, Flowtable, Name, Rule, Set, Table, TableState,
};

use sets::FamilySets;

/// The table's name in every listing.
pub const TABLE: Name = Name::literal("weir");

/// The flowtable's name.
pub(super) const FASTPATH: Name = Name::literal("fastpath");

/// The table's name and family.
#[must_use]
pub fn table() -> Table {
    Table { family: Family::Inet, name: TABLE }
}

/// The flowtable with these devices. Its flows are counted, so that conntrack's numbers go on.
pub(super) fn flowtable(devices: Vec<String>) -> Flowtable {
    Flowtable { name: FASTPATH, priority: 0, devices, counter: true }
}

/// The set of the interfaces that a selection takes.
pub(super) fn interfaces(selection: Digest) -> Arc<Set> {
    Arc::new(Set::new(names::interfaces(selection), &[DataType::Ifname]))
}

/// An interface's name, as an element of such a set; `None` for what can't be a name.
pub(super) fn interface(name: &str) -> Option<Element> {
    Some(Element::new([Value::Ifname(Ifname::new(name)?)]))
}

/// Both families' sets.
pub(super) struct Sets {
    v4: FamilySets,
    v6: FamilySets,
}

impl Sets {
    pub(super) fn new() -> Self {
        Self { v4: FamilySets::new(CoreFamily::V4), v6: FamilySets::new(CoreFamily::V6) }
    }

    pub(super) fn of(&self, family: CoreFamily) -> &FamilySets {
        match family {
            CoreFamily::V4 => &self.v4,
            CoreFamily::V6 => &self.v6,
        }
    }

    pub(super) fn both(&self) -> [&FamilySets; 2] {
        [&self.v4, &self.v6]
    }

    /// Gives the table this base in one batch; elements of services stay.
    pub(super) fn lay(&self, base: &Base) -> Batch {
        self.lay_in(table(), base)
    }

    /// The same in another table.
    pub(super) fn lay_in(&self, table: Table, base: &Base) -> Batch {
        let mut batch = Batch::new(table);
        batch.add_table();
        for chain in rules::chains() {
            let name = chain.name.clone();
            batch.add_chain(chain).flush_chain(&name);
        }
        for sets in self.both() {
            for set in sets.all() {
                batch.add_set(set);
            }
            batch.flush_set(&sets.pods.name).add_elements(&sets.pods, sets.pod_ranges(base));
            batch.flush_set(&sets.ranges.name);
            batch.add_elements(&sets.ranges, sets.service_ranges(base));
        }
        for (chain, rule) in rules::rules(self, base) {
            batch.add_rule(&chain, rule);
        }
        batch
    }

    /// Whether a table has just this base: rules, chains and sets as [`lay`](Self::lay) writes them.
    pub(super) fn is_laid(&self, base: &Base, found: &TableState) -> bool {
        let rules = rules::rules(self, base);
        let chains = rules::chains().into_iter().all(|chain| {
            let want = rules.iter().filter(|(name, _)| *name == chain.name).map(|(_, rule)| rule);
            found.chains.get(&chain.name).is_some_and(|have| {
                have.chain.base == chain.base && have.rules.iter().map(|it| &it.rule).eq(want)
            })
        });
        let sets = self.both().into_iter().flat_map(FamilySets::all);
        let mut sets =
            sets.map(|set| found.sets.get(&set.name).is_some_and(|have| is_like(&have.set, set)));
        let holds = |set: &Set, mut want: Vec<Element>| {
            want.sort();
            found.sets.get(&set.name).is_some_and(|have| have.elements == want)
        };
        let ranges = |sets: &FamilySets| {
            holds(&sets.pods, sets.pod_ranges(base))
                && holds(&sets.ranges, sets.service_ranges(base))
        };
        chains && sets.all(|same| same) && self.both().into_iter().all(ranges)
    }

    /// All that was found in the table but the base.
    pub(super) fn read(&self, found: &TableState) -> KernelState {
        read::read(self, found)
    }

    /// The rules of a chain that services share.
    pub(super) fn rules_of(&self, chain: &Shared) -> Vec<Rule> {
        rules::shared(self, chain)
    }

    /// Makes such a chain, or makes it right.
    pub(super) fn add_chain(&self, chain: &Shared, batch: &mut Batch) {
        let name = names::chain(chain);
        batch.add_chain(Chain::regular(name.clone())).flush_chain(&name);
        for rule in self.rules_of(chain) {
            batch.add_rule(&name, rule);
        }
    }
}

/// Whether two sets are alike but for their comments: the kernel keeps that of the weir that made it.
fn is_like(have: &Set, want: &Set) -> bool {
    let Set { name, key, kind, flags, timeout, size, comment: _ } = have;
    (name, key, kind) == (&want.name, &want.key, &want.kind)
        && (flags, timeout, size) == (&want.flags, &want.timeout, &want.size)
}

#[cfg(test)]
mod tests;
