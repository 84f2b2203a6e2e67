//! Default routes: which links lead out of the node.
//!
//! Pure. `struct rtmsg`, `struct rtnexthop` and the `RTA_` attributes (linux/rtnetlink.h).

use crate::name::{Family, LinkIndex};
use crate::vip::FIXED_LEN;
use crate::wire::{Attrs, Malformed, Writer, u32_of};

const NEXTHOP_LEN: usize = 8;

/// A unicast route to everywhere, of any table.
///
/// Routes with the same first four fields are one route to the kernel's `NLM_F_REPLACE`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DefaultRoute {
    /// Its family.
    pub family: Family,
    /// Its table; `RT_TABLE_MAIN` is 254.
    pub table: u32,
    /// `rtm_tos`.
    pub tos: u8,
    /// Its metric; 0 is the best.
    pub priority: u32,
    /// The links of its next hops, as the kernel orders them. May be empty.
    pub links: Vec<LinkIndex>,
}

impl DefaultRoute {
    /// Reads the body of a route message; `None` when it isn't a default route.
    ///
    /// # Errors
    /// When the bytes aren't a route.
    pub fn decode(body: &[u8]) -> Result<Option<Self>, Malformed> {
        let Some((fixed, attrs)) = body.split_first_chunk::<FIXED_LEN>() else {
            return Err(Malformed::new("route", "shorter than struct rtmsg"));
        };
        let [family, dst_len, _, tos, table, _, _, kind, ..] = *fixed;
        let Some(family) = Family::from_number(family) else { return Ok(None) };
        // A cached exception of a route isn't a route.
        let flags = u32::from_ne_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]);
        if dst_len != 0 || kind != libc::RTN_UNICAST || flags & libc::RTM_F_CLONED != 0 {
            return Ok(None);
        }
        let mut route = Self { family, table: table.into(), tos, priority: 0, links: Vec::new() };
        for attr in Attrs::new(attrs) {
            route.take(attr?)?;
        }
        Ok(Some(route))
    }

    fn take(&mut self, attr: (u16, &[u8])) -> Result<(), Malformed> {
        match attr {
            (libc::RTA_TABLE, value) => self.table = u32_of("RTA_TABLE", value)?,
            (libc::RTA_PRIORITY, value) => self.priority = u32_of("RTA_PRIORITY", value)?,
            (libc::RTA_OIF, value) => self.links.extend(LinkIndex::new(u32_of("RTA_OIF", value)?)),
            (libc::RTA_MULTIPATH, value) => self.take_hops(value)?,
            _ => {}
        }
        Ok(())
    }

    fn take_hops(&mut self, mut hops: &[u8]) -> Result<(), Malformed> {
        while let Some((head, _)) = hops.split_first_chunk::<NEXTHOP_LEN>() {
            let len = usize::from(u16::from_ne_bytes([head[0], head[1]]));
            if len < NEXTHOP_LEN || len > hops.len() {
                return Err(Malformed::new("next hop", "length outside its attribute"));
            }
            let index = u32::from_ne_bytes([head[4], head[5], head[6], head[7]]);
            self.links.extend(LinkIndex::new(index));
            hops = hops.get((len + 3) & !3..).unwrap_or_default();
        }
        Ok(())
    }

    /// Whether `NLM_F_REPLACE` with this route takes `other`'s place.
    #[must_use]
    pub fn replaces(&self, other: &Self) -> bool {
        (self.family, self.table, self.tos, self.priority)
            == (other.family, other.table, other.tos, other.priority)
    }
}

/// Asks for all unicast routes of one family: the kernel can't be asked for default ones alone,
/// but a strict socket has it leave out the `local` routes, ours among them.
pub(crate) fn encode_dump(w: &mut Writer, family: Family) {
    let mut fixed = [0u8; FIXED_LEN];
    fixed[0] = family.number();
    fixed[7] = libc::RTN_UNICAST;
    w.open(libc::RTM_GETROUTE, (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16, &fixed);
}
