//! Looks at the kernel: at all of it, at the table alone, and at servers that end.

use std::collections::BTreeSet;

use weir_core::kernel::{Kernel, ObserveError};
use weir_core::state::Key;

use super::{Policies, Reconciler};

impl<K: Kernel, P: Policies> Reconciler<K, P> {
    /// Looks at the kernel, and plans again what differs from what was known. The first look plans
    /// all: what an earlier run left behind goes.
    ///
    /// # Errors
    /// The look failed. What was certain stays so; what wasn't is looked at before the next write.
    pub fn look(&mut self) -> Result<BTreeSet<Key>, ObserveError> {
        let _span = tracing::info_span!("look", at = "everything").entered();
        let seen = self.kernel.observe()?;
        let differs = self.ledger.observed(seen);
        (self.certain, self.surprised) = (true, false);
        self.count_drift();
        self.looked = true;
        self.keys.extend(differs.iter().copied());
        Ok(differs)
    }

    /// The same for weir's table alone, where somebody else changed the rule set.
    ///
    /// # Errors
    /// The look failed; what is known stays in force.
    pub fn look_at_table(&mut self) -> Result<BTreeSet<Key>, ObserveError> {
        let _span = tracing::info_span!("look", at = "table").entered();
        let seen = self.kernel.observe_table()?;
        let differs = self.ledger.observed_table(seen);
        self.count_drift();
        self.keys.extend(differs.iter().copied());
        Ok(differs)
    }

    /// What the first look finds is no drift.
    fn count_drift(&mut self) {
        if self.looked {
            self.drift += self.ledger.moved() as u64;
        }
    }

    /// How many objects were found to differ from what was known, since the start.
    #[must_use]
    pub fn drift(&self) -> u64 {
        self.drift
    }

    /// A look where the state is not certain. One for a surprise may fail: then what is known is
    /// worked with, and the next surprise looks again.
    pub(super) fn make_sure(&mut self) -> Result<Option<ObserveError>, ObserveError> {
        if !self.certain {
            return self.look().map(|_| None);
        }
        if !std::mem::take(&mut self.surprised) {
            return Ok(None);
        }
        Ok(self.look().err())
    }

    /// Asks how busy the ending servers are, and plans those that are done.
    ///
    /// # Errors
    /// The kernel could not be asked about some; nothing changed for these.
    pub fn check_drains(&mut self, now: u64) -> Result<(), ObserveError> {
        let on_ipvs = self.check_destinations(now);
        self.check_leaving(now).and(on_ipvs)
    }

    fn check_destinations(&mut self, now: u64) -> Result<(), ObserveError> {
        let ending = self.drains.servers();
        if !ending.is_empty() {
            let connections = self.kernel.connections(&ending)?;
            let keys = self.drains.look(&connections, now);
            self.keys.extend(keys);
        }
        Ok(())
    }

    fn check_leaving(&mut self, now: u64) -> Result<(), ObserveError> {
        let left = self.drains.leaving.servers();
        if !left.is_empty() {
            let connections = self.kernel.translated(&left)?;
            let keys = self.drains.leaving.look(&connections, now);
            self.keys.extend(keys);
        }
        Ok(())
    }
}
