//! Offloaded flows by service port, as they were last counted: a count looks at every connection of the
//! node, so it is made only when somebody asks for it.

use std::collections::{BTreeMap, BTreeSet};

use weir_core::compile::PortKey;
use weir_core::kernel::{Kernel, ObserveError};
use weir_core::net::ObjectName;
use weir_core::state::VirtualKey;

use super::{Policies, Reconciler};

impl<K: Kernel, P: Policies> Reconciler<K, P> {
    /// Counts the offloaded flows of all service ports on nftables.
    ///
    /// # Errors
    /// Connection tracking can't be read; the last counts stand.
    pub fn count_flows(&mut self) -> Result<(), ObserveError> {
        let of: BTreeSet<VirtualKey> = self.ledger.known().nats.keys().copied().collect();
        let counts = if of.is_empty() { BTreeMap::new() } else { self.kernel.offloaded(&of)? };
        self.flows = Some(counts);
        Ok(())
    }

    /// Nobody counts any more.
    pub fn forget_flows(&mut self) {
        self.flows = None;
    }

    /// Offloaded flows of a service port when they were last counted; `None` before any count.
    #[must_use]
    pub fn offloaded(&self, service: &ObjectName, port: PortKey) -> Option<u64> {
        let counts = self.flows.as_ref()?;
        let fronts = self.fronts(self.model.service(service)?, port);
        Some(fronts.iter().filter_map(|front| counts.get(&front.key)).sum())
    }
}
