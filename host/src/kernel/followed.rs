//! nftables with the generation at which what is known of our table was true.
//!
//! Only a look and our own commits move it on. So a commit of somebody else's that falls between a
//! look and a commit of ours still shows: the rule set is then a generation further than it may be.

use std::sync::Arc;

use weir_nft::{
    ApplyError, Batch, Element, Nftables, ObserveError, Set, Socket, Table, TableState,
};

/// nftables, followed.
pub(super) struct Followed<N> {
    nft: N,
    /// `None`: nothing is known, or a commit's outcome isn't.
    at: Option<u32>,
}

impl<N: Nftables> Followed<N> {
    pub(super) fn new(nft: N) -> Self {
        Self { nft, at: None }
    }

    /// Whether somebody else may have changed the rule set since our last look at the table.
    pub(super) fn moved(&mut self) -> Result<bool, ObserveError> {
        Ok(self.at != Some(self.nft.generation()?))
    }

    /// A commit moves the generation by one, or not at all where it changed nothing.
    fn committed(&mut self, before: Option<u32>) {
        let after = self.nft.generation().ok();
        let ours = after == before || after == before.map(next);
        if before == self.at && ours {
            self.at = after;
        }
    }
}

impl Followed<Socket> {
    /// Whether there is such a table; nothing of it is read.
    pub(super) fn has_table(&mut self, table: &Table) -> Result<bool, ObserveError> {
        self.nft.has_table(table)
    }
}

impl<N: Nftables> Nftables for Followed<N> {
    fn apply(&mut self, batch: &Batch) -> Result<(), ApplyError> {
        let before = self.nft.generation();
        let applied = self.nft.apply(batch);
        match &applied {
            Ok(()) => self.committed(before.ok()),
            Err(ApplyError::StateUnknown(_)) => self.at = None,
            Err(_) => {}
        }
        applied
    }

    fn observe(&mut self, table: &Table) -> Result<Option<TableState>, ObserveError> {
        // A table that isn't there tells no generation: it was absent at this one or at a later.
        let before = self.nft.generation()?;
        let found = self.nft.observe(table)?;
        self.at = Some(found.as_ref().map_or(before, |found| found.generation));
        Ok(found)
    }

    fn elements(
        &mut self,
        table: &Table,
        set: &Arc<Set>,
    ) -> Result<Option<Vec<Element>>, ObserveError> {
        self.nft.elements(table, set)
    }

    fn generation(&mut self) -> Result<u32, ObserveError> {
        self.nft.generation()
    }
}

/// The kernel passes over 0 when it starts again (`nf_tables_commit`).
fn next(generation: u32) -> u32 {
    generation.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::super::table::table;
    use super::*;
    use weir_nft::{FakeNft, Family, Name};

    fn batch(name: &'static str) -> Batch {
        let mut batch = Batch::new(Table { family: Family::Inet, name: Name::literal(name) });
        batch.add_table();
        batch
    }

    #[test]
    fn our_commits_are_no_news_and_others_are_whenever_they_come() {
        let mut nft = Followed::new(FakeNft::default());
        assert!(nft.moved().unwrap(), "before the first look");
        assert!(nft.observe(&table()).unwrap().is_none());
        assert!(!nft.moved().unwrap());
        nft.apply(&batch("weir")).unwrap();
        assert!(!nft.moved().unwrap(), "ours");
        nft.observe(&table()).unwrap();
        nft.nft.apply(&batch("theirs")).unwrap();
        nft.apply(&batch("weir")).unwrap();
        assert!(nft.moved().unwrap(), "theirs, between a look and a commit of ours");
        nft.observe(&table()).unwrap();
        assert!(!nft.moved().unwrap());
    }

    #[test]
    fn what_was_refused_moves_nothing() {
        let mut nft = Followed::new(FakeNft::default());
        nft.observe(&table()).unwrap();
        let mut refused = Batch::new(table());
        refused.delete_table();
        assert!(nft.apply(&refused).is_err());
        assert!(!nft.moved().unwrap());
        assert_eq!([next(7), next(u32::MAX)], [8, 1]);
    }
}
