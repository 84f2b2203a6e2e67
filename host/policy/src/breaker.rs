//! When a policy that costs too much is left alone for a while. Pure: time comes in.

use std::time::{Duration, Instant};

/// Counts costly failures in a row.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    in_a_row: u32,
    until: Option<Instant>,
}

impl Breaker {
    /// How much longer the policy is not to be asked; `None` when it may be.
    pub(crate) fn rest(&self, now: Instant) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(now)).filter(|rest| !rest.is_zero())
    }

    /// Notes how an evaluation ended; `true` when the policy is suspended by this one.
    pub(crate) fn note(&mut self, costly: bool, most: u32, rest: Duration, now: Instant) -> bool {
        if !costly {
            *self = Self::default();
            return false;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        // After a rest one more costly failure is enough.
        if self.in_a_row < most {
            return false;
        }
        self.until = Some(now + rest);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_failures_in_a_row_and_closes_by_time_or_success() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        let rest = Duration::from_secs(60);
        let mut note = |costly, seconds| {
            let now = start + Duration::from_secs(seconds);
            (breaker.note(costly, 2, rest, now), breaker.rest(now).is_some())
        };
        assert_eq!(note(true, 0), (false, false));
        assert_eq!(note(false, 1), (false, false));
        assert_eq!(note(true, 2), (false, false));
        assert_eq!(note(true, 3), (true, true));
        assert_eq!(note(true, 70), (true, true), "one more is enough after the rest");
        assert_eq!(note(false, 140), (false, false));
        assert_eq!(breaker.rest(start + Duration::from_secs(140)), None);
    }

    #[test]
    fn it_tells_how_long_the_rest_lasts() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        breaker.note(true, 1, Duration::from_secs(60), start);
        let rest = |seconds| breaker.rest(start + Duration::from_secs(seconds));
        assert_eq!(rest(18), Some(Duration::from_secs(42)));
        assert_eq!((rest(60), rest(61)), (None, None));
    }
}
