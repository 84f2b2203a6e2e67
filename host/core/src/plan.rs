//! Steps from one kernel state to another, as values: printed, checked, then run. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::interfaces::Digest;
use crate::state::{
    Balance, Base, Chain, Devices, Element, Key, Nat, OffloadClass, VirtualKey, Weight,
};

/// One thing to do to the kernel. What is large is boxed: a first plan has tens of thousands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Make the table, or give what belongs to no service this form; elements of sets stay.
    SetBase(Box<Base>),
    /// Remove the table and all that is in it.
    RemoveBase,
    /// Make the flowtable, or give it these devices; flows that are offloaded stay so, but for
    /// those of devices that leave.
    SetFlowtable {
        /// The devices that it has; `None` where there is no flowtable.
        from: Option<Devices>,
        /// Those that it shall have.
        to: Devices,
    },
    /// Give a selection of interfaces these.
    SetInterfaces {
        /// The selection.
        selection: Digest,
        /// The interfaces that it has; `None` where there is no such set.
        from: Option<Devices>,
        /// Those that it shall have.
        to: Devices,
    },
    /// Make a chain that services share.
    AddChain(Chain),
    /// Put an element into its set.
    AddElement(Element),
    /// Have nftables do this with a service port, all at once.
    SetNat {
        /// Its name.
        key: VirtualKey,
        /// As it is; empty where nftables does nothing with it.
        #[serde(serialize_with = "shared")]
        from: Arc<Nat>,
        /// As it shall be.
        #[serde(serialize_with = "shared")]
        to: Arc<Nat>,
    },
    /// Put another flowtable in the place of this one: flows that were offloaded go back to the
    /// slow path, and on.
    RenewFlowtable {
        /// Its devices.
        devices: Devices,
        /// The classes whose chains lead to it.
        classes: BTreeSet<OffloadClass>,
    },
    /// Make a virtual service, without destinations.
    AddVirtual(VirtualKey, Balance),
    /// Change how a virtual service balances; its connections stay.
    SetVirtual(VirtualKey, Balance),
    /// Give a virtual service a destination.
    AddDestination(VirtualKey, SocketAddr, Weight),
    /// Change a destination's weight.
    SetDestination(VirtualKey, SocketAddr, Weight),
    /// Make an address local, so that IPVS sees its packets.
    AddLocal(IpAddr),
    /// Make an address local no longer.
    RemoveLocal(IpAddr),
    /// Take a destination away; its connections end.
    RemoveDestination(VirtualKey, SocketAddr),
    /// Take a virtual service away with its destinations; its connections end.
    RemoveVirtual(VirtualKey),
    /// Have nftables carry a service port no longer; its connections run on.
    RemoveNat {
        /// Its name.
        key: VirtualKey,
        /// As it is.
        #[serde(serialize_with = "shared")]
        from: Arc<Nat>,
        /// What stays beside IPVS, which carries it from now on; mostly nothing.
        #[serde(serialize_with = "shared")]
        to: Arc<Nat>,
    },
    /// Take an element out of its set.
    RemoveElement(Element),
    /// Remove a chain that no service has a share in any more.
    RemoveChain(Chain),
    /// Remove the set of a selection of interfaces.
    RemoveInterfaces(Digest),
    /// Remove the flowtable: offload ends, connections run on.
    RemoveFlowtable,
    /// Forget the flows of a service port that go elsewhere than to these endpoints: their next
    /// packet is balanced anew. For UDP, whose flows have no end of their own.
    EndFlows {
        /// The service port.
        key: VirtualKey,
        /// Endpoints whose flows stay.
        keep: BTreeSet<SocketAddr>,
        /// Only those that nftables translated: IPVS sees to its own.
        translated: bool,
    },
    /// Forget the connections of a service port that nftables translated to these endpoints, which have
    /// left long ago: their next packet is somebody else's, who resets them.
    EndConnections {
        /// The service port.
        key: VirtualKey,
        /// The endpoints.
        to: BTreeSet<SocketAddr>,
    },
}

impl Operation {
    /// Which of the ordered stages of a plan it belongs to.
    ///
    /// What lets packets in comes after what answers them, and goes before it: register and sets,
    /// virtual service, destinations, then the address; removal in reverse.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self {
            Self::SetBase(_) => Stage::SetBase,
            Self::RemoveBase => Stage::RemoveBase,
            Self::SetFlowtable { .. } | Self::SetInterfaces { .. } => Stage::Interfaces,
            Self::AddChain(_) => Stage::AddChains,
            Self::AddElement(_) | Self::SetNat { .. } => Stage::AddElements,
            // An endpoint that goes is forgotten in the batch that takes it out of its slots.
            Self::RemoveElement(Element::Member(..)) => Stage::AddElements,
            Self::RenewFlowtable { .. } => Stage::RenewFlowtable,
            Self::AddVirtual(..) | Self::SetVirtual(..) => Stage::Virtuals,
            Self::AddDestination(..) | Self::SetDestination(..) => Stage::Destinations,
            Self::AddLocal(_) => Stage::AddLocals,
            Self::RemoveLocal(_) => Stage::RemoveLocals,
            Self::RemoveDestination(..) => Stage::RemoveDestinations,
            Self::RemoveVirtual(_) => Stage::RemoveVirtuals,
            Self::RemoveElement(_) | Self::RemoveNat { .. } => Stage::RemoveElements,
            Self::RemoveChain(_) => Stage::RemoveChains,
            Self::RemoveInterfaces(_) | Self::RemoveFlowtable => Stage::RemoveInterfaces,
            Self::EndFlows { .. } | Self::EndConnections { .. } => Stage::EndFlows,
        }
    }

    /// The object that it is about.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::SetBase(_) | Self::RemoveBase => Key::Base,
            Self::AddElement(element) | Self::RemoveElement(element) => Key::Element(*element),
            Self::AddLocal(address) | Self::RemoveLocal(address) => Key::Local(*address),
            Self::AddChain(chain) | Self::RemoveChain(chain) => Key::Chain(*chain),
            Self::SetFlowtable { .. } | Self::RenewFlowtable { .. } | Self::RemoveFlowtable => {
                Key::Flowtable
            }
            Self::SetInterfaces { selection, .. } | Self::RemoveInterfaces(selection) => {
                Key::Interfaces(*selection)
            }
            Self::SetNat { key, .. }
            | Self::RemoveNat { key, .. }
            | Self::EndFlows { key, .. }
            | Self::EndConnections { key, .. }
            | Self::AddVirtual(key, _)
            | Self::SetVirtual(key, _)
            | Self::AddDestination(key, ..)
            | Self::SetDestination(key, ..)
            | Self::RemoveDestination(key, _)
            | Self::RemoveVirtual(key) => Key::Virtual(*key),
        }
    }

    /// The virtual service that it is about, if it is about one.
    #[must_use]
    pub fn virtual_key(&self) -> Option<VirtualKey> {
        match self.key() {
            Key::Virtual(key) => Some(key),
            _ => None,
        }
    }

    /// Whether it ends new connections to a server that had a share of them.
    fn quiesces(&self) -> bool {
        matches!(self, Self::SetDestination(_, _, Weight(0)))
    }

    /// A bounded word for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::SetBase(_) => "set_base",
            Self::RemoveBase => "remove_base",
            Self::AddElement(_) => "add_element",
            Self::AddVirtual(..) => "add_virtual",
            Self::SetVirtual(..) => "set_virtual",
            Self::AddDestination(..) => "add_destination",
            Self::SetDestination(..) => "set_destination",
            Self::AddLocal(_) => "add_local",
            Self::RemoveLocal(_) => "remove_local",
            Self::RemoveDestination(..) => "remove_destination",
            Self::RemoveVirtual(_) => "remove_virtual",
            Self::RemoveElement(_) => "remove_element",
            Self::SetFlowtable { .. } => "set_flowtable",
            Self::SetInterfaces { .. } => "set_interfaces",
            Self::AddChain(_) => "add_chain",
            Self::SetNat { .. } => "set_nat",
            Self::RenewFlowtable { .. } => "renew_flowtable",
            Self::RemoveNat { .. } => "remove_nat",
            Self::RemoveChain(_) => "remove_chain",
            Self::RemoveInterfaces(_) => "remove_interfaces",
            Self::RemoveFlowtable => "remove_flowtable",
            Self::EndFlows { .. } => "end_flows",
            Self::EndConnections { .. } => "end_connections",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetBase(base) => write!(f, "set base {base}"),
            Self::RemoveBase => f.write_str("remove base"),
            Self::AddElement(element) => write!(f, "add element {element}"),
            Self::AddVirtual(key, how) => write!(f, "add virtual {key} {how}"),
            Self::SetVirtual(key, how) => write!(f, "set virtual {key} {how}"),
            Self::AddDestination(key, to, weight) => {
                write!(f, "add destination {key} -> {to} weight {weight}")
            }
            Self::SetDestination(key, to, weight) => {
                write!(f, "set destination {key} -> {to} weight {weight}")
            }
            Self::AddLocal(address) => write!(f, "add local {address}"),
            Self::RemoveLocal(address) => write!(f, "remove local {address}"),
            Self::RemoveDestination(key, to) => write!(f, "remove destination {key} -> {to}"),
            Self::RemoveVirtual(key) => write!(f, "remove virtual {key}"),
            Self::RemoveElement(element) => write!(f, "remove element {element}"),
            Self::SetFlowtable { from, to } => {
                f.write_str("set flowtable")?;
                changes(f, from.as_ref(), to)
            }
            Self::SetInterfaces { selection, from, to } => {
                write!(f, "set interfaces {selection}")?;
                changes(f, from.as_ref(), to)
            }
            Self::AddChain(chain) => write!(f, "add chain {chain}"),
            Self::SetNat { key, to, .. } => write!(f, "set nat {key} {to}"),
            Self::RenewFlowtable { .. } => f.write_str("renew flowtable"),
            Self::RemoveNat { key, to, .. } if to.is_empty() => {
                write!(f, "remove nat {key}")
            }
            Self::RemoveNat { key, to, .. } => write!(f, "remove nat {key} but for {to}"),
            Self::RemoveChain(chain) => write!(f, "remove chain {chain}"),
            Self::RemoveInterfaces(selection) => write!(f, "remove interfaces {selection}"),
            Self::RemoveFlowtable => f.write_str("remove flowtable"),
            Self::EndFlows { key, keep, translated } => {
                let which = if *translated { "translated flows" } else { "flows" };
                write!(f, "end {which} {key} but to")?;
                keep.iter().try_for_each(|to| write!(f, " {to}"))
            }
            Self::EndConnections { key, to } => {
                write!(f, "end connections {key} to")?;
                to.iter().try_for_each(|to| write!(f, " {to}"))
            }
        }
    }
}

fn shared<S: Serializer>(nat: &Arc<Nat>, to: S) -> Result<S::Ok, S::Error> {
    nat.as_ref().serialize(to)
}

/// What is added to a list and what is taken off it: ` +eth0 -veth1`.
fn changes(f: &mut fmt::Formatter<'_>, from: Option<&Devices>, to: &Devices) -> fmt::Result {
    let none = Devices::new();
    let from = from.unwrap_or(&none);
    to.difference(from).try_for_each(|name| write!(f, " +{name}"))?;
    from.difference(to).try_for_each(|name| write!(f, " -{name}"))
}

/// The stages of a plan, in the order in which they run. Within a stage the order has no meaning,
/// but that servers are quiesced (weight 0) after those that take over from them.
///
/// A service port that moves from IPVS to nftables is balanced by nftables from
/// [`AddElements`](Self::AddElements) on, and IPVS's part goes afterwards; one that moves the other
/// way is whole in IPVS before [`RemoveElements`](Self::RemoveElements).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The table is there before its elements.
    SetBase,
    /// The flowtable and sets of interfaces are there before chains that name them.
    Interfaces,
    /// Chains are there before elements that lead to them.
    AddChains,
    /// The register is written before what it registers.
    AddElements,
    /// Virtual services made or changed.
    Virtuals,
    /// Destinations made or changed.
    Destinations,
    /// Addresses let packets in last.
    AddLocals,
    /// And keep them out first.
    RemoveLocals,
    /// Destinations removed.
    RemoveDestinations,
    /// Virtual services removed.
    RemoveVirtuals,
    /// The register is cleared after what it registered.
    RemoveElements,
    /// Chains that nothing leads to any more.
    RemoveChains,
    /// A service whose flows shall no longer be offloaded is out of the maps by now.
    RenewFlowtable,
    /// What chains named goes after them.
    RemoveInterfaces,
    /// Flows are balanced anew by what holds now; connections of servers that left are ended.
    EndFlows,
    /// The table goes last.
    RemoveBase,
}

/// Operations in the order of their stages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Plan {
    operations: Vec<Operation>,
}

impl Plan {
    /// A plan of these operations, put into the order of their stages (stable within one, but for
    /// servers that are quiesced: they come last in theirs).
    #[must_use]
    pub fn new(mut operations: Vec<Operation>) -> Self {
        operations.sort_by_key(|it| (it.stage(), it.quiesces()));
        Self { operations }
    }

    /// Adds operations, each in its stage.
    pub fn extend(&mut self, more: impl IntoIterator<Item = Operation>) {
        let operations = std::mem::take(&mut self.operations);
        *self = Self::new(operations.into_iter().chain(more).collect());
    }

    /// The operations, in order.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// How many operations there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Runs of operations of one stage, in order.
    pub fn stages(&self) -> impl Iterator<Item = &[Operation]> {
        self.operations.chunk_by(|a, b| a.stage() == b.stage())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.operations.iter().try_for_each(|operation| writeln!(f, "{operation}"))
    }
}
