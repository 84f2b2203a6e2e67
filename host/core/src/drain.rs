//! Graceful end of servers: weight 0 first, removed when idle or late. Pure: time comes in as a value.
//!
//! UDP has no end of a connection to wait for: its servers go at once, and
//! `net.ipv4.vs.expire_nodest_conn=1` lets the next packet choose another.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::kernel::Server;
use crate::state::{KernelState, Key, Virtual, VirtualKey, Weight};

/// Servers that end, each since when (milliseconds since 1970).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drains {
    limit: u64,
    since: BTreeMap<Server, u64>,
    done: BTreeSet<Server>,
}

/// One ending server, as it is kept over a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The virtual service.
    pub key: VirtualKey,
    /// The server.
    pub to: std::net::SocketAddr,
    /// Since when it ends, milliseconds since 1970.
    pub since: u64,
}

impl Drains {
    /// Drains that end at the latest after `limit` milliseconds, going on with those that were saved.
    #[must_use]
    pub fn new(limit: u64, saved: &[Saved]) -> Self {
        let since = saved.iter().map(|it| ((it.key, it.to), it.since)).collect();
        Self { limit, since, done: BTreeSet::new() }
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

    /// Whether a server is ending.
    #[must_use]
    pub fn is_draining(&self, server: &Server) -> bool {
        self.since.contains_key(server)
    }

    /// Keeps unwanted servers of services that stay in `desired`, with weight 0, until they are done.
    pub fn hold(&mut self, known: &KernelState, desired: &mut KernelState, now: u64) {
        for (key, have) in &known.virtuals {
            match desired.virtuals.get_mut(key) {
                Some(want) if key.protocol.is_connection_oriented() => {
                    self.hold_one(*key, have, want, now);
                }
                // The service itself goes, or never drains: nothing to wait for.
                _ => self.forget(*key),
            }
        }
    }

    fn hold_one(&mut self, key: VirtualKey, have: &Virtual, want: &mut Virtual, now: u64) {
        for to in want.destinations.keys() {
            self.since.remove(&(key, *to));
            self.done.remove(&(key, *to));
        }
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
                continue;
            }
            self.since.entry(server).or_insert(now);
            want.destinations.insert(to, Weight(0));
        }
    }

    fn forget(&mut self, key: VirtualKey) {
        self.since.retain(|(of, _), _| *of != key);
        self.done.retain(|(of, _)| *of != key);
    }

    /// Takes in how many connections the ending servers have, and says which objects to plan again:
    /// those with a server that is idle, late, or that the kernel no longer has.
    pub fn look(&mut self, connections: &BTreeMap<Server, u64>, now: u64) -> BTreeSet<Key> {
        let over = self.since.iter().filter(|(server, since)| {
            connections.get(server).is_none_or(|open| *open == 0)
                || now.saturating_sub(**since) >= self.limit
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
