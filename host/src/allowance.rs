//! How much of something that tenants can cause is allowed: to each of them, and to all together.
//! Pure: time comes in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;

/// The most tenants that are remembered; the one who hasn't come for longest goes first.
const TENANTS: usize = 1024;

/// So many at once, and one more each time that so long has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At once.
    pub burst: u32,
    /// How often one more.
    pub every: Duration,
}

/// A bucket of tokens for each tenant, and one for all of them.
#[derive(Debug)]
pub struct Allowance {
    each: Rate,
    all: Rate,
    of_all: Bucket,
    of_each: LruCache<Arc<str>, Bucket>,
    refused: u64,
}

impl Allowance {
    /// `each` is what one tenant may have of what there is for `all`.
    #[must_use]
    pub fn new(each: Rate, all: Rate, now: Instant) -> Self {
        let of_all = Bucket::full(all, now);
        Self { each, all, of_all, of_each: LruCache::unbounded(), refused: 0 }
    }

    /// Takes one for a tenant, if there is one.
    pub fn take(&mut self, tenant: &str, now: Instant) -> bool {
        let each = self.each;
        let own = self.of_each.get_or_insert_mut(tenant.into(), || Bucket::full(each, now));
        // Who has used up his own takes nothing from the others.
        let has = own.has(each, now) && self.of_all.has(self.all, now);
        if has {
            own.left -= 1;
            self.of_all.left -= 1;
        }
        if self.of_each.len() > TENANTS {
            self.of_each.pop_lru();
        }
        self.refused += u64::from(!has);
        has
    }

    /// How many were refused since this was asked last.
    pub fn refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }
}

#[derive(Debug)]
struct Bucket {
    left: u32,
    counted: Instant,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self { left: rate.burst, counted: now }
    }

    /// Whether there is a token by now.
    fn has(&mut self, rate: Rate, now: Instant) -> bool {
        while self.left < rate.burst && now.saturating_duration_since(self.counted) >= rate.every {
            self.left += 1;
            self.counted += rate.every;
        }
        if self.left == rate.burst {
            self.counted = now;
        }
        self.left > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EACH: Rate = Rate { burst: 5, every: Duration::from_secs(60) };
    const ALL: Rate = Rate { burst: 10, every: Duration::from_secs(30) };

    #[test]
    fn a_flood_is_cut_to_what_is_allowed() {
        let began = Instant::now();
        let mut allowance = Allowance::new(EACH, ALL, began);
        let mut taken = |tenant: &str, seconds: u64| {
            let now = began + Duration::from_secs(seconds);
            (0..100).filter(|_| allowance.take(tenant, now)).count()
        };
        assert_eq!(taken("bad", 0), 5);
        assert_eq!((taken("a", 0), taken("b", 0)), (5, 0), "and all together");
        assert_eq!((taken("bad", 29), taken("b", 29)), (0, 0));
        assert_eq!((taken("bad", 30), taken("b", 30)), (0, 1), "he takes nothing from others");
        assert_eq!(taken("bad", 60), 1);
        assert_eq!(taken("bad", 60 * 1000), 5, "what wasn't used doesn't add up");
        assert_eq!(allowance.refused(), 100 * 9 - 17);
        assert_eq!(allowance.refused(), 0);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let now = Instant::now();
        let all = Rate { burst: u32::MAX, every: Duration::from_secs(1) };
        let mut allowance = Allowance::new(EACH, all, now);
        for n in 0..TENANTS + 10 {
            assert!(allowance.take(&n.to_string(), now));
        }
        assert_eq!(allowance.of_each.len(), TENANTS);
    }
}
