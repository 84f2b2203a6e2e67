//! A table as it is in the kernel. Pure.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    ApplyError, Batch, Chain, Element, Flowtable, Handle, Name, ObserveError, Rule, Set, Table,
};

/// The door to nftables: [`crate::Socket`] is the kernel, [`crate::FakeNft`] refuses as Linux does.
pub trait Nftables {
    /// Applies a batch: all of it or, on any error but [`ApplyError::StateUnknown`], nothing.
    ///
    /// # Errors
    /// As [`ApplyError`] says.
    fn apply(&mut self, batch: &Batch) -> Result<(), ApplyError>;

    /// Reads a table; `None` when there is no such table.
    ///
    /// # Errors
    /// As [`ObserveError`] says.
    fn observe(&mut self, table: &Table) -> Result<Option<TableState>, ObserveError>;

    /// Reads the elements of one set or map, sorted; `None` when there is no such set.
    ///
    /// # Errors
    /// As [`ObserveError`] says.
    fn elements(
        &mut self,
        table: &Table,
        set: &Arc<Set>,
    ) -> Result<Option<Vec<Element>>, ObserveError>;

    /// The number of the rule set's last change, of any table.
    ///
    /// # Errors
    /// As [`ObserveError`] says.
    fn generation(&mut self) -> Result<u32, ObserveError>;
}

/// A table and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableState {
    /// The generation that all of this was read at.
    pub generation: u32,
    /// Chains with their rules.
    pub chains: BTreeMap<Name, ChainState>,
    /// Sets and maps with their elements.
    pub sets: BTreeMap<Name, SetState>,
    /// Flowtables.
    pub flowtables: BTreeMap<Name, Flowtable>,
    /// Chains, sets and maps that this crate has no words for: hooks or types of others, anonymous
    /// sets, maps of objects. They are named here and nowhere else.
    pub foreign: Vec<Name>,
}

/// A chain and its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainState {
    /// The chain.
    pub chain: Chain,
    /// Its rules in order.
    pub rules: Vec<RuleState>,
}

/// A rule and its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleState {
    /// The number.
    pub handle: Handle,
    /// The rule, as comparable with one that was written: what this crate has no word for is
    /// [`crate::Expr::Other`], counts of packets are left out.
    pub rule: Rule,
}

/// A set or map and its elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetState {
    /// The set, as comparable with one that was written.
    pub set: Arc<Set>,
    /// Its elements, sorted; of a dynamic set none, since rules write these: see
    /// [`Nftables::elements`].
    pub elements: Vec<Element>,
}
