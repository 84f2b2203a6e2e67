//! Steps from one kernel state to another, as values: printed, checked, then run. Pure.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use crate::state::{Balance, Base, Element, Key, VirtualKey, Weight};

/// One thing to do to the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Make the table, or give what belongs to no service this form; elements of sets stay.
    SetBase(Base),
    /// Remove the table and all that is in it.
    RemoveBase,
    /// Put an element into its set.
    AddElement(Element),
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
    /// Take an element out of its set.
    RemoveElement(Element),
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
            Self::AddElement(_) => Stage::AddElements,
            Self::AddVirtual(..) | Self::SetVirtual(..) => Stage::Virtuals,
            Self::AddDestination(..) | Self::SetDestination(..) => Stage::Destinations,
            Self::AddLocal(_) => Stage::AddLocals,
            Self::RemoveLocal(_) => Stage::RemoveLocals,
            Self::RemoveDestination(..) => Stage::RemoveDestinations,
            Self::RemoveVirtual(_) => Stage::RemoveVirtuals,
            Self::RemoveElement(_) => Stage::RemoveElements,
        }
    }

    /// The object that it is about.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::SetBase(_) | Self::RemoveBase => Key::Base,
            Self::AddElement(element) | Self::RemoveElement(element) => Key::Element(*element),
            Self::AddLocal(address) | Self::RemoveLocal(address) => Key::Local(*address),
            Self::AddVirtual(key, _)
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
            Key::Base | Key::Local(_) | Key::Element(_) => None,
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
        }
    }
}

/// The stages of a plan, in the order in which they run. Within a stage the order has no meaning,
/// but that servers are quiesced (weight 0) after those that take over from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The table is there before its elements.
    SetBase,
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
