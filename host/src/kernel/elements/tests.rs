//! Elements against a rule set in memory that refuses as Linux does.

use super::*;
use weir_core::net::{Port, Protocol};
use weir_core::state::{Base, Element};
use weir_nft::FakeNft;

fn service(last: u8) -> Element {
    Element::Service(VirtualKey {
        address: [10, 96, 0, last].into(),
        protocol: Protocol::Tcp,
        port: Port::new(80).unwrap(),
    })
}

fn read(nft: &mut FakeNft, sets: &Sets) -> Vec<Element> {
    let found = nft.observe(&table()).unwrap().unwrap();
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
