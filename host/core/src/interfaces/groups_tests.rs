use super::*;
use crate::interfaces::tests::{card, of};

/// An interface of a kind, up, with these addresses.
fn one(name: &str, kind: &str, addresses: &[&str]) -> Interface {
    let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
    Interface { kind: kind.into(), addresses, ..card(name, "192.0.2.1/24") }
}

fn way_out(interface: Interface) -> Interface {
    Interface { default_route: true, ..interface }
}

fn pod(interface: Interface) -> Interface {
    Interface { pod: true, ..interface }
}

fn elsewhere(mut interface: Interface) -> Interface {
    interface.attributes.insert(PEER.into(), ELSEWHERE.into());
    interface
}

fn port(interface: Interface, of: &str) -> Interface {
    Interface { master: Some(of.into()), ..interface }
}

fn groups(all: &[Interface], name: &str) -> String {
    let node = of(all);
    let groups = node
        .get(&name.parse().unwrap())
        .map(|part| part.groups.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    groups.unwrap_or_else(|| "no part".to_owned())
}

#[test]
fn by_kind_and_address() {
    let cases = [
        (one("eth0", "", &["192.0.2.7/24"]), "uplink"),
        (one("eth0", "", &["10.128.0.5/32"]), "uplink"),
        (one("eth1", "", &[]), "other"),
        (one("eth1", "", &["fe80::1/64", "169.254.3.4/16"]), "other"),
        (one("bond0", "bond", &["2001:db8::1/64"]), "uplink"),
        (one("eth0.100", "vlan", &["192.0.2.7/24"]), "uplink"),
        (one("eth0.200", "vlan", &[]), "other"),
        (one("flannel.1", "vxlan", &["10.244.0.0/32"]), "overlay"),
        (one("genev_sys_6081", "geneve", &[]), "overlay"),
        (one("tunl0", "ipip", &["10.244.1.1/32"]), "overlay tunnel"),
        (one("ipip7", "ipip", &["10.244.1.1/32"]), "tunnel"),
        (one("wireguard.cali", "wireguard", &[]), "overlay tunnel"),
        (one("wg0", "wireguard", &["10.9.0.1/24"]), "tunnel"),
        (way_out(one("wg0", "wireguard", &["10.9.0.1/24"])), "tunnel uplink"),
        (one("tun0", "tun", &["10.8.0.1/24"]), "tunnel"),
        (one("tun-e443169117a", "ipip", &[]), "overlay tunnel"),
        (one("tunl0", "dummy", &[]), "other"),
        (one("cni0", "bridge", &["10.244.0.1/24"]), "bridge"),
        (way_out(one("br-ex", "openvswitch", &["192.0.2.7/24"])), "bridge uplink"),
        (one("red", "vrf", &[]), "other"),
        (one("dummy0", "dummy", &["192.0.2.7/24"]), "other"),
    ];
    for (interface, want) in cases {
        assert_eq!(
            groups(std::slice::from_ref(&interface), &interface.name),
            want,
            "{interface:?}"
        );
    }
}

#[test]
fn a_pair_leads_to_a_pod_to_a_network_or_nowhere() {
    let cali = one("cali1a2b", "veth", &[]);
    assert_eq!(groups(&[pod(cali.clone())], "cali1a2b"), "pod");
    assert_eq!(groups(&[cali], "cali1a2b"), "other");
    // The card of a node that is a container.
    let eth1 = one("eth1", "veth", &["172.20.0.3/16"]);
    assert_eq!(groups(&[elsewhere(eth1.clone())], "eth1"), "uplink");
    assert_eq!(groups(&[eth1], "eth1"), "other");
}

#[test]
fn what_looks_like_a_pod() {
    let cases = [
        (one("cali1a2b", "veth", &[]), true),
        (one("cali1a2b", "veth", &["fe80::ecee:eeff:feee:eeee/64"]), true),
        // The plug-in `ptp` gives every host end the gateway's address.
        (one("veth1a2b", "veth", &["10.244.0.1/32"]), true),
        (one("eth1", "veth", &["172.20.0.3/16"]), false),
        (way_out(one("eth0", "veth", &["172.18.0.3/32"])), false),
    ];
    for (interface, want) in cases {
        assert_eq!(looks_like_pod(&elsewhere(interface.clone())), want, "{interface:?}");
        assert!(!looks_like_pod(&interface), "its other end is here: {interface:?}");
    }
}

#[test]
fn a_bridge_stands_for_its_ports() {
    let cni0 = one("cni0", "bridge", &["10.244.0.1/24"]);
    let veth = port(pod(one("veth1a2b", "veth", &[])), "cni0");
    let vxlan = port(one("vxlan0", "vxlan", &[]), "cni0");
    let all = [cni0, veth, vxlan];
    assert_eq!(groups(&all, "cni0"), "bridge pod");
    assert_eq!(
        (groups(&all, "veth1a2b"), groups(&all, "vxlan0")),
        ("no part".into(), "no part".into())
    );
    let eth1 = port(one("eth1", "", &[]), "br1");
    assert_eq!(
        groups(&[one("br1", "bridge", &["192.0.2.7/24"]), eth1.clone()], "br1"),
        "bridge uplink"
    );
    assert_eq!(groups(&[one("br1", "bridge", &[]), eth1.clone()], "br1"), "bridge");
    assert_eq!(groups(&[way_out(one("br1", "bridge", &[])), eth1], "br1"), "bridge uplink");
}

#[test]
fn a_bond_stands_for_its_members() {
    let bond = way_out(one("bond0", "bond", &["192.0.2.7/24"]));
    let members = ["eth0", "eth1"].map(|name| port(one(name, "", &[]), "bond0"));
    let all = [bond, members[0].clone(), members[1].clone()];
    let got = ["bond0", "eth0", "eth1"].map(|name| groups(&all, name));
    assert_eq!(got, ["uplink", "no part", "no part"]);
}
