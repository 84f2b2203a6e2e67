use proptest::prelude::*;

use super::*;
use crate::fixtures::{any_nat, key};
use crate::net::Protocol::Tcp;

fn nat(pick: Pick, slots: &[u8]) -> Nat {
    let to = |n: &u8| if *n == 0 { None } else { Some(SocketAddr::from(([10, 0, 0, *n], 80))) };
    let count = NonZeroU32::new(u32::try_from(slots.len()).unwrap()).unwrap();
    let class = Some(Class { family: Family::V4, pick, slots: count, sticky: None, inside: false });
    let main = Leg { class, slots: slots.iter().map(to).collect() };
    Nat { main, ..Nat::default() }
}

fn turn() -> Pick {
    Pick::Turn(key(Tcp, "10.96.0.1:80"))
}

#[test]
fn endpoints_keep_their_slots_where_it_makes_no_difference() {
    let random = Pick::Random;
    let source = Pick::Source { port: false };
    type Case = (&'static str, Pick, &'static [u8], &'static [u8], &'static [u8]);
    let cases: [Case; 9] = [
        ("the same", random, &[1, 2, 3], &[1, 2, 3], &[1, 2, 3]),
        ("the first goes: the last takes its place", random, &[1, 2, 3], &[2, 3], &[3, 2]),
        ("one comes before all", random, &[2, 3], &[1, 2, 3], &[2, 3, 1]),
        ("one in another's place", random, &[1, 2, 3], &[1, 3, 4], &[1, 4, 3]),
        ("weights", random, &[1, 2, 2, 3], &[2, 3, 3], &[3, 2, 3]),
        ("a hole", random, &[1, 0, 3], &[1, 3], &[1, 3]),
        ("turns", turn(), &[1, 2, 3], &[2, 3], &[3, 2]),
        ("turns of weights are spread out", turn(), &[1, 2, 3], &[2, 3, 2], &[2, 3, 2]),
        ("a hash leads to a certain slot", source, &[1, 2, 3], &[2, 3], &[2, 3]),
    ];
    for (name, pick, known, want, like) in cases {
        let got = nat(pick, want).like(&nat(pick, known));
        assert_eq!(got, nat(pick, like), "{name}");
    }
}

#[test]
fn nat_in_words() {
    let mut it = nat(Pick::Random, &[1, 2, 2]);
    it.offload = Some(OffloadClass { after: NonZeroU32::MIN, interfaces: Some(Digest(0xf00)) });
    let want = "random of 3: 10.0.0.1:80 10.0.0.2:80*2, offload after 1 on 0000000000000f00";
    assert_eq!(it.to_string(), want);
}

proptest! {
    #[test]
    fn likeness_changes_nobodys_share(
        known in any_nat(key(Tcp, "10.96.0.1:80")),
        want in any_nat(key(Tcp, "10.96.0.1:80")),
    ) {
        let like = want.clone().like(&known);
        let sorted = |nat: &Nat| {
            let mut slots = nat.main.slots.clone();
            slots.sort();
            slots
        };
        prop_assert_eq!(sorted(&like), sorted(&want));
        prop_assert_eq!(like.clone().like(&known), like);
    }
}
