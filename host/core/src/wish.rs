//! What a policy answered, before anything of it is checked: types that mirror `wit/v0.1`.
//!
//! Pure: data only. A wish may name schedulers that do not exist and servers that nobody runs;
//! turning a chain of wishes into a decision is where that is found out.

use serde::{Deserialize, Serialize};

use crate::view::Attributes;

/// One policy's answer for one service port. A field without a value is no opinion: the next
/// policy in the chain is heard on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wish {
    /// `ipvs` or `nftables`, unchecked.
    pub dataplane: Option<String>,
    /// A scheduler by its kernel name (`rr`, `mh`, …), unchecked.
    pub scheduler: Option<String>,
    /// Flags of the scheduler in `ipvsadm`'s words (`mh-port`, `mh-fallback`, …), unchecked.
    /// `Some` of an empty list asks for none.
    pub scheduler_flags: Option<Vec<String>>,
    /// Weights of endpoints. An endpoint that is not listed keeps weight 1.
    pub weights: Option<Vec<Weight>>,
    /// When flows leave the slow path.
    pub offload: Option<Offload>,
    /// Interfaces whose flows may be offloaded.
    pub interfaces: Option<Interfaces>,
    /// Seconds for which a client stays with its server; 0 asks for no affinity.
    pub affinity_seconds: Option<u32>,
    /// Seconds after which the policy wants to be asked again although nothing changed.
    pub re_evaluate_after_seconds: Option<u32>,
    /// Words for operators.
    pub note: Option<String>,
    /// Answers that have no field of their own yet.
    pub attributes: Attributes,
}

impl Wish {
    /// Whether the policy has no opinion on anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The weight that a policy wants for one endpoint, which may not exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weight {
    /// Address as text, unchecked.
    pub address: String,
    /// Port of the endpoint.
    pub port: u16,
    /// Relative share; 0 takes no new connections.
    pub weight: u32,
}

/// When a flow may skip the rule set, unchecked: a threshold of zero can be written down here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Offload {
    /// Every packet takes the slow path.
    Never,
    /// Once more than this many packets, both directions together, were counted.
    After(u32),
}

/// Interfaces by name (`eth0`), glob (`eth*`) or group (`group:uplink`), unchecked.
/// An exclusion beats an inclusion; nothing included means all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interfaces {
    /// Interfaces to take.
    pub include: Vec<String>,
    /// Interfaces to leave out.
    pub exclude: Vec<String>,
}

/// The attribute of a decision that names the interfaces at whose addresses node ports answer:
/// entries as of [`Interfaces`], separated by commas, `!` before one that is left out.
pub const NODE_PORT_INTERFACES: &str = "node-port-interfaces";

impl Interfaces {
    /// Reads such a list, unchecked.
    #[must_use]
    pub fn listed(text: &str) -> Self {
        let mut lists = Self::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            match entry.strip_prefix('!') {
                Some(entry) => lists.exclude.push(entry.trim().to_owned()),
                None => lists.include.push(entry.to_owned()),
            }
        }
        lists
    }
}

/// A policy's word that it does not answer for a service port. Not a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// Services such as this are not the policy's business.
    NotMine,
    /// It would answer, but for this reason it can't.
    Reason(String),
}
