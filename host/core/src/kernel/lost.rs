//! What can't be done, because what it rests on was refused earlier in the same plan. Pure.
//!
//! The register names every virtual service of ours at every moment: an entry that could not be
//! written keeps its virtual service from being made, and a virtual service that could not be
//! removed keeps its entry, and the table.

use std::collections::BTreeSet;

use super::{Outcome, Refusal, RefusalKind};
use crate::plan::Operation;
use crate::state::{Element, VirtualKey};

/// Gathers the refusals of one plan, stage by stage.
#[derive(Clone, Debug, Default)]
pub struct Lost {
    /// Virtual services that aren't in the register.
    unregistered: BTreeSet<VirtualKey>,
    /// Virtual services that weren't made.
    unmade: BTreeSet<VirtualKey>,
    /// Virtual services that weren't removed.
    kept: BTreeSet<VirtualKey>,
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
            if let Err(refusal) = outcome {
                self.note(operation, refusal.kind);
            }
        }
        outcomes
    }

    fn note(&mut self, refused: &Operation, why: RefusalKind) {
        match refused {
            Operation::AddElement(Element::Service(key)) => {
                self.unregistered.insert(*key);
            }
            Operation::AddVirtual(key, _) => {
                self.unmade.insert(*key);
            }
            Operation::RemoveVirtual(key) if why != RefusalKind::NotFound => {
                self.kept.insert(*key);
            }
            _ => {}
        }
    }

    fn allows(&self, operation: &Operation) -> Outcome {
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
            Operation::RemoveElement(Element::Service(key)) if self.kept.contains(key) => {
                skipped("its virtual service could not be removed")
            }
            Operation::RemoveBase if !self.kept.is_empty() => {
                skipped("its register names a virtual service that could not be removed")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "lost_tests.rs"]
mod tests;
