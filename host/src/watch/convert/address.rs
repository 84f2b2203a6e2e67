//! Addresses and ranges: what may stand in a Service, a slice or a Node. Pure.

use std::net::IpAddr;

use ipnet::IpNet;

/// Whether link-local addresses make sense in a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkLocal {
    Accepted,
    Refused,
}

/// Reads one address that traffic can be sent to.
///
/// Refused as the API server's validation does it (`ValidateNonSpecialIP` of
/// kubernetes/pkg/apis/core/validation), since to make such an address a VIP would cut a node off.
pub(super) fn address(text: &str, link_local: LinkLocal) -> Result<IpAddr, String> {
    let address: IpAddr = text.parse().map_err(|_| format!("{text:?} is not an IP address"))?;
    let special = special(address, link_local);
    special.map_or(Ok(address), |what| Err(format!("{text} is {what}")))
}

fn special(address: IpAddr, link_local: LinkLocal) -> Option<&'static str> {
    if address.is_unspecified() {
        return Some("the unspecified address");
    }
    if address.is_loopback() {
        return Some("a loopback address");
    }
    if address.is_multicast() {
        return Some("a multicast address");
    }
    let local = match address {
        IpAddr::V4(v4) if v4.is_broadcast() => return Some("the broadcast address"),
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            return Some("an IPv4 address written as IPv6, which Kubernetes has given up");
        }
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    (local && link_local == LinkLocal::Refused).then_some("a link-local address")
}

/// Reads one range in CIDR notation; bits beyond the prefix are cleared, as Go's ParseCIDR does.
pub(super) fn range(text: &str) -> Result<IpNet, String> {
    let range: Result<IpNet, _> = text.trim().parse();
    range.map(|r| r.trunc()).map_err(|_| format!("{text:?} is not a range such as 10.0.0.0/8"))
}
