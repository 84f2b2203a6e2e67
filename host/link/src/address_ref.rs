//! Addresses where they lie in a dump: read without being copied.
//!
//! Pure. A node may have tens of thousands, and each is looked at in every dump.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::name::{Family, LinkIndex};
use crate::wire::{Attrs, Malformed, u32_of};

const FIXED_LEN: usize = 8;
const NO_ADDRESS: Malformed = Malformed { what: "address", why: "no IFA_LOCAL or IFA_ADDRESS" };

/// An address in network order, borrowed from a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpRef<'a> {
    /// `AF_INET`.
    V4(&'a [u8; 4]),
    /// `AF_INET6`.
    V6(&'a [u8; 16]),
}

impl IpRef<'_> {
    /// [`crate::address::is_node_address`].
    #[must_use]
    #[inline]
    pub fn is_node_address(self) -> bool {
        match self {
            Self::V4(octets) => !Ipv4Addr::from(*octets).is_loopback(),
            Self::V6(octets) => {
                let ip = Ipv6Addr::from(*octets);
                !ip.is_unicast_link_local() && !ip.is_loopback()
            }
        }
    }

    /// A copy.
    #[must_use]
    #[inline]
    pub fn to_ip(self) -> IpAddr {
        match self {
            Self::V4(octets) => (*octets).into(),
            Self::V6(octets) => (*octets).into(),
        }
    }
}

/// Both ends of an address: always of one family.
#[derive(Clone, Copy, Debug)]
pub(crate) enum IpsRef<'a> {
    V4 { ip: &'a [u8; 4], peer: &'a [u8; 4] },
    V6 { ip: &'a [u8; 16], peer: &'a [u8; 16] },
}

/// An [`crate::Address`], borrowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AddressRef<'a> {
    pub(crate) ips: IpsRef<'a>,
    pub(crate) link: LinkIndex,
    pub(crate) prefix_len: u8,
    pub(crate) scope: u8,
    pub(crate) flags: u32,
}

impl<'a> AddressRef<'a> {
    /// See [`crate::Address::decode`].
    #[inline]
    pub(crate) fn decode(body: &'a [u8]) -> Result<Option<Self>, Malformed> {
        let Some((family, link)) = fixed_part(body)? else { return Ok(None) };
        let (mut local, mut peer, mut flags) = (None, None, u32::from(body[2]));
        let mut attrs = Attrs::new(&body[FIXED_LEN..]);
        while let Some((kind, value)) = attrs.step() {
            match kind {
                libc::IFA_LOCAL => local = Some(value),
                libc::IFA_ADDRESS => peer = Some(value),
                libc::IFA_FLAGS => flags = u32_of("IFA_FLAGS", value)?,
                _ => {}
            }
        }
        attrs.end()?;
        let Some(ip) = local.or(peer) else { return Err(NO_ADDRESS) };
        let peer = peer.unwrap_or(ip);
        let ips = match family {
            Family::V4 => IpsRef::V4 { ip: octets(ip)?, peer: octets(peer)? },
            Family::V6 => IpsRef::V6 { ip: octets(ip)?, peer: octets(peer)? },
        };
        Ok(Some(Self { ips, link, prefix_len: body[1], scope: body[3], flags }))
    }
}

/// Only the link and this end's address: stops at the attribute that says it.
#[inline]
pub(crate) fn decode_ip(body: &[u8]) -> Result<Option<(LinkIndex, IpRef<'_>)>, Malformed> {
    let Some((family, link)) = fixed_part(body)? else { return Ok(None) };
    let mut attrs = Attrs::new(&body[FIXED_LEN..]);
    let mut found = None;
    loop {
        match attrs.step() {
            Some((libc::IFA_LOCAL, value)) => {
                found = Some(value);
                break;
            }
            Some((libc::IFA_ADDRESS, value)) => found = Some(value),
            Some(_) => {}
            None => {
                attrs.end()?;
                break;
            }
        }
    }
    let Some(ip) = found else { return Err(NO_ADDRESS) };
    let ip = match family {
        Family::V4 => IpRef::V4(octets(ip)?),
        Family::V6 => IpRef::V6(octets(ip)?),
    };
    Ok(Some((link, ip)))
}

/// Family and link of a body that is long enough; `None` for a family that isn't IP.
#[inline]
fn fixed_part(body: &[u8]) -> Result<Option<(Family, LinkIndex)>, Malformed> {
    let Some([family, _, _, _, index @ ..]) = body.first_chunk::<FIXED_LEN>() else {
        return Err(Malformed::new("address", "shorter than struct ifaddrmsg"));
    };
    let Some(family) = Family::from_number(*family) else { return Ok(None) };
    let link = LinkIndex::new(u32::from_ne_bytes(*index));
    let link = link.ok_or(Malformed::new("address", "on link 0"))?;
    Ok(Some((family, link)))
}

#[inline]
fn octets<const N: usize>(value: &[u8]) -> Result<&[u8; N], Malformed> {
    let wrong = Malformed::new("address", "of another length than its family's");
    value.try_into().map_err(|_| wrong)
}
