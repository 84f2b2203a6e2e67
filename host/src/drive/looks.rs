//! When the kernel is looked at beside the resync, and what a look that fails means.

use std::time::Instant;

use crate::kernel::words;

use super::{ALIVE_EVERY, Drive, Machine, Reloads, millis};

/// Ending servers are looked at in one part of so many of the time, at most.
const LOOK_SHARE: u32 = 100;

impl<K: Machine, P: Reloads> Drive<K, P> {
    /// Looks at everything of ours. The error is in the log already.
    pub(super) fn look(&mut self) -> Result<(), String> {
        self.pace.looked(self.now());
        let drift = self.all.drift();
        let looked = self.all.look().map(drop).map_err(|error| words(&error));
        self.looked(drift, &looked);
        self.repoint();
        looked
    }

    /// Somebody changed the rule set, perhaps we. What they can have spoilt is our table.
    pub(super) fn look_if_moved(&mut self) {
        // The first look comes when it is known what is wanted, and is at everything.
        if !self.synced {
            return;
        }
        match self.all.kernel.rule_set_moved() {
            Ok(false) => return,
            Ok(true) => {}
            Err(error) => tracing::warn!(error, "can't ask who changed the rule set"),
        }
        let drift = self.all.drift();
        let looked = self.all.look_at_table().map(drop).map_err(|error| words(&error));
        self.looked(drift, &looked);
    }

    fn looked(&self, drift_before: u64, looked: &Result<(), String>) {
        let objects = self.all.drift() - drift_before;
        match looked {
            Ok(()) if objects > 0 => {
                self.shared.metrics.kernel.drift.inc_by(objects);
                tracing::warn!(objects, "others changed what is ours; it is put right");
            }
            Ok(()) => {}
            Err(error) => {
                self.shared.metrics.kernel.looks_failed.inc();
                tracing::error!(error, "can't look at the kernel; what is known of it counts");
            }
        }
    }

    /// Another program may have flushed IPVS, which no event tells.
    pub(super) fn check_alive(&mut self) {
        self.next_alive = self.now() + ALIVE_EVERY;
        let Some(key) = self.all.ledger().known().virtuals.keys().next().copied() else { return };
        match self.all.kernel.has_virtual(key) {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(service = %key, "a virtual service of ours is gone; somebody else may have flushed IPVS");
                // A look that fails is in the log; the service is asked for again soon.
                drop(self.look());
            }
            Err(error) => tracing::warn!(error, "can't ask IPVS"),
        }
    }

    pub(super) fn count_flows(&mut self) {
        self.next_count = self.now() + self.config.offload.count_flows.get();
        let _span = tracing::info_span!("count flows").entered();
        if let Err(error) = self.all.count_flows() {
            tracing::warn!(error = words(&error), "offloaded flows can't be counted");
        }
    }

    pub(super) fn check_drains(&mut self) {
        let started = Instant::now();
        let _span = tracing::info_span!("check drains").entered();
        if let Err(error) = self.all.check_drains(millis()) {
            tracing::warn!(error = words(&error), "can't ask how busy ending servers are");
        }
        // Connection tracking is looked at whole: with millions of flows not as often as that.
        let rest = started.elapsed() * LOOK_SHARE;
        self.next_drains = self.now() + self.config.drain.interval.get().max(rest);
    }
}
