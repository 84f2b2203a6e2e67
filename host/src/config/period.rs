//! Spans of time as Kubernetes writes them: `30s`, `1m30s`, `1.5h`. Pure.

use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::time::Duration;

use super::text::{NotAllowed, written_as_text};

/// Units from large to small with their length in nanoseconds, as Go's `time.ParseDuration`.
const UNITS: [(&str, u64); 7] = [
    ("h", 3_600_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("ns", 1),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
];

/// A span of time, never negative, at most 292 years (Go's `time.Duration`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(Duration);

written_as_text!(Period, "a span of time such as `30s`, `1m30s` or `500ms`");

impl Period {
    /// No time at all.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// A number of whole seconds.
    #[must_use]
    pub const fn from_secs(seconds: u32) -> Self {
        Self(Duration::from_secs(seconds as u64))
    }

    /// A number of whole minutes.
    #[must_use]
    pub const fn from_mins(minutes: u32) -> Self {
        Self(Duration::from_secs(minutes as u64 * 60))
    }

    /// A number of whole milliseconds.
    #[must_use]
    pub const fn from_millis(milliseconds: u32) -> Self {
        Self(Duration::from_millis(milliseconds as u64))
    }

    /// As the standard library has it.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }

    /// Whether it is no time at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl FromStr for Period {
    type Err = NotAllowed;

    fn from_str(text: &str) -> Result<Self, NotAllowed> {
        let nanoseconds = if text == "0" { Some(0) } else { sum(text) };
        nanoseconds
            .map(|n| Self(Duration::from_nanos(n)))
            .ok_or_else(|| NotAllowed::new(text, Self::ALLOWED))
    }
}

/// Adds up `1h30m`; `None` for anything else and beyond 292 years.
fn sum(text: &str) -> Option<u64> {
    let (mut rest, mut total) = (text, 0u64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let (unit, length) = UNITS.iter().find(|(unit, _)| tail.starts_with(unit))?;
        total = total.checked_add(scaled(number, *length)?)?;
        rest = &tail[unit.len()..];
    }
    let fits = !text.is_empty() && i64::try_from(total).is_ok();
    fits.then_some(total)
}

/// `number` with an optional fraction, times `length` nanoseconds, rounded down.
fn scaled(number: &str, length: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let (mut part, mut share) = (0u64, length);
    for digit in fraction.chars() {
        share /= 10;
        part += u64::from(digit.to_digit(10)?) * share;
    }
    whole.checked_mul(length)?.checked_add(part)
}

impl fmt::Display for Period {
    /// The shortest form which parses to the same: `1h30m`, `1s500ms`, `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX);
        let mut text = String::new();
        for unit in ["h", "m", "s", "ms", "us", "ns"] {
            let length = UNITS.iter().find(|(name, _)| *name == unit).map_or(1, |(_, n)| *n);
            if left >= length {
                write!(text, "{}{unit}", left / length)?;
                left %= length;
            }
        }
        f.write_str(if text.is_empty() { "0s" } else { &text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        let cases = [
            ("0", 0),
            ("0s", 0),
            ("30s", 30_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("250ms", 250_000_000),
            ("3us", 3_000),
            ("3µs", 3_000),
            ("24h0m0s", 86_400_000_000_000),
        ];
        for (text, nanoseconds) in cases {
            let want = Period(Duration::from_nanos(nanoseconds));
            assert_eq!(text.parse(), Ok(want), "{text}");
        }
    }

    #[test]
    fn refuses_what_go_refuses() {
        for text in ["", "5", "s", ".s", "-1s", "+1s", "1 s", "1d", "1h ", "1..5s", "9999999999h"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_shown_reads_back(nanoseconds in 0..=i64::MAX as u64) {
            let period = Period(Duration::from_nanos(nanoseconds));
            proptest::prop_assert_eq!(period.to_string().parse(), Ok(period));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<Period>();
        }
    }
}
