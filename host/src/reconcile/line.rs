//! In which order the services of a turn are worked out, and for which of them policies may still run:
//! their time is shared among namespaces. Pure: how long they ran comes in.
//!
//! The namespace for which they ran least is next, so that one with thousands of ports that are dear to
//! decide waits for itself alone. What was used counts until nothing waits any more: over several turns
//! nobody is always the last.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use weir_core::net::ObjectName;

use super::DecidedPorts;

/// How much longer than for any other namespace policies may run for one before another's are asked.
const SLICE: Duration = Duration::from_millis(50);

/// How long policies ran, by namespace.
pub(super) type Used = BTreeMap<Arc<str>, Duration>;

/// A service that waits, with what is decided of it.
pub(super) struct Job {
    pub(super) name: ObjectName,
    pub(super) decided: DecidedPorts,
    /// How many of its ports were taken care of.
    pub(super) ports: usize,
}

/// How long policies may run for a service when it is its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    slice: Duration,
    left: Duration,
}

impl Share {
    /// Whether policies that ran so long by now may run on.
    pub(super) fn may_run(&self, ran: Duration) -> bool {
        ran < self.left
    }

    /// Whether it is another's turn. Where policies may not run, nobody waits for anybody.
    pub(super) fn is_over(&self, ran: Duration) -> bool {
        ran >= self.slice && self.may_run(ran)
    }
}

/// The services of a turn.
pub(super) struct Line {
    waiting: BTreeMap<Arc<str>, VecDeque<Job>>,
    /// The namespaces that wait, by how long policies ran for them.
    order: BTreeSet<(Duration, Arc<str>)>,
    used: Used,
    left: Duration,
}

impl Line {
    /// These services, for which policies may run so long in all; `used` is what they ran in earlier turns.
    pub(super) fn new(names: BTreeSet<ObjectName>, used: Used, left: Duration) -> Self {
        let mut waiting: BTreeMap<Arc<str>, VecDeque<Job>> = BTreeMap::new();
        for name in names {
            let job = Job { name, decided: DecidedPorts::new(), ports: 0 };
            waiting.entry(Arc::clone(&job.name.namespace)).or_default().push_back(job);
        }
        let of = |name: &Arc<str>| used.get(name).copied().unwrap_or_default();
        let order = waiting.keys().map(|name| (of(name), Arc::clone(name))).collect();
        Self { waiting, order, used, left }
    }

    /// Who is next.
    pub(super) fn next(&mut self) -> Option<(Job, Share)> {
        let (used, namespace) = self.order.pop_first()?;
        let job = self.waiting.get_mut(&namespace)?.pop_front()?;
        let least = self.order.first().map_or(used, |(least, _)| *least);
        let slice = least.saturating_sub(used) + SLICE;
        Some((job, Share { slice, left: self.left }))
    }

    /// Policies ran so long for the one of this namespace who was next, and `unfinished` waits again.
    pub(super) fn ran(&mut self, namespace: &Arc<str>, ran: Duration, unfinished: Option<Job>) {
        self.left = self.left.saturating_sub(ran);
        let mut used = self.used.get(namespace).copied().unwrap_or_default();
        if !ran.is_zero() {
            used += ran;
            self.used.insert(Arc::clone(namespace), used);
        }
        let waiting = self.waiting.entry(Arc::clone(namespace)).or_default();
        waiting.extend(unfinished);
        if !waiting.is_empty() {
            self.order.insert((used, Arc::clone(namespace)));
        }
    }

    /// How long policies ran for whom, in earlier turns and in this one.
    pub(super) fn into_used(self) -> Used {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    fn line(names: &[&str], used: Used, left: Duration) -> Line {
        Line::new(names.iter().map(|name| name.parse().unwrap()).collect(), used, left)
    }

    /// Works a line off: a service named `NAME-N` needs so many milliseconds. Who was asked about, in order.
    fn worked(line: &mut Line) -> Vec<String> {
        let mut order = Vec::new();
        while let Some((mut job, share)) = line.next() {
            let needs: usize = job.name.name.rsplit('-').next().unwrap().parse().unwrap();
            let (mut ran, mut over) = (Duration::ZERO, false);
            while job.ports < needs && share.may_run(ran) && !over {
                job.ports += 1;
                ran += MILLI;
                over = share.is_over(ran);
            }
            if !ran.is_zero() {
                order.push(job.name.to_string());
            }
            let (namespace, unfinished) = (Arc::clone(&job.name.namespace), job.ports < needs);
            line.ran(&namespace, ran, (unfinished && share.may_run(ran)).then_some(job));
        }
        order
    }

    #[test]
    fn what_costs_little_is_asked_about_by_name() {
        let names = ["a/x-1", "a/y-1", "b/x-1", "c/x-1"];
        let mut all = line(&names, Used::new(), MILLI * 1000);
        assert_eq!(worked(&mut all), ["a/x-1", "b/x-1", "c/x-1", "a/y-1"]);
    }

    #[test]
    fn who_needs_much_waits_for_himself_alone() {
        let names = ["a/big-5000", "a/small-1", "b/x-40", "c/y-60"];
        let mut all = line(&names, Used::new(), MILLI * 1000);
        let order = worked(&mut all);
        let want = ["a/big-5000", "b/x-40", "c/y-60", "a/small-1"];
        assert_eq!(order[..4], want);
        assert!(order[4..].iter().all(|name| name == "a/big-5000"), "{order:?}");
        let used = all.into_used();
        let sum: Duration = used.values().sum();
        assert_eq!(sum, MILLI * 1000, "no more than is allowed: {used:?}");
        let of = |namespace: &str| used[namespace];
        assert_eq!((of("b"), of("c"), of("a")), (MILLI * 40, MILLI * 60, MILLI * 900));
    }

    #[test]
    fn over_several_turns_nobody_is_always_the_last() {
        let names: Vec<String> = (0..30).map(|n| format!("n{n:02}/x-5000")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (mut used, mut asked) = (Used::new(), BTreeSet::new());
        for _ in 0..3 {
            let mut all = line(&names, used, MILLI * 500);
            asked.extend(worked(&mut all));
            used = all.into_used();
        }
        assert_eq!(asked.len(), 30, "ten at a time");
    }

    #[test]
    fn without_time_all_are_worked_out_once() {
        let mut all = line(&["a/x-1", "b/x-1"], Used::new(), Duration::ZERO);
        let mut seen = 0;
        while let Some((job, share)) = all.next() {
            assert!(!share.may_run(Duration::ZERO) && !share.is_over(Duration::ZERO));
            all.ran(&job.name.namespace, Duration::ZERO, None);
            seen += 1;
        }
        assert_eq!(seen, 2);
    }
}
