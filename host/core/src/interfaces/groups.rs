//! The groups that an interface is in by what it is, without any policy. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::name::GroupName;
use crate::view::Interface;

/// Kinds that carry the node's own network as a network card does: `rtnl_link_ops.kind`, empty for
/// hardware.
const CARDS: [&str; 10] =
    ["", "bond", "team", "vlan", "macvlan", "ipvlan", "macsec", "ipoib", "dsa", "wwan"];
/// Kinds whose ports reach the node through them. An Open vSwitch port of this kind is the switch's
/// own side.
const BRIDGES: [&str; 2] = ["bridge", "openvswitch"];
/// Kinds made to carry a pod network between nodes.
const OVERLAYS: [&str; 2] = ["vxlan", "geneve"];
/// Kinds that wrap packets, or hand them to a program.
const TUNNELS: [&str; 20] = [
    "ipip",
    "sit",
    "ip6tnl",
    "gre",
    "gretap",
    "ip6gre",
    "ip6gretap",
    "erspan",
    "ip6erspan",
    "vti",
    "vti6",
    "xfrm",
    "wireguard",
    "tun",
    "ovpn",
    "ppp",
    "bareudp",
    "gtp",
    "amt",
    "l2tpeth",
];
/// Tunnels that are the pod network of Calico, Cilium or Flannel. Nothing but the name tells.
const OVERLAY_NAMES: [&str; 6] =
    ["tunl0", "wireguard.cali", "wg-v6.cali", "cilium_wg0", "flannel-wg", "flannel-wg-v6"];
/// What kube-router's tunnels to other nodes begin with.
const OVERLAY_PREFIX: &str = "tun-";

/// What of [`Interface::attributes`] says where the other end of a pair (a veth, a netkit) is:
/// [`ELSEWHERE`] is another network namespace. There is no such attribute otherwise.
pub const PEER: &str = "peer";
/// See [`PEER`].
pub const ELSEWHERE: &str = "elsewhere";
/// What of [`Interface::attributes`] names the interface below: a VLAN's or a macvlan's.
pub const PARENT: &str = "parent";

/// A built-in group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BuiltIn {
    /// By which traffic leaves the node or comes to it.
    Uplink,
    /// The node's end of a pod's interface, or the bridge that stands for such.
    Pod,
    /// Carries the pod network between nodes.
    Overlay,
    /// Joins other interfaces.
    Bridge,
    /// Wraps packets.
    Tunnel,
    /// In none of these.
    Other,
}

impl BuiltIn {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Uplink, Self::Pod, Self::Overlay, Self::Bridge, Self::Tunnel, Self::Other];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uplink => "uplink",
            Self::Pod => "pod",
            Self::Overlay => "overlay",
            Self::Bridge => "bridge",
            Self::Tunnel => "tunnel",
            Self::Other => "other",
        }
    }

    /// Its name as any group's.
    #[must_use]
    pub fn name(self) -> Option<GroupName> {
        self.as_str().parse().ok()
    }
}

/// The built-in groups of an interface that has these ports; at least one.
pub(super) fn built_in(one: &Interface, ports: &[&Interface]) -> BTreeSet<BuiltIn> {
    let kind = one.kind.as_str();
    let bridge = BRIDGES.contains(&kind);
    let tunnel = TUNNELS.contains(&kind);
    let is = [
        (BuiltIn::Uplink, is_uplink(one, ports)),
        (BuiltIn::Pod, one.pod || (bridge && ports.iter().any(|port| port.pod))),
        (BuiltIn::Overlay, OVERLAYS.contains(&kind) || (tunnel && is_overlay_name(&one.name))),
        (BuiltIn::Bridge, bridge),
        (BuiltIn::Tunnel, tunnel),
    ];
    let mut groups: BTreeSet<_> = is.into_iter().filter(|(_, is)| *is).map(|(it, _)| it).collect();
    if groups.is_empty() {
        groups.insert(BuiltIn::Other);
    }
    groups
}

fn is_uplink(one: &Interface, ports: &[&Interface]) -> bool {
    if one.default_route {
        return true;
    }
    let kind = one.kind.as_str();
    if CARDS.contains(&kind) {
        return one.addresses.iter().any(|net| is_of_the_node(net.addr()));
    }
    let has_card = || ports.iter().any(|port| CARDS.contains(&port.kind.as_str()));
    (leads_elsewhere(one) || (BRIDGES.contains(&kind) && has_card())) && has_own_network(one)
}

fn is_overlay_name(name: &str) -> bool {
    OVERLAY_NAMES.contains(&name) || name.starts_with(OVERLAY_PREFIX)
}

/// Whether an interface looks like the node's end of a pod's: one of a pair whose other end is in
/// another network namespace. The other thing that such may be is the network card of a node that is
/// itself a container: that has the way out, or a network and not only single addresses.
#[must_use]
pub fn looks_like_pod(one: &Interface) -> bool {
    leads_elsewhere(one) && !one.default_route && !has_own_network(one)
}

fn leads_elsewhere(one: &Interface) -> bool {
    one.attributes.get(PEER).is_some_and(|is| is == ELSEWHERE)
}

/// Whether one of its addresses has a network around it that the node is in.
fn has_own_network(one: &Interface) -> bool {
    let is_network = |net: &IpNet| net.prefix_len() < net.max_prefix_len();
    one.addresses.iter().any(|net| is_network(net) && is_of_the_node(net.addr()))
}

/// Neither loopback nor link-local, of which an interface may have one without being configured.
fn is_of_the_node(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
#[path = "groups_tests.rs"]
mod tests;
