//! What it costs to fill weir's nftables table and to change one endpoint, as the daemon does both:
//! two states, their difference, its batches. For a guest that may be changed; run it where the clock
//! counts instructions, in a network namespace of its own.
//!
//! `tables create N` fills an empty rule set with N services of two endpoints each. `tables change N`
//! replaces one endpoint among them, which is where `create N` left it. Each prints one line
//! `NAME NANOSECONDS` by `CLOCK_MONOTONIC`.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test program: it prints, and stops where it can't go on"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use weir::kernel::{How, LinuxKernel};
use weir_core::diff::diff;
use weir_core::kernel::Kernel;
use weir_core::net::{Family, Port, Protocol};
use weir_core::state::{
    Base, Class, Element, KernelState, Key, Leg, Nat, OffloadClass, Pick, Pods, VirtualKey,
};

const ENDPOINTS: u8 = 2;
/// How often an endpoint changes; the time in the middle counts.
const CHANGES: usize = 9;
/// The daemon's default.
const AFTER: u32 = 20;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, services] = arguments.as_slice() else { panic!("tables create|change N") };
    let services: u32 = services.parse().unwrap();
    let mut kernel = LinuxKernel::open(How::Route).unwrap();
    match what.as_str() {
        "create" => {
            let full = state(services);
            let time = timed(|| sync(&mut kernel, &KernelState::default(), &full));
            println!("create {time}");
        }
        "change" => {
            let key = key(services / 2);
            let known = state(services);
            let mut desired = known.clone();
            let nat = Arc::make_mut(desired.nats.get_mut(&key).unwrap());
            *nat.main.slots.last_mut().unwrap() = Some(endpoint(services / 2, ENDPOINTS));
            // What a changed service touches, as the reconciler has it.
            let touched = BTreeSet::from([Key::Virtual(key)]);
            // There and back again: a commit waits for readers of the rule set, now longer, now shorter.
            let mut times: Vec<u128> = (0..CHANGES)
                .map(|change| {
                    let (from, to) =
                        if change % 2 == 0 { (&known, &desired) } else { (&desired, &known) };
                    timed(|| sync(&mut kernel, &from.only(&touched), &to.only(&touched)))
                })
                .collect();
            times.sort_unstable();
            println!("change {}", times[CHANGES / 2]);
        }
        other => panic!("no {other}: tables create|change N"),
    }
}

/// How long it takes, in nanoseconds.
fn timed(work: impl FnOnce()) -> u128 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos()
}

fn sync(kernel: &mut LinuxKernel, known: &KernelState, desired: &KernelState) {
    let plan = diff(known, desired);
    assert!(!plan.is_empty());
    for (operation, outcome) in plan.operations().iter().zip(kernel.apply(&plan)) {
        assert_eq!(outcome, Ok(()), "{operation}");
    }
}

/// As services with the default decision are compiled: balanced by chance, offloaded after 20 packets,
/// clients that are no pods masqueraded.
fn state(services: u32) -> KernelState {
    let pods = ["10.128.0.0/9".parse().unwrap()];
    let nat = |number| (key(number), Arc::new(nat(number)));
    let nats: BTreeMap<_, _> = (0..services).map(nat).collect();
    let elements = |key: &VirtualKey| Element::Vip(key.address);
    KernelState {
        base: Some(Base { pods: Pods::In(pods.into()), ..Base::default() }),
        elements: nats.keys().map(elements).collect(),
        chains: nats.values().flat_map(|nat| nat.chains()).collect(),
        flowtable: Some(BTreeSet::new()),
        nats,
        ..KernelState::default()
    }
}

fn nat(number: u32) -> Nat {
    let slots = NonZeroU32::new(ENDPOINTS.into()).unwrap();
    let class =
        Class { family: Family::V4, pick: Pick::Random, slots, sticky: None, inside: false };
    let after = NonZeroU32::new(AFTER).unwrap();
    let slots = (0..ENDPOINTS).map(|host| Some(endpoint(number, host))).collect();
    let offload = Some(OffloadClass { after, interfaces: None });
    Nat { main: Leg { class: Some(class), slots }, offload, ..Nat::default() }
}

fn key(number: u32) -> VirtualKey {
    let [_, _, third, fourth] = number.to_be_bytes();
    let address = IpAddr::from([10, 96, third, fourth]);
    VirtualKey { address, protocol: Protocol::Tcp, port: Port::new(80).unwrap() }
}

fn endpoint(number: u32, host: u8) -> SocketAddr {
    let [_, _, third, fourth] = number.to_be_bytes();
    SocketAddr::from(([10, 129 + host, third, fourth], 8080))
}
