//! Chains and elements of weir's table: operations to one atomic batch, and its verdict back to each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_core::kernel::{Lost, Outcome, Refusal, RefusalKind};
use weir_core::net::Family;
use weir_core::plan::Operation;
use weir_core::state::{Nat, VirtualKey};
use weir_nft::{ApplyError, Batch, Culprit, Element, Name, Nftables, Set};

use super::affinity::{self, Stale};
use super::table::{Sets, names, table};
use super::virtuals::chain;

/// How often a batch is sent again without what the kernel refused.
const ROUNDS: usize = 64;

/// Makes and removes chains, puts elements in and takes them out, in one batch. What the kernel refuses
/// of it is left out and the rest sent again, so that one operation never holds up the others; an
/// operation is done whole or not at all.
pub(super) fn apply(nft: &mut dyn Nftables, sets: &Sets, operations: &[Operation]) -> Vec<Outcome> {
    let mut outcomes: Vec<Option<Outcome>> = vec![None; operations.len()];
    let mut lost = Lost::default();
    let mut stale = match affinity::stale(nft, sets, operations) {
        Ok(stale) => stale,
        Err(error) => {
            let text = format!("what is remembered of clients can't be read: {}", chain(&error));
            let unread = Refusal::new(RefusalKind::Other, text);
            for (operation, outcome) in operations.iter().zip(&mut outcomes) {
                if affinity::concerns(operation) {
                    lost.note(operation, unread.kind);
                    *outcome = Some(Err(unread.clone()));
                }
            }
            Vec::new()
        }
    };
    let any_stale = !stale.is_empty();
    for _ in 0..ROUNDS {
        let round = Round::of(sets, operations, &outcomes, &stale, &lost);
        if round.batch.is_empty() {
            round.settle(&mut outcomes, &Ok(()));
            break;
        }
        let error = match nft.apply(&round.batch) {
            Ok(()) => {
                round.settle(&mut outcomes, &Ok(()));
                continue;
            }
            Err(error) => error,
        };
        let (culprits, gone) = round.culprits(&error);
        if culprits.is_empty() && gone.is_empty() {
            round.settle(&mut outcomes, &Err(refusal(&error)));
        }
        for (index, refusal) in culprits {
            let operation = &operations[index];
            lost.note(operation, refusal.kind);
            outcomes[index] = Some(verdict(operation, refusal));
        }
        let mut at = 0..;
        stale.retain(|_| at.next().is_some_and(|at| !gone.contains(&at)));
        skip(&lost, operations, &mut outcomes);
    }
    let gave_up = || {
        Err(Refusal::new(RefusalKind::Other, "left out: too many others of its batch were refused"))
    };
    let mut outcomes: Vec<Outcome> =
        outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(gave_up)).collect();
    for (operation, outcome) in operations.iter().zip(&mut outcomes) {
        if let (Operation::SetNat { to, .. }, Ok(())) = (operation, &outcome)
            && lost.lacks_offload_of(to)
        {
            // What is there isn't what was planned: a look tells what is.
            let text = "carried without offload, whose chain could not be made";
            *outcome = Err(Refusal::new(RefusalKind::NotFound, text));
        }
    }
    if any_stale {
        forget(nft, sets, operations, &outcomes);
    }
    outcomes
}

/// What was remembered between the look and the commit; after it nothing stale can come.
fn forget(nft: &mut dyn Nftables, sets: &Sets, operations: &[Operation], outcomes: &[Outcome]) {
    for _ in 0..ROUNDS {
        let stale = match affinity::stale(nft, sets, operations) {
            Ok(stale) => stale,
            Err(error) => {
                let reason = chain(&error);
                tracing::warn!(reason, "clients may be remembered at endpoints that are gone");
                return;
            }
        };
        let done = |it: &Stale| outcomes[it.of].is_ok();
        let mut by_set: BTreeMap<Name, (Arc<Set>, Vec<Element>)> = BTreeMap::new();
        for it in stale.into_iter().filter(done) {
            let (_, elements) =
                by_set.entry(it.set.name.clone()).or_insert_with(|| (it.set, Vec::new()));
            elements.push(it.element);
        }
        if by_set.is_empty() {
            return;
        }
        let mut batch = Batch::new(table());
        for (set, elements) in by_set.into_values() {
            batch.delete_elements(&set, elements);
        }
        // One that ran out meanwhile is refused with all others: the next look leaves it out.
        if let Err(error) = nft.apply(&batch)
            && !error.refusals().iter().all(weir_nft::Refusal::is_not_found)
        {
            let refusal = refusal(&error);
            tracing::warn!(reason = %refusal, "affinities to endpoints that are gone can't be removed");
            return;
        }
    }
}

/// What rests on something that was refused isn't tried.
fn skip(lost: &Lost, operations: &[Operation], outcomes: &mut [Option<Outcome>]) {
    for (operation, outcome) in operations.iter().zip(outcomes) {
        if let (None, Err(refusal)) = (&outcome, lost.allows(operation)) {
            *outcome = Some(Err(refusal));
        }
    }
}

/// What is already gone needs no removal.
fn verdict(operation: &Operation, refusal: Refusal) -> Outcome {
    match (operation, refusal.kind) {
        (Operation::RemoveElement(_) | Operation::RemoveChain(_), RefusalKind::NotFound) => Ok(()),
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

/// What a refused batch means for the plan.
pub(super) fn refusal(error: &ApplyError) -> Refusal {
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

/// When an element is written: what takes another's place comes after that one went, and what goes
/// for good goes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum When {
    Cleared,
    Added,
    Removed,
}

/// One element that an operation puts in or takes out.
struct Edit {
    when: When,
    set: Arc<Set>,
    element: Element,
}

/// Where an element of a batch comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The plan's operation at this place.
    Operation(usize),
    /// The stale element at this place: it may be gone by itself.
    Stale(usize),
}

/// One batch, and which operation each of its elements came from.
struct Round {
    batch: Batch,
    /// For each operation of the batch, where each of its elements comes from.
    places: Vec<Vec<Place>>,
    /// The plan's operations that it holds.
    of: Vec<usize>,
}

impl Round {
    fn of(
        sets: &Sets,
        operations: &[Operation],
        outcomes: &[Option<Outcome>],
        stale: &[Stale],
        lost: &Lost,
    ) -> Self {
        let mut round = Self { batch: Batch::new(table()), places: Vec::new(), of: Vec::new() };
        let mut by_set: BTreeMap<(When, Name), Vec<(Place, Edit)>> = BTreeMap::new();
        let mut emptied = Vec::new();
        for (index, operation) in operations.iter().enumerate() {
            if outcomes[index].is_some() {
                continue;
            }
            round.of.push(index);
            match operation {
                Operation::AddChain(chain) => {
                    round.run(index, |batch| sets.add_chain(chain, batch));
                }
                Operation::RemoveChain(chain) => emptied.push((index, names::chain(chain))),
                operation => {
                    for edit in edits(sets, operation, lost) {
                        let at = (edit.when, edit.set.name.clone());
                        by_set.entry(at).or_default().push((Place::Operation(index), edit));
                    }
                }
            }
        }
        for (at, it) in stale.iter().enumerate().filter(|(_, it)| outcomes[it.of].is_none()) {
            let (set, element) = (Arc::clone(&it.set), it.element.clone());
            let edit = Edit { when: When::Cleared, set, element };
            let edits = by_set.entry((When::Cleared, it.set.name.clone())).or_default();
            edits.push((Place::Stale(at), edit));
        }
        for ((when, _), edits) in by_set {
            round.push(when, edits);
        }
        for (index, name) in emptied {
            round.run(index, |batch| {
                batch.flush_chain(&name).delete_chain(&name);
            });
        }
        round
    }

    /// Adds what one operation of the plan writes by itself.
    fn run(&mut self, index: usize, write: impl FnOnce(&mut Batch)) {
        write(&mut self.batch);
        self.places.resize(self.batch.ops().len(), vec![Place::Operation(index)]);
    }

    fn push(&mut self, when: When, edits: Vec<(Place, Edit)>) {
        let Some((_, first)) = edits.first() else { return };
        let set = Arc::clone(&first.set);
        let (places, elements): (Vec<_>, Vec<_>) =
            edits.into_iter().map(|(place, edit)| (place, edit.element)).unzip();
        match when {
            When::Added => self.batch.add_elements(&set, elements),
            When::Cleared | When::Removed => self.batch.delete_elements(&set, elements),
        };
        self.places.push(places);
    }

    fn settle(&self, outcomes: &mut [Option<Outcome>], outcome: &Outcome) {
        for index in &self.of {
            outcomes[*index] = Some(outcome.clone());
        }
    }

    /// The operations that the kernel pointed at, each with its refusal, and stale elements that are
    /// gone; none of both where it pointed at nothing.
    fn culprits(&self, error: &ApplyError) -> (Vec<(usize, Refusal)>, BTreeSet<usize>) {
        let (mut operations, mut gone) = (Vec::new(), BTreeSet::new());
        for refused in error.refusals() {
            let places = refused.index.and_then(|index| self.places.get(index));
            let place = match (places, &refused.culprit) {
                (Some(places), Some(Culprit::Element { index, .. })) => places.get(*index),
                (Some(places), _) if places.len() == 1 => places.first(),
                _ => None,
            };
            let words = || Refusal::new(kind_of(refused), refused.to_string());
            match place {
                Some(Place::Operation(index)) => operations.push((*index, words())),
                Some(Place::Stale(at)) => drop(gone.insert(*at)),
                None => {}
            }
        }
        (operations, gone)
    }
}

/// What an operation about elements puts in and takes out.
fn edits(sets: &Sets, operation: &Operation, lost: &Lost) -> Vec<Edit> {
    match operation {
        Operation::AddElement(element) | Operation::RemoveElement(element) => {
            let (set, entry) = sets.of(element.family()).element(element);
            let add = matches!(operation, Operation::AddElement(_));
            let when = if add { When::Added } else { When::Removed };
            vec![Edit { when, set: Arc::clone(set), element: entry }]
        }
        Operation::SetNat { key, from, to } => {
            let without = Nat { offload: None, ..Nat::clone(to) };
            let to = if lost.lacks_offload_of(to) { &without } else { &**to };
            let gone = nat(sets, *key, from, to, When::Cleared);
            let fresh = nat(sets, *key, to, from, When::Added);
            gone.into_iter().chain(fresh).collect()
        }
        Operation::RemoveNat { key, from, to } if to.is_empty() => {
            nat(sets, *key, from, to, When::Removed)
        }
        Operation::RemoveNat { key, from, to } => {
            let gone = nat(sets, *key, from, to, When::Cleared);
            gone.into_iter().chain(nat(sets, *key, to, from, When::Added)).collect()
        }
        _ => Vec::new(),
    }
}

/// The elements of a service port that `other` hasn't, or has otherwise.
fn nat(sets: &Sets, key: VirtualKey, of: &Nat, other: &Nat, when: When) -> Vec<Edit> {
    let family = sets.of(Family::of(key.address));
    let mut edits = Vec::new();
    let mut push =
        |set: &Arc<Set>, element| edits.push(Edit { when, set: Arc::clone(set), element });
    let legs = [
        (&family.balance, &family.endpoints, &of.main, &other.main),
        (&family.inside, &family.inside_endpoints, &of.inside, &other.inside),
    ];
    for (balance, endpoints, of, other) in legs {
        if let Some(class) = of.class.filter(|_| of.class != other.class) {
            push(balance, family.balance(key, class));
        }
        for (slot, to) in of.slots.iter().enumerate() {
            let known = other.slots.get(slot) == Some(to);
            let (Some(to), false) = (to, known) else { continue };
            push(endpoints, family.slot(key, u32::try_from(slot).unwrap_or(u32::MAX), *to));
        }
    }
    if let Some(class) = of.offload.filter(|_| of.offload != other.offload) {
        push(&family.offload, family.offload(key, class));
    }
    if let Some(memory) = of.memory.filter(|_| of.memory != other.memory) {
        push(&family.sticky, family.sticky(key, memory));
    }
    if let Some(home) = of.home.filter(|_| of.home != other.home) {
        push(&family.homes, family.home(key, home));
    }
    if let Some(whose) = of.masquerade.filter(|_| of.masquerade != other.masquerade) {
        push(&family.external, family.external(key, whose));
    }
    if let Some(how) = of.closed.filter(|_| of.closed != other.closed) {
        push(&family.closed, family.closed(key, how));
    }
    if of.sources.is_some() && other.sources.is_none() {
        push(&family.guarded, family.guarded(key));
    }
    let none = BTreeSet::new();
    let allowed = other.sources.as_ref().unwrap_or(&none);
    for range in of.sources.iter().flatten().filter(|range| !allowed.contains(*range)) {
        push(&family.sources, family.source(key, range));
    }
    edits
}

#[cfg(test)]
mod tests;
