use super::*;
use crate::{Destination, Forward, Netmask, Service, ServiceFlags};
use proptest::prelude::*;

/// Written by Linux 6.12 (HZ=250).
const TEXT: &str = include_str!("../tests/golden/proc-ip_vs-6.12.txt");

fn find(table: &ServiceTable, key: &str) -> TableService {
    let key: ServiceKey = key.parse().unwrap();
    let wanted = match key {
        ServiceKey::Fwmark { mark, .. } => TableKey::Fwmark(mark),
        key => TableKey::Address(key),
    };
    table.services.iter().find(|service| service.key == wanted).unwrap().clone()
}

fn service(key: &str, scheduler: &str) -> Service {
    Service::new(key.parse().unwrap(), scheduler.parse().unwrap())
}

#[test]
fn what_a_kernel_wrote_is_read() {
    let table = ServiceTable::parse(TEXT).unwrap();
    assert_eq!(table.info.connection_table_size, 4096);
    assert_eq!(table.info.version.to_string(), "1.2.1");
    assert_eq!(table.services.len(), 18);
    let web = find(&table, "tcp 10.0.0.1:80");
    assert!(web.may_be(&service("tcp 10.0.0.1:80", "rr")));
    let last = Destination::new(DestinationKey::new(([10, 0, 1, 1], 8080)), Forward::Masquerade);
    assert!(web.destinations.last().unwrap().may_be(&last.with_weight(3.into())));
    assert!(!web.destinations.last().unwrap().may_be(&last));
    assert_eq!(web.destinations.len(), 6);
    assert_eq!(web.destinations[0].key.to_string(), "[2001:db8::5]:80");
}

#[test]
fn persistence_and_one_packet_are_read_as_far_as_told() {
    let table = ServiceTable::parse(TEXT).unwrap();
    let prefix = |family, length| Netmask::prefix(family, length).unwrap();
    let (v4, v6) = (AddressFamily::V4, AddressFamily::V6);
    let cases = [
        ("udp 10.0.0.1:53", "wlc", 300, prefix(v4, 24), false),
        ("tcp [2001:db8::1]:80", "mh", 120, prefix(v6, 64), false),
        ("tcp [2001:db8::2]:80", "lc", 120, prefix(v6, 128), false),
        ("fwmark 9 IPv6", "fo", 33, prefix(v6, 64), true),
        ("fwmark 7", "dh", 10, prefix(v4, 32), false),
    ];
    for (key, scheduler, timeout, netmask, one_packet) in cases {
        let flags = if one_packet { ServiceFlags::ONE_PACKET } else { ServiceFlags::NONE };
        let persistence = crate::Persistence { timeout, netmask };
        let want = service(key, scheduler).with_flags(flags).with_persistence(persistence).unwrap();
        let found = find(&table, key);
        assert!(found.may_be(&want), "{key}: {found:?}");
        assert!(!found.may_be(&service(key, scheduler)), "{key}");
        assert!(
            !found.may_be(
                &want
                    .clone()
                    .with_persistence(crate::Persistence { timeout: timeout + 1, netmask })
                    .unwrap()
            )
        );
    }
    assert_eq!(find(&table, "tcp [2001:db8::3]:80").one_packet, None);
    assert_eq!(find(&table, "udp 10.0.0.2:53").one_packet, Some(true));
    assert!(!find(&table, "udp 10.0.0.2:53").may_be(&service("udp 10.0.0.2:53", "rr")));
}

#[test]
fn a_line_that_cannot_be_read_is_named() {
    let cases = [
        ("", 1, "version and size"),
        ("IP Virtual Server version 1.2 (size=1)\n", 1, "version and size"),
        (
            "IP Virtual Server version 1.2.1 (size=1)\nx\ny\n  -> 0A000101:1F90 Masq 1 0 0\n",
            4,
            "destination without a service",
        ),
        ("IP Virtual Server version 1.2.1 (size=1)\nx\ny\nTCP  0A000001:50 rr\n", 4, "service"),
        ("IP Virtual Server version 1.2.1 (size=1)\nx\ny\nFWM  00000000 rr\n", 4, "service"),
        (
            "IP Virtual Server version 1.2.1 (size=1)\nx\ny\nTCP  0A000001:0050 rr new-word\n",
            4,
            "service",
        ),
        (
            "IP Virtual Server version 1.2.1 (size=1)\nx\ny\nTCP  0A000001:0050 rr\n  -> 0A000101:1F90 Masq 1 0\n",
            5,
            "destination",
        ),
    ];
    for (text, line, what) in cases {
        assert_eq!(ServiceTable::parse(text), Err(Cause::MalformedLine { line, what }), "{text:?}");
    }
}

#[test]
fn a_timeout_may_be_printed_negative() {
    assert_eq!(persistence("-1", "FFFFFFFF").map(|read| read.ticks), Some(u32::MAX));
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text: String) {
        let _ = ServiceTable::parse(&text);
        let _ = ServiceTable::parse(&format!("IP Virtual Server version 1.2.1 (size=1)\nx\ny\n{text}"));
    }

    #[test]
    fn damaged_text_never_panics(at in 0..TEXT.len(), replacement in ".{0,3}") {
        let _ = ServiceTable::parse(&[&TEXT[..at], replacement.as_str(), &TEXT[at..]].concat());
        let _ = ServiceTable::parse(&[&TEXT[..at], &replacement].concat());
    }

    #[test]
    fn lines_of_the_right_shape_are_read(
        address: u32, port: u16, weight in 0..=i32::MAX, active: u32, inactive: u32,
        forward in prop::sample::select(vec!["Masq", "Local", "Tunnel", "Route"]),
    ) {
        let line = format!("{address:08X}:{port:04X}      {forward:<7} {weight:<6} {active:<10} {inactive:<10}");
        let read = destination(&line).unwrap();
        prop_assert_eq!(read.key, DestinationKey { address: Ipv4Addr::from(address).into(), port });
        prop_assert_eq!((read.weight.get(), read.active_connections), (weight as u32, active));
    }
}
