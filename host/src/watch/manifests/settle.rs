//! When to look again after signs of change: once it is quiet, and no file is still being written. Pure.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What a file system event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// Somebody wrote into this file and has it open still.
    Wrote(PathBuf),
    /// The writer of this file closed it.
    Closed(PathBuf),
    /// This came, went or was renamed.
    Moved(Vec<PathBuf>),
    /// Events were lost.
    Lost,
}

/// Signs since the last look.
#[derive(Debug)]
pub(super) struct Settle {
    quiet: Duration,
    patience: Duration,
    first_and_last: Option<(Instant, Instant)>,
    open: BTreeSet<PathBuf>,
}

impl Settle {
    /// Looks after `quiet` without a sign, and after `patience` at the latest.
    pub(super) fn new(quiet: Duration, patience: Duration) -> Self {
        Self { quiet, patience, first_and_last: None, open: BTreeSet::new() }
    }

    /// A sign came.
    pub(super) fn note(&mut self, sign: Sign, now: Instant) {
        let first = self.first_and_last.map_or(now, |(first, _)| first);
        self.first_and_last = Some((first, now));
        match sign {
            Sign::Wrote(path) => {
                self.open.insert(path);
            }
            Sign::Closed(path) => {
                self.open.remove(&path);
            }
            // What was renamed or removed is looked for under that name no more.
            Sign::Moved(paths) => self.open.retain(|path| !paths.contains(path)),
            Sign::Lost => self.open.clear(),
        }
    }

    /// When to look where a look is planned for `planned` in any case: sooner after a sign of
    /// change, later while a file is being written.
    pub(super) fn next(&self, planned: Instant) -> Instant {
        match self.due() {
            None => planned,
            Some(due) if self.open.is_empty() => due.min(planned),
            Some(due) => due,
        }
    }

    fn due(&self) -> Option<Instant> {
        let (first, last) = self.first_and_last?;
        let latest = first + self.patience;
        Some(if self.open.is_empty() { latest.min(last + self.quiet) } else { latest })
    }

    /// A look is taken now.
    pub(super) fn reset(&mut self) {
        self.first_and_last = None;
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_millis(100);
    const PATIENCE: Duration = Duration::from_secs(2);

    #[test]
    fn looks_once_it_is_quiet_and_closed() {
        let file = || PathBuf::from("a.yaml");
        let moved = || Sign::Moved(vec![file()]);
        type Signs = Vec<(u64, Sign)>;
        let cases: [(&str, Signs, Option<u64>); 7] = [
            ("no sign", vec![], None),
            ("one rename", vec![(0, moved())], Some(100)),
            ("two renames", vec![(0, moved()), (50, moved())], Some(150)),
            ("being written", vec![(0, Sign::Wrote(file()))], Some(2000)),
            ("written", vec![(0, Sign::Wrote(file())), (500, Sign::Closed(file()))], Some(600)),
            ("written, moved", vec![(0, Sign::Wrote(file())), (7, moved())], Some(107)),
            ("lost", vec![(0, Sign::Wrote(file())), (10, Sign::Lost)], Some(110)),
        ];
        let start = Instant::now();
        for (name, signs, want) in cases {
            let mut settle = Settle::new(QUIET, PATIENCE);
            for (at, sign) in signs {
                settle.note(sign, start + Duration::from_millis(at));
            }
            let want = want.map(|at| start + Duration::from_millis(at));
            assert_eq!(settle.due(), want, "{name}");
            let soon = start + Duration::from_millis(20);
            let writing = name == "being written";
            let next = if writing { start + PATIENCE } else { soon };
            assert_eq!(settle.next(soon), next, "{name}");
            let late = start + Duration::from_secs(60);
            assert_eq!(settle.next(late), want.unwrap_or(late), "{name}");
        }
    }

    #[test]
    fn unending_signs_dont_put_it_off_for_ever() {
        let mut settle = Settle::new(QUIET, PATIENCE);
        let start = Instant::now();
        for at in (0..10_000).step_by(50) {
            settle.note(Sign::Moved(vec![]), start + Duration::from_millis(at));
        }
        assert_eq!(settle.due(), Some(start + PATIENCE));
        settle.reset();
        assert_eq!(settle.due(), None);
    }
}
