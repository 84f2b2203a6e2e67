//! Health-check ports of the services that were touched.

use std::collections::BTreeSet;

use weir_core::health_checks::HealthChecks;
use weir_core::kernel::Kernel;
use weir_core::model::Touched;
use weir_core::net::ObjectName;

use super::{Policies, Reconciler};

impl<K: Kernel, P: Policies> Reconciler<K, P> {
    /// Takes in what changed of services with a health-check port since the last call; says whether
    /// anything did.
    pub fn settle_checks(&mut self) -> bool {
        let Touched { all, services: mut names } = std::mem::take(&mut self.unchecked);
        if all {
            names.extend(self.model.services().map(|service| service.name.clone()));
            names.extend(self.checks.services().cloned().collect::<BTreeSet<ObjectName>>());
        }
        let mut changed = false;
        for name in &names {
            let ours = self.model.service(name).is_some_and(|service| self.is_ours(service));
            changed |= self.checks.take(&self.model, name, ours);
        }
        changed
    }

    /// What is told at each health-check port, as of the last [`settle_checks`](Self::settle_checks).
    #[must_use]
    pub fn health_checks(&self) -> &HealthChecks {
        &self.checks
    }
}
