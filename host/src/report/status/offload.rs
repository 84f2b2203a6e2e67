//! What `weir status` shows of offload: devices, thresholds in force, offloaded flows. Values only; pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use weir_core::decision::{Dataplane, Offload as Decided};
use weir_core::interfaces::{IfName, Selection};
use weir_core::kernel::Kernel;

use crate::reconcile::{Policies, Reconciler};
use crate::report::text_table::TextTable;

/// Offload on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Offload {
    /// Devices of the flowtable; `None` while nothing is to be offloaded.
    pub devices: Option<Vec<String>>,
    /// What is in force, and for how many service ports.
    pub classes: Vec<Class>,
}

/// Service ports that are offloaded alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Class {
    /// `after 20 packets`.
    pub offload: String,
    /// Which interfaces were asked for.
    pub selection: String,
    /// Those of this node that are meant by it.
    pub interfaces: Vec<String>,
    /// How many service ports.
    pub service_ports: usize,
}

/// Offload as the reconciler knows it.
pub(super) fn of<K: Kernel, P: Policies>(all: &Reconciler<K, P>) -> Offload {
    let surface = all.ledger().surface();
    let mut classes = BTreeMap::<_, usize>::new();
    for decision in all.decisions().filter(|it| it.dataplane.value == Dataplane::Nftables) {
        let Decided::After(after) = decision.offload.value else { continue };
        let selection = decision.interfaces.as_ref().map(|it| it.value.clone());
        let selection = selection.filter(|it| !it.is_all());
        *classes.entry((after, selection)).or_default() += 1;
    }
    let class = |((after, selection), service_ports)| {
        let interfaces: BTreeSet<IfName> = match (&selection, surface.interfaces()) {
            (_, None) => BTreeSet::new(),
            (Some(selection), Some(all)) => Selection::resolve(selection, all),
            (None, Some(all)) => all.iter().map(|(name, _)| name.clone()).collect(),
        };
        Class {
            offload: Decided::After(after).to_string(),
            selection: selection.map_or_else(|| "every interface".to_owned(), |it| it.to_string()),
            interfaces: interfaces.iter().map(ToString::to_string).collect(),
            service_ports,
        }
    };
    let devices = all.ledger().known().flowtable.as_ref();
    Offload {
        devices: devices.map(|it| it.iter().map(ToString::to_string).collect()),
        classes: classes.into_iter().map(class).collect(),
    }
}

impl fmt::Display for Offload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(devices) = &self.devices else { return Ok(()) };
        let mut table = TextTable::new(&["OFFLOAD", "SERVICE PORTS", "ON", "THAT IS"]);
        for it in &self.classes {
            let (offload, selection) = (it.offload.clone(), it.selection.clone());
            table.push([offload, it.service_ports.to_string(), selection, brief(&it.interfaces)]);
        }
        writeln!(f, "\nflowtable: {} devices: {}", devices.len(), brief(devices))?;
        write!(f, "{table}")
    }
}

/// A node has hundreds of pods.
fn brief(names: &[String]) -> String {
    const SHOWN: usize = 8;
    match names.len() {
        0 => "none".to_owned(),
        all if all <= SHOWN => names.join(" "),
        all => format!("{} and {} more", names[..SHOWN].join(" "), all - SHOWN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_cut_and_an_empty_one_said() {
        let names: Vec<String> = (0..300).map(|n| format!("veth{n}")).collect();
        assert_eq!(brief(&names[..2]), "veth0 veth1");
        assert!(brief(&names).ends_with("veth7 and 292 more"), "{}", brief(&names));
        assert_eq!(brief(&[]), "none");
        let some = Offload { devices: Some(names), classes: vec![Class::default()] };
        assert!(some.to_string().contains("flowtable: 300 devices: veth0 "), "{some}");
        assert_eq!(Offload::default().to_string(), "");
    }
}
