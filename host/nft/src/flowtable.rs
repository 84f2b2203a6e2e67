//! A flowtable: devices between which established flows skip the rule set. Pure.

use std::fmt;

use crate::Name;

/// A flowtable on the ingress hook of its devices.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Flowtable {
    /// Its name, unique in the table.
    pub name: Name,
    /// Priority on the ingress hook.
    pub priority: i32,
    /// Names of devices. Each must exist when it is added (ENOENT fails the batch) and be in one
    /// flowtable of the table only (EEXIST); one that goes away leaves silently.
    pub devices: Vec<String>,
    /// Keep conntrack counters of offloaded flows moving (`NFT_FLOWTABLE_COUNTER`, Linux 5.7).
    pub counter: bool,
}

impl fmt::Display for Flowtable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, priority, devices, counter } = self;
        let counter = if *counter { " counter;" } else { "" };
        let devices = devices.join(", ");
        write!(
            f,
            "{name} {{ hook ingress priority {priority};{counter} devices = {{ {devices} }} }}"
        )
    }
}
