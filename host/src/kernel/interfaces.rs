//! The node's links in the words of policies and of offload. Pure.

use std::net::IpAddr;

use ipnet::IpNet;
use weir_core::compile::WaysOut;
use weir_core::interfaces::{ELSEWHERE, PARENT, PEER, looks_like_pod};
use weir_core::node_ports::is_for_services;
use weir_core::view::{Attributes, Interface};
use weir_link::{Address, DEFAULT_TIMEOUT, Error, Family, Link, LinkIndex, Links, NodeView};

use crate::base::Around;

/// The most addresses that are told of one interface.
///
/// The table of addresses keeps prefix lengths for all of them at no cost, but what is made here is
/// copied and handed to policies at every change: a dummy that holds 20,000 service addresses would
/// be a third of a megabyte each time, and tell no more than its first few do.
const MAX_ADDRESSES: usize = 64;

/// All links of a node, loopback too, by index.
#[must_use]
pub fn interfaces(view: &NodeView) -> Vec<Interface> {
    view.links().map(|link| interface(view, link)).collect()
}

/// Every address that a link holds, with the link's name.
pub fn held(view: &NodeView) -> impl Iterator<Item = (&str, IpAddr)> {
    let named = |address: Address| Some((view.link(address.link)?.name.as_str(), address.ip));
    view.addresses().iter().filter_map(named)
}

/// `RT_TABLE_MAIN` (linux/rtnetlink.h).
const MAIN: u32 = 254;
/// `RT_TABLE_DEFAULT`.
const DEFAULT: u32 = 253;

/// Whether the node has a way out for packets to any address.
fn ways_out(view: &NodeView) -> WaysOut {
    // Those of other tables are for packets of a certain kind, by rules that aren't looked at.
    let all = |table: u32| [MAIN, DEFAULT].contains(&table);
    let has_default =
        |family| view.default_routes().iter().any(|it| it.family == family && all(it.table));
    WaysOut { v4: has_default(Family::V4), v6: has_default(Family::V6) }
}

/// What services depend on.
#[must_use]
pub fn around(view: &NodeView) -> Around {
    // Thousands of services' addresses may be on such a device: they are none of the node's.
    let held = held(view).filter(|(name, _)| !is_for_services(name));
    let held = held.map(|(name, ip)| (name.to_owned(), ip));
    Around { ways_out: ways_out(view), held: held.collect() }
}

/// Looks at the node's links, addresses and default routes once.
///
/// # Errors
/// The kernel can't be asked.
pub fn look() -> Result<NodeView, Error> {
    let mut view = NodeView::default();
    view.load(Links::open(DEFAULT_TIMEOUT)?.snapshot()?);
    Ok(view)
}

fn interface(view: &NodeView, link: &Link) -> Interface {
    let name = |index: Option<LinkIndex>| Some(view.link(index?)?.name.clone());
    let mut interface = Interface {
        index: link.index.get(),
        name: link.name.clone(),
        kind: link.kind.clone(),
        master: name(link.master),
        mtu: link.mtu,
        flags: link.flags.names().map(str::to_owned).collect(),
        addresses: addresses(view, link.index),
        default_route: view.carries_default_route(link.index),
        pod: false,
        attributes: attributes(link, name(link.parent)),
    };
    interface.pod = looks_like_pod(&interface);
    interface
}

fn attributes(link: &Link, parent: Option<String>) -> Attributes {
    let parent = parent.map(|name| (PARENT.to_owned(), name));
    let peer = link.leads_elsewhere().then(|| (PEER.to_owned(), ELSEWHERE.to_owned()));
    parent.into_iter().chain(peer).collect()
}

/// Those with a network around them before single addresses: they tell what the link is for.
fn addresses(view: &NodeView, link: LinkIndex) -> Vec<IpNet> {
    // A prefix longer than its address is none that Linux has.
    let all = || view.addresses().on(link).filter_map(|a| IpNet::new(a.ip, a.prefix_len).ok());
    let is_network = |net: &IpNet| net.prefix_len() < net.max_prefix_len();
    let singles = all().filter(|net| !is_network(net));
    all().filter(is_network).chain(singles).take(MAX_ADDRESSES).collect()
}

#[cfg(test)]
mod tests {
    use weir_link::{DefaultRoute, Family, LinkFlags, Snapshot};

    use super::*;

    const UP: u32 = 0x1;

    fn index(number: u32) -> LinkIndex {
        LinkIndex::new(number).unwrap()
    }

    fn link(number: u32, name: &str, kind: &str) -> Link {
        Link {
            index: index(number),
            name: name.to_owned(),
            kind: kind.to_owned(),
            master: None,
            parent: None,
            lower_elsewhere: false,
            mtu: 1500,
            flags: LinkFlags::from_bits(UP),
        }
    }

    fn address(number: u32, text: &str) -> Address {
        let net: IpNet = text.parse().unwrap();
        let (ip, prefix_len) = (net.addr(), net.prefix_len());
        Address { ip, link: index(number), peer: ip, prefix_len, scope: 0, flags: 0 }
    }

    fn view(links: Vec<Link>, addresses: &[(u32, &str)], way_out: &[u32]) -> NodeView {
        let mut view = NodeView::default();
        view.load(Snapshot {
            links,
            addresses: addresses.iter().map(|(link, text)| address(*link, text)).collect(),
            default_routes: vec![DefaultRoute {
                family: Family::V4,
                table: 254,
                tos: 0,
                priority: 0,
                links: way_out.iter().map(|number| index(*number)).collect(),
            }],
        });
        view
    }

    #[test]
    fn every_fact_has_its_word() {
        let eth0 = Link { flags: LinkFlags::from_bits(0x1_1043), ..link(2, "eth0", "") };
        let vlan = Link { parent: Some(index(2)), mtu: 1496, ..link(3, "eth0.5", "vlan") };
        let port = Link { master: Some(index(5)), ..link(4, "veth1", "veth") };
        let links = vec![eth0, vlan, port, link(5, "cni0", "bridge")];
        let all = [(2, "192.0.2.7/24"), (2, "2001:db8::7/64"), (3, "198.51.100.7/25")];
        let got = interfaces(&view(links, &all, &[2]));
        let want = Interface {
            index: 2,
            name: "eth0".into(),
            mtu: 1500,
            flags: ["up", "broadcast", "running", "multicast", "lower_up"].map(Into::into).into(),
            addresses: vec!["192.0.2.7/24".parse().unwrap(), "2001:db8::7/64".parse().unwrap()],
            default_route: true,
            ..Interface::default()
        };
        assert_eq!(got[0], want);
        let parent = Attributes::from([("parent".to_owned(), "eth0".to_owned())]);
        assert_eq!((got[1].kind.as_str(), got[1].mtu, &got[1].attributes), ("vlan", 1496, &parent));
        assert_eq!((got[2].master.as_deref(), got[3].master.as_deref()), (Some("cni0"), None));
        assert!(got[1..].iter().all(|it| !it.default_route && !it.pod));
    }

    #[test]
    fn a_pair_that_leads_elsewhere_is_a_pods_unless_it_is_the_nodes_card() {
        let pair = |number, name| Link { lower_elsewhere: true, ..link(number, name, "veth") };
        let links = vec![pair(2, "eth0"), pair(3, "eth1"), pair(4, "cali1"), pair(5, "veth2")];
        let all = [(2, "172.18.0.3/32"), (3, "172.20.0.3/16"), (5, "10.244.0.1/32")];
        let got = interfaces(&view(links, &all, &[2]));
        let pods: Vec<_> = got.iter().filter(|it| it.pod).map(|it| it.name.as_str()).collect();
        assert_eq!(pods, ["cali1", "veth2"]);
        assert!(got.iter().all(|it| it.attributes["peer"] == "elsewhere"));
    }

    #[test]
    fn what_is_not_known_any_more_is_left_out() {
        let port =
            Link { master: Some(index(9)), parent: Some(index(8)), ..link(2, "eth0.5", "vlan") };
        let got = interfaces(&view(vec![port], &[], &[]));
        assert_eq!((got[0].master.clone(), got[0].attributes.len()), (None, 0));
    }

    #[test]
    fn what_a_link_holds_is_told_with_its_name_whole() {
        let many: Vec<String> = (0..200).map(|n| format!("10.0.0.{n}/32")).collect();
        let mut all: Vec<(u32, &str)> = many.iter().map(|text| (3, text.as_str())).collect();
        all.extend([(2, "192.0.2.7/24"), (2, "2001:db8::7/64"), (9, "198.51.100.7/24")]);
        let view = view(vec![link(2, "eth0", ""), link(3, "dummy0", "dummy")], &all, &[]);
        let on = |name| held(&view).filter(|it| it.0 == name).count();
        assert_eq!((on("eth0"), on("dummy0"), held(&view).count()), (2, 200, 202));
    }

    #[test]
    fn addresses_are_bounded_and_networks_come_first() {
        let many: Vec<String> =
            (0..20_000).map(|n| format!("10.0.{}.{}/32", n / 250, n % 250)).collect();
        let mut all: Vec<(u32, &str)> = many.iter().map(|text| (2, text.as_str())).collect();
        all.extend([(2, "198.51.100.7/24"), (2, "2001:db8::7/64"), (3, "192.0.2.7/24")]);
        let links = vec![link(2, "dummy0", "dummy"), link(3, "eth0", "")];
        let got = interfaces(&view(links, &all, &[]));
        let shown: Vec<_> = got[0].addresses.iter().take(3).map(ToString::to_string).collect();
        assert_eq!(shown, ["198.51.100.7/24", "2001:db8::7/64", "10.0.0.0/32"]);
        assert_eq!((got[0].addresses.len(), got[1].addresses.len()), (64, 1));
    }
}
