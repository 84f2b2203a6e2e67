use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn to(n: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, (n >> 8) as u8, n as u8], 8080))
}

fn weighted(weights: &[u32]) -> Vec<(SocketAddr, Weight)> {
    (1..).zip(weights).map(|(n, weight)| (to(n), Weight(*weight))).collect()
}

fn count(slots: &[SocketAddr]) -> BTreeMap<SocketAddr, usize> {
    let mut all = BTreeMap::new();
    for slot in slots {
        *all.entry(*slot).or_default() += 1;
    }
    all
}

/// The last numbers of the endpoints.
fn order(slots: &[SocketAddr]) -> String {
    slots.iter().map(|to| to.ip().to_string().pop().unwrap()).collect()
}

#[test]
fn weights_are_slots_in_the_smallest_numbers() {
    let cases: [(&[u32], &str); 7] = [
        (&[], ""),
        (&[1, 1, 1], "123"),
        (&[100, 100], "12"),
        (&[2, 4, 6], "122333"),
        (&[0, 5, 0], "2"),
        (&[0, 0], ""),
        (&[65_535, 65_535], "12"),
    ];
    for (weights, want) in cases {
        assert_eq!(order(&side_by_side(&weighted(weights))), want, "{weights:?}");
    }
}

#[test]
fn weights_that_need_too_many_slots_are_rounded_and_nobody_is_left_out() {
    let slots = side_by_side(&weighted(&[1, 65_535, 32_767]));
    assert!(slots.len() <= MOST + 3, "{}", slots.len());
    let shares: Vec<usize> = count(&slots).into_values().collect();
    assert_eq!(shares, [1, 682, 341]);
    let many: Vec<u32> = vec![7; 3000];
    assert_eq!(side_by_side(&weighted(&many)).len(), 3000, "an endpoint has at least one");
}

#[test]
fn turns_are_spread_out() {
    assert_eq!(order(&in_turns(&weighted(&[1, 1, 1]))), "123");
    assert_eq!(order(&in_turns(&weighted(&[3, 1]))), "1121");
    assert_eq!(order(&in_turns(&weighted(&[5, 1, 1]))), "1121311");
    assert_eq!(order(&in_turns(&weighted(&[0, 1]))), "2");
}

#[test]
fn a_maglev_table_is_what_it_was() {
    let table = maglev(&weighted(&[1, 1, 1]));
    assert_eq!(table.len(), 1021);
    // Nodes of another version have to send a client to the same endpoint.
    assert_eq!(order(&table[..24]), "131132333332313132333331");
    assert_eq!(maglev(&weighted(&[])), []);
    assert_eq!(maglev(&weighted(&[1; 103])).len(), 4093, "more than one in ten would be uneven");
}

#[test]
fn a_maglev_table_heeds_weights() {
    let shares = count(&maglev(&weighted(&[1, 2, 4])));
    for (n, want) in [(1, 146), (2, 292), (3, 583)] {
        let share = shares[&to(n)];
        assert!(share.abs_diff(want) <= 8, "{n}: {share} of {want}");
    }
}

proptest! {
    #[test]
    fn one_endpoint_that_goes_from_a_maglev_table_moves_few_others(n in 4u16..40, gone in 0u16..40) {
        let all: Vec<_> = (1..=n).map(|n| (to(n), Weight(1))).collect();
        let gone = to(gone % n + 1);
        let left: Vec<_> = all.iter().copied().filter(|(to, _)| *to != gone).collect();
        let (before, after) = (maglev(&all), maglev(&left));
        let moved = before.iter().zip(&after).filter(|(a, b)| **a != gone && a != b).count();
        prop_assert!(!after.contains(&gone));
        // The paper's figure 12: a few in a hundred.
        prop_assert!(moved * 100 <= before.len() * 12, "{} of {}", moved, before.len());
    }

    #[test]
    fn every_table_has_all_endpoints_with_weight_and_only_these(
        weights in proptest::collection::vec(0u32..200, 1..40)
    ) {
        let weights = weighted(&weights);
        let want: Vec<_> = weights.iter().filter(|(_, w)| w.0 > 0).map(|(to, _)| *to).collect();
        for slots in [side_by_side(&weights), in_turns(&weights), maglev(&weights)] {
            prop_assert_eq!(count(&slots).into_keys().collect::<Vec<_>>(), want.clone());
        }
        prop_assert_eq!(count(&side_by_side(&weights)), count(&in_turns(&weights)));
    }
}
