//! What the loop asks of the kernel and of the policies beyond a turn.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_core::compile::PortKey;
use weir_core::kernel::{Kernel, Traffic};
use weir_core::net::ObjectName;
use weir_core::state::{Base, VirtualKey};
use weir_link::Sources;
use weir_policy_host::PolicyStats;

use crate::config::Config;
use crate::keep::Answer;
use crate::kernel::{LinuxKernel, words};
use crate::policies::Chain;
use crate::reconcile::Policies;
use crate::watch::manifests::Watch;

/// The node's kernel. Errors are in words: the loop logs them.
pub trait Machine: Kernel {
    /// Says which base a look at the table is held against.
    fn expect(&mut self, base: Base);

    /// From now on connections from the node to a service are to come from these addresses.
    fn set_sources(&mut self, sources: Sources);

    /// Writes routes again that say another source than they should. Says how many, and what the
    /// kernel refused; the next call tries that again.
    fn repoint(&mut self) -> (usize, Vec<String>);

    /// Removes what an earlier run made local in the way that is not configured now; says what the
    /// kernel refused.
    fn tidy(&mut self) -> Vec<String>;

    /// Makes what is the whole node's as configured: sysctls, time-outs. Says what stays wrong.
    fn settle(&mut self, config: &Config) -> Vec<String>;

    /// Whether somebody else may have changed the rule set since the last look at the table.
    ///
    /// # Errors
    /// The kernel can't be asked.
    fn rule_set_moved(&mut self) -> Result<bool, String>;

    /// What every virtual service of this node has carried since it was made; how many connections are
    /// open now isn't told.
    ///
    /// # Errors
    /// The kernel can't be asked.
    fn carried(&mut self) -> Result<BTreeMap<VirtualKey, Traffic>, String>;

    /// Whether a virtual service is there.
    ///
    /// # Errors
    /// The kernel can't be asked.
    fn has_virtual(&mut self, key: VirtualKey) -> Result<bool, String>;
}

/// Where objects are read from, as far as it can be told something.
pub trait Rescan: Send {
    /// Asks it to look now; its answer is [`Rescanned`](crate::watch::Event::Rescanned). False where it has
    /// ended.
    fn rescan(&self) -> bool;

    /// From now on it is to look this often by itself; one that tells all by itself has no need to.
    fn every(&self, _period: Duration) {}
}

impl<F: Fn() -> bool + Send> Rescan for F {
    fn rescan(&self) -> bool {
        self()
    }
}

impl Rescan for Watch {
    fn rescan(&self) -> bool {
        Self::rescan(self)
    }

    fn every(&self, period: Duration) {
        Self::every(self, period);
    }
}

impl Machine for LinuxKernel {
    fn expect(&mut self, base: Base) {
        Self::expect(self, base);
    }

    fn set_sources(&mut self, sources: Sources) {
        Self::set_sources(self, sources);
    }

    fn repoint(&mut self) -> (usize, Vec<String>) {
        let (written, errors) = Self::repoint(self);
        (written, errors.iter().map(|error| words(error)).collect())
    }

    fn tidy(&mut self) -> Vec<String> {
        Self::tidy(self).iter().map(|error| words(error)).collect()
    }

    fn settle(&mut self, config: &Config) -> Vec<String> {
        Self::settle(self, config)
    }

    fn rule_set_moved(&mut self) -> Result<bool, String> {
        Self::rule_set_moved(self).map_err(|error| words(&error))
    }

    fn carried(&mut self) -> Result<BTreeMap<VirtualKey, Traffic>, String> {
        Self::carried(self).map_err(|error| words(&error))
    }

    fn has_virtual(&mut self, key: VirtualKey) -> Result<bool, String> {
        Self::has_virtual(self, key).map_err(|error| words(&error))
    }
}

/// The chain of policies, whose files may change.
pub trait Reloads: Policies {
    /// Looks at the files again. Says whether any other version runs now.
    fn refresh(&mut self) -> bool;

    /// Takes over the policies and their limits as they are configured now. Says whether any of this is new.
    fn reconfigure(&mut self, config: &Config) -> bool;

    /// Numbers and state of each policy, in the chain's order.
    fn stats(&self) -> Vec<PolicyStats>;

    /// How often a last good answer came, changed or went: the same number, nothing to keep anew.
    fn learned(&self) -> u64;

    /// The last good answers for these service ports, to be kept over a restart.
    fn last_good(&self, known: &mut dyn Iterator<Item = (&ObjectName, PortKey)>) -> Vec<Answer>;
}

impl Reloads for Chain {
    fn refresh(&mut self) -> bool {
        Self::refresh(self)
    }

    fn reconfigure(&mut self, config: &Config) -> bool {
        Self::reconfigure(self, config)
    }

    fn stats(&self) -> Vec<PolicyStats> {
        Self::stats(self)
    }

    fn learned(&self) -> u64 {
        Self::learned(self)
    }

    fn last_good(&self, known: &mut dyn Iterator<Item = (&ObjectName, PortKey)>) -> Vec<Answer> {
        Self::last_good(self, known)
    }
}
