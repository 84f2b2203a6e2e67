//! Which chains and ipsets are kube-proxy's, by their names. Pure.

use std::collections::BTreeMap;

use weir_nft::{Chain, Table};

/// The tables of iptables that it has chains in.
const TABLES: [&str; 3] = ["filter", "mangle", "nat"];
/// Made by the kubelet; until Kubernetes 1.28 it made all of these, since then the first three.
const KUBELET: [&str; 6] = [
    "KUBE-IPTABLES-HINT",
    "KUBE-KUBELET-CANARY",
    "KUBE-FIREWALL",
    "KUBE-MARK-DROP",
    "KUBE-MARK-MASQ",
    "KUBE-POSTROUTING",
];
/// Made by kube-router, for network policies and as a router.
const ROUTER: [&str; 3] = ["KUBE-ROUTER-", "KUBE-NWPLCY-", "KUBE-POD-FW-"];

/// Its chains, by their table.
pub(super) fn chains(all: &[(Table, Chain)]) -> BTreeMap<&str, Vec<&str>> {
    let mut by_table: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (table, chain) in all {
        let (table, name) = (table.name.as_str(), chain.name.as_str());
        if TABLES.contains(&table) && is_chain(name) {
            by_table.entry(table).or_default().push(name);
        }
    }
    by_table
}

fn is_chain(name: &str) -> bool {
    name.starts_with("KUBE-")
        && !KUBELET.contains(&name)
        && !ROUTER.iter().any(|beginning| name.starts_with(beginning))
}

/// Whether an ipset is its: `KUBE-CLUSTER-IP`, and `KUBE-6-CLUSTER-IP` for IPv6.
pub(super) fn is_ipset(name: &str) -> bool {
    name.starts_with("KUBE-")
}

/// How many there are, and the first few: `5: a, b, c, …`.
pub(in crate::kernel) fn few<T: AsRef<str>>(names: &[T]) -> String {
    const SHOWN: usize = 3;
    let mut shown: Vec<&str> = names.iter().take(SHOWN).map(AsRef::as_ref).collect();
    if names.len() > SHOWN {
        shown.push("…");
    }
    format!("{}: {}", names.len(), shown.join(", "))
}

#[cfg(test)]
mod tests {
    use weir_nft::{Family, Name};

    use super::*;

    #[test]
    fn chains_of_the_kubelet_and_of_others_are_not_kube_proxys() {
        let cases = [
            ("nat", "KUBE-SERVICES", true),
            ("nat", "KUBE-SVC-ERIFXISQEP7F7OF4", true),
            ("filter", "KUBE-PROXY-FIREWALL", true),
            ("filter", "KUBE-IPVS-FILTER", true),
            ("mangle", "KUBE-PROXY-CANARY", true),
            ("nat", "KUBE-POSTROUTING", false),
            ("filter", "KUBE-FIREWALL", false),
            ("mangle", "KUBE-KUBELET-CANARY", false),
            ("mangle", "KUBE-IPTABLES-HINT", false),
            ("filter", "KUBE-ROUTER-FORWARD", false),
            ("filter", "KUBE-POD-FW-ABCDEF", false),
            ("nat", "PREROUTING", false),
            ("mine", "KUBE-SERVICES", false),
        ];
        for (table, chain, is) in cases {
            let of = Table { family: Family::Ip, name: Name::new(table).unwrap() };
            let all = [(of, Chain::regular(Name::new(chain).unwrap()))];
            assert_eq!(!chains(&all).is_empty(), is, "{table} {chain}");
        }
        assert!(is_ipset("KUBE-6-CLUSTER-IP") && !is_ipset("kube-router-local-ips"));
    }

    #[test]
    fn few_are_named_and_all_are_counted() {
        assert_eq!(few(&["a"]), "1: a");
        assert_eq!(few(&["a", "b", "c"]), "3: a, b, c");
        assert_eq!(few(&["a", "b", "c", "d"]), "4: a, b, c, …");
    }
}
