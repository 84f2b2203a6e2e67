//! Addresses of links: which one a message carries, and which a node is reached by.
//!
//! Pure. `struct ifaddrmsg` and the `IFA_` attributes (linux/if_addr.h).

use std::net::IpAddr;

use crate::address_ref::{AddressRef, IpRef, IpsRef};
use crate::name::{Family, LinkIndex};
use crate::vip::Vip;
use crate::wire::Malformed;
use crate::wire::Writer;

/// One address of one link.
///
/// The first four fields are what the kernel tells addresses apart by: one IPv4 address may be on
/// a link twice, with other prefixes or other peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// This end's address (`IFA_LOCAL`, or `IFA_ADDRESS` where there is no such attribute).
    pub ip: IpAddr,
    /// The link that carries it.
    pub link: LinkIndex,
    /// The other end's address on a point-to-point link, otherwise `ip` (`IFA_ADDRESS`).
    pub peer: IpAddr,
    /// Bits of the prefix: 0 to 32 or 128.
    pub prefix_len: u8,
    /// `RT_SCOPE_UNIVERSE` (0), `RT_SCOPE_LINK` (253) or `RT_SCOPE_HOST` (254).
    pub scope: u8,
    /// `IFA_F_` bits, such as `IFA_F_TENTATIVE`.
    pub flags: u32,
}

impl Address {
    /// Reads the body of `RTM_NEWADDR` or `RTM_DELADDR`; `None` for a family that isn't IP.
    ///
    /// # Errors
    /// When the bytes don't hold an address of their family on a link.
    pub fn decode(body: &[u8]) -> Result<Option<Self>, Malformed> {
        let Some(raw) = AddressRef::decode(body)? else { return Ok(None) };
        let (ip, peer) = match raw.ips {
            IpsRef::V4 { ip, peer } => (IpAddr::from(*ip), IpAddr::from(*peer)),
            IpsRef::V6 { ip, peer } => (IpAddr::from(*ip), IpAddr::from(*peer)),
        };
        let AddressRef { link, prefix_len, scope, flags, .. } = raw;
        Ok(Some(Self { ip, link, peer, prefix_len, scope, flags }))
    }

    /// Whether the kernel would take `other` for the same address.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (self.ip, self.link, self.peer, self.prefix_len)
            == (other.ip, other.link, other.peer, other.prefix_len)
    }

    /// Whether it may be a packet's source now: neither tentative, failed nor deprecated.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let unsettled = libc::IFA_F_TENTATIVE | libc::IFA_F_DADFAILED | libc::IFA_F_DEPRECATED;
        self.flags & unsettled == 0
    }
}

/// Whether a node is reached by `ip`: not loopback, and in IPv6 not link-local.
///
/// IPv4 link-local (169.254.0.0/16) counts: cloud nodes are reached by it. The same rule as
/// kube-proxy's `isValidForSet`.
#[must_use]
pub fn is_node_address(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => IpRef::V4(&v4.octets()).is_node_address(),
        IpAddr::V6(v6) => IpRef::V6(&v6.octets()).is_node_address(),
    }
}

/// [`is_node_address`] for one family: an address of the other one is out.
#[must_use]
pub fn is_node_address_of(family: Family, ip: IpAddr) -> bool {
    Family::of(ip) == family && is_node_address(ip)
}

/// Asks for all addresses of both families, or of one link (which the kernel filters when the
/// socket is strict: `NETLINK_GET_STRICT_CHK`, Linux 4.20).
pub(crate) fn encode_dump(w: &mut Writer, link: Option<LinkIndex>) {
    let index = link.map_or(0, LinkIndex::get).to_ne_bytes();
    let fixed = [libc::AF_UNSPEC as u8, 0, 0, 0, index[0], index[1], index[2], index[3]];
    w.open(libc::RTM_GETADDR, (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16, &fixed);
}

/// Puts a VIP on a link.
///
/// Scope host (IPv4) and a preferred lifetime of zero (IPv6) keep the kernel from choosing it as
/// a source towards other hosts; no duplicate detection and no prefix route, as nobody else on a
/// dummy could have it.
pub(crate) fn encode_bind(w: &mut Writer, vip: Vip, link: LinkIndex) {
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    open_vip(w, libc::RTM_NEWADDR, flags as u16, vip, link);
    if vip.family() == Family::V6 {
        w.attr_u32(libc::IFA_FLAGS, libc::IFA_F_NODAD | libc::IFA_F_NOPREFIXROUTE);
        // struct ifa_cacheinfo: preferred 0, valid for ever, two time stamps that are the kernel's
        let mut lifetimes = [0u8; 16];
        lifetimes[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
        w.attr(libc::IFA_CACHEINFO, &lifetimes);
    }
}

/// Takes a VIP off a link.
pub(crate) fn encode_unbind(w: &mut Writer, vip: Vip, link: LinkIndex) {
    open_vip(w, libc::RTM_DELADDR, libc::NLM_F_REQUEST as u16, vip, link);
}

fn open_vip(w: &mut Writer, kind: u16, flags: u16, vip: Vip, link: LinkIndex) {
    let family = vip.family();
    let scope = if family == Family::V4 { libc::RT_SCOPE_HOST } else { libc::RT_SCOPE_UNIVERSE };
    let index = link.get().to_ne_bytes();
    let [a, b, c, d] = index;
    w.open(kind, flags, &[family.number(), family.bits(), 0, scope, a, b, c, d]);
    w.attr_ip(libc::IFA_LOCAL, vip.ip());
    w.attr_ip(libc::IFA_ADDRESS, vip.ip());
}
