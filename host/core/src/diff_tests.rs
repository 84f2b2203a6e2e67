use proptest::prelude::*;

use super::diff;
use crate::decision::Scheduler;
use crate::fixtures::{any_state, any_whole, at, balance, ip, key, rr, whole};
use crate::kernel::run;
use crate::net::Protocol::Tcp;
use crate::plan::Operation;
use crate::state::{Base, Element, KernelState, Nat, Virtual};

/// What a plan says, line by line.
fn lines(known: &KernelState, desired: &KernelState) -> Vec<String> {
    let printed = diff(known, desired).to_string();
    printed.lines().map(str::to_owned).collect()
}

#[test]
fn the_table_comes_first_and_goes_last() {
    let nothing = KernelState::default();
    let one = || one(rr(&[]));
    let steps = lines(&nothing, &one());
    assert_eq!(steps.first().map(String::as_str), Some("set base masquerade hairpin"));
    let steps = lines(&one(), &nothing);
    assert_eq!(steps.last().map(String::as_str), Some("remove base"));
    let other =
        KernelState { base: Some(Base { masquerade_all: true, ..Base::default() }), ..one() };
    assert_eq!(lines(&one(), &other), ["set base masquerade all"]);
}

fn one(it: Virtual) -> KernelState {
    whole(&[(key(Tcp, "10.96.0.1:80"), it)])
}

#[test]
fn diff_is_minimal_and_ordered() {
    let nothing = whole(&[]);
    let wlc = Virtual { balance: balance(Scheduler::Wlc), ..rr(&[("10.0.0.1:80", 1)]) };
    let hairpin = |address: &str| {
        let mut state = one(rr(&[("10.0.0.1:80", 1)]));
        state.elements.insert(Element::Hairpin(ip(address)));
        state
    };
    let a = || one(rr(&[("10.0.0.1:80", 1)]));
    let cases: &[(&str, KernelState, KernelState, &[&str])] = &[
        ("nothing, twice", nothing.clone(), nothing.clone(), &[]),
        ("nothing to do", a(), a(), &[]),
        (
            "from nothing: register, virtual, destination, address",
            nothing.clone(),
            a(),
            &[
                "add element services tcp 10.96.0.1:80",
                "add element vips 10.96.0.1",
                "add virtual tcp 10.96.0.1:80 rr",
                "add destination tcp 10.96.0.1:80 -> 10.0.0.1:80 weight 1",
                "add local 10.96.0.1",
            ],
        ),
        (
            "to nothing: in reverse, and the destinations go with their virtual service",
            a(),
            nothing.clone(),
            &[
                "remove local 10.96.0.1",
                "remove virtual tcp 10.96.0.1:80",
                "remove element services tcp 10.96.0.1:80",
                "remove element vips 10.96.0.1",
            ],
        ),
        (
            "without a server: no destination",
            nothing,
            one(rr(&[])),
            &[
                "add element services tcp 10.96.0.1:80",
                "add element vips 10.96.0.1",
                "add virtual tcp 10.96.0.1:80 rr",
                "add local 10.96.0.1",
            ],
        ),
        (
            "drain",
            a(),
            one(rr(&[("10.0.0.1:80", 0)])),
            &["set destination tcp 10.96.0.1:80 -> 10.0.0.1:80 weight 0"],
        ),
        (
            "replace a server: the new one first",
            a(),
            one(rr(&[("10.0.0.2:80", 1)])),
            &[
                "add destination tcp 10.96.0.1:80 -> 10.0.0.2:80 weight 1",
                "remove destination tcp 10.96.0.1:80 -> 10.0.0.1:80",
            ],
        ),
        (
            "hand over: nobody is quiesced before another serves",
            one(rr(&[("10.0.0.1:80", 1), ("10.0.0.2:80", 0)])),
            one(rr(&[("10.0.0.1:80", 0), ("10.0.0.2:80", 1), ("10.0.0.3:80", 1)])),
            &[
                "set destination tcp 10.96.0.1:80 -> 10.0.0.2:80 weight 1",
                "add destination tcp 10.96.0.1:80 -> 10.0.0.3:80 weight 1",
                "set destination tcp 10.96.0.1:80 -> 10.0.0.1:80 weight 0",
            ],
        ),
        (
            "another scheduler: no server is touched",
            a(),
            one(wlc),
            &["set virtual tcp 10.96.0.1:80 wlc"],
        ),
        (
            "an element alone",
            hairpin("10.0.0.1"),
            hairpin("10.0.0.2"),
            &["add element hairpin 10.0.0.2", "remove element hairpin 10.0.0.1"],
        ),
    ];
    for (name, known, desired, want) in cases {
        assert_eq!(lines(known, desired), *want, "{name}");
    }
}

#[test]
fn another_port_is_another_virtual_service() {
    let known = whole(&[(key(Tcp, "[fd00::1]:80"), rr(&[("[fd00::a]:80", 1)]))]);
    let desired = whole(&[(key(Tcp, "[fd00::1]:81"), rr(&[("[fd00::a]:80", 1)]))]);
    let want = [
        "add element services tcp [fd00::1]:81",
        "add virtual tcp [fd00::1]:81 rr",
        "add destination tcp [fd00::1]:81 -> [fd00::a]:80 weight 1",
        "remove virtual tcp [fd00::1]:80",
        "remove element services tcp [fd00::1]:80",
    ];
    assert_eq!(lines(&known, &desired), want, "the address stays local throughout");
}

#[test]
fn a_plan_for_one_server_among_many_is_one_step() {
    let many = |weight| {
        let virtuals: Vec<_> = (1..=200u16)
            .map(|n| {
                let last = if n == 77 { weight } else { 1 };
                (
                    key(Tcp, &format!("10.96.0.1:{n}")),
                    rr(&[("10.0.0.1:80", 1), ("10.0.0.2:80", last)]),
                )
            })
            .collect();
        whole(&virtuals)
    };
    let plan = diff(&many(1), &many(5));
    let (key, to) = (key(Tcp, "10.96.0.1:77"), at("10.0.0.2:80"));
    let want = [Operation::SetDestination(key, to, crate::state::Weight(5))];
    assert_eq!(plan.operations(), want);
}

proptest! {
    #[test]
    fn a_plan_leads_to_what_is_wanted_by_legal_steps(known in any_state(), desired in any_state()) {
        let mut state = known.clone();
        for operation in diff(&known, &desired).operations() {
            let outcome = run(&mut state, operation);
            prop_assert!(outcome.is_ok(), "{}: {:?}", operation, outcome);
        }
        // Which slot an endpoint is in makes no difference where it is picked by chance.
        for (key, nat) in &desired.nats {
            prop_assert_eq!(&Nat::clone(nat).like(&state.nats[key]), &*state.nats[key]);
        }
        state.nats.clone_from(&desired.nats);
        prop_assert_eq!(state, desired);
    }

    #[test]
    fn what_is_right_is_left_alone(state in any_state()) {
        prop_assert!(diff(&state, &state).is_empty());
    }

    #[test]
    fn no_object_is_touched_twice(known in any_state(), desired in any_state()) {
        let plan = diff(&known, &desired);
        let mut named: Vec<String> = plan.operations().iter().map(subject).collect();
        named.sort();
        let before = named.len();
        named.dedup();
        prop_assert_eq!(named.len(), before, "{}", plan);
    }

    #[test]
    fn every_state_on_the_way_is_safe(known in any_whole(), desired in any_whole()) {
        let mut state = known.clone();
        for operation in diff(&known, &desired).operations() {
            prop_assert!(run(&mut state, operation).is_ok());
            safe(&state, &known, &desired)?;
        }
    }
}

/// The object that an operation is about, without what is done to it.
fn subject(operation: &Operation) -> String {
    match operation {
        Operation::SetBase(_) | Operation::RemoveBase => "base".into(),
        Operation::AddElement(it) | Operation::RemoveElement(it) => it.to_string(),
        Operation::AddLocal(it) | Operation::RemoveLocal(it) => it.to_string(),
        Operation::AddVirtual(key, _)
        | Operation::SetVirtual(key, _)
        | Operation::RemoveVirtual(key) => key.to_string(),
        Operation::AddDestination(key, to, _)
        | Operation::SetDestination(key, to, _)
        | Operation::RemoveDestination(key, to) => format!("{key} -> {to}"),
        Operation::SetNat { key, .. } | Operation::RemoveNat { key, .. } => {
            format!("{key} on nftables")
        }
        it => it.key().to_string(),
    }
}

/// What must hold after each step from `known` to `desired`, were it the last one to happen.
fn safe(
    state: &KernelState,
    known: &KernelState,
    desired: &KernelState,
) -> Result<(), TestCaseError> {
    for key in state.virtuals.keys() {
        prop_assert!(state.elements.contains(&Element::Service(*key)), "{} isn't registered", key);
    }
    for (key, now) in &state.virtuals {
        let serves = |in_: &KernelState| in_.virtuals.get(key).is_some_and(|it| has_server(it));
        if serves(known) && serves(desired) {
            prop_assert!(has_server(now), "{} has no server", key);
        }
    }
    for address in &state.locals {
        prop_assert!(
            state.elements.contains(&Element::Vip(*address)),
            "{} has open ports",
            address
        );
        if !known.locals.contains(address) {
            answered(state, desired, *address)?;
        }
        if !desired.locals.contains(address) {
            answered(state, known, *address)?;
        }
    }
    Ok(())
}

fn has_server(it: &Virtual) -> bool {
    it.destinations.values().any(|weight| weight.0 > 0)
}

/// All virtual services that `of` has at an address are there with all their servers.
fn answered(
    state: &KernelState,
    of: &KernelState,
    address: std::net::IpAddr,
) -> Result<(), TestCaseError> {
    for (key, it) in of.virtuals.iter().filter(|(key, _)| key.address == address) {
        let now = state.virtuals.get(key).map(|it| &it.destinations);
        prop_assert_eq!(now, Some(&it.destinations), "{} while {} is local", key, address);
    }
    Ok(())
}
