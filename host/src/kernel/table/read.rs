//! A table that was found → the state. Pure.
//!
//! What weir never writes is left out, or reads as something that is never wanted: the plan then
//! sets it right.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use ipnet::IpNet;
use weir_core::interfaces::IfName;
use weir_core::net::{Family, Port, Protocol};
use weir_core::state::{
    self, Chain, Class, Closed, Devices, KernelState, Leg, Memory, Nat, OffloadClass, Pick, Scope,
    VirtualKey,
};
use weir_nft::{Data, Element, Set, TableState, Value, Verdict};

use super::sets::FamilySets;
use super::{FASTPATH, Sets, flowtable, names, rules};

/// Slots beyond this are nobody's.
const MOST_SLOTS: u32 = 1 << 16;

/// All that is in the table but the base.
pub(super) fn read(sets: &Sets, found: &TableState) -> KernelState {
    let mut state = KernelState::default();
    for of in sets.both() {
        state.elements.extend(elements(of, found));
        nats(of, found, &mut state);
    }
    state.chains.extend(chains(sets, found));
    let table = found.flowtables.get(&FASTPATH);
    let ours = table.filter(|it| flowtable(it.devices.clone()) == **it);
    state.flowtable =
        ours.map(|it| it.devices.iter().filter_map(|name| name.parse().ok()).collect());
    for (name, set) in &found.sets {
        if let Some(selection) = names::parse_interfaces(name) {
            let names: Devices = set.elements.iter().filter_map(interface).collect();
            state.interfaces.insert(selection, names);
        }
    }
    state
}

fn of_set<'a>(found: &'a TableState, set: &Set) -> impl Iterator<Item = &'a Element> {
    found.sets.get(&set.name).into_iter().flat_map(|it| &it.elements)
}

fn elements<'a>(
    of: &'a FamilySets,
    found: &'a TableState,
) -> impl Iterator<Item = state::Element> + 'a {
    let addresses = |set| of_set(found, set).filter_map(|it| ip(it.key.first()?));
    let ports = |set| of_set(found, set).filter_map(|it| service_port(&it.key));
    let members = Scope::ALL.into_iter().flat_map(move |scope| {
        let members = of_set(found, of.members_of(scope)).filter_map(move |it| {
            let (home, to) = it.key.split_at_checked(3)?;
            Some(state::Element::Member(service_port(home)?, scope, place(to)?))
        });
        // What is remembered of one that is no member was left behind: it goes as a member goes.
        let remembered = of_set(found, of.affinity_of(scope)).filter_map(move |it| {
            let (home, to) = of.remembered_of(it)?;
            Some(state::Element::Member(home, scope, to))
        });
        members.chain(remembered)
    });
    ports(&of.services)
        .map(state::Element::Service)
        .chain(addresses(&of.vips).map(state::Element::Vip))
        .chain(addresses(&of.hairpin).map(state::Element::Hairpin))
        .chain(addresses(&of.allocated).map(state::Element::Allocated))
        .chain(members)
}

fn nats(of: &FamilySets, found: &TableState, state: &mut KernelState) {
    for (set, leg) in [(&of.balance, main as LegOf), (&of.inside, inside)] {
        for (key, data) in ports(found, set) {
            let class = match chain(data) {
                Some(Chain::Balance(class)) => class,
                _ => never_balanced(key),
            };
            leg(nat(state, key)).class = Some(class);
        }
    }
    for (key, data) in ports(found, &of.offload) {
        let class = match chain(data) {
            Some(Chain::Offload(class)) => class,
            _ => NEVER_OFFLOADED,
        };
        nat(state, key).offload = Some(class);
    }
    for (key, data) in ports(found, &of.sticky) {
        let memory = match chain(data) {
            Some(Chain::Remember(memory)) => memory,
            _ => never_remembered(key),
        };
        nat(state, key).memory = Some(memory);
    }
    for (key, data) in ports(found, &of.homes) {
        let Data::Value(value) = data else { continue };
        let home = value.get(1..).and_then(service_port);
        nat(state, key).home = Some(home.unwrap_or(nobodys_home(key)));
    }
    for (set, leg) in [(&of.endpoints, main as LegOf), (&of.inside_endpoints, inside)] {
        slots(found, set, leg, state);
    }
    beside(of, found, state);
}

/// One of the two legs of a service port.
type LegOf = fn(&mut Nat) -> &mut Leg;

fn main(nat: &mut Nat) -> &mut Leg {
    &mut nat.main
}

fn inside(nat: &mut Nat) -> &mut Leg {
    &mut nat.inside
}

/// The elements of a map whose keys are service ports.
fn ports<'a>(found: &'a TableState, set: &Set) -> impl Iterator<Item = (VirtualKey, &'a Data)> {
    of_set(found, set).filter_map(|it| Some((service_port(&it.key)?, &it.data)))
}

fn slots(found: &TableState, set: &Set, leg: LegOf, state: &mut KernelState) {
    for it in of_set(found, set) {
        let Some((key, [Value::Mark(slot)])) = it.key.split_at_checked(3) else { continue };
        let (Some(key), Data::Value(to)) = (service_port(key), &it.data) else { continue };
        let (Some(to), true) = (place(to), *slot < MOST_SLOTS) else { continue };
        let slots = &mut leg(nat(state, key)).slots;
        let slot = *slot as usize;
        if slots.len() <= slot {
            slots.resize(slot + 1, None);
        }
        slots[slot] = Some(to);
    }
}

/// Whom a service port lets in, and what becomes of them.
fn beside(of: &FamilySets, found: &TableState, state: &mut KernelState) {
    for (key, data) in ports(found, &of.external) {
        let Data::Verdict(Verdict::Goto(chain)) = data else { continue };
        nat(state, key).masquerade = rules::whose(of.words.family, chain);
    }
    for (key, data) in ports(found, &of.closed) {
        let Data::Verdict(verdict) = data else { continue };
        let how = [Closed::Refuse, Closed::Drop].into_iter().find(|it| rules::end(*it) == *verdict);
        nat(state, key).closed = how;
    }
    for (key, _) in ports(found, &of.guarded) {
        nat(state, key).sources.get_or_insert_default();
    }
    for it in of_set(found, &of.sources) {
        let Some((key, [from])) = it.key.split_at_checked(3) else { continue };
        let to = it.key_end.as_ref().and_then(|end| end.last()).unwrap_or(from);
        let range = ip(from).zip(ip(to)).and_then(|(from, to)| range(from, to));
        let (Some(key), Some(range)) = (service_port(key), range) else { continue };
        nat(state, key).sources.get_or_insert_default().insert(range);
    }
}

/// The range of just these addresses; `None` for one that no prefix has.
fn range(from: IpAddr, to: IpAddr) -> Option<IpNet> {
    let bits = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (from.to_bits() ^ to.to_bits()).leading_zeros(),
        (IpAddr::V6(from), IpAddr::V6(to)) => (from.to_bits() ^ to.to_bits()).leading_zeros(),
        _ => return None,
    };
    let range = IpNet::new(from, u8::try_from(bits).ok()?).ok()?;
    (range.network() == from && range.broadcast() == to).then_some(range)
}

fn nat(state: &mut KernelState, key: VirtualKey) -> &mut Nat {
    Arc::make_mut(state.nats.entry(key).or_default())
}

fn never_balanced(key: VirtualKey) -> Class {
    let family = Family::of(key.address);
    Class { family, pick: Pick::Destination, slots: NonZeroU32::MAX, sticky: None, inside: false }
}

fn never_remembered(key: VirtualKey) -> Memory {
    Memory { family: Family::of(key.address), seconds: NonZeroU32::MAX }
}

fn nobodys_home(key: VirtualKey) -> VirtualKey {
    let address = match key.address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    VirtualKey { address, ..key }
}

const NEVER_OFFLOADED: OffloadClass = OffloadClass { after: NonZeroU32::MAX, interfaces: None };

/// Chains with just the rules that their names promise; another is as good as absent, and is made anew.
fn chains(sets: &Sets, found: &TableState) -> impl Iterator<Item = Chain> {
    found.chains.iter().filter_map(|(name, have)| {
        let chain = names::parse(name)?;
        let want = rules::shared(sets, &chain);
        let same = have.rules.iter().map(|it| &it.rule).eq(want.iter());
        (have.chain.base.is_none() && same).then_some(chain)
    })
}

fn chain(data: &Data) -> Option<Chain> {
    match data {
        Data::Verdict(Verdict::Goto(name) | Verdict::Jump(name)) => names::parse(name),
        _ => None,
    }
}

fn interface(element: &Element) -> Option<IfName> {
    match element.key.as_slice() {
        [Value::Ifname(name)] => name.to_text().parse().ok(),
        _ => None,
    }
}

fn ip(value: &Value) -> Option<IpAddr> {
    match value {
        Value::Ipv4(ip) => Some((*ip).into()),
        Value::Ipv6(ip) => Some((*ip).into()),
        _ => None,
    }
}

pub(super) fn place(value: &[Value]) -> Option<SocketAddr> {
    let [address, Value::Port(port)] = value else { return None };
    Some(SocketAddr::new(ip(address)?, *port))
}

pub(super) fn service_port(key: &[Value]) -> Option<VirtualKey> {
    let [address, Value::Proto(protocol), Value::Port(port)] = key else { return None };
    Some(VirtualKey {
        address: ip(address)?,
        protocol: Protocol::from_number(*protocol)?,
        port: Port::new(*port)?,
    })
}
