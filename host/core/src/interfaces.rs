//! The node's interfaces as far as offload goes: which take part, and in which groups they are. Pure.
//!
//! Packets are routed by what the kernel calls their input and output device where they are
//! forwarded. So a bridge, a bond or a switch stands for what belongs to it: its ports and members
//! take no part by themselves, and no rule could tell them apart.
//!
//! | left out | because |
//! |---|---|
//! | loopback | nothing is forwarded by it |
//! | port of a bridge or of Open vSwitch, member of a bond or a team | the master takes its packets before they are routed |
//! | switched off (`ip link set … down`) | carries nothing until somebody switches it on, which is an event |
//! | a name that isn't UTF-8 | it can't be written into a rule |
//!
//! An interface without a carrier stays: the kernel keeps such a device in a flowtable, where it costs
//! nothing while no packet comes, and a flow that leaves by it fares no better or worse than a packet
//! that is routed there. A cable, a bond or a pod that is just starting mustn't cost a change of the
//! flowtable each time its carrier comes or goes. A VRF's members stay, too: they have addresses and
//! routes of their own.
//!
//! | group | an interface is in it when |
//! |---|---|
//! | `uplink` | a default route (of any table) leaves by it, whatever its kind; or it is hardware, a bond, a team, a VLAN, a macvlan, an ipvlan or another kind of card with an address; or a bridge with such a port, or a veth of a node that is a container, with a network (a prefix shorter than one address) of its own |
//! | `pod` | a veth or netkit whose peer is in another network namespace, without a default route and without a network of its own; or a bridge with such a port |
//! | `overlay` | `vxlan`, `geneve`; or a tunnel that Calico, Cilium, Flannel or kube-router names as theirs |
//! | `bridge` | `bridge`; or the switch's own side of Open vSwitch |
//! | `tunnel` | `wireguard`, `ipip`, `sit`, `gre`, `tun` and others that wrap packets |
//! | `other` | it is in none of these: a dummy, a VRF, a card or a VLAN's parent without an address |
//!
//! Link-local addresses don't count. To these come the groups that policies name by `classify`;
//! they take nothing away.

mod entry;
mod groups;
mod name;
mod selection;
mod survey;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use entry::{BadEntry, Entry, Glob};
pub use groups::{BuiltIn, ELSEWHERE, PARENT, PEER, looks_like_pod};
pub use name::{BadGroupName, BadIfName, GroupName, IfName};
pub use selection::{Digest, Fault, MAX_ENTRIES, Selection, Unmatched};
pub use survey::{BadGroup, Survey};

use crate::view::Interface;

/// `rtnl_link_ops.kind` of a master whose members route by themselves.
const VRF: &str = "vrf";
/// `rtnl_link_ops.kind` of a master whose ports a flowtable can know.
const BRIDGE: &str = "bridge";

/// An interface that takes part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Its index: another than before is another interface of the same name.
    pub index: u32,
    /// Its groups, the built-in ones and those that policies named.
    pub groups: BTreeSet<GroupName>,
    /// Of a bridge, the ports that are up.
    pub ports: BTreeSet<IfName>,
}

/// Why an interface takes no part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// It is the loopback device.
    Loopback,
    /// It belongs to this one, which stands for it.
    Member(String),
    /// It is switched off.
    Down,
    /// Its name can't be written into a rule.
    Unnamable,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback => f.write_str("it is the loopback device"),
            Self::Member(of) => write!(f, "it belongs to {of}, which stands for it: name {of}"),
            Self::Down => f.write_str("it is switched off"),
            Self::Unnamable => f.write_str("its name isn't UTF-8"),
        }
    }
}

/// The interfaces of a node. Equal values mean the same rules and the same flowtable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interfaces {
    parts: BTreeMap<IfName, Part>,
    left_out: BTreeMap<String, LeftOut>,
}

impl Interfaces {
    /// Sorts out all interfaces of the node. `more` gives the groups besides the built-in ones; it is
    /// asked about those that take part only.
    #[must_use]
    pub fn of(all: &[Interface], mut more: impl FnMut(&Interface) -> BTreeSet<GroupName>) -> Self {
        let kinds: BTreeMap<_, _> = all.iter().map(|it| (it.name.as_str(), &*it.kind)).collect();
        let mut ports: BTreeMap<&str, Vec<&Interface>> = BTreeMap::new();
        for port in all {
            ports.entry(port.master.as_deref().unwrap_or_default()).or_default().push(port);
        }
        let mut sorted = Self::default();
        for one in all {
            let ports = ports.get(one.name.as_str()).map(Vec::as_slice).unwrap_or_default();
            match stands(one, &kinds) {
                Ok(name) => {
                    let built_in = groups::built_in(one, ports);
                    let mut groups = more(one);
                    groups.extend(built_in.into_iter().filter_map(BuiltIn::name));
                    let ports = if one.kind == BRIDGE { usable(ports) } else { BTreeSet::new() };
                    sorted.parts.insert(name, Part { index: one.index, groups, ports });
                }
                Err(why) => drop(sorted.left_out.insert(one.name.clone(), why)),
            }
        }
        sorted
    }

    /// Those that take part, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&IfName, &Part)> {
        self.parts.iter()
    }

    /// One that takes part.
    #[must_use]
    pub fn get(&self, name: &IfName) -> Option<&Part> {
        self.parts.get(name)
    }

    /// Why the interface of that name takes no part; `None` where it does, and where there is none.
    #[must_use]
    pub fn left_out(&self, name: &str) -> Option<&LeftOut> {
        self.left_out.get(name)
    }

    /// `names`, and the ports of the bridges among them: the devices for a flowtable.
    ///
    /// From Linux 5.13 on a flow goes past a bridge, from port to port, where the flowtable has the
    /// port; without its ports the bridge alone does, and every packet of the flow is bridged.
    #[must_use]
    pub fn with_ports(&self, names: &BTreeSet<IfName>) -> BTreeSet<IfName> {
        let parts = names.iter().filter_map(|name| self.parts.get(name));
        parts.flat_map(|part| &part.ports).chain(names).cloned().collect()
    }

    /// What must happen to `self` to be `newer`.
    #[must_use]
    pub fn changes(&self, newer: &Self) -> Changes {
        let missing = |from: &Self, of: &Self| {
            let names = of.parts.keys().filter(|name| !from.parts.contains_key(*name));
            names.cloned().collect()
        };
        let differs = |(name, part): &(&IfName, &Part)| {
            newer.parts.get(*name).is_some_and(|new| new != *part)
        };
        Changes {
            appeared: missing(self, newer),
            gone: missing(newer, self),
            changed: self.parts.iter().filter(differs).map(|(name, _)| name.clone()).collect(),
        }
    }
}

/// The name of an interface by which packets are routed; else why it isn't one.
fn stands(one: &Interface, kinds: &BTreeMap<&str, &str>) -> Result<IfName, LeftOut> {
    if has(one, "loopback") {
        return Err(LeftOut::Loopback);
    }
    let name = one.name.parse().map_err(|_| LeftOut::Unnamable)?;
    match &one.master {
        Some(master) if kinds.get(master.as_str()) != Some(&VRF) => {
            Err(LeftOut::Member(master.clone()))
        }
        _ if !has(one, "up") => Err(LeftOut::Down),
        _ => Ok(name),
    }
}

fn usable(ports: &[&Interface]) -> BTreeSet<IfName> {
    let up = ports.iter().filter(|port| has(port, "up"));
    up.filter_map(|port| port.name.parse().ok()).collect()
}

fn has(one: &Interface, flag: &str) -> bool {
    one.flags.iter().any(|is| is == flag)
}

/// How the interfaces of a node changed, a whole burst in one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Take part now.
    pub appeared: BTreeSet<IfName>,
    /// Take part no longer: gone, switched off or put under a master.
    pub gone: BTreeSet<IfName>,
    /// Are in other groups, or have other ports.
    pub changed: BTreeSet<IfName>,
}

impl Changes {
    /// Whether nothing changed that a rule or a flowtable could show.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// `2 appeared (eth0, eth1), 1 gone (veth7)`, with the first few names of each.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 3;
        let all = [("appeared", &self.appeared), ("gone", &self.gone), ("changed", &self.changed)];
        let told = all.iter().filter(|(_, names)| !names.is_empty()).map(|(what, names)| {
            let mut shown: Vec<&str> = names.iter().take(SHOWN).map(IfName::as_str).collect();
            if names.len() > SHOWN {
                shown.push("…");
            }
            format!("{} {what} ({})", names.len(), shown.join(", "))
        });
        let told: Vec<String> = told.collect();
        f.write_str(if told.is_empty() { "no change" } else { "" })?;
        f.write_str(&told.join(", "))
    }
}

#[cfg(test)]
#[path = "interfaces_tests.rs"]
mod tests;
