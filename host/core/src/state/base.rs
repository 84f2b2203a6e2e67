//! What of weir's nftables table belongs to no service. Pure.

use std::collections::BTreeSet;
use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// How traffic of pods is told from others'.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pods {
    /// Not at all.
    #[default]
    Unknown,
    /// By source address within these ranges.
    In(BTreeSet<IpNet>),
    /// By this interface that it comes in by: the pods' bridge.
    By(String),
    /// By an interface that it comes in by whose name begins so: a pod's own.
    ByPrefix(String),
}

/// What becomes of echo requests (ping) to cluster addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Echo {
    /// Nothing here: they are answered where the address is local, else nobody's.
    #[default]
    Leave,
    /// This node answers.
    Answer,
    /// They are refused (ICMP administratively prohibited).
    Refuse,
    /// They are dropped.
    Drop,
}

/// The part of weir's nftables table that belongs to no service: chains, rules, sets, and how
/// sources are masqueraded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Masquerade everything that goes to a cluster address, from pods too.
    pub masquerade_all: bool,
    /// What comes to a cluster address from elsewhere than pods is masqueraded. Where pods aren't
    /// known, nothing but hairpin traffic is.
    pub pods: Pods,
    /// Ranges that service addresses come from: packets to one that nobody has are dropped. Empty
    /// where they aren't known.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ranges: BTreeSet<IpNet>,
    /// What becomes of echo requests to cluster addresses.
    #[serde(default)]
    pub echo: Echo,
    /// Drop TCP packets between pods and others that belong to no connection that is known: a server's
    /// would reach its client untranslated, who would reset the connection.
    #[serde(default)]
    pub drop_invalid: bool,
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.masquerade_all, &self.pods) {
            (true, _) => f.write_str("masquerade all")?,
            (false, Pods::Unknown) => f.write_str("masquerade hairpin")?,
            (false, _) => f.write_str("masquerade outside")?,
        }
        match &self.pods {
            Pods::Unknown => {}
            Pods::In(ranges) => ranges.iter().try_for_each(|range| write!(f, " {range}"))?,
            Pods::By(name) => write!(f, " {name}")?,
            Pods::ByPrefix(prefix) => write!(f, " {prefix}*")?,
        }
        if !self.ranges.is_empty() {
            f.write_str(", drop unused of")?;
        }
        self.ranges.iter().try_for_each(|range| write!(f, " {range}"))?;
        match self.echo {
            Echo::Leave => {}
            Echo::Answer => f.write_str(", answer echo")?,
            Echo::Refuse => f.write_str(", refuse echo")?,
            Echo::Drop => f.write_str(", drop echo")?,
        }
        if self.drop_invalid { f.write_str(", drop invalid") } else { Ok(()) }
    }
}
