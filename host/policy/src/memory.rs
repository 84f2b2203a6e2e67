//! What one policy said before: kept answers, and the last good one of each service port.
//!
//! Pure bookkeeping, bounded: when it is full, what was asked for longest ago goes.

use std::sync::Arc;

use lru::LruCache;
use weir_core::alike::Alike;
use weir_core::wish::{Refusal, Wish};

use crate::guest::Failed;

/// Everything that an answer is a function of, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Changes with the component, its configuration and the node.
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

#[derive(Default)]
struct Entry {
    kept: Option<(Stamp, Reply)>,
    last_good: Option<Arc<Wish>>,
    /// Failures in a row that another try could mend.
    passing: u32,
}

/// Answers by service port.
pub(crate) struct Memory {
    entries: LruCache<Arc<str>, Entry>,
    capacity: usize,
    alike: Alike<Wish>,
    /// How often a last good answer came, changed or went.
    learned: u64,
}

impl Memory {
    pub(crate) fn new(capacity: usize) -> Self {
        // A bounded cache takes all the memory for its table at once.
        let entries = LruCache::unbounded();
        Self { entries, capacity: capacity.max(1), alike: Alike::default(), learned: 0 }
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

    /// How often a last good answer came, changed or went: the same number, the same answers.
    pub(crate) fn learned(&self) -> u64 {
        self.learned
    }

    /// All last good answers, what was asked for last first.
    pub(crate) fn all_last_good(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Wish>)> {
        self.entries.iter().filter_map(|(port, entry)| Some((port, entry.last_good.as_ref()?)))
    }

    /// Takes over an answer of an earlier run, unless there is one of this run.
    pub(crate) fn restore(&mut self, service_port: Arc<str>, wish: Wish) {
        if self.last_good(&service_port).is_none() {
            let wish = self.alike.share(wish);
            self.update(service_port, |entry| entry.last_good = Some(wish));
        }
    }

    /// What a policy wishes, shared with others that it wished for alike.
    pub(crate) fn share(&mut self, wish: Wish) -> Arc<Wish> {
        self.alike.share(wish)
    }

    /// Keeps what was said. A failure that another try could mend is not kept as an answer: the
    /// number of those in a row comes back, else 0.
    pub(crate) fn keep(&mut self, service_port: &Arc<str>, stamp: Stamp, reply: Reply) -> u32 {
        self.update(Arc::clone(service_port), |entry| {
            match &reply {
                Reply::Wish(wish) => entry.last_good = Some(Arc::clone(wish)),
                Reply::Refusal(_) => entry.last_good = None,
                Reply::Failed(_) => {}
            }
            let passes = matches!(&reply, Reply::Failed(f) if !f.kind.is_deterministic());
            entry.passing = if passes { entry.passing.saturating_add(1) } else { 0 };
            entry.kept = (!passes).then_some((stamp, reply));
            entry.passing
        })
    }

    /// Forgets a service port that is gone.
    pub(crate) fn forget(&mut self, service_port: &Arc<str>) {
        let known = self.entries.pop(service_port).and_then(|entry| entry.last_good);
        self.learned += u64::from(known.is_some());
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn update<T>(&mut self, service_port: Arc<str>, change: impl FnOnce(&mut Entry) -> T) -> T {
        let entry = self.entries.get_or_insert_mut(service_port, Entry::default);
        let before = entry.last_good.clone();
        let result = change(entry);
        self.learned += u64::from(entry.last_good != before);
        if self.entries.len() > self.capacity {
            self.entries.pop_lru();
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FailureKind;

    fn stamp(service: u64) -> Stamp {
        Stamp { setup: 1, namespace: 1, service, slices: 1, evaluation: 0 }
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
        for n in 1..3 {
            assert_eq!(memory.keep(&port, stamp(2), failed(FailureKind::Deadline)), n);
        }
        assert_eq!(memory.recall(&port, &stamp(2)), None, "worth another try");
        assert_eq!(memory.keep(&port, stamp(2), failed(FailureKind::Fuel)), 0);
        assert_eq!(memory.recall(&port, &stamp(2)), Some(failed(FailureKind::Fuel)));
        assert!(memory.last_good(&port).is_some(), "outlives failures");
        memory.keep(&port, stamp(3), Reply::Refusal(Refusal::NotMine));
        assert!(memory.last_good(&port).is_none(), "it gave the service up itself");
    }

    #[test]
    fn what_was_learned_is_counted_and_nothing_else() {
        let mut memory = Memory::new(8);
        let port: Arc<str> = "a".into();
        let mut learned = |reply: Reply, service| {
            memory.keep(&port, stamp(service), reply);
            memory.learned()
        };
        assert_eq!(learned(wish("one"), 1), 1);
        assert_eq!(learned(wish("one"), 2), 1, "the same answer to another question");
        assert_eq!(learned(failed(FailureKind::Fuel), 3), 1);
        assert_eq!(learned(wish("two"), 4), 2);
        assert_eq!(learned(Reply::Refusal(Refusal::NotMine), 5), 3);
        memory.forget(&port);
        assert_eq!(memory.learned(), 3, "there was none");
    }

    #[test]
    fn it_is_bounded_and_forgets() {
        let mut memory = Memory::new(2);
        for port in ["a", "b", "a", "c"] {
            memory.keep(&port.into(), stamp(1), wish(port));
        }
        assert_eq!(memory.len(), 2);
        assert!(memory.last_good(&"b".into()).is_none(), "asked for longest ago");
        assert!(memory.last_good(&"a".into()).is_some());
        memory.forget(&"a".into());
        assert_eq!(memory.len(), 1);
    }

    #[test]
    fn an_earlier_run_s_answer_only_fills_a_gap() {
        let mut memory = Memory::new(8);
        let old = Wish { note: Some("old".into()), ..Wish::default() };
        memory.keep(&"a".into(), stamp(1), wish("new"));
        for port in ["a", "b"] {
            memory.restore(port.into(), old.clone());
        }
        assert_eq!(memory.last_good(&"a".into()).unwrap().note.as_deref(), Some("new"));
        assert_eq!(memory.last_good(&"b".into()).unwrap().note.as_deref(), Some("old"));
        assert_eq!(memory.recall(&"b".into(), &stamp(1)), None, "no answer to any question");
    }
}
