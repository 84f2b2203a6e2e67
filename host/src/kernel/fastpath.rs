//! The flowtable and the sets of interfaces: devices come and go by themselves, and one that went
//! between plan and commit must not keep the others out.

use std::collections::BTreeSet;

use weir_core::interfaces::IfName;
use weir_core::kernel::Outcome;
use weir_core::plan::Operation;
use weir_core::state::{Chain, Devices, OffloadClass};
use weir_nft::{ApplyError, Batch, Nftables};

use super::elements::refusal;
use super::table::{self, FASTPATH, Sets, flowtable, names, table};

/// The most devices that the kernel takes in one message (`NFT_NETDEVICE_MAX`).
const AT_ONCE: usize = 256;
/// How often a change is tried without devices that went meanwhile.
const ROUNDS: usize = 8;

/// Which of these devices there are now.
pub(super) type Present<'a> = dyn FnMut(&Devices) -> Devices + 'a;

/// Runs the operations about the flowtable and interfaces, each in a batch of its own.
pub(super) fn apply(
    nft: &mut dyn Nftables,
    sets: &Sets,
    present: &mut Present<'_>,
    operations: &[Operation],
) -> Vec<Outcome> {
    let sets_of = |it: &Operation| {
        matches!(it, Operation::SetInterfaces { .. } | Operation::RemoveInterfaces(_))
    };
    if operations.iter().filter(|it| sets_of(it)).count() > 1 {
        // All at once; where that is refused, each by itself.
        let mut batch = Batch::new(table());
        operations.iter().for_each(|it| interfaces(it, &mut batch));
        if nft.apply(&batch).is_ok() {
            let rest: Vec<Operation> =
                operations.iter().filter(|it| !sets_of(it)).cloned().collect();
            let mut rest = apply(nft, sets, present, &rest).into_iter();
            let outcome = |it: &Operation| if sets_of(it) { Some(Ok(())) } else { rest.next() };
            return operations.iter().filter_map(outcome).collect();
        }
    }
    let one = |operation: &Operation| match operation {
        Operation::SetFlowtable { from, to } => {
            let none = Devices::new();
            let have = from.as_ref().unwrap_or(&none);
            with_present(nft, present, &(have | to), |there| {
                set(from.is_some().then(|| have & there).as_ref(), &(to & there))
            })
        }
        Operation::RenewFlowtable { devices, classes } => {
            with_present(nft, present, devices, |there| renew(sets, there, classes))
        }
        Operation::RemoveFlowtable => {
            let mut batch = Batch::new(table());
            batch.delete_flowtable(&FASTPATH);
            send(nft, &batch)
        }
        Operation::SetInterfaces { .. } | Operation::RemoveInterfaces(_) => {
            let mut batch = Batch::new(table());
            interfaces(operation, &mut batch);
            send(nft, &batch)
        }
        _ => Ok(()),
    };
    operations.iter().map(one).collect()
}

/// Writes what an operation makes of a set of interfaces.
fn interfaces(operation: &Operation, batch: &mut Batch) {
    match operation {
        Operation::SetInterfaces { selection, from, to } => {
            let set = table::interfaces(*selection);
            batch.add_set(&set);
            let none = Devices::new();
            let from = from.as_ref().unwrap_or(&none);
            let elements = |names: &mut dyn Iterator<Item = &IfName>| {
                names.filter_map(|it| table::interface(it.as_str())).collect::<Vec<_>>()
            };
            batch.delete_elements(&set, elements(&mut from.difference(to)));
            batch.add_elements(&set, elements(&mut to.difference(from)));
        }
        Operation::RemoveInterfaces(selection) => {
            batch.delete_set(&names::interfaces(*selection));
        }
        _ => {}
    }
}

fn send(nft: &mut dyn Nftables, batch: &Batch) -> Outcome {
    nft.apply(batch).map_err(|error| refusal(&error))
}

/// Sends a batch about these devices; where one is gone, again without it.
fn with_present(
    nft: &mut dyn Nftables,
    present: &mut Present<'_>,
    devices: &Devices,
    batch: impl Fn(&Devices) -> Batch,
) -> Outcome {
    let mut devices = devices.clone();
    let mut round = 0;
    loop {
        let error = match nft.apply(&batch(&devices)) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let there = present(&devices);
        round += 1;
        if !is_missing(&error) || there == devices || round == ROUNDS {
            return Err(refusal(&error));
        }
        devices = there;
    }
}

fn is_missing(error: &ApplyError) -> bool {
    error.refusals().iter().any(weir_nft::Refusal::is_not_found)
}

/// Makes the flowtable, or changes its devices: the others' flows aren't touched.
fn set(from: Option<&Devices>, to: &Devices) -> Batch {
    let mut batch = Batch::new(table());
    let none = Devices::new();
    let have = from.unwrap_or(&none);
    let gone: Vec<String> = have.difference(to).map(ToString::to_string).collect();
    let fresh: Vec<String> = to.difference(have).map(ToString::to_string).collect();
    for part in gone.chunks(AT_ONCE) {
        batch.delete_devices(flowtable(part.to_vec()));
    }
    if from.is_none() && fresh.is_empty() {
        batch.add_flowtable(flowtable(Vec::new()));
    }
    for part in fresh.chunks(AT_ONCE) {
        batch.add_flowtable(flowtable(part.to_vec()));
    }
    batch
}

/// Another flowtable in the place of this one, in one batch: flows go back to the slow path, and on.
fn renew(sets: &Sets, devices: &Devices, classes: &BTreeSet<OffloadClass>) -> Batch {
    let mut batch = Batch::new(table());
    let chains: Vec<Chain> = classes.iter().copied().map(Chain::Offload).collect();
    for chain in &chains {
        batch.flush_chain(&names::chain(chain));
    }
    batch.delete_flowtable(&FASTPATH);
    for operation in set(None, devices).ops() {
        batch.push(operation.clone());
    }
    for chain in &chains {
        sets.add_chain(chain, &mut batch);
    }
    batch
}
