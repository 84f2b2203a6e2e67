//! Elements and base of weir's table: operations to one atomic batch, and its verdict back to each.

use std::collections::BTreeMap;

use weir_core::kernel::{Outcome, Refusal, RefusalKind};
use weir_core::plan::Operation;
use weir_core::state::Element;
use weir_nft::{ApplyError, Batch, Culprit, Name, Nftables};

use super::table::{Sets, table};
use super::virtuals::chain;

/// How often a batch is sent again without what the kernel refused.
const ROUNDS: usize = 64;

/// Puts elements in or takes them out, in one batch. What the kernel refuses of it is left out and
/// the rest sent again, so that one element never holds up the others.
pub(super) fn apply(nft: &mut dyn Nftables, sets: &Sets, operations: &[Operation]) -> Vec<Outcome> {
    let mut outcomes: Vec<Option<Outcome>> = vec![None; operations.len()];
    for _ in 0..ROUNDS {
        let round = Round::of(sets, operations, &outcomes);
        if round.batch.is_empty() {
            break;
        }
        match nft.apply(&round.batch) {
            Ok(()) => round.settle(&mut outcomes, &Ok(())),
            Err(error) => match round.culprits(&error) {
                culprits if culprits.is_empty() => {
                    round.settle(&mut outcomes, &Err(refusal(&error)));
                }
                culprits => {
                    for (index, refusal) in culprits {
                        outcomes[index] = Some(verdict(&operations[index], refusal));
                    }
                }
            },
        }
    }
    let gave_up = || {
        Err(Refusal::new(RefusalKind::Other, "left out: too many others of its batch were refused"))
    };
    outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(gave_up)).collect()
}

/// What is already gone needs no removal.
fn verdict(operation: &Operation, refusal: Refusal) -> Outcome {
    match (operation, refusal.kind) {
        (Operation::RemoveElement(_), RefusalKind::NotFound) => Ok(()),
        _ => Err(refusal),
    }
}

/// Lays the base.
pub(super) fn lay(nft: &mut dyn Nftables, sets: &Sets, base: &weir_core::state::Base) -> Outcome {
    nft.apply(&sets.lay(base)).map_err(|error| refusal(&error))
}

/// Removes the table; fine if it isn't there.
pub(super) fn remove(nft: &mut dyn Nftables) -> Outcome {
    let mut batch = Batch::new(table());
    batch.destroy_table();
    nft.apply(&batch).map_err(|error| refusal(&error))
}

fn refusal(error: &ApplyError) -> Refusal {
    let kind = match error {
        ApplyError::StateUnknown(_) => RefusalKind::Unknown,
        ApplyError::Refused(refusals) => refusals.first().map_or(RefusalKind::Other, kind_of),
        ApplyError::Batch(_) | ApplyError::Send(_) => RefusalKind::Other,
    };
    Refusal::new(kind, chain(error))
}

fn kind_of(refusal: &weir_nft::Refusal) -> RefusalKind {
    if refusal.missing_expression().is_some() {
        RefusalKind::Unsupported
    } else if refusal.is_exists() {
        RefusalKind::Exists
    } else if refusal.is_not_found() {
        RefusalKind::NotFound
    } else {
        RefusalKind::Other
    }
}

/// One batch, and which operation each of its elements came from.
struct Round {
    batch: Batch,
    /// For each operation of the batch, the places of its elements in the plan's operations.
    places: Vec<Vec<usize>>,
}

impl Round {
    fn of(sets: &Sets, operations: &[Operation], outcomes: &[Option<Outcome>]) -> Self {
        let mut by_set: BTreeMap<(bool, Name), Vec<(usize, Element)>> = BTreeMap::new();
        for (index, operation) in
            operations.iter().enumerate().filter(|(i, _)| outcomes[*i].is_none())
        {
            let (add, element) = match operation {
                Operation::AddElement(element) => (true, *element),
                Operation::RemoveElement(element) => (false, *element),
                _ => continue,
            };
            let (set, _) = sets.of(element.family()).element(&element);
            by_set.entry((add, set.name.clone())).or_default().push((index, element));
        }
        let mut round = Self { batch: Batch::new(table()), places: Vec::new() };
        for ((add, _), of_set) in by_set {
            round.push(sets, add, of_set);
        }
        round
    }

    fn push(&mut self, sets: &Sets, add: bool, of_set: Vec<(usize, Element)>) {
        let Some((_, first)) = of_set.first() else { return };
        let family = sets.of(first.family());
        let (set, _) = family.element(first);
        let elements: Vec<_> =
            of_set.iter().map(|(_, element)| family.element(element).1).collect();
        if add {
            self.batch.add_elements(set, elements);
        } else {
            self.batch.delete_elements(set, elements);
        }
        self.places.push(of_set.into_iter().map(|(index, _)| index).collect());
    }

    fn settle(&self, outcomes: &mut [Option<Outcome>], outcome: &Outcome) {
        for index in self.places.iter().flatten() {
            outcomes[*index] = Some(outcome.clone());
        }
    }

    /// The operations that the kernel pointed at, each with its refusal; none where it pointed at nothing.
    fn culprits(&self, error: &ApplyError) -> Vec<(usize, Refusal)> {
        let pointed = error.refusals().iter().filter_map(|refusal| {
            let Some(Culprit::Element { index, .. }) = &refusal.culprit else { return None };
            let place = self.places.get(refusal.index?)?.get(*index)?;
            Some((*place, Refusal::new(kind_of(refusal), refusal.to_string())))
        });
        pointed.collect()
    }
}

#[cfg(test)]
mod tests;
