//! On which of the node's addresses node ports answer. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::model::Node;
use crate::net::Family;

/// The dummy device that holds the addresses of services.
pub const OWN_DUMMY: &str = "weir0";
/// What kube-proxy's ipvs mode has for the same.
const KUBE_PROXYS_DUMMY: &str = "kube-ipvs0";

/// Which addresses node ports answer on: kube-proxy's `nodePortAddresses`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NodePortAddresses {
    /// The first address of each family in the Node object, held by an interface or not.
    #[default]
    Primary,
    /// Those of interfaces that lie in one of these ranges. A family of which there is no range has
    /// all of its addresses taken, so no range at all means every address.
    Ranges(BTreeSet<IpNet>),
}

impl NodePortAddresses {
    /// Every address of both families.
    #[must_use]
    pub fn all() -> Self {
        // The default of either is the whole family.
        Self::Ranges([Ipv4Net::default().into(), Ipv6Net::default().into()].into())
    }

    /// Whether every address of both families is meant, so that a socket may listen on the wildcard.
    #[must_use]
    pub fn is_all(&self) -> bool {
        let Self::Ranges(ranges) = self else { return false };
        [Family::V4, Family::V6].into_iter().all(|family| {
            let mut of_family = ranges.iter().filter(|range| Family::of(range.addr()) == family);
            let wide = of_family.clone().any(|range| range.prefix_len() == 0);
            wide || of_family.next().is_none()
        })
    }

    /// The addresses, given this Node's object and what interfaces hold: pairs of an interface's
    /// name and an address on it, whether or not the interface is up.
    ///
    /// [`Self::Primary`] without a Node object is nothing: no node port answers until it is known.
    /// Never among them are loopback, link-local addresses of IPv6, multicast, and what is on
    /// [`OWN_DUMMY`] and on kube-proxy's `kube-ipvs0`; 169.254.0.0/16 may be. An address that a route
    /// alone makes local is on no interface.
    #[must_use]
    pub fn of<'a>(
        &self,
        node: Option<&Node>,
        held: impl IntoIterator<Item = (&'a str, IpAddr)>,
    ) -> BTreeSet<IpAddr> {
        match self {
            Self::Primary => node.map(primary).unwrap_or_default(),
            Self::Ranges(ranges) => {
                let of_node = held.into_iter().filter(|(name, _)| !is_for_services(name));
                let usable = of_node.map(|(_, address)| address).filter(|it| can_answer(*it));
                usable.filter(|address| within(*address, ranges)).collect()
            }
        }
    }
}

fn primary(node: &Node) -> BTreeSet<IpAddr> {
    let usable = || node.addresses.iter().copied().filter(|address| can_answer(*address));
    [usable().find(IpAddr::is_ipv4), usable().find(IpAddr::is_ipv6)].into_iter().flatten().collect()
}

fn within(address: IpAddr, ranges: &BTreeSet<IpNet>) -> bool {
    let family = Family::of(address);
    let mut of_family = ranges.iter().filter(|range| Family::of(range.addr()) == family).peekable();
    of_family.peek().is_none() || of_family.any(|range| range.contains(&address))
}

/// Whether an interface holds the addresses of services, and none of the node's own.
#[must_use]
pub fn is_for_services(interface: &str) -> bool {
    [OWN_DUMMY, KUBE_PROXYS_DUMMY].contains(&interface)
}

fn can_answer(address: IpAddr) -> bool {
    let never = address.is_loopback() || address.is_multicast() || address.is_unspecified();
    let link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    !never && !link_local
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELD: [(&str, &str); 13] = [
        ("lo", "127.0.0.1"),
        ("lo", "::1"),
        ("lo", "192.0.2.99"),
        ("eth0", "192.0.2.7"),
        ("eth0", "2001:db8::7"),
        ("eth0", "fe80::7"),
        ("eth0", "169.254.7.7"),
        ("eth1", "10.1.0.7"),
        ("eth1", "fd00:1::7"),
        ("cni0", "10.244.0.1"),
        ("eth1", "224.0.0.5"),
        (OWN_DUMMY, "10.96.0.1"),
        (KUBE_PROXYS_DUMMY, "10.96.0.10"),
    ];

    fn ranges(texts: &[&str]) -> NodePortAddresses {
        NodePortAddresses::Ranges(texts.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn of(which: &NodePortAddresses, node: Option<&Node>) -> Vec<String> {
        let held = HELD.iter().map(|(name, text)| (*name, text.parse().unwrap()));
        which.of(node, held).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn ranges_take_addresses_of_interfaces() {
        let v4 = ["10.1.0.7", "10.244.0.1", "169.254.7.7", "192.0.2.7", "192.0.2.99"];
        let v6 = ["2001:db8::7", "fd00:1::7"];
        let all = [&v4[..], &v6].concat();
        let cases: [(&str, &[&str], Vec<&str>); 8] = [
            ("no range at all", &[], all.clone()),
            ("all of both families", &["0.0.0.0/0", "::/0"], all.clone()),
            ("one family named, whole", &["0.0.0.0/0"], all),
            ("IPv4 named, IPv6 not", &["192.0.2.0/28"], [&["192.0.2.7"][..], &v6].concat()),
            ("IPv6 named, IPv4 not", &["fd00::/8"], [&v4[..], &["fd00:1::7"]].concat()),
            ("several", &["10.0.0.0/8", "fd00::/8"], vec!["10.1.0.7", "10.244.0.1", "fd00:1::7"]),
            ("loopback and link-local never", &["127.0.0.0/8", "fe80::/10"], vec![]),
            ("addresses of services never", &["10.96.0.0/12", "2001:db9::/64"], vec![]),
        ];
        for (name, texts, want) in cases {
            assert_eq!(of(&ranges(texts), None), want, "{name}");
        }
    }

    #[test]
    fn primary_takes_the_first_of_each_family_from_the_node() {
        type Texts = &'static [&'static str];
        let cases: [(&str, Option<Texts>, Texts); 6] = [
            ("no Node known yet", None, &[]),
            ("a Node without addresses", Some(&[]), &[]),
            ("one family", Some(&["192.0.2.7"]), &["192.0.2.7"]),
            (
                "internal before external",
                Some(&["192.0.2.7", "2001:db8::7", "198.51.100.7", "2001:db8:1::7"]),
                &["192.0.2.7", "2001:db8::7"],
            ),
            ("on no interface", Some(&["203.0.113.1"]), &["203.0.113.1"]),
            ("what can't answer", Some(&["127.0.0.1", "192.0.2.7", "fe80::1"]), &["192.0.2.7"]),
        ];
        for (name, addresses, want) in cases {
            let node = addresses.map(|texts| Node {
                addresses: texts.iter().map(|text| text.parse().unwrap()).collect(),
                ..Node::default()
            });
            assert_eq!(of(&NodePortAddresses::Primary, node.as_ref()), want, "{name}");
        }
    }

    #[test]
    fn all_is_all_of_both_families() {
        let cases: [(&[&str], bool); 6] = [
            (&[], true),
            (&["0.0.0.0/0"], true),
            (&["::/0", "10.0.0.0/8", "0.0.0.0/0"], true),
            (&["0.0.0.0/0", "fd00::/8"], false),
            (&["10.0.0.0/8"], false),
            (&["0.0.0.0/1", "128.0.0.0/1"], false),
        ];
        for (texts, want) in cases {
            assert_eq!(ranges(texts).is_all(), want, "{texts:?}");
        }
        assert!(NodePortAddresses::all().is_all());
        assert!(!NodePortAddresses::Primary.is_all());
    }
}
