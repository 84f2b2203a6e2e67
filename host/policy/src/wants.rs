//! Inputs that change by themselves: which policy gets them, and how finely.
//!
//! Pure. An endpoint's age, the counters and the previous decision are no part of the cache's
//! key, so a policy sees them only when it asked to, and is asked again only when it said so.

use std::fmt;

use weir_core::view::Counters;

/// What a policy declared in `configure`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// Endpoint ages.
    pub age: bool,
    /// Traffic counters.
    pub counters: bool,
    /// The decision in force.
    pub previous: bool,
}

impl Wants {
    /// From the words of the interface, with those that are unknown here.
    pub(crate) fn from_words(words: &[String]) -> (Self, Vec<&str>) {
        let (mut wants, mut unknown) = (Self::default(), Vec::new());
        for word in words {
            match word.as_str() {
                "age" => wants.age = true,
                "counters" => wants.counters = true,
                "previous" => wants.previous = true,
                other => unknown.push(other),
            }
        }
        (wants, unknown)
    }

    /// What this one or the other wants.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            age: self.age || other.age,
            counters: self.counters || other.counters,
            previous: self.previous || other.previous,
        }
    }

    /// Whether it wants any, so that a decision holds for one evaluation only.
    #[must_use]
    pub fn any(self) -> bool {
        self.age || self.counters || self.previous
    }
}

impl fmt::Display for Wants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [(self.age, "age"), (self.counters, "counters"), (self.previous, "previous")];
        let wanted: Vec<_> = words.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
        f.write_str(if wanted.is_empty() { "nothing that changes by itself" } else { "" })?;
        f.write_str(&wanted.join(", "))
    }
}

/// Age in the steps that the interface promises: 5 s below two minutes, 60 s below an hour,
/// 3600 s from there.
pub(crate) fn coarse_age(seconds: u32) -> u32 {
    let step = match seconds {
        0..120 => 5,
        120..3600 => 60,
        _ => 3600,
    };
    seconds - seconds % step
}

/// Counters rounded down to three significant binary digits.
pub(crate) fn coarse_counters(exact: &Counters) -> Counters {
    Counters {
        seconds: exact.seconds,
        connections: coarse(exact.connections),
        active_connections: coarse(exact.active_connections),
        packets_in: coarse(exact.packets_in),
        packets_out: coarse(exact.packets_out),
        bytes_in: coarse(exact.bytes_in),
        bytes_out: coarse(exact.bytes_out),
    }
}

fn coarse(n: u64) -> u64 {
    let low_bits = (u64::BITS - n.leading_zeros()).saturating_sub(3);
    n >> low_bits << low_bits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn steps_are_those_of_the_interface() {
        for (age, want) in
            [(0, 0), (4, 0), (5, 5), (119, 115), (120, 120), (3599, 3540), (7300, 7200)]
        {
            assert_eq!(coarse_age(age), want, "{age} s");
        }
        for (n, want) in [(0, 0), (1, 1), (7, 7), (9, 8), (1000, 896), (u64::MAX, 7 << 61)] {
            assert_eq!(coarse(n), want, "{n}");
        }
    }

    #[test]
    fn unknown_words_are_named() {
        let words = ["age".to_owned(), "weather".to_owned()];
        let (wants, unknown) = Wants::from_words(&words);
        assert_eq!((wants.age, wants.previous, unknown), (true, false, vec!["weather"]));
    }

    proptest! {
        #[test]
        fn rounding_keeps_order_and_most_of_the_value(a: u64, b: u64) {
            prop_assert!(coarse(a) <= a && a - coarse(a) <= a / 4);
            prop_assert!(a > b || coarse(a) <= coarse(b));
        }
    }
}
