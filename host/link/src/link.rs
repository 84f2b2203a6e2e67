//! Links (network devices): the facts of one that policies and clean-up ask for.
//!
//! Pure. `struct ifinfomsg` and the `IFLA_` attributes (linux/if_link.h).

use crate::flags::LinkFlags;
use crate::name::{LinkIndex, LinkName};
use crate::wire::{Attrs, Malformed, Writer, u32_of};

const FIXED_LEN: usize = 16;
/// `IFLA_INFO_KIND`, inside `IFLA_LINKINFO` (linux/if_link.h).
const INFO_KIND: u16 = 1;
/// `rtnl_link_ops.kind` of dummy devices.
const DUMMY: &str = "dummy";

/// What is known of one link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its index, fixed for its life.
    pub index: LinkIndex,
    /// Its name now; bytes that aren't UTF-8 are replaced.
    pub name: String,
    /// `veth`, `bridge`, `dummy`, …; empty for hardware and loopback.
    pub kind: String,
    /// The bridge, bond or VRF that it belongs to.
    pub master: Option<LinkIndex>,
    /// The link that it stands on (`IFLA_LINK`): a VLAN's or a macvlan's parent, what a tunnel is
    /// bound to. `None` where that is in another network namespace, and for one of a pair: of its
    /// other end the kernel tells nothing when that comes or goes.
    pub parent: Option<LinkIndex>,
    /// What it stands on, or its other end, is in another network namespace (`IFLA_LINK_NETNSID`).
    /// A link that is down may not say so yet.
    pub lower_elsewhere: bool,
    /// Bytes that one packet may have.
    pub mtu: u32,
    /// Its `IFF_` flags.
    pub flags: LinkFlags,
}

impl Link {
    /// Whether it is a dummy device, the only kind that is ever removed.
    #[must_use]
    pub fn is_dummy(&self) -> bool {
        self.kind == DUMMY
    }

    /// Whether it is one end of a pair: a veth or a netkit.
    #[must_use]
    pub fn is_pair(&self) -> bool {
        matches!(self.kind.as_str(), "veth" | "netkit")
    }

    /// Whether its other end is in another network namespace, as with a pod's.
    #[must_use]
    pub fn leads_elsewhere(&self) -> bool {
        self.is_pair() && self.lower_elsewhere
    }

    /// `IFF_UP`: somebody switched it on.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.flags.has(libc::IFF_UP)
    }

    /// `IFF_LOWER_UP`: it has a carrier.
    #[must_use]
    pub fn has_carrier(&self) -> bool {
        self.flags.has(libc::IFF_LOWER_UP)
    }

    /// `IFF_LOOPBACK`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.flags.has(libc::IFF_LOOPBACK)
    }

    /// Reads the body of `RTM_NEWLINK`; `None` when it is about a bridge port
    /// (`ifi_family` `AF_BRIDGE`) and thus not about the link's own life.
    ///
    /// # Errors
    /// When the bytes aren't a link with a name.
    pub fn decode(body: &[u8]) -> Result<Option<LinkMessage>, Malformed> {
        let Some((index, flags, attrs)) = fixed_part(body)? else { return Ok(None) };
        let mut link = Self::bare(index, flags);
        let (mut named, mut whole) = (false, false);
        for attr in Attrs::new(attrs) {
            match attr? {
                (libc::IFLA_IFNAME, value) => {
                    link.name = text(value);
                    named = true;
                }
                (libc::IFLA_MTU, value) => {
                    link.mtu = u32_of("IFLA_MTU", value)?;
                    whole = true;
                }
                (libc::IFLA_MASTER, value) => {
                    link.master = LinkIndex::new(u32_of("IFLA_MASTER", value)?);
                }
                (libc::IFLA_LINKINFO, value) => link.kind = kind_in(value)?,
                (libc::IFLA_LINK, value) => {
                    link.parent = LinkIndex::new(u32_of("IFLA_LINK", value)?);
                }
                (libc::IFLA_LINK_NETNSID, _) => link.lower_elsewhere = true,
                _ => {}
            }
        }
        if !named {
            return Err(Malformed::new("link", "no IFLA_IFNAME"));
        }
        // Elsewhere the index is another link's.
        if link.lower_elsewhere || link.is_pair() {
            link.parent = None;
        }
        Ok(Some(LinkMessage { link, whole }))
    }

    fn bare(index: LinkIndex, flags: u32) -> Self {
        Self {
            index,
            name: String::new(),
            kind: String::new(),
            master: None,
            parent: None,
            lower_elsewhere: false,
            mtu: 0,
            flags: LinkFlags::from_bits(flags),
        }
    }
}

/// A decoded `RTM_NEWLINK`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkMessage {
    /// The facts it holds.
    pub link: Link,
    /// False for a short notice (of a wireless driver, say) that repeats only name and flags:
    /// what it doesn't say has not changed.
    pub whole: bool,
}

/// Index of the link that `RTM_DELLINK` says is gone; `None` when only a bridge lost a port.
///
/// # Errors
/// When the bytes aren't a link message.
pub(crate) fn decode_gone(body: &[u8]) -> Result<Option<LinkIndex>, Malformed> {
    Ok(fixed_part(body)?.map(|(index, _, _)| index))
}

type Fixed<'a> = (LinkIndex, u32, &'a [u8]);

fn fixed_part(body: &[u8]) -> Result<Option<Fixed<'_>>, Malformed> {
    let Some((fixed, attrs)) = body.split_first_chunk::<FIXED_LEN>() else {
        return Err(Malformed::new("link", "shorter than struct ifinfomsg"));
    };
    if i32::from(fixed[0]) != libc::AF_UNSPEC {
        return Ok(None);
    }
    let word =
        |at: usize| u32::from_ne_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
    let index = LinkIndex::new(word(4)).ok_or(Malformed::new("link", "index 0"))?;
    Ok(Some((index, word(8), attrs)))
}

fn kind_in(info: &[u8]) -> Result<String, Malformed> {
    for attr in Attrs::new(info) {
        if let (INFO_KIND, value) = attr? {
            return Ok(text(value));
        }
    }
    Ok(String::new())
}

fn text(value: &[u8]) -> String {
    let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

pub(crate) fn encode_dump(w: &mut Writer) {
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    w.open(libc::RTM_GETLINK, flags, &[0; FIXED_LEN]);
}

pub(crate) fn encode_get(w: &mut Writer, name: &LinkName) {
    w.open(libc::RTM_GETLINK, libc::NLM_F_REQUEST as u16, &[0; FIXED_LEN]);
    attr_name(w, name);
}

/// A new dummy, left down: what is bound to it is local all the same, and a device that is down
/// grows no link-local address of its own.
pub(crate) fn encode_new_dummy(w: &mut Writer, name: &LinkName) {
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    w.open(libc::RTM_NEWLINK, flags as u16, &[0; FIXED_LEN]);
    attr_name(w, name);
    w.nest(libc::IFLA_LINKINFO, |w| w.attr(INFO_KIND, DUMMY.as_bytes()));
}

pub(crate) fn encode_remove(w: &mut Writer, index: LinkIndex) {
    let mut fixed = [0u8; FIXED_LEN];
    fixed[4..8].copy_from_slice(&index.get().to_ne_bytes());
    w.open(libc::RTM_DELLINK, libc::NLM_F_REQUEST as u16, &fixed);
}

fn attr_name(w: &mut Writer, name: &LinkName) {
    let mut zero_ended = name.as_str().as_bytes().to_vec();
    zero_ended.push(0);
    w.attr(libc::IFLA_IFNAME, &zero_ended);
}
