//! The view is what a dump would say, whatever happened in whatever order.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use weir_link::{
    Address, DefaultRoute, Event, Family, Link, LinkFlags, LinkIndex, LinkMessage, NodeView, Op,
    Snapshot, Sources, Vip, VipRoute,
};

/// What may happen to a node. Small numbers, so that things meet.
#[derive(Clone, Debug)]
enum Happening {
    AddAddress { link: u32, ip: u8, prefix_len: u8, flags: u32 },
    RemoveAddress { nth: usize },
    SetLink { link: u32, up: bool, mtu: u32 },
    ShortNotice { nth: usize },
    RemoveLink { nth: usize },
    AddRoute { links: Vec<u32>, priority: u32 },
    RemoveRoute { nth: usize },
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    use Happening as H;
    let link = || 2u32..6;
    let one = prop_oneof![
        4 => (link(), 0u8..12, 24u8..26, 0u32..3)
            .prop_map(|(link, ip, prefix_len, flags)| H::AddAddress { link, ip, prefix_len, flags }),
        2 => any::<usize>().prop_map(|nth| H::RemoveAddress { nth }),
        3 => (link(), any::<bool>(), 1300u32..1303)
            .prop_map(|(link, up, mtu)| H::SetLink { link, up, mtu }),
        1 => any::<usize>().prop_map(|nth| H::ShortNotice { nth }),
        1 => any::<usize>().prop_map(|nth| H::RemoveLink { nth }),
        2 => (proptest::collection::vec(link(), 1..3), 0u32..2)
            .prop_map(|(links, priority)| H::AddRoute { links, priority }),
        1 => any::<usize>().prop_map(|nth| H::RemoveRoute { nth }),
    ];
    proptest::collection::vec(one, 0..60)
}

/// A kernel as far as links, addresses and default routes go, and what it tells.
#[derive(Clone, Default)]
struct Kernel {
    links: BTreeMap<LinkIndex, Link>,
    addresses: Vec<Address>,
    routes: Vec<DefaultRoute>,
    told: Vec<Event>,
}

fn index(number: u32) -> LinkIndex {
    LinkIndex::new(number).expect("an index from 1 on")
}

fn ip(number: u8) -> IpAddr {
    if number.is_multiple_of(2) {
        Ipv4Addr::new(10, 0, 0, number + 1).into()
    } else {
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number.into()).into()
    }
}

fn link(number: u32, up: bool, mtu: u32) -> Link {
    Link {
        index: index(number),
        name: format!("v{number}"),
        kind: "veth".to_owned(),
        master: None,
        parent: None,
        lower_elsewhere: true,
        mtu,
        flags: LinkFlags::from_bits(if up {
            (libc::IFF_UP | libc::IFF_LOWER_UP) as u32
        } else {
            0
        }),
    }
}

impl Kernel {
    fn happen(&mut self, what: &Happening) {
        match what {
            Happening::AddAddress { link, ip: number, prefix_len, flags } => {
                self.add_address(index(*link), ip(*number), *prefix_len, *flags);
            }
            Happening::RemoveAddress { nth } if !self.addresses.is_empty() => {
                let gone = self.addresses.remove(nth % self.addresses.len());
                self.told.push(Event::AddressGone(gone));
            }
            Happening::SetLink { link: number, up, mtu } => self.set_link(link(*number, *up, *mtu)),
            Happening::ShortNotice { nth } => self.short_notice(*nth),
            Happening::RemoveLink { nth } => self.remove_link(*nth),
            Happening::AddRoute { links, priority } => self.add_route(links, *priority),
            Happening::RemoveRoute { nth } if !self.routes.is_empty() => {
                let gone = self.routes.remove(nth % self.routes.len());
                self.told.push(Event::RouteGone(gone));
            }
            Happening::RemoveAddress { .. } | Happening::RemoveRoute { .. } => {}
        }
    }

    fn add_address(&mut self, link: LinkIndex, ip: IpAddr, prefix_len: u8, flags: u32) {
        if !self.links.contains_key(&link) {
            return;
        }
        let new = Address { ip, link, peer: ip, prefix_len, scope: 0, flags };
        self.addresses.retain(|old| !old.is_same(&new));
        self.addresses.push(new);
        self.told.push(Event::AddressPut(new));
    }

    fn set_link(&mut self, new: Link) {
        self.told.push(Event::LinkPut(LinkMessage { link: new.clone(), whole: true }));
        self.links.insert(new.index, new);
        // Routes of links that went down go without a word, unless another link holds them.
        let links = &self.links;
        self.routes.retain(|route| route.links.iter().any(|link| links[link].is_up()));
    }

    fn short_notice(&mut self, nth: usize) {
        let Some(old) = self.links.values().nth(nth % self.links.len().max(1)) else { return };
        let short = Link { mtu: 0, kind: String::new(), lower_elsewhere: false, ..old.clone() };
        self.told.push(Event::LinkPut(LinkMessage { link: short, whole: false }));
    }

    fn remove_link(&mut self, nth: usize) {
        let Some(gone) = self.links.keys().nth(nth % self.links.len().max(1)).copied() else {
            return;
        };
        self.links.remove(&gone);
        for address in self.addresses.iter().filter(|a| a.link == gone) {
            self.told.push(Event::AddressGone(*address));
        }
        self.addresses.retain(|a| a.link != gone);
        self.routes.retain(|route| !route.links.contains(&gone));
        self.told.push(Event::LinkGone(gone));
    }

    fn add_route(&mut self, links: &[u32], priority: u32) {
        let mut links: Vec<_> = links.iter().map(|number| index(*number)).collect();
        links.dedup();
        if !links.iter().all(|link| self.links.get(link).is_some_and(Link::is_up)) {
            return;
        }
        let route = DefaultRoute { family: Family::V4, table: 254, tos: 0, priority, links };
        self.routes.retain(|old| !route.replaces(old));
        self.routes.push(route.clone());
        self.told.push(Event::RoutePut { route, replaces: true });
    }

    fn dump(&self) -> NodeView {
        let mut view = NodeView::default();
        view.load(self.snapshot());
        view
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            links: self.links.values().cloned().collect(),
            addresses: self.addresses.iter().copied().collect(),
            default_routes: self.routes.clone(),
        }
    }
}

proptest! {
    #[test]
    fn events_alone_lead_to_what_a_dump_says(all in happenings()) {
        let (mut kernel, mut view) = (Kernel::default(), NodeView::default());
        for happening in &all {
            kernel.happen(happening);
            for event in kernel.told.drain(..) {
                view.apply(event);
            }
            prop_assert_eq!(&view, &kernel.dump());
        }
    }

    /// Subscribed, then dumped: what was told before the dump is applied after it all the same.
    #[test]
    fn a_dump_among_its_own_events_leads_to_what_a_dump_says(
        all in happenings(), subscribed in 0usize..60, dumped in 0usize..60,
    ) {
        let (mut kernel, mut view) = (Kernel::default(), NodeView::default());
        let subscribed = subscribed.min(all.len());
        let dumped = dumped.clamp(subscribed, all.len());
        for (at, happening) in all.iter().enumerate() {
            if at == subscribed {
                kernel.told.clear();
            }
            if at == dumped {
                view.load(kernel.snapshot());
            }
            kernel.happen(happening);
        }
        if dumped == all.len() {
            view.load(kernel.snapshot());
        }
        if subscribed == all.len() {
            kernel.told.clear();
        }
        for event in kernel.told.drain(..) {
            view.apply(event);
        }
        prop_assert_eq!(&view, &kernel.dump());
    }

    #[test]
    fn only_what_differs_is_news(all in happenings()) {
        let mut kernel = Kernel::default();
        all.iter().for_each(|happening| kernel.happen(happening));
        let mut view = kernel.dump();
        prop_assert!(!view.load(kernel.snapshot()));
        for address in &kernel.addresses {
            prop_assert!(!view.apply(Event::AddressPut(*address)));
        }
        for link in kernel.links.values() {
            let link = LinkMessage { link: link.clone(), whole: true };
            prop_assert!(!view.apply(Event::LinkPut(link)));
        }
    }
}

fn node() -> NodeView {
    let address = |text: &str, link: u32, scope: u8, flags: u32| {
        let ip: IpAddr = text.parse().expect("an address");
        Address { ip, link: index(link), peer: ip, prefix_len: 24, scope, flags }
    };
    let mut view = NodeView::default();
    view.load(Snapshot {
        links: (2..5).map(|number| link(number, true, 1500)).collect(),
        addresses: [
            address("10.0.0.5", 2, 0, 0),
            address("10.0.0.4", 2, 0, libc::IFA_F_DEPRECATED),
            address("169.254.0.1", 2, 253, 0),
            address("10.0.0.3", 3, 0, 0),
            address("10.96.0.1", 4, 0, 0),
            address("fd00::5", 2, 0, 0),
            address("fd00::4", 2, 0, libc::IFA_F_TENTATIVE),
            address("fe80::5", 2, 253, 0),
        ]
        .into_iter()
        .collect(),
        default_routes: vec![DefaultRoute {
            family: Family::V4,
            table: 254,
            tos: 0,
            priority: 0,
            links: vec![index(2)],
        }],
    });
    view
}

#[test]
fn a_source_is_a_node_address_that_is_there() {
    type Case = (&'static str, &'static [&'static str], Option<&'static str>, Option<&'static str>);
    let cases: [Case; 5] = [
        ("the way out's", &[], Some("10.0.0.5"), Some("fd00::5")),
        ("preferred", &["10.0.0.3"], Some("10.0.0.3"), Some("fd00::5")),
        ("preferred but not there", &["10.0.0.99", "fd00::99"], Some("10.0.0.5"), Some("fd00::5")),
        ("preferred but tentative", &["fd00::4"], Some("10.0.0.5"), Some("fd00::5")),
        ("preferred but on the dummy", &["10.96.0.1"], Some("10.0.0.5"), Some("fd00::5")),
    ];
    for (name, preferred, v4, v6) in cases {
        let preferred: Vec<IpAddr> = preferred.iter().map(|ip| ip.parse().unwrap()).collect();
        let got = Sources::choose(&node(), &preferred, &[index(4)]);
        let want = |ip: Option<&str>| ip.map(|ip| ip.parse::<IpAddr>().unwrap());
        assert_eq!(got.of(Family::V4), want(v4), "{name}");
        assert_eq!(got.of(Family::V6), want(v6), "{name}");
    }
}

#[test]
fn only_stale_routes_are_pointed_elsewhere() {
    let vip = |text: &str| Vip::new(text.parse().unwrap()).unwrap();
    let route = |text: &str, src: Option<&str>| VipRoute {
        src: src.map(|ip| ip.parse().unwrap()),
        ..VipRoute::new(vip(text))
    };
    let sources = Sources::choose(&node(), &[], &[index(4)]);
    let routes = [
        route("10.96.0.1", Some("10.0.0.5")),
        route("10.96.0.2", Some("10.0.0.9")),
        route("10.96.0.3", None),
        route("fd00:96::1", Some("fd00::5")),
    ];
    let want = [route("10.96.0.2", Some("10.0.0.5")), route("10.96.0.3", Some("10.0.0.5"))];
    assert_eq!(sources.repoint(&routes), want.map(Op::PutRoute));
    let none = Sources::default();
    assert_eq!(none.repoint(&routes[..1]), [Op::PutRoute(route("10.96.0.1", None))]);
}

#[test]
fn a_vip_is_one_host_and_not_this_one() {
    let cases = [
        ("10.96.0.1", true),
        ("169.254.20.10", true),
        ("fd00::1", true),
        ("0.0.0.0", false),
        ("::", false),
        ("127.0.0.1", false),
        ("::1", false),
        ("224.0.0.1", false),
        ("ff02::1", false),
        ("255.255.255.255", false),
    ];
    for (text, good) in cases {
        assert_eq!(Vip::new(text.parse().unwrap()).is_ok(), good, "{text}");
    }
}
