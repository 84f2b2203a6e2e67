//! Answers of the loop that all share who ask at about the same time: however many ask, and however
//! often, the loop is asked seldom.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The last answer. None that came is kept as well, so that nobody waits in vain behind another.
pub(super) struct Kept<T> {
    age: Duration,
    last: Mutex<Option<(Instant, Option<T>)>>,
}

impl<T: Clone> Kept<T> {
    /// Answers are given so long.
    pub(super) fn new(age: Duration) -> Self {
        Self { age, last: Mutex::default() }
    }

    /// The last answer; where it is too old, another one. Whoever comes while one asks waits for the
    /// same answer.
    pub(super) fn get(&self, ask: impl FnOnce() -> Option<T>) -> Option<T> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, answer)) = last.as_ref().filter(|(at, _)| at.elapsed() < self.age) {
            return answer.clone();
        }
        let answer = ask();
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn many_who_ask_at_once_are_one() {
        for answer in [Some(7), None] {
            let kept = Kept::new(Duration::from_hours(1));
            let asked = AtomicUsize::new(0);
            let ask = || {
                asked.fetch_add(1, Ordering::Relaxed);
                // Time for the others to come.
                std::thread::sleep(Duration::from_millis(50));
                answer
            };
            std::thread::scope(|scope| {
                let all: Vec<_> = (0..8).map(|_| scope.spawn(|| kept.get(ask))).collect();
                assert!(all.into_iter().all(|one| one.join().unwrap() == answer));
            });
            assert_eq!(asked.load(Ordering::Relaxed), 1);
        }
    }

    #[test]
    fn what_is_too_old_is_asked_anew() {
        let kept = Kept::new(Duration::ZERO);
        assert_eq!([kept.get(|| Some(1)), kept.get(|| None)], [Some(1), None]);
    }
}
