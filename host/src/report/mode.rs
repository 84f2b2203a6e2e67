//! What `/proxyMode` answers: the one word that kube-proxy's clients expect, for a proxier of two dataplanes. Pure.

use std::fmt;

use weir_core::decision::Dataplane;
use weir_core::kernel::Kernel;

use crate::reconcile::{Policies, Reconciler};

/// What carries services on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// What carries a service port on which no policy has an opinion: kube-proxy's word. It follows the
    /// configuration and the kernel and doesn't change with the services.
    pub usual: Dataplane,
    /// Service ports on IPVS now.
    pub ipvs: usize,
    /// Service ports on nftables now.
    pub nftables: usize,
}

impl Mode {
    /// As it is now.
    pub fn of<K: Kernel, P: Policies>(all: &Reconciler<K, P>) -> Self {
        let [ipvs, nftables] = [Dataplane::Ipvs, Dataplane::Nftables].map(|it| all.ports_on(it));
        Self { usual: all.usual_dataplane(), ipvs, nftables }
    }
}

/// Both dataplanes with their service ports: `ipvs=2, nftables=14`.
impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ipvs={}, nftables={}", self.ipvs, self.nftables)
    }
}
