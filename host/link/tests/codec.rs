//! Decoders and encoders against another implementation, and against bytes of no sense.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{Emitable, NetlinkMessage};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteNextHop, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use proptest::prelude::*;
use weir_link::address::{is_node_address, is_node_address_of};
use weir_link::wire::{Message, Messages};
use weir_link::{Address, DefaultRoute, Event, Family, Link, LinkIndex, VipRoute};

fn bytes_of(message: &impl Emitable) -> Vec<u8> {
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    bytes
}

fn family_of(ip: IpAddr) -> AddressFamily {
    if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn an_ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from(bits))),
    ]
}

proptest! {
    #[test]
    fn addresses_are_read_as_another_implementation_wrote_them(
        ip in an_ip(), index in 1u32.., prefix_len in 0u8..=128, flags: u32, local: bool,
    ) {
        let mut message = AddressMessage::default();
        message.header.family = family_of(ip);
        message.header.index = index;
        message.header.prefix_len = prefix_len;
        message.header.scope = AddressScope::Host;
        if local {
            message.attributes.push(AddressAttribute::Local(ip));
        }
        message.attributes.push(AddressAttribute::Label("v0".to_owned()));
        message.attributes.push(AddressAttribute::Address(ip));
        message.attributes.push(AddressAttribute::Flags(AddressFlags::from_bits_retain(flags)));
        let got = Address::decode(&bytes_of(&message)).unwrap().unwrap();
        let link = LinkIndex::new(index).unwrap();
        let want = Address { ip, link, peer: ip, prefix_len, scope: 254, flags };
        prop_assert_eq!(got, want);
    }

    #[test]
    fn links_are_read_as_another_implementation_wrote_them(
        index in 1u32.., mtu: u32, master: u32, parent: u32, [elsewhere, pair]: [bool; 2], flags: u32, name in "[a-z0-9]{1,15}",
    ) {
        let kind = if pair { InfoKind::Veth } else { InfoKind::Vlan };
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = LinkFlags::from_bits_retain(flags);
        message.attributes = vec![
            LinkAttribute::IfName(name.clone()),
            LinkAttribute::Mtu(mtu),
            LinkAttribute::Controller(master),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)]),
            LinkAttribute::Link(parent),
        ];
        if elsewhere {
            message.attributes.push(LinkAttribute::LinkNetNsId(0));
        }
        let got = Link::decode(&bytes_of(&message)).unwrap().unwrap();
        prop_assert!(got.whole);
        let want = Link {
            index: LinkIndex::new(index).unwrap(), name,
            kind: if pair { "veth" } else { "vlan" }.to_owned(),
            master: LinkIndex::new(master), mtu,
            parent: LinkIndex::new(parent).filter(|_| !elsewhere && !pair), lower_elsewhere: elsewhere,
            flags: weir_link::LinkFlags::from_bits(flags),
        };
        prop_assert_eq!(got.link.leads_elsewhere(), elsewhere && pair);
        let theirs = |flag| LinkFlags::from_bits_retain(flags).contains(flag);
        prop_assert_eq!(got.link.is_up(), theirs(LinkFlags::Up));
        prop_assert_eq!(got.link.has_carrier(), theirs(LinkFlags::LowerUp));
        prop_assert_eq!(got.link.is_loopback(), theirs(LinkFlags::Loopback));
        prop_assert_eq!(got.link, want);
    }

    #[test]
    fn default_routes_are_read_as_another_implementation_wrote_them(
        hops in proptest::collection::vec(1u32.., 1..4), table: u32, priority: u32, v4: bool,
    ) {
        let mut message = RouteMessage::default();
        message.header.address_family = if v4 { AddressFamily::Inet } else { AddressFamily::Inet6 };
        message.header.kind = RouteType::Unicast;
        message.attributes = vec![RouteAttribute::Table(table), RouteAttribute::Priority(priority)];
        message.attributes.push(if let [one] = hops[..] {
            RouteAttribute::Oif(one)
        } else {
            let hop = |index: &u32| {
                let mut hop = RouteNextHop::default();
                hop.interface_index = *index;
                if v4 {
                    let gateway = RouteAddress::Inet(Ipv4Addr::new(192, 0, 2, 1));
                    hop.attributes.push(RouteAttribute::Gateway(gateway));
                }
                hop
            };
            RouteAttribute::MultiPath(hops.iter().map(hop).collect())
        });
        let got = DefaultRoute::decode(&bytes_of(&message)).unwrap().unwrap();
        let links: Vec<_> = hops.into_iter().filter_map(LinkIndex::new).collect();
        let family = if v4 { Family::V4 } else { Family::V6 };
        prop_assert_eq!(got, DefaultRoute { family, table, tos: 0, priority, links });
    }

    #[test]
    fn arbitrary_bodies_never_panic(kind in 0u16..40, flags: u16, body: Vec<u8>) {
        let message = Message { kind, flags, seq: 0, body: &body };
        let _ = Event::decode(&message);
        let _ = VipRoute::decode(&body);
    }

    /// Bytes that begin as the kernel's do get further than noise.
    #[test]
    fn damaged_messages_never_panic(ip in an_ip(), at in 0usize..200, with: u8, cut in 0usize..200) {
        let mut message = AddressMessage::default();
        message.header.family = family_of(ip);
        message.header.index = 3;
        message.attributes.push(AddressAttribute::Address(ip));
        let payload = RouteNetlinkMessage::NewAddress(message);
        let mut whole = NetlinkMessage::from(payload);
        whole.finalize();
        let mut bytes = bytes_of(&whole);
        let len = bytes.len();
        bytes[at % len] ^= with;
        bytes.truncate(len - cut % len);
        for message in Messages::new(&bytes).flatten() {
            let _ = Event::decode(&message);
        }
    }
}

#[test]
fn a_bridge_port_message_is_not_about_the_links_life() {
    let mut message = LinkMessage::default();
    message.header.interface_family = AddressFamily::Bridge;
    message.header.index = 4;
    message.attributes.push(LinkAttribute::IfName("v0".to_owned()));
    let body = bytes_of(&message);
    for kind in [libc::RTM_NEWLINK, libc::RTM_DELLINK] {
        let event = Event::decode(&Message { kind, flags: 0, seq: 0, body: &body });
        assert_eq!(event, Ok(None), "{kind}");
    }
}

#[test]
fn an_address_keeps_to_its_family_and_its_link() {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet6;
    message.header.index = 4;
    message.attributes.push(AddressAttribute::Address(Ipv4Addr::new(10, 0, 0, 1).into()));
    assert!(Address::decode(&bytes_of(&message)).is_err(), "IPv4 bytes in an IPv6 message");
    message.header.family = AddressFamily::Inet;
    message.header.index = 0;
    assert!(Address::decode(&bytes_of(&message)).is_err(), "on link 0");
    message.header.family = AddressFamily::Bridge;
    assert_eq!(Address::decode(&bytes_of(&message)), Ok(None));
}

#[test]
fn the_peer_of_a_point_to_point_address_is_not_ours() {
    let (ours, theirs) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.index = 4;
    message.attributes =
        vec![AddressAttribute::Address(theirs.into()), AddressAttribute::Local(ours.into())];
    let got = Address::decode(&bytes_of(&message)).unwrap().unwrap();
    assert_eq!((got.ip, got.peer), (ours.into(), IpAddr::from(theirs)));
}

#[test]
fn the_filter() {
    let cases = [
        ("10.0.0.1", true),
        ("169.254.20.10", true),
        ("127.0.0.1", false),
        ("127.9.9.9", false),
        ("2001:db8::1", true),
        ("fd00::1", true),
        ("fe80::1", false),
        ("febf::1", false),
        ("fec0::1", true),
        ("::1", false),
    ];
    for (text, is_ours) in cases {
        let ip: IpAddr = text.parse().unwrap();
        assert_eq!(is_node_address(ip), is_ours, "{text}");
        let (own, other) =
            if ip.is_ipv4() { (Family::V4, Family::V6) } else { (Family::V6, Family::V4) };
        assert_eq!(is_node_address_of(own, ip), is_ours, "{text} as {own}");
        assert!(!is_node_address_of(other, ip), "{text} as {other}");
    }
}
