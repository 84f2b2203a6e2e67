//! Elements against a rule set in memory that refuses as Linux does.

use super::*;
use std::net::{IpAddr, SocketAddr};
use weir_core::net::{Port, Protocol};

use weir_core::state::{Base, Element, Scope};
use weir_nft::{Element as NftElement, FakeNft, Value};

fn service(last: u8) -> Element {
    Element::Service(VirtualKey {
        address: [10, 96, 0, last].into(),
        protocol: Protocol::Tcp,
        port: Port::new(80).unwrap(),
    })
}

fn read(nft: &mut FakeNft, sets: &Sets) -> Vec<Element> {
    let mut found = nft.observe(&table()).unwrap().unwrap();
    affinity::look(nft, sets, &mut found).unwrap();
    sets.read(&found).elements.into_iter().collect()
}

#[test]
fn elements_of_both_families_come_back_as_they_were_written() {
    let (mut nft, sets) = (FakeNft::new(), Sets::new());
    lay(&mut nft, &sets, &Base::default()).unwrap();
    let all = [
        service(1),
        Element::Service(VirtualKey {
            address: "fd00::1".parse().unwrap(),
            protocol: Protocol::Sctp,
            port: Port::new(36412).unwrap(),
        }),
        Element::Vip([10, 96, 0, 1].into()),
        Element::Hairpin("fd00:1::5".parse().unwrap()),
    ];
    let outcomes = apply(&mut nft, &sets, &all.map(Operation::AddElement));
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let mut back = read(&mut nft, &sets);
    back.sort();
    let mut want = all.to_vec();
    want.sort();
    assert_eq!(back, want);
    let outcomes = apply(&mut nft, &sets, &all.map(Operation::RemoveElement));
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert!(read(&mut nft, &sets).is_empty());
}

#[test]
fn one_element_that_is_gone_already_does_not_keep_the_others() {
    let (mut nft, sets) = (FakeNft::new(), Sets::new());
    lay(&mut nft, &sets, &Base::default()).unwrap();
    apply(&mut nft, &sets, &[1, 3].map(|last| Operation::AddElement(service(last))));
    let outcomes =
        apply(&mut nft, &sets, &[1, 2, 3].map(|last| Operation::RemoveElement(service(last))));
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert!(read(&mut nft, &sets).is_empty());
}

#[test]
fn without_the_table_every_element_is_refused_with_words() {
    let (mut nft, sets) = (FakeNft::new(), Sets::new());
    let outcomes = apply(&mut nft, &sets, &[Operation::AddElement(service(1))]);
    let refusal = outcomes[0].as_ref().unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::NotFound);
    assert!(refusal.text.contains("services-4"), "{refusal}");
}

/// What the kernel writes when a client goes to an endpoint.
fn remember(nft: &mut FakeNft, sets: &Sets, scope: Scope, clients: &[(u8, VirtualKey, u8)]) {
    let of = sets.of(Family::V4);
    let mut batch = Batch::new(table());
    let written = clients.iter().map(|(client, home, to)| {
        let key = [
            Value::Ipv4([10, 2, 0, *client].into()),
            Value::Ipv4(match home.address {
                IpAddr::V4(ip) => ip,
                IpAddr::V6(_) => unreachable!(),
            }),
            Value::Proto(home.protocol.number()),
            Value::Port(home.port.get()),
        ];
        NftElement::value(key, [Value::Ipv4([10, 0, 0, *to].into()), Value::Port(8080)])
    });
    batch.add_elements(of.affinity_of(scope), written);
    nft.apply(&batch).unwrap();
}

fn clients(nft: &mut FakeNft, sets: &Sets, scope: Scope) -> Vec<String> {
    let set = sets.of(Family::V4).affinity_of(scope);
    nft.elements(&table(), set).unwrap().unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn an_endpoint_that_goes_is_forgotten_in_its_scope_and_no_other() {
    let (mut nft, sets) = (FakeNft::new(), Sets::new());
    lay(&mut nft, &sets, &Base::default()).unwrap();
    let home = |last| match service(last) {
        Element::Service(key) => key,
        _ => unreachable!(),
    };
    let to = |last| SocketAddr::from(([10, 0, 0, last], 8080));
    let member = |of, scope, last| Element::Member(home(of), scope, to(last));
    let (cluster, local) = (Scope::Cluster, Scope::Local);
    let members =
        [member(1, cluster, 1), member(1, cluster, 2), member(1, local, 1), member(2, cluster, 1)];
    let outcomes = apply(&mut nft, &sets, &members.map(Operation::AddElement));
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    remember(&mut nft, &sets, cluster, &[(1, home(1), 1), (2, home(1), 2), (3, home(2), 1)]);
    remember(&mut nft, &sets, local, &[(1, home(1), 1)]);
    assert_eq!(read(&mut nft, &sets).len(), members.len(), "what is remembered is of members");
    let outcomes = apply(&mut nft, &sets, &[Operation::RemoveElement(member(1, cluster, 1))]);
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let left = clients(&mut nft, &sets, cluster);
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.iter().all(|it| !it.starts_with("10.2.0.1 ")), "{left:?}");
    assert_eq!(clients(&mut nft, &sets, local).len(), 1, "it still serves there");
}

#[test]
fn what_was_left_behind_is_found_and_forgotten() {
    let (mut nft, sets) = (FakeNft::new(), Sets::new());
    lay(&mut nft, &sets, &Base::default()).unwrap();
    let Element::Service(home) = service(1) else { unreachable!() };
    remember(&mut nft, &sets, Scope::Local, &[(1, home, 1), (2, home, 1)]);
    let found = read(&mut nft, &sets);
    let left = Element::Member(home, Scope::Local, SocketAddr::from(([10, 0, 0, 1], 8080)));
    assert_eq!(found, [left]);
    let outcomes = apply(&mut nft, &sets, &[Operation::RemoveElement(left)]);
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert!(read(&mut nft, &sets).is_empty());
}
