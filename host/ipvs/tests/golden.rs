//! Bytes that other programs wrote: requests of `ipvsadm` 1.31 (libnl) and answers of Linux, captured
//! with an nlmon device. A line is what they say, a bar, and the attributes in hexadecimal.
//!
//! The captures are of a little-endian machine, as netlink is in host order.
#![cfg(target_endian = "little")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on should stop")]

use ipvs_rs::netlink::{Attributes, Messages, Writer};
use ipvs_rs::{
    AddressFamily, CounterWidth, Destination, DestinationEntry, DestinationKey, Forward, Info,
    Request, ServiceEntry, ServiceKey, Timeouts, Tunnel,
};

fn lines(text: &str) -> impl Iterator<Item = (&str, Vec<u8>)> {
    text.lines().map(|line| {
        let (label, hex) = line.split_once(" | ").unwrap();
        (label, bytes(hex))
    })
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn written(request: &Request) -> Vec<u8> {
    let mut writer = Writer::default();
    request.encode(&mut writer);
    writer.as_bytes().to_vec()
}

#[test]
fn services_are_written_byte_for_byte_as_ipvsadm_does() {
    let mut seen = 0;
    for (label, theirs) in lines(include_str!("golden/ipvsadm-1.31-services.txt")) {
        let service = ServiceEntry::decode(Attributes::new(&theirs)).unwrap().service;
        assert_eq!(service.to_string(), label);
        assert_eq!(written(&Request::NewService(service)), theirs, "{label}");
        seen += 1;
    }
    assert_eq!(seen, 13);
}

#[test]
fn destinations_are_written_as_ipvsadm_does() {
    let mut seen = 0;
    for (label, theirs) in lines(include_str!("golden/ipvsadm-1.31-destinations.txt")) {
        let entry = DestinationEntry::decode(Attributes::new(&theirs), AddressFamily::V4).unwrap();
        assert_eq!(entry.destination.to_string(), label);
        let mut writer = Writer::default();
        entry.destination.encode(&mut writer);
        if matches!(
            entry.destination.forward,
            Forward::Tunnel(Tunnel::Gue { .. } | Tunnel::Gre { .. })
        ) {
            assert_eq!(writer.as_bytes(), theirs, "{label}");
        } else {
            assert_eq!(writer.as_bytes(), without_tunnel(&theirs), "{label}");
        }
        seen += 1;
    }
    assert_eq!(seen, 8);
}

/// Drops the tunnel attributes, which `ipvsadm` writes as zeros where there is nothing to say.
fn without_tunnel(theirs: &[u8]) -> Vec<u8> {
    let nest = Attributes::new(theirs).next().unwrap().unwrap();
    let mut writer = Writer::default();
    writer.nest(nest.kind, |writer| {
        let kept = nest
            .nested()
            .map(Result::unwrap)
            .filter(|attribute| !(13..=15).contains(&attribute.kind));
        kept.for_each(|attribute| writer.bytes(attribute.kind, attribute.payload));
    });
    writer.as_bytes().to_vec()
}

#[test]
fn services_that_a_kernel_lists_are_read() {
    for (label, bytes) in lines(include_str!("golden/linux-6.12-services.txt")) {
        let entry = ServiceEntry::decode(Attributes::new(&bytes)).unwrap();
        assert_eq!(entry.service.to_string(), label);
        assert_eq!(entry.stats.width, CounterWidth::Bits64, "{label}");
    }
}

#[test]
fn destinations_that_a_kernel_lists_are_read() {
    for (label, bytes) in lines(include_str!("golden/linux-6.12-destinations.txt")) {
        let entry = DestinationEntry::decode(Attributes::new(&bytes), AddressFamily::V4).unwrap();
        assert_eq!(entry.destination.to_string(), label);
        assert_eq!(entry.stats.width, CounterWidth::Bits64, "{label}");
    }
}

#[test]
fn requests_without_an_object_of_their_own() {
    let key: ServiceKey = "tcp 10.0.0.1:80".parse().unwrap();
    let server = DestinationKey::new(([10, 0, 1, 1], 8080));
    let service = "30000180\
        0600010002000000 0600020006000000 140003000a000001000000000000000000000000 0600040000500000";
    let destination =
        "28000280 06000b0002000000 140001000a000101000000000000000000000000 060002001f900000";
    let timeouts = Request::SetTimeouts(Timeouts { tcp: 900, tcp_fin: 120, udp: 300 });
    let cases = [
        (Request::DeleteService(key), service.to_owned()),
        (Request::ZeroService(key), service.to_owned()),
        (Request::DeleteDestination(key, server), format!("{service}{destination}")),
        (timeouts, "0800040084030000 0800050078000000 080006002c010000".to_owned()),
        (Request::ZeroAll, String::new()),
        (Request::Flush, String::new()),
    ];
    for (request, hex) in cases {
        assert_eq!(written(&request), bytes(&hex.replace(' ', "")), "{request}");
    }
}

#[test]
fn small_answers_of_a_kernel_are_read() {
    let info = Info::decode(Attributes::new(&bytes("08000100010201000800020000100000"))).unwrap();
    assert_eq!((info.version.to_string().as_str(), info.connection_table_size), ("1.2.1", 4096));
    let timeouts = bytes("08000400840300000800050078000000080006002c010000");
    let want = Timeouts { tcp: 900, tcp_fin: 120, udp: 300 };
    assert_eq!(Timeouts::decode(Attributes::new(&timeouts)), Ok(want));
}

/// ENOENT for `add service tcp 10.0.0.9:1 nosuch`, with the request echoed (no `NETLINK_CAP_ACK`).
#[test]
fn a_refusal_of_a_kernel_is_read() {
    let datagram = bytes(include_str!("golden/linux-6.12-refusal.txt").trim());
    let message = Messages::new(&datagram).next().unwrap().unwrap();
    let ack = message.ack().unwrap();
    assert_eq!((ack.errno, ack.text), (libc::ENOENT, None));
}

#[test]
fn a_destination_of_its_own_family_is_told_from_its_services() {
    let v6 = DestinationKey::new(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 5], 80));
    let mut writer = Writer::default();
    Destination::new(v6, Forward::Tunnel(Tunnel::Ipip)).encode(&mut writer);
    let entry =
        DestinationEntry::decode(Attributes::new(writer.as_bytes()), AddressFamily::V4).unwrap();
    assert_eq!(entry.destination.key, v6);
}
