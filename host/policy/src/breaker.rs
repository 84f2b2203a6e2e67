//! When a policy that costs too much is left alone for a while, and for whom. Pure: time comes in.
//!
//! Owners of Services choose much of what a policy sees, so that one of them may make it fail: that
//! takes it from his namespace. Only a policy that fails for many namespaces and for none of them
//! well is taken to be bad itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;

use crate::Limits;

/// The most namespaces that are remembered; the one that failed longest ago goes first.
const NAMESPACES: usize = 1024;

/// Who doesn't get a policy for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suspended {
    Namespace,
    Everybody,
}

/// Counts costly failures in a row.
#[derive(Debug)]
pub(crate) struct Breaker {
    namespaces: LruCache<Arc<str>, Run>,
    /// Namespaces that it failed since it answered anybody, no more than suspend it.
    failing: BTreeSet<Arc<str>>,
    until: Option<Instant>,
}

#[derive(Debug, Default)]
struct Run {
    in_a_row: u32,
    until: Option<Instant>,
}

impl Breaker {
    pub(crate) fn new() -> Self {
        Self { namespaces: LruCache::unbounded(), failing: BTreeSet::new(), until: None }
    }

    /// How much longer the policy is not to be asked for this namespace; `None` when it may be.
    pub(crate) fn rest(&self, namespace: &str, now: Instant) -> Option<Duration> {
        let own = self.namespaces.peek(namespace).and_then(|run| run.until);
        left(own.max(self.until), now)
    }

    /// How much longer nobody is to ask it; `None` while somebody may.
    pub(crate) fn rest_of_all(&self, now: Instant) -> Option<Duration> {
        left(self.until, now)
    }

    /// The namespaces that don't get it, each with how much longer.
    pub(crate) fn suspended(&self, now: Instant) -> BTreeMap<Arc<str>, Duration> {
        let rest = |(name, run): (&Arc<str>, &Run)| Some((Arc::clone(name), left(run.until, now)?));
        self.namespaces.iter().filter_map(rest).collect()
    }

    /// Notes how an evaluation ended; says who is suspended by this one, if anybody is.
    ///
    /// After a rest one more costly failure is enough.
    pub(crate) fn note(
        &mut self,
        namespace: &str,
        costly: bool,
        limits: &Limits,
        now: Instant,
    ) -> Option<Suspended> {
        if !costly {
            self.namespaces.pop(namespace);
            self.failing.clear();
            self.until = None;
            return None;
        }
        let name: Arc<str> = namespace.into();
        let until = now + limits.suspension;
        let run = self.namespaces.get_or_insert_mut(Arc::clone(&name), Run::default);
        run.in_a_row = run.in_a_row.saturating_add(1);
        let own = run.in_a_row >= limits.costly_failures;
        run.until = own.then_some(until);
        if self.namespaces.len() > NAMESPACES {
            self.namespaces.pop_lru();
        }
        if self.failing.len() < limits.failing_namespaces {
            self.failing.insert(name);
        }
        if self.failing.len() >= limits.failing_namespaces {
            self.until = Some(until);
            return Some(Suspended::Everybody);
        }
        own.then_some(Suspended::Namespace)
    }
}

fn left(until: Option<Instant>, now: Instant) -> Option<Duration> {
    until.map(|until| until.saturating_duration_since(now)).filter(|rest| !rest.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A breaker with a clock that begins at 0.
    struct Clocked(Breaker, Instant);

    impl Clocked {
        fn new() -> Self {
            Self(Breaker::new(), Instant::now())
        }

        fn at(&self, seconds: u64) -> Instant {
            self.1 + Duration::from_secs(seconds)
        }

        fn note(&mut self, namespace: &str, costly: bool, seconds: u64) -> Option<Suspended> {
            let limits = Limits { costly_failures: 3, failing_namespaces: 3, ..Limits::default() };
            let now = self.at(seconds);
            self.0.note(namespace, costly, &limits, now)
        }

        fn rest(&self, namespace: &str, seconds: u64) -> Option<u64> {
            self.0.rest(namespace, self.at(seconds)).map(|rest| rest.as_secs())
        }
    }

    #[test]
    fn a_namespace_is_suspended_after_failures_in_a_row_until_time_or_success() {
        let mut it = Clocked::new();
        assert_eq!(it.note("shop", true, 0), None);
        assert_eq!(it.note("shop", false, 1), None);
        assert_eq!([2, 3].map(|at| it.note("shop", true, at)), [None, None]);
        assert_eq!(it.note("shop", true, 4), Some(Suspended::Namespace));
        assert_eq!([4, 22, 64, 65].map(|at| it.rest("shop", at)), [Some(60), Some(42), None, None]);
        assert_eq!(it.note("shop", true, 70), Some(Suspended::Namespace), "after the rest");
        assert_eq!(it.note("shop", false, 140), None);
        assert_eq!(it.note("shop", true, 141), None, "success begins the count anew");
    }

    #[test]
    fn a_namespace_takes_the_policy_from_nobody_else() {
        let mut it = Clocked::new();
        for n in 0..100 {
            let told = it.note("bad", true, n);
            assert_ne!(told, Some(Suspended::Everybody), "failure {n}");
        }
        assert!(it.rest("bad", 99).is_some());
        assert_eq!((it.rest("good", 99), it.0.rest_of_all(it.at(99))), (None, None));
        let told: Vec<_> = it.0.suspended(it.at(99)).into_keys().collect();
        assert_eq!(told, ["bad".into()]);
    }

    #[test]
    fn everybody_is_suspended_when_it_fails_for_many_and_answers_nobody() {
        let mut it = Clocked::new();
        for name in ["a", "b"] {
            assert_eq!(it.note(name, true, 0), None);
        }
        assert_eq!(it.note("good", false, 1), None);
        for name in ["a", "b"] {
            assert_eq!(it.note(name, true, 2), None, "it answered somebody meanwhile");
        }
        assert_eq!(it.note("c", true, 3), Some(Suspended::Everybody));
        assert_eq!(it.rest("good", 10), Some(53));
        assert_eq!(it.note("d", true, 70), Some(Suspended::Everybody), "one more is enough");
        assert_eq!(it.note("good", false, 140), None);
        assert_eq!((it.rest("good", 141), it.note("e", true, 141)), (None, None));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut it, many) = (Clocked::new(), NAMESPACES + 10);
        for n in 0..many {
            it.note(&n.to_string(), true, 0);
        }
        assert_eq!((it.0.namespaces.len(), it.0.failing.len()), (NAMESPACES, 3));
        assert!(it.0.namespaces.peek("0").is_none(), "the oldest goes first");
    }
}
