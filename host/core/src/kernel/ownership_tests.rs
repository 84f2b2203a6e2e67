use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Ownership, Proof};
use crate::decision::Scheduler;
use crate::fixtures::{balance, ip, key, rr};
use crate::kernel::{Refusal, RefusalKind};
use crate::net::Protocol::Tcp;
use crate::plan::Operation;
use crate::state::{Element, Virtual, VirtualKey};

const WEB: &str = "10.96.0.1:80";
/// Another port of the same address.
const OTHER: &str = "10.96.0.1:9999";
const AWAY: &str = "192.0.2.1:80";

fn of(at: &str) -> VirtualKey {
    key(Tcp, at)
}

fn listed(all: &[&str]) -> BTreeMap<VirtualKey, Arc<Virtual>> {
    all.iter().map(|at| (of(at), rr(&[]).into())).collect()
}

/// Which of `all` are ours, where `register` names these (or is missing) and 10.96.0.1 is local by
/// our doing.
fn look(it: &mut Ownership, all: &[&str], register: Option<&[&str]>) -> Vec<String> {
    let elements: Option<BTreeSet<Element>> =
        register.map(|names| names.iter().map(|at| Element::Service(of(at))).collect());
    let addresses = BTreeSet::from([ip("10.96.0.1")]);
    let proof = Proof { register: elements.as_ref(), addresses: &addresses };
    let (ours, foreign) = it.sort(listed(all), &proof);
    assert_eq!(ours.len() + foreign.len(), all.len());
    ours.keys().map(|key| format!("{}:{}", key.address, key.port)).collect()
}

fn add(it: &mut Ownership, at: &str, outcome: Result<(), RefusalKind>) {
    let outcome = outcome.map_err(|kind| Refusal::new(kind, "File exists"));
    it.note(&Operation::AddVirtual(of(at), balance(Scheduler::Rr)), &outcome);
}

#[test]
fn a_process_that_starts_goes_by_the_register() {
    let all = [WEB, OTHER, AWAY];
    type Case<'a> = (&'a str, Option<&'a [&'a str]>, &'a [&'a str]);
    let cases: [Case<'_>; 4] = [
        ("what it names", Some(&[WEB]), &[WEB]),
        ("wherever that is", Some(&[AWAY]), &[AWAY]),
        ("an address alone proves nothing", Some(&[]), &[]),
        ("but where the table is missing", None, &[WEB, OTHER]),
    ];
    for (case, register, want) in cases {
        assert_eq!(look(&mut Ownership::default(), &all, register), want, "{case}");
    }
}

#[test]
fn what_an_earlier_run_kept_proves_as_much_as_an_address_that_it_made_local() {
    let all = [WEB, OTHER, AWAY];
    let resumed = || {
        let mut it = Ownership::default();
        it.resume([of(AWAY), of("192.0.2.1:81")].into());
        it
    };
    assert_eq!(look(&mut resumed(), &all, None), [WEB, OTHER, AWAY]);
    assert_eq!(look(&mut resumed(), &all, Some(&[WEB])), [WEB], "a register says all");
}

#[test]
fn a_process_knows_what_it_found_whatever_becomes_of_the_register() {
    let mut it = Ownership::default();
    let all = [WEB, OTHER];
    for (case, register) in [
        ("at first", Some(&[WEB][..])),
        ("the entry deleted", Some(&[][..])),
        ("the table deleted", None),
        ("and laid again without entries", Some(&[][..])),
    ] {
        assert_eq!(look(&mut it, &all, register), [WEB], "{case}");
    }
}

#[test]
fn what_appears_where_the_table_is_missing_is_not_ours() {
    let mut it = Ownership::default();
    assert_eq!(look(&mut it, &[WEB], Some(&[WEB])), [WEB]);
    assert_eq!(look(&mut it, &[WEB, OTHER], None), [WEB]);
    assert_eq!(look(&mut it, &[WEB, OTHER], Some(&[WEB])), [WEB]);
}

#[test]
fn what_it_made_is_ours_until_it_removes_it() {
    let mut it = Ownership::default();
    look(&mut it, &[], Some(&[]));
    add(&mut it, WEB, Ok(()));
    assert_eq!(look(&mut it, &[WEB], Some(&[])), [WEB]);
    it.note(&Operation::RemoveVirtual(of(WEB)), &Ok(()));
    assert_eq!(look(&mut it, &[WEB], Some(&[])), [""; 0], "somebody made it since");
}

#[test]
fn what_is_gone_with_its_entry_is_not_ours_when_it_comes_again() {
    let mut it = Ownership::default();
    look(&mut it, &[WEB], Some(&[WEB]));
    look(&mut it, &[], Some(&[]));
    assert_eq!(look(&mut it, &[WEB], Some(&[])), [""; 0]);
}

#[test]
fn an_entry_beside_somebody_elses_proves_nothing() {
    let mut it = Ownership::default();
    look(&mut it, &[], Some(&[]));
    assert_eq!(it.clash(&of(WEB)), RefusalKind::Foreign);
    add(&mut it, WEB, Err(RefusalKind::Foreign));
    for register in [Some(&[WEB][..]), Some(&[WEB]), None, Some(&[WEB])] {
        assert_eq!(look(&mut it, &[WEB], register), [""; 0]);
    }
    // A listing that missed it changes nothing.
    assert_eq!(look(&mut it, &[], Some(&[WEB])), [""; 0]);
    assert_eq!(look(&mut it, &[WEB], Some(&[WEB])), [""; 0]);
    look(&mut it, &[], Some(&[]));
    add(&mut it, WEB, Ok(()));
    assert_eq!(look(&mut it, &[WEB], Some(&[WEB])), [WEB], "he gave it up and it was made");
}

#[test]
fn what_a_listing_missed_is_no_clash_with_others() {
    let mut it = Ownership::default();
    look(&mut it, &[], Some(&[WEB]));
    assert_eq!(it.clash(&of(WEB)), RefusalKind::Exists);
    assert_eq!(it.clash(&of(OTHER)), RefusalKind::Foreign);
}
