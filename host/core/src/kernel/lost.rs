//! What can't be done, because what it rests on was refused earlier in the same plan. Pure.
//!
//! The register names every virtual service of ours at every moment: an entry that could not be
//! written keeps its virtual service from being made, and a virtual service that could not be
//! removed keeps its entry, and the table. An address becomes local only where nothing but its
//! virtual services answers at it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Outcome, Refusal, RefusalKind};
use crate::plan::Operation;
use crate::state::{Chain, Element, Nat, VirtualKey, Weight};

/// Gathers the refusals of one plan, stage by stage.
#[derive(Clone, Debug, Default)]
pub struct Lost {
    /// Virtual services that aren't in the register.
    unregistered: BTreeSet<VirtualKey>,
    /// Virtual services that weren't made.
    unmade: BTreeSet<VirtualKey>,
    /// Virtual services that weren't removed.
    kept: BTreeSet<VirtualKey>,
    /// Chains that weren't made.
    chains: BTreeSet<Chain>,
    /// Service ports that nftables didn't take.
    untaken: BTreeSet<VirtualKey>,
    /// Addresses of which other ports aren't refused.
    unguarded: BTreeSet<IpAddr>,
    /// Addresses at which a virtual service was made.
    served: BTreeSet<IpAddr>,
}

impl Lost {
    /// Has `send` run those operations of one stage that can be; the others are refused as skipped.
    pub fn run(
        &mut self,
        operations: &[Operation],
        send: impl FnOnce(&[Operation]) -> Vec<Outcome>,
    ) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = operations.iter().map(|it| self.allows(it)).collect();
        if outcomes.iter().all(Result::is_ok) {
            outcomes = send(operations);
        } else {
            let both = operations.iter().zip(&outcomes);
            let allowed: Vec<Operation> =
                both.filter(|(_, it)| it.is_ok()).map(|(it, _)| it.clone()).collect();
            let mut sent = send(&allowed).into_iter();
            for outcome in outcomes.iter_mut().filter(|it| it.is_ok()) {
                let none = || Err(Refusal::new(RefusalKind::Unknown, "no verdict"));
                *outcome = sent.next().unwrap_or_else(none);
            }
        }
        for (operation, outcome) in operations.iter().zip(&outcomes) {
            match outcome {
                Ok(()) => self.note_done(operation),
                Err(refusal) => self.note(operation, refusal.kind),
            }
        }
        outcomes
    }

    fn note_done(&mut self, done: &Operation) {
        if let Operation::AddVirtual(key, _) = done {
            self.served.insert(key.address);
        }
    }

    /// Takes in that an operation was refused.
    pub fn note(&mut self, refused: &Operation, why: RefusalKind) {
        match refused {
            Operation::AddElement(Element::Service(key)) => {
                self.unregistered.insert(*key);
            }
            Operation::AddElement(Element::Vip(address)) => {
                self.unguarded.insert(*address);
            }
            Operation::AddVirtual(key, _) => {
                self.unmade.insert(*key);
            }
            Operation::RemoveVirtual(key) if why != RefusalKind::NotFound => {
                self.kept.insert(*key);
            }
            Operation::AddChain(chain) => {
                self.chains.insert(*chain);
            }
            Operation::SetNat { key, to, .. } if to.carries() => {
                self.untaken.insert(*key);
            }
            _ => {}
        }
    }

    /// Whether what an operation rests on was done.
    ///
    /// # Errors
    /// It is skipped, with the reason.
    pub fn allows(&self, operation: &Operation) -> Outcome {
        let skipped = |why| Err(Refusal::new(RefusalKind::Skipped, why));
        match operation {
            Operation::AddVirtual(key, _) if self.unregistered.contains(key) => {
                skipped("it could not be registered as ours")
            }
            Operation::AddDestination(key, ..) | Operation::SetDestination(key, ..)
                if self.unmade.contains(key) =>
            {
                skipped("its virtual service could not be made")
            }
            Operation::SetNat { to, .. } if self.lacks_chain_of(to) => {
                skipped("the chain that it leads to could not be made")
            }
            Operation::SetDestination(key, _, Weight(0))
            | Operation::RemoveDestination(key, _)
            | Operation::RemoveVirtual(key)
            | Operation::RemoveElement(Element::Service(key))
                if self.untaken.contains(key) =>
            {
                skipped("nftables, to which the service moves, didn't take it")
            }
            Operation::AddLocal(address) if self.unguarded.contains(address) => skipped(
                "its other ports, at which the node's own servers would answer, could not be closed",
            ),
            Operation::AddLocal(address) if self.has_only_unmade(*address) => skipped(
                "no virtual service of it could be made, and the node's own servers would answer",
            ),
            Operation::RemoveLocal(address)
                if self.untaken.iter().any(|key| key.address == *address) =>
            {
                skipped("nftables, to which a service of it moves, didn't take it")
            }
            Operation::RemoveNat { key, .. } if self.unmade.contains(key) => {
                skipped("IPVS, to which the service moves, didn't take it")
            }
            Operation::RemoveElement(Element::Service(key)) if self.kept.contains(key) => {
                skipped("its virtual service could not be removed")
            }
            Operation::RemoveBase if !self.kept.is_empty() => {
                skipped("its register names a virtual service that could not be removed")
            }
            _ => Ok(()),
        }
    }

    fn has_only_unmade(&self, address: IpAddr) -> bool {
        !self.served.contains(&address) && self.unmade.iter().any(|key| key.address == address)
    }

    /// Offload alone is done without: the service is carried all the same.
    fn lacks_chain_of(&self, nat: &Nat) -> bool {
        let needed = nat.chains().filter(|chain| !matches!(chain, Chain::Offload(_)));
        needed.into_iter().any(|chain| self.chains.contains(&chain))
    }

    /// Whether a service port has to do without offload.
    #[must_use]
    pub fn lacks_offload_of(&self, nat: &Nat) -> bool {
        nat.offload.is_some_and(|class| self.chains.contains(&Chain::Offload(class)))
    }
}

#[cfg(test)]
#[path = "lost_tests.rs"]
mod tests;
