//! What is around the services on this node, as far as their kernel objects depend on it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::interfaces::{Interfaces, Selection};
use crate::model::Model;
use crate::net::Family;

/// Whether the node has a way out for packets to any address, in each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaysOut {
    /// A default route of IPv4.
    pub v4: bool,
    /// A default route of IPv6.
    pub v6: bool,
}

impl Default for WaysOut {
    /// As nearly every node is.
    fn default() -> Self {
        Self { v4: true, v6: true }
    }
}

impl WaysOut {
    pub(super) fn of(self, family: Family) -> bool {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }
}

/// The node, as services see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Here {
    /// Whether there is a default route.
    pub ways_out: WaysOut,
    /// Addresses of the node's interfaces, each with its interface's name: never made local, and never
    /// kept from anybody.
    pub own: BTreeMap<IpAddr, String>,
    /// Those of them at which node ports answer.
    pub node_ports: BTreeSet<IpAddr>,
    /// The interfaces, as selections see them.
    pub interfaces: Interfaces,
    /// Where external addresses may be; `None` is anywhere.
    pub external_ranges: Option<BTreeSet<IpNet>>,
    /// Whether this kernel's nftables can balance.
    pub translates: bool,
}

impl Default for Here {
    fn default() -> Self {
        Self {
            ways_out: WaysOut::default(),
            own: BTreeMap::new(),
            node_ports: BTreeSet::new(),
            interfaces: Interfaces::default(),
            external_ranges: None,
            translates: true,
        }
    }
}

impl Here {
    /// Whether an address is this node's own: that of an interface, or one that its Node names.
    #[must_use]
    pub fn is_own(&self, model: &Model, address: IpAddr) -> bool {
        let named = || model.node().is_some_and(|node| node.addresses.contains(&address));
        self.own.contains_key(&address) || named()
    }

    /// Those of the addresses for node ports that are on an interface of this selection.
    #[must_use]
    pub fn node_ports_on(&self, selection: &Selection) -> BTreeSet<IpAddr> {
        let names = selection.resolve(&self.interfaces);
        let taken = |name: &String| names.iter().any(|it| it.as_str() == name);
        let on = |address: &&IpAddr| self.own.get(*address).is_some_and(taken);
        self.node_ports.iter().filter(on).copied().collect()
    }

    /// Whether an external address may be served (CVE-2020-8554: whoever may write a Service could
    /// take over any address).
    #[must_use]
    pub fn allows_external(&self, address: IpAddr) -> bool {
        let within = |ranges: &BTreeSet<IpNet>| ranges.iter().any(|range| range.contains(&address));
        self.external_ranges.as_ref().is_none_or(within)
    }
}
