//! What is around the services on this node: its interfaces, and whether there is a way out.

use weir_core::compile::WaysOut;
use weir_core::interfaces::{BadGroup, Changes};
use weir_core::kernel::Kernel;
use weir_core::model::Touched;
use weir_core::view::Interface;

use super::{Policies, Reconciler};

impl<K: Kernel, P: Policies> Reconciler<K, P> {
    /// Takes in the node's interfaces as they are now, however many changed: what they change is
    /// written at the next turn. Says what changed.
    pub fn set_interfaces(&mut self, all: &[Interface]) -> Changes {
        let Self { survey, policies, .. } = self;
        let changes = survey.take(all, |interface| policies.classify(interface));
        self.keys.extend(self.ledger.set_interfaces(self.survey.interfaces().clone()));
        changes
    }

    /// Takes in whether the node has a way out for packets to any address.
    pub fn set_ways_out(&mut self, ways_out: WaysOut) {
        if self.ways_out != ways_out {
            self.ways_out = ways_out;
            self.touched.merge(Touched::all());
        }
    }

    /// Has policies asked again about every interface, once these are next taken in.
    pub fn forget_groups(&mut self) {
        self.survey.forget();
    }

    /// What policies named as groups and can't be.
    pub fn bad_groups(&self) -> impl Iterator<Item = BadGroup> + '_ {
        self.survey.bad_groups()
    }
}
