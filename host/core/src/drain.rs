//! Graceful end of servers: weight 0 first, removed when idle or late. Pure: time comes in as a value.
//!
//! UDP has no end of a connection to wait for: its servers go at once, and
//! `net.ipv4.vs.expire_nodest_conn=1` lets the next packet choose another.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::decision::Scheduler;
use crate::kernel::Server;
use crate::leaving::Leaving;
use crate::state::{Destinations, Element, KernelState, Key, Virtual, VirtualKey, Weight};

/// The lowest address that a server can have: the start of a range.
pub(crate) const FIRST: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Servers that end, each since when (milliseconds since 1970).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drains {
    limit: u64,
    since: BTreeMap<Server, u64>,
    done: BTreeSet<Server>,
    /// Servers that aren't leaving: their service moved to nftables, and they are waited for however
    /// long it takes.
    patient: BTreeSet<Server>,
    /// Those of service ports on nftables.
    pub leaving: Leaving,
}

/// One ending server, as it is kept over a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The virtual service.
    pub key: VirtualKey,
    /// The server.
    pub to: SocketAddr,
    /// Since when it ends, milliseconds since 1970.
    pub since: u64,
}

impl Drains {
    /// Drains that end at the latest after `limit` milliseconds, going on with those that were saved.
    #[must_use]
    pub fn new(limit: u64, saved: &[Saved]) -> Self {
        let since = saved.iter().map(|it| ((it.key, it.to), it.since)).collect();
        Self { limit, since, leaving: Leaving::new(limit, &[]), ..Self::default() }
    }

    /// From now on they end at the latest after so many milliseconds, those that end already too.
    pub fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
        self.leaving.set_limit(limit);
    }

    /// What to keep over a restart.
    #[must_use]
    pub fn saved(&self) -> Vec<Saved> {
        self.since
            .iter()
            .map(|((key, to), since)| Saved { key: *key, to: *to, since: *since })
            .collect()
    }

    /// The servers that end.
    #[must_use]
    pub fn servers(&self) -> BTreeSet<Server> {
        self.since.keys().copied().collect()
    }

    /// Whether any server is waited for, on either dataplane.
    #[must_use]
    pub fn any(&self) -> bool {
        !self.since.is_empty() || self.leaving.any()
    }

    /// Whether a server is ending.
    #[must_use]
    pub fn is_draining(&self, server: &Server) -> bool {
        self.since.contains_key(server)
    }

    /// The service ports at an address that have servers that end.
    pub fn ending_at(&self, address: IpAddr) -> impl Iterator<Item = VirtualKey> {
        let all = VirtualKey::all_at(address);
        let ending = self.since.range((*all.start(), FIRST)..).map(|((key, _), _)| *key);
        let ending: BTreeSet<_> = ending.take_while(|key| key <= all.end()).collect();
        ending.into_iter()
    }

    /// Keeps unwanted servers of services that stay in `desired`, with weight 0, until they are done.
    /// Also those of a service that has moved to nftables, with its virtual service: its connections
    /// run on there, those to servers that nftables has as well for as long as they like. `keys` are
    /// the objects that the two states tell all about.
    pub fn hold(
        &mut self,
        keys: &BTreeSet<Key>,
        known: &KernelState,
        desired: &mut KernelState,
        now: u64,
    ) {
        for key in keys {
            let Key::Virtual(key) = key else { continue };
            match (known.virtuals.get(key), desired.virtuals.get_mut(key)) {
                (Some(have), Some(want)) if self.waits_for(*key, want) => {
                    self.hold_one(*key, have, want, now);
                }
                (Some(have), None) if desired.nats.get(key).is_some_and(|nat| nat.carries()) => {
                    self.hold_moved(*key, have, known, desired, now);
                }
                // The service goes, went, or never drains: nothing to wait for.
                _ => self.forget(*key, |_| true),
            }
        }
    }

    /// `dh` hashes the service's own address: all clients are with one server, and would be refused
    /// for as long as that one drains.
    fn waits_for(&self, key: VirtualKey, want: &Virtual) -> bool {
        let refuses = want.balance.scheduler == Scheduler::Dh;
        key.protocol.is_connection_oriented() && self.limit > 0 && !refuses
    }

    /// Flows of UDP are waited for as well, as long as their server is one: IPVS forgets one that is
    /// idle, and chooses anew for one whose server is gone.
    fn hold_moved(
        &mut self,
        key: VirtualKey,
        have: &Virtual,
        known: &KernelState,
        desired: &mut KernelState,
        now: u64,
    ) {
        let serving: BTreeSet<_> = desired.translated_to(&key).collect();
        let serves = |to: &SocketAddr| serving.contains(to);
        let leaves = key.protocol.is_connection_oriented() && self.limit > 0;
        let held = have.destinations.iter().filter(|(to, _)| serves(to) || leaves);
        let have = Virtual {
            balance: have.balance.clone(),
            destinations: held.map(|(to, weight)| (*to, *weight)).collect(),
        };
        let none = Destinations::new();
        let mut want = Arc::new(Virtual { balance: have.balance.clone(), destinations: none });
        for to in have.destinations.keys() {
            if serves(to) {
                self.patient.insert((key, *to));
            } else {
                self.patient.remove(&(key, *to));
            }
        }
        self.hold_one(key, &have, &mut want, now);
        if !want.destinations.is_empty() {
            desired.virtuals.insert(key, want);
            desired.elements.insert(Element::Service(key));
            // An address of the node's own is none of ours to make local; through one that we made so the
            // node's other ports could be reached.
            desired.locals.extend(known.locals.get(&key.address));
            desired.elements.extend(known.elements.get(&Element::Vip(key.address)));
        }
    }

    fn hold_one(&mut self, key: VirtualKey, have: &Virtual, want: &mut Arc<Virtual>, now: u64) {
        self.forget(key, |to| {
            want.destinations.contains_key(to) || !have.destinations.contains_key(to)
        });
        let unwanted: Vec<_> = have
            .destinations
            .keys()
            .filter(|to| !want.destinations.contains_key(to))
            .copied()
            .collect();
        for to in unwanted {
            let server = (key, to);
            if self.done.remove(&server) {
                self.since.remove(&server);
                self.patient.remove(&server);
                continue;
            }
            self.since.entry(server).or_insert(now);
            let want = Arc::make_mut(want);
            want.destinations.insert(to, Weight(0));
            // `sh` leaves a server of weight 0 in its table: without fall-back the clients that hash
            // to it would be refused (`ip_vs_sh_schedule` in net/netfilter/ipvs/ip_vs_sh.c).
            want.balance.flags.fallback |= want.balance.scheduler == Scheduler::Sh;
        }
    }

    /// Forgets those servers of a virtual service that `which` names.
    fn forget(&mut self, key: VirtualKey, which: impl Fn(&SocketAddr) -> bool) {
        let ending = self.since.range((key, FIRST)..).map(|(server, _)| *server);
        let ending = ending.take_while(|(of, _)| *of == key);
        let forgotten: Vec<_> = ending.filter(|(_, to)| which(to)).collect();
        for server in forgotten {
            self.since.remove(&server);
            self.done.remove(&server);
            self.patient.remove(&server);
        }
    }

    /// Takes in how many connections the ending servers have, and says which objects to plan again:
    /// those with a server that is idle, late, or that the kernel no longer has.
    pub fn look(&mut self, connections: &BTreeMap<Server, u64>, now: u64) -> BTreeSet<Key> {
        let over = self.since.iter().filter(|(server, since)| {
            let late = now.saturating_sub(**since) >= self.limit && !self.patient.contains(*server);
            connections.get(server).is_none_or(|open| *open == 0) || late
        });
        let over: BTreeSet<Server> = over.map(|(server, _)| *server).collect();
        let keys = over.iter().map(|(key, _)| Key::Virtual(*key)).collect();
        self.done.extend(over);
        keys
    }
}

#[cfg(test)]
#[path = "drain_tests.rs"]
mod tests;
