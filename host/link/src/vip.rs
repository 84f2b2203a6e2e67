//! Virtual addresses as `local` routes of our own: how they are written and known again.
//!
//! Pure. `struct rtmsg` and the `RTA_` attributes (linux/rtnetlink.h).

use std::fmt;
use std::net::IpAddr;

use crate::name::{Family, LinkIndex};
use crate::wire::{Attrs, Malformed, Writer, ip_of, u32_of};

/// `rtm_protocol` of every route of ours (119): free in iproute2's rt_protos and of the numbers
/// that the routing daemons took. A restarted daemon knows its routes by it.
pub const ROUTE_PROTOCOL: u8 = 0x77;

/// Metric of our routes. The kernel's own route of a node address has metric 0 and is therefore
/// another route, which ours neither replaces nor removes and which goes first.
pub const ROUTE_PRIORITY: u32 = 0x77;

/// Bytes of `struct rtmsg`.
pub(crate) const FIXED_LEN: usize = 12;

/// An address that can be made local for a service: not unspecified, loopback, multicast or
/// broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vip(IpAddr);

/// The address can't be a service's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} can't be a virtual address: unspecified, loopback, multicast or broadcast")]
pub struct BadVip(pub IpAddr);

impl Vip {
    /// Checks `ip`.
    ///
    /// # Errors
    /// When making it local would take more than one host's traffic, or this host's own.
    pub fn new(ip: IpAddr) -> Result<Self, BadVip> {
        let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
        if ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || broadcast {
            return Err(BadVip(ip));
        }
        Ok(Self(ip))
    }

    /// The address.
    #[must_use]
    pub const fn ip(self) -> IpAddr {
        self.0
    }

    /// Its family.
    #[must_use]
    pub const fn family(self) -> Family {
        Family::of(self.0)
    }
}

impl fmt::Display for Vip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A VIP made local: `local VIP dev LINK table local proto 119 scope host src SRC metric 119`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VipRoute {
    /// What becomes local, as a /32 or /128.
    pub vip: Vip,
    /// The device of the route. Loopback serves best: it is always there.
    pub link: LinkIndex,
    /// The source that node → VIP connections choose; `None` lets the kernel choose the VIP
    /// itself. Must be an address of this node and of the VIP's family (else `EINVAL`).
    pub src: Option<IpAddr>,
}

impl VipRoute {
    /// A route on loopback without a source.
    #[must_use]
    pub const fn new(vip: Vip) -> Self {
        Self { vip, link: LinkIndex::LOOPBACK, src: None }
    }

    /// Reads the body of `RTM_NEWROUTE`; `None` when it isn't one of our routes.
    ///
    /// # Errors
    /// When the bytes aren't a route, or one of ours without its destination or device.
    pub fn decode(body: &[u8]) -> Result<Option<Self>, Malformed> {
        let Some((fixed, attrs)) = body.split_first_chunk::<FIXED_LEN>() else {
            return Err(Malformed::new("route", "shorter than struct rtmsg"));
        };
        let [family, dst_len, _, _, table, protocol, _, kind, ..] = *fixed;
        let Some(family) = Family::from_number(family) else { return Ok(None) };
        let ours = protocol == ROUTE_PROTOCOL
            && kind == libc::RTN_LOCAL
            && table == libc::RT_TABLE_LOCAL
            && dst_len == family.bits();
        if !ours {
            return Ok(None);
        }
        Self::decode_attrs(family, attrs).map(Some)
    }

    fn decode_attrs(family: Family, attrs: &[u8]) -> Result<Self, Malformed> {
        let (mut dst, mut link, mut src) = (None, None, None);
        for attr in Attrs::new(attrs) {
            match attr? {
                (libc::RTA_DST, value) => dst = Some(ip_of("RTA_DST", value)?),
                (libc::RTA_OIF, value) => link = LinkIndex::new(u32_of("RTA_OIF", value)?),
                (libc::RTA_PREFSRC, value) => src = Some(ip_of("RTA_PREFSRC", value)?),
                _ => {}
            }
        }
        let dst = dst.filter(|ip| Family::of(*ip) == family);
        let vip = dst.and_then(|ip| Vip::new(ip).ok());
        let vip = vip.ok_or(Malformed::new("route", "of ours without a virtual address"))?;
        let link = link.ok_or(Malformed::new("route", "of ours without a device"))?;
        Ok(Self { vip, link, src })
    }
}

/// What to do where there is such a route already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    Refuse,
    Replace,
}

pub(crate) fn encode_put(w: &mut Writer, route: &VipRoute, existing: Existing) {
    let how = match existing {
        Existing::Refuse => libc::NLM_F_EXCL,
        Existing::Replace => libc::NLM_F_REPLACE,
    };
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_CREATE | how;
    open(w, libc::RTM_NEWROUTE, flags as u16, route.vip);
    w.attr_u32(libc::RTA_OIF, route.link.get());
    if let Some(src) = route.src {
        w.attr_ip(libc::RTA_PREFSRC, src);
    }
}

/// Removes our route of `vip`, whatever its device and source, and no other's.
pub(crate) fn encode_remove(w: &mut Writer, vip: Vip) {
    open(w, libc::RTM_DELROUTE, libc::NLM_F_REQUEST as u16, vip);
}

/// Asks for our routes of one family; a strict socket has the kernel leave out all others.
///
/// One family at a time: with `AF_UNSPEC` the kernel would walk the multicast tables as well.
pub(crate) fn encode_dump(w: &mut Writer, family: Family) {
    let mut fixed = [0u8; FIXED_LEN];
    fixed[0] = family.number();
    fixed[4] = libc::RT_TABLE_LOCAL;
    fixed[5] = ROUTE_PROTOCOL;
    fixed[7] = libc::RTN_LOCAL;
    w.open(libc::RTM_GETROUTE, (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16, &fixed);
}

fn open(w: &mut Writer, kind: u16, flags: u16, vip: Vip) {
    let mut fixed = [0u8; FIXED_LEN];
    fixed[0] = vip.family().number();
    fixed[1] = vip.family().bits();
    fixed[4] = libc::RT_TABLE_LOCAL;
    fixed[5] = ROUTE_PROTOCOL;
    fixed[6] = libc::RT_SCOPE_HOST;
    fixed[7] = libc::RTN_LOCAL;
    w.open(kind, flags, &fixed);
    w.attr_ip(libc::RTA_DST, vip.ip());
    w.attr_u32(libc::RTA_PRIORITY, ROUTE_PRIORITY);
}
