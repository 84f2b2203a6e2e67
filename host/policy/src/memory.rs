//! What one policy said before: kept answers, and the last good one of each service port.
//!
//! Pure bookkeeping, bounded: when it is full, what was asked for longest ago goes.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use weir_core::wish::{Refusal, Wish};

use crate::guest::Failed;
use crate::{Digest, FailureKind};

/// Everything that an answer is a function of, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) component: Digest,
    /// Changes with the configuration and the node.
    pub(crate) setup: u64,
    pub(crate) namespace: u64,
    pub(crate) service: u64,
    pub(crate) slices: u64,
    /// 0 for a policy that wants no changing inputs.
    pub(crate) evaluation: u64,
}

/// One policy's answer, or that it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Wish(Arc<Wish>),
    Refusal(Refusal),
    Failed(Failed),
}

/// A change worth a line in the log: the first failure of its kind, or the end of the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Fails(FailureKind),
    Recovered(FailureKind),
}

#[derive(Default)]
struct Entry {
    kept: Option<(Stamp, Reply)>,
    last_good: Option<Arc<Wish>>,
    failing: Option<FailureKind>,
}

/// Answers by service port.
pub(crate) struct Memory {
    entries: LruCache<Arc<str>, Entry>,
    /// Service ports that fail now, by kind.
    failing: BTreeMap<FailureKind, usize>,
}

impl Memory {
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN);
        Self { entries: LruCache::new(capacity), failing: BTreeMap::new() }
    }

    /// What was said about exactly these inputs.
    pub(crate) fn recall(&mut self, service_port: &Arc<str>, stamp: &Stamp) -> Option<Reply> {
        let (kept, reply) = self.entries.get(service_port)?.kept.as_ref()?;
        (kept == stamp).then(|| reply.clone())
    }

    /// The answer that stands in when there is none.
    pub(crate) fn last_good(&self, service_port: &Arc<str>) -> Option<Arc<Wish>> {
        self.entries.peek(service_port)?.last_good.clone()
    }

    /// All last good answers.
    pub(crate) fn all_last_good(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Wish>)> {
        self.entries.iter().filter_map(|(port, entry)| Some((port, entry.last_good.as_ref()?)))
    }

    /// Takes over an answer of an earlier run, unless there is one of this run.
    pub(crate) fn restore(&mut self, service_port: Arc<str>, wish: Wish) {
        if self.last_good(&service_port).is_none() {
            self.update(service_port, |entry| entry.last_good = Some(Arc::new(wish)));
        }
    }

    /// Keeps what was said. A failure that another try could mend is not kept as an answer.
    pub(crate) fn keep(
        &mut self,
        service_port: &Arc<str>,
        stamp: Stamp,
        reply: Reply,
    ) -> Vec<Turn> {
        let now = match &reply {
            Reply::Failed(failed) => Some(failed.kind),
            _ => None,
        };
        let mut before = None;
        self.update(Arc::clone(service_port), |entry| {
            before = entry.failing;
            entry.failing = now;
            match &reply {
                Reply::Wish(wish) => entry.last_good = Some(Arc::clone(wish)),
                Reply::Refusal(_) => entry.last_good = None,
                Reply::Failed(_) => {}
            }
            let again = now.is_some_and(|kind| !kind.is_deterministic());
            entry.kept = (!again).then_some((stamp, reply));
        });
        self.turn(before, now)
    }

    /// Forgets a service port that is gone.
    pub(crate) fn forget(&mut self, service_port: &Arc<str>) {
        if let Some(entry) = self.entries.pop(service_port) {
            self.turn(entry.failing, None);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn update(&mut self, service_port: Arc<str>, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries.get_mut(&service_port) {
            return change(entry);
        }
        let mut entry = Entry::default();
        change(&mut entry);
        if let Some((_, gone)) = self.entries.push(service_port, entry) {
            self.turn(gone.failing, None);
        }
    }

    fn turn(&mut self, before: Option<FailureKind>, now: Option<FailureKind>) -> Vec<Turn> {
        if before == now {
            return Vec::new();
        }
        let mut turns = Vec::new();
        if let Some(kind) = before
            && let Some(count) = self.failing.get_mut(&kind)
        {
            *count -= 1;
            if *count == 0 {
                self.failing.remove(&kind);
                turns.push(Turn::Recovered(kind));
            }
        }
        if let Some(kind) = now {
            let count = self.failing.entry(kind).or_insert(0);
            *count += 1;
            if *count == 1 {
                turns.push(Turn::Fails(kind));
            }
        }
        turns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(service: u64) -> Stamp {
        let component = Digest::of(b"p");
        Stamp { component, setup: 1, namespace: 1, service, slices: 1, evaluation: 0 }
    }

    fn wish(note: &str) -> Reply {
        Reply::Wish(Arc::new(Wish { note: Some(note.into()), ..Wish::default() }))
    }

    fn failed(kind: FailureKind) -> Reply {
        Reply::Failed(Failed { kind, message: String::new() })
    }

    #[test]
    fn only_the_same_inputs_recall() {
        let mut memory = Memory::new(8);
        let port: Arc<str> = "a".into();
        memory.keep(&port, stamp(1), wish("one"));
        assert_eq!(memory.recall(&port, &stamp(1)), Some(wish("one")));
        assert_eq!(memory.recall(&port, &stamp(2)), None);
        memory.keep(&port, stamp(2), failed(FailureKind::Deadline));
        assert_eq!(memory.recall(&port, &stamp(2)), None, "worth another try");
        memory.keep(&port, stamp(2), failed(FailureKind::Fuel));
        assert_eq!(memory.recall(&port, &stamp(2)), Some(failed(FailureKind::Fuel)));
        assert!(memory.last_good(&port).is_some(), "outlives failures");
        memory.keep(&port, stamp(3), Reply::Refusal(Refusal::NotMine));
        assert!(memory.last_good(&port).is_none(), "it gave the service up itself");
    }

    #[test]
    fn failures_are_told_once_a_change() {
        let mut memory = Memory::new(8);
        let ports: [Arc<str>; 2] = ["a".into(), "b".into()];
        let trap = || failed(FailureKind::Trap);
        let fails = [Turn::Fails(FailureKind::Trap)];
        assert_eq!(memory.keep(&ports[0], stamp(1), trap()), fails);
        assert_eq!(memory.keep(&ports[0], stamp(2), trap()), []);
        assert_eq!(memory.keep(&ports[1], stamp(1), trap()), []);
        assert_eq!(memory.keep(&ports[0], stamp(3), wish("")), []);
        let recovered = [Turn::Recovered(FailureKind::Trap)];
        assert_eq!(memory.keep(&ports[1], stamp(2), wish("")), recovered);
    }

    #[test]
    fn it_is_bounded_and_what_goes_is_not_failing_any_more() {
        let mut memory = Memory::new(2);
        for port in ["a", "b", "c"] {
            memory.keep(&port.into(), stamp(1), failed(FailureKind::Trap));
        }
        assert_eq!((memory.len(), memory.failing[&FailureKind::Trap]), (2, 2));
        for port in ["b", "c"] {
            memory.forget(&port.into());
        }
        assert!(memory.failing.is_empty());
    }
}
