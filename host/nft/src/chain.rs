//! A chain of rules and, for a base chain, where it hangs in the packet's path. Pure.

use std::fmt;

use crate::Name;

/// A chain; without `base` it runs only when a verdict jumps to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Chain {
    /// Its name, unique in the table.
    pub name: Name,
    /// Where the kernel calls it by itself.
    pub base: Option<Base>,
    /// At most 127 bytes, shown by nft.
    pub comment: Option<String>,
}

impl Chain {
    /// A chain that runs only when jumped to.
    #[must_use]
    pub fn regular(name: Name) -> Self {
        Self { name, base: None, comment: None }
    }

    /// A chain that the kernel calls at `hook`; what no rule decides is accepted.
    #[must_use]
    pub fn base(name: Name, kind: ChainType, hook: Hook, priority: i32) -> Self {
        let base = Base { kind, hook, priority, policy: Policy::Accept };
        Self { name, base: Some(base), comment: None }
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if let Some(base) = &self.base {
            write!(f, " {{ {base} }}")?;
        }
        Ok(())
    }
}

/// Where a base chain hangs. The kernel refuses to change any of it but the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Base {
    /// What the chain is for.
    pub kind: ChainType,
    /// The point in the packet's path.
    pub hook: Hook,
    /// Lower runs earlier; see [`priority`].
    pub priority: i32,
    /// What happens to a packet that no rule decided on.
    pub policy: Policy,
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, hook, priority, policy } = self;
        write!(f, "type {kind} hook {hook} priority {priority}; policy {policy}")
    }
}

/// What a base chain may do (`struct nft_chain_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChainType {
    /// Accept, drop, mark, reject.
    Filter,
    /// Translate addresses: sees the first packet of a connection only.
    Nat,
    /// Route again after a change of the packet (output only).
    Route,
}

impl ChainType {
    pub(crate) const ALL: [Self; 3] = [Self::Filter, Self::Nat, Self::Route];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Nat => "nat",
            Self::Route => "route",
        }
    }
}

impl fmt::Display for ChainType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A point in the path of an IP packet (`NF_INET_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Hook {
    /// Every packet that arrived, before routing.
    Prerouting = 0,
    /// Packets to this host.
    Input = 1,
    /// Packets through this host.
    Forward = 2,
    /// Packets from this host.
    Output = 3,
    /// Every packet that leaves.
    Postrouting = 4,
}

impl Hook {
    pub(crate) fn from_raw(raw: u32) -> Option<Self> {
        [Self::Prerouting, Self::Input, Self::Forward, Self::Output, Self::Postrouting]
            .into_iter()
            .find(|hook| u32::from(*hook as u8) == raw)
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prerouting => "prerouting",
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
        })
    }
}

/// What happens to a packet that no rule of a base chain decided on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Policy {
    /// It is dropped.
    Drop = 0,
    /// It goes on.
    Accept = 1,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drop => "drop",
            Self::Accept => "accept",
        })
    }
}

/// The priorities that nft has names for (`NF_IP_PRI_*`).
pub mod priority {
    /// Before connection tracking.
    pub const RAW: i32 = -300;
    /// After connection tracking, before destination translation.
    pub const MANGLE: i32 = -150;
    /// Destination translation.
    pub const DSTNAT: i32 = -100;
    /// Filtering.
    pub const FILTER: i32 = 0;
    /// Source translation.
    pub const SRCNAT: i32 = 100;
}
