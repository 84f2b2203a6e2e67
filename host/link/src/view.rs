//! The node's links, addresses and ways out, as last told.
//!
//! Pure: [`NodeView::load`] takes a dump, [`NodeView::apply`] an event. Events that are older than
//! the dump may be applied after it, as long as all of them are, in order: the last one about a
//! thing agrees with the dump or is newer.

use std::collections::BTreeMap;

use crate::default_route::DefaultRoute;
use crate::event::Event;
use crate::link::{Link, LinkMessage};
use crate::local_addresses::LocalAddresses;
use crate::name::LinkIndex;

/// Everything that a resync dumps.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// All links.
    pub links: Vec<Link>,
    /// All addresses.
    pub addresses: LocalAddresses,
    /// All default routes.
    pub default_routes: Vec<DefaultRoute>,
}

/// Links, addresses and default routes of one network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeView {
    addresses: LocalAddresses,
    links: BTreeMap<LinkIndex, Link>,
    routes: Vec<DefaultRoute>,
}

impl NodeView {
    /// The addresses.
    #[must_use]
    pub fn addresses(&self) -> &LocalAddresses {
        &self.addresses
    }

    /// The links, by index.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// One link.
    #[must_use]
    pub fn link(&self, index: LinkIndex) -> Option<&Link> {
        self.links.get(&index)
    }

    /// The link of that name.
    #[must_use]
    pub fn link_named(&self, name: &str) -> Option<&Link> {
        self.links().find(|link| link.name == name)
    }

    /// The default routes, of all tables.
    #[must_use]
    pub fn default_routes(&self) -> &[DefaultRoute] {
        &self.routes
    }

    /// Whether a default route of some table leads out by this link, and the link is up.
    #[must_use]
    pub fn carries_default_route(&self, index: LinkIndex) -> bool {
        self.is_up(index) && self.routes.iter().any(|route| route.links.contains(&index))
    }

    /// Takes a dump in place of what was known; true when something differs.
    pub fn load(&mut self, snapshot: Snapshot) -> bool {
        let links = snapshot.links.into_iter().map(|link| (link.index, link)).collect();
        let mut routes = snapshot.default_routes;
        routes.sort();
        let differs = links != self.links || routes != self.routes;
        self.links = links;
        self.routes = routes;
        self.addresses.load(snapshot.addresses) || differs
    }

    /// Takes one event; true when something differs.
    pub fn apply(&mut self, event: Event) -> bool {
        match event {
            Event::AddressPut(address) => self.addresses.put(&address),
            Event::AddressGone(address) => self.addresses.remove(&address),
            Event::LinkPut(message) => self.put_link(message),
            Event::LinkGone(index) => self.remove_link(index),
            Event::RoutePut { route, replaces } => self.put_route(route, replaces),
            Event::RouteGone(route) => self.remove_route(&route),
        }
    }

    fn put_link(&mut self, message: LinkMessage) -> bool {
        let LinkMessage { mut link, whole } = message;
        let index = link.index;
        let old = self.links.get(&index);
        if let (false, Some(old)) = (whole, old) {
            let Link { name, flags, .. } = link;
            link = Link { name, flags, ..old.clone() };
        }
        let differs = old != Some(&link);
        self.links.insert(index, link);
        self.drop_dead_routes();
        differs
    }

    fn remove_link(&mut self, index: LinkIndex) -> bool {
        // The kernel tells of each address that goes with a link; of the routes it tells nothing.
        self.routes.retain(|route| !route.links.contains(&index));
        let had_addresses = self.addresses.remove_link(index);
        self.links.remove(&index).is_some() || had_addresses
    }

    /// Routes all of whose links were switched off. The kernel removes them without a word; one
    /// that has another link that is up stays, and takes the first back once it is up again.
    fn drop_dead_routes(&mut self) {
        let links = &self.links;
        let down = |index: &LinkIndex| links.get(index).is_some_and(|link| !link.is_up());
        self.routes.retain(|route| route.links.is_empty() || !route.links.iter().all(down));
    }

    fn is_up(&self, index: LinkIndex) -> bool {
        self.links.get(&index).is_some_and(Link::is_up)
    }

    fn put_route(&mut self, route: DefaultRoute, replaces: bool) -> bool {
        let before = self.routes.clone();
        // IPv6 tells of a hop that joins a route by the whole new route.
        let grown = |old: &DefaultRoute| {
            route.links.len() > 1 && old.links.iter().all(|link| route.links.contains(link))
        };
        self.routes.retain(|old| !(route.replaces(old) && (replaces || grown(old))));
        if let Err(at) = self.routes.binary_search(&route) {
            self.routes.insert(at, route);
        }
        self.routes != before
    }

    fn remove_route(&mut self, route: &DefaultRoute) -> bool {
        if let Ok(at) = self.routes.binary_search(route) {
            self.routes.remove(at);
            return true;
        }
        // IPv6 tells of a hop that leaves a route by that hop alone.
        let whole = self.routes.iter_mut().find(|old| {
            route.replaces(old)
                && !route.links.is_empty()
                && route.links.iter().all(|link| old.links.contains(link))
        });
        let Some(whole) = whole else { return false };
        whole.links.retain(|link| !route.links.contains(link));
        self.routes.sort();
        true
    }
}
