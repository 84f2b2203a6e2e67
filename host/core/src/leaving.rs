//! Graceful end of servers on nftables: their connections run on by connection tracking, until they are
//! over or late. Pure: time comes in as a value.
//!
//! Nothing of such a server is left in the tables, so that only this list knows of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::drain::FIRST;
use crate::kernel::{Outcome, Server};
use crate::plan::{Operation, Plan};
use crate::state::{KernelState, Key, VirtualKey};

/// Servers to which nftables sends nobody any more, and may have connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaving {
    limit: u64,
    /// Since when each has left (milliseconds since 1970). `None`: it hasn't, but is without a share, or
    /// IPVS has its service.
    since: BTreeMap<Server, Option<u64>>,
}

/// One of them, as it is kept over a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The service port.
    pub key: VirtualKey,
    /// The server.
    pub to: SocketAddr,
    /// Since when it has left, milliseconds since 1970; `None` where it hasn't.
    pub since: Option<u64>,
}

impl Leaving {
    /// Connections are ended at the latest `limit` milliseconds after their server has left.
    #[must_use]
    pub fn new(limit: u64, saved: &[Saved]) -> Self {
        Self { limit, since: saved.iter().map(|it| ((it.key, it.to), it.since)).collect() }
    }

    pub(crate) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// What to keep over a restart.
    #[must_use]
    pub fn saved(&self) -> Vec<Saved> {
        let all = self.since.iter();
        all.map(|((key, to), since)| Saved { key: *key, to: *to, since: *since }).collect()
    }

    /// Those that have left.
    #[must_use]
    pub fn servers(&self) -> BTreeSet<Server> {
        let left = self.since.iter().filter(|(_, since)| since.is_some());
        left.map(|(server, _)| *server).collect()
    }

    /// Whether any has left.
    #[must_use]
    pub fn any(&self) -> bool {
        self.since.values().any(Option::is_some)
    }

    /// Those that have left a service port.
    pub fn of(&self, key: VirtualKey) -> impl Iterator<Item = SocketAddr> {
        let all = self.all_of(key).filter(|(_, since)| since.is_some());
        all.map(|((_, to), _)| *to)
    }

    fn all_of(&self, key: VirtualKey) -> impl Iterator<Item = (&Server, &Option<u64>)> {
        self.since.range((key, FIRST)..).take_while(move |((of, _), _)| *of == key)
    }

    /// Takes in what of these objects the kernel is known to hold and what is wanted. `takes` says
    /// whether a server of a service port is wanted, with a share or without, on either dataplane.
    pub(crate) fn note(
        &mut self,
        keys: &BTreeSet<Key>,
        known: &KernelState,
        desired: &KernelState,
        takes: impl Fn(&Server) -> bool,
        now: u64,
    ) {
        for key in keys {
            let Key::Virtual(key) = key else { continue };
            if !key.protocol.is_connection_oriented() {
                continue;
            }
            let endpoints =
                |state: &KernelState| state.translated_to(key).collect::<BTreeSet<SocketAddr>>();
            let (had, has) = (endpoints(known), endpoints(desired));
            for to in had.difference(&has) {
                self.since.entry((*key, *to)).or_insert(None);
            }
            let all: Vec<Server> = self.all_of(*key).map(|(server, _)| *server).collect();
            for server in all {
                if has.contains(&server.1) {
                    self.since.remove(&server);
                } else if let Some(since) = self.since.get_mut(&server) {
                    *since = if takes(&server) { None } else { Some(since.unwrap_or(now)) };
                }
            }
        }
    }

    fn is_late(&self, since: Option<u64>, now: u64) -> bool {
        since.is_some_and(|since| now.saturating_sub(since) >= self.limit)
    }

    /// What ends the connections of those of these service ports that are late.
    pub(crate) fn ends(&self, keys: &BTreeSet<Key>, now: u64) -> Vec<Operation> {
        let ports = keys.iter().filter_map(|key| match key {
            Key::Virtual(key) => Some(*key),
            _ => None,
        });
        let end = |key: VirtualKey| {
            let late = self.all_of(key).filter(|(_, since)| self.is_late(**since, now));
            let to: BTreeSet<SocketAddr> = late.map(|((_, to), _)| *to).collect();
            (!to.is_empty()).then_some(Operation::EndConnections { key, to })
        };
        ports.filter_map(end).collect()
    }

    /// Takes in how many connections those that have left still have, and says which objects to plan:
    /// those with a server that is late. One without a connection is waited for no longer.
    pub fn look(&mut self, connections: &BTreeMap<Server, u64>, now: u64) -> BTreeSet<Key> {
        let open = |server: &Server| connections.get(server).copied().unwrap_or(0) > 0;
        self.since.retain(|server, since| since.is_none() || open(server));
        let late = self.since.iter().filter(|(_, since)| self.is_late(**since, now));
        late.map(|((key, _), _)| Key::Virtual(*key)).collect()
    }

    /// Takes in what became of a plan: whose connections are ended has nothing to wait for.
    pub fn settle(&mut self, plan: &Plan, outcomes: &[Outcome]) {
        for (operation, outcome) in plan.operations().iter().zip(outcomes) {
            if let (Operation::EndConnections { key, to }, Ok(())) = (operation, outcome) {
                self.since.retain(|(of, server), _| of != key || !to.contains(server));
            }
        }
    }
}

#[cfg(test)]
#[path = "leaving_tests.rs"]
mod tests;
