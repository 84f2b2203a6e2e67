//! When the loop may write, must look and should ask again. Pure: time comes in as a value.

use std::time::{Duration, Instant};

/// The rhythm of the loop, kept between syncs.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The least time between the end of one sync and the start of the next.
    min: Duration,
    /// The most time between two looks at the kernel.
    period: Duration,
    last_sync: Option<Instant>,
    last_look: Option<Instant>,
}

impl Pace {
    /// At least `min` between syncs, at most `period` between looks.
    #[must_use]
    pub fn new(min: Duration, period: Duration) -> Self {
        Self { min, period, last_sync: None, last_look: None }
    }

    /// Another rhythm from now on; counted from the same syncs and looks.
    pub fn set(&mut self, min: Duration, period: Duration) {
        (self.min, self.period) = (min, period);
    }

    /// A sync ended.
    pub fn synced(&mut self, now: Instant) {
        self.last_sync = Some(now);
    }

    /// A look at the kernel ended.
    pub fn looked(&mut self, now: Instant) {
        self.last_look = Some(now);
    }

    /// The earliest time for the next sync; the first may come at once.
    #[must_use]
    pub fn sync_at(&self, now: Instant) -> Instant {
        self.last_sync.map_or(now, |last| last + self.min)
    }

    /// The latest time for the next look.
    #[must_use]
    pub fn look_at(&self, now: Instant) -> Instant {
        self.last_look.map_or(now, |last| last + self.period)
    }
}

/// How long to wait before trying again what the kernel refused: twice as long each time.
#[must_use]
pub fn back_off(attempts: u32) -> Duration {
    const FIRST: Duration = Duration::from_secs(1);
    const LAST: Duration = Duration::from_secs(60);
    FIRST.saturating_mul(2u32.saturating_pow(attempts.saturating_sub(1))).min(LAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sync_comes_at_once_and_the_next_after_the_least_time() {
        let start = Instant::now();
        let mut pace = Pace::new(Duration::from_secs(1), Duration::from_secs(30));
        assert_eq!((pace.sync_at(start), pace.look_at(start)), (start, start));
        pace.synced(start);
        pace.looked(start);
        let later = start + Duration::from_millis(10);
        assert_eq!(pace.sync_at(later), start + Duration::from_secs(1));
        assert_eq!(pace.look_at(later), start + Duration::from_secs(30));
    }

    #[test]
    fn back_off_doubles_up_to_a_minute() {
        let seconds = [1, 2, 3, 7, 40].map(|n| back_off(n).as_secs());
        assert_eq!(seconds, [1, 2, 4, 60, 60]);
    }
}
