//! What the kernel tells of its own accord: links, addresses and default routes that came or went.
//!
//! Pure: from a netlink message to an [`Event`].

use crate::address::Address;
use crate::default_route::DefaultRoute;
use crate::link::{self, Link, LinkMessage};
use crate::name::LinkIndex;
use crate::wire::{Malformed, Message};

/// One thing that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An address was added or its flags changed.
    AddressPut(Address),
    /// An address was removed.
    AddressGone(Address),
    /// A link was added or changed.
    LinkPut(LinkMessage),
    /// A link was removed, or moved to another network namespace.
    LinkGone(LinkIndex),
    /// A default route was added; `replaces` those that it takes the place of.
    RoutePut {
        /// The route.
        route: DefaultRoute,
        /// Whether it took the place of others (`NLM_F_REPLACE`).
        replaces: bool,
    },
    /// A default route was removed.
    RouteGone(DefaultRoute),
}

impl Event {
    /// Reads one message of the event socket; `None` when it tells nothing that is kept here.
    ///
    /// # Errors
    /// When it is a message of a kind that is kept here, but can't be read.
    pub fn decode(message: &Message<'_>) -> Result<Option<Self>, Malformed> {
        let body = message.body;
        Ok(match message.kind {
            libc::RTM_NEWADDR => Address::decode(body)?.map(Self::AddressPut),
            libc::RTM_DELADDR => Address::decode(body)?.map(Self::AddressGone),
            libc::RTM_NEWLINK => Link::decode(body)?.map(Self::LinkPut),
            libc::RTM_DELLINK => link::decode_gone(body)?.map(Self::LinkGone),
            libc::RTM_NEWROUTE => {
                let replaces = message.flags & libc::NLM_F_REPLACE as u16 != 0;
                DefaultRoute::decode(body)?.map(|route| Self::RoutePut { route, replaces })
            }
            libc::RTM_DELROUTE => DefaultRoute::decode(body)?.map(Self::RouteGone),
            _ => None,
        })
    }
}
