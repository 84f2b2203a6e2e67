//! Arbitrary values for the property tests of this crate.

use std::net::IpAddr;
use std::num::{NonZeroU16, NonZeroU32};

use proptest::prelude::*;

use crate::{
    AddressFamily, Checksum, Destination, DestinationKey, Forward, Netmask, Persistence, Protocol,
    Scheduler, Service, ServiceFlags, ServiceKey, Thresholds, Tunnel, Weight,
};

fn family() -> impl Strategy<Value = AddressFamily> {
    prop_oneof![Just(AddressFamily::V4), Just(AddressFamily::V6)]
}

pub(crate) fn key() -> impl Strategy<Value = ServiceKey> {
    let protocol = prop_oneof![
        Just(Protocol::Tcp),
        Just(Protocol::Udp),
        Just(Protocol::Sctp),
        any::<u16>().prop_map(Protocol::from_number)
    ];
    let address = (protocol, any::<IpAddr>(), any::<u16>())
        .prop_map(|(protocol, address, port)| ServiceKey::Address { protocol, address, port });
    let mark = (1..=u32::MAX).prop_map(|mark| NonZeroU32::new(mark).unwrap());
    let fwmark = (mark, family()).prop_map(|(mark, family)| ServiceKey::Fwmark { mark, family });
    prop_oneof![address, fwmark]
}

fn scheduler() -> impl Strategy<Value = Scheduler> {
    let other = "[!-~]{1,15}".prop_map(|name| name.parse().unwrap());
    prop_oneof![prop::sample::select(Scheduler::KNOWN.to_vec()), other]
}

fn netmask(family: AddressFamily) -> BoxedStrategy<Netmask> {
    match family {
        AddressFamily::V4 => any::<u32>().prop_map(|mask| Netmask::v4(mask.into())).boxed(),
        AddressFamily::V6 => {
            (1u8..=128).prop_map(move |length| Netmask::prefix(family, length).unwrap()).boxed()
        }
    }
}

pub(crate) fn service() -> impl Strategy<Value = Service> {
    (key(), scheduler(), any::<u32>()).prop_flat_map(|(key, scheduler, bits)| {
        let service = Service::new(key, scheduler).with_flags(ServiceFlags::from_bits(bits));
        let persistence = prop::option::of((any::<u32>(), netmask(key.family())));
        let engine = prop::option::of("[!-~]{1,15}");
        (Just(service), persistence, engine).prop_map(|(mut service, persistence, engine)| {
            if let Some((timeout, netmask)) = persistence {
                service = service.with_persistence(Persistence { timeout, netmask }).unwrap();
            }
            engine
                .into_iter()
                .fold(service, |service, engine| service.with_engine(engine.parse().unwrap()))
        })
    })
}

fn tunnel() -> impl Strategy<Value = Tunnel> {
    let checksum = || {
        prop::sample::select(vec![
            Checksum::None,
            Checksum::Full,
            Checksum::Remote,
            Checksum::FullAndRemote,
        ])
    };
    let port = (1..=u16::MAX).prop_map(|port| NonZeroU16::new(port).unwrap());
    prop_oneof![
        Just(Tunnel::Ipip),
        (port, checksum()).prop_map(|(port, checksum)| Tunnel::Gue { port, checksum }),
        checksum().prop_map(|checksum| Tunnel::Gre { checksum }),
    ]
}

pub(crate) fn forward() -> impl Strategy<Value = Forward> {
    prop_oneof![
        Just(Forward::Masquerade),
        Just(Forward::Local),
        Just(Forward::Route),
        Just(Forward::Bypass),
        tunnel().prop_map(Forward::Tunnel),
    ]
}

pub(crate) fn destination() -> impl Strategy<Value = Destination> {
    let key = (any::<IpAddr>(), any::<u16>())
        .prop_map(|(address, port)| DestinationKey { address, port });
    let thresholds = (any::<u32>(), any::<u32>())
        .prop_map(|(a, b)| Thresholds::new(a.max(b), a.min(b)).unwrap());
    (key, forward(), 0..=i32::MAX as u32, thresholds).prop_map(
        |(key, forward, weight, thresholds)| {
            Destination::new(key, forward)
                .with_weight(Weight::new(weight).unwrap())
                .with_thresholds(thresholds)
        },
    )
}
