//! Objects whose last operation was refused, and when to plan them again. Pure.

use std::collections::{BTreeMap, BTreeSet};

use weir_core::kernel::{Outcome, Refusal};
use weir_core::plan::Plan;
use weir_core::state::Key;

use crate::pace::back_off;

#[derive(Clone, Debug)]
struct Retry {
    attempts: u32,
    at: u64,
    last: Refusal,
}

/// What was refused and not yet mended.
#[derive(Clone, Debug, Default)]
pub(super) struct Retries {
    by_key: BTreeMap<Key, Retry>,
}

impl Retries {
    /// Takes in what became of a plan for `keys`: of these, only what was refused is to be tried again.
    pub(super) fn settle(
        &mut self,
        keys: &BTreeSet<Key>,
        plan: &Plan,
        outcomes: &[Outcome],
        now: u64,
    ) {
        let mut before = BTreeMap::new();
        for key in keys {
            before.extend(self.by_key.remove(key).map(|retry| (*key, retry.attempts)));
        }
        for (operation, outcome) in plan.operations().iter().zip(outcomes) {
            let Err(refusal) = outcome else { continue };
            let key = operation.key();
            let attempts = before.get(&key).copied().unwrap_or(0) + 1;
            let wait = u64::try_from(back_off(attempts).as_millis()).unwrap_or(u64::MAX);
            let retry = Retry { attempts, at: now.saturating_add(wait), last: refusal.clone() };
            self.by_key.entry(key).or_insert(retry);
        }
    }

    /// The objects whose time has come.
    pub(super) fn due_by(&self, now: u64) -> BTreeSet<Key> {
        let due = self.by_key.iter().filter(|(_, retry)| retry.at <= now);
        due.map(|(key, _)| *key).collect()
    }

    /// Makes all of them due.
    pub(super) fn hurry(&mut self) {
        self.by_key.values_mut().for_each(|retry| retry.at = 0);
    }

    /// When the next one is due.
    pub(super) fn due(&self) -> Option<u64> {
        self.by_key.values().map(|retry| retry.at).min()
    }

    /// What was refused last, by object.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &Refusal)> {
        self.by_key.iter().map(|(key, retry)| (key, &retry.last))
    }
}
