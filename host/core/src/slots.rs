//! Endpoints and weights → the slots that a pick falls on. Pure.
//!
//! A slot is an element of a map, so that the tables are bounded: weights that need more slots than
//! [`MOST`] are rounded to shares of it.

use std::net::{IpAddr, SocketAddr};

use crate::state::Weight;

/// The most slots that weights are spelled out in. More endpoints than this have a slot each.
pub const MOST: usize = 1024;

/// Sizes of a Maglev table. Primes: every step visits every slot. The share of an endpoint is right to
/// one part in (size / endpoints); the small one is kept as long as that is one in ten.
const TABLES: [usize; 2] = [1021, 4093];

/// How many slots each endpoint gets, in the order of the endpoints; those of weight 0 get none.
///
/// The smallest numbers in the weights' proportion; rounded, each at least 1, where these are more
/// than [`MOST`].
#[must_use]
pub fn shares(weights: &[(SocketAddr, Weight)]) -> Vec<(SocketAddr, usize)> {
    let some = || weights.iter().filter(|(_, weight)| weight.0 > 0);
    let divisor = some().fold(0, |all, (_, weight)| gcd(all, weight.0)).max(1);
    let total: u64 = some().map(|(_, weight)| u64::from(weight.0 / divisor)).sum();
    let most = MOST.max(some().count()) as u64;
    let share = |weight: u32| {
        let exact = u64::from(weight / divisor);
        let share = if total <= most { exact } else { (exact * most / total).max(1) };
        usize::try_from(share).unwrap_or(MOST)
    };
    some().map(|(to, weight)| (*to, share(weight.0))).collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Each endpoint's slots side by side.
#[must_use]
pub fn side_by_side(weights: &[(SocketAddr, Weight)]) -> Vec<SocketAddr> {
    shares(weights).into_iter().flat_map(|(to, share)| std::iter::repeat_n(to, share)).collect()
}

/// Slots for taking turns: those of one endpoint as far from each other as they can be.
///
/// The endpoint that has waited longest for its share is next (smooth weighted round robin).
#[must_use]
pub fn in_turns(weights: &[(SocketAddr, Weight)]) -> Vec<SocketAddr> {
    let shares = shares(weights);
    let total: usize = shares.iter().map(|(_, share)| share).sum();
    let mut waiting = vec![0i64; shares.len()];
    let signed = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let mut slots = Vec::with_capacity(total);
    for _ in 0..total {
        for (wait, (_, share)) in waiting.iter_mut().zip(&shares) {
            *wait += signed(*share);
        }
        let longest = waiting.iter().enumerate().max_by_key(|(at, wait)| (**wait, usize::MAX - at));
        let Some((next, _)) = longest else { break };
        waiting[next] -= signed(total);
        slots.push(shares[next].0);
    }
    slots
}

/// A Maglev table (Eisenbud et al., NSDI 2016, 3.4; weights as in net/netfilter/ipvs/ip_vs_mh.c):
/// the same on every node, and an endpoint that comes or goes moves little more than its own share.
#[must_use]
pub fn maglev(weights: &[(SocketAddr, Weight)]) -> Vec<SocketAddr> {
    let mut shares = shares(weights);
    shares.sort_unstable();
    if shares.is_empty() {
        return Vec::new();
    }
    let size = if shares.len() * 10 <= TABLES[0] { TABLES[0] } else { TABLES[1] };
    let most = shares.iter().map(|(_, share)| *share).max().unwrap_or(1);
    let mut walks: Vec<Walk> = shares.iter().map(|(to, _)| Walk::of(*to, size)).collect();
    let mut slots: Vec<Option<SocketAddr>> = vec![None; size];
    let mut free = size;
    for round in 0.. {
        for ((to, share), walk) in shares.iter().zip(&mut walks) {
            // An endpoint with half the greatest share takes a slot every other round.
            let due = (round + 1) * share / most - round * share / most;
            if due == 0 {
                continue;
            }
            if free == 0 {
                return slots.into_iter().flatten().collect();
            }
            let at = walk.find(|at| slots[*at].is_none()).unwrap_or(0);
            slots[at] = Some(*to);
            free -= 1;
        }
    }
    Vec::new()
}

/// The order in which an endpoint wants the slots of a table.
struct Walk {
    next: usize,
    step: usize,
    size: usize,
}

impl Walk {
    fn of(to: SocketAddr, size: usize) -> Self {
        let hash = hash(to);
        let (low, high) = ((hash & 0xffff_ffff) as usize, (hash >> 32) as usize);
        Self { next: low % size, step: high % (size - 1) + 1, size }
    }
}

impl Iterator for Walk {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let at = self.next;
        self.next = (at + self.step) % self.size;
        Some(at)
    }
}

/// A hash of an endpoint that is the same on every node and in every version: FNV-1a over its bytes,
/// then the finalizer of `SplitMix64`, so that endpoints that differ in one bit walk differently.
fn hash(to: SocketAddr) -> u64 {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let start = 0xcbf2_9ce4_8422_2325;
    let address = match to.ip() {
        IpAddr::V4(ip) => ip.octets().into_iter().fold(start, fold),
        IpAddr::V6(ip) => ip.octets().into_iter().fold(start, fold),
    };
    let mut hash = to.port().to_be_bytes().into_iter().fold(address, fold);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
#[path = "slots_tests.rs"]
mod tests;
