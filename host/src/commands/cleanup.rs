//! `weir cleanup`: removes from the kernel what weir made, and nothing else.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::{Context, Result};
use weir_core::kernel::{Kernel, Outcome};
use weir_core::plan::{Operation, Plan};
use weir_core::state::KernelState;

use super::{flags_only, run_dir, say};
use crate::args::{CleanupArgs, GlobalArgs};
use crate::kernel::lock::Lock;
use crate::kernel::{How, LinuxKernel, words};
use crate::log;

/// Removes what is provably ours; fails when anything of it remained.
pub(super) fn run(global: &GlobalArgs, args: &CleanupArgs) -> Result<ExitCode> {
    log::start(&flags_only(global)?.log, None);
    let folder = run_dir(global);
    let _lock = Lock::take(&folder).context("weir must not run while its work is removed")?;
    let mut kernel = LinuxKernel::open(How::Route)?;
    let mut remained = BTreeSet::new();
    let seen = kernel.observe()?.ours;
    // Addresses on the dummy go with it, before what they let packets in to. Its being there has
    // helped the look to tell what is ours.
    let mut removed = 0;
    if !args.keep_ipvs {
        match kernel.remove_dummy() {
            Ok(there) => removed += usize::from(there),
            Err(error) => drop(remained.insert(words(&error))),
        }
    }
    let plan = removal(&seen, kernel.has_table()?, args.keep_ipvs);
    let outcomes = kernel.apply(&plan);
    removed += outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    note(&plan, &outcomes, &mut remained);
    let left = removal(&kernel.observe()?.ours, kernel.has_table()?, args.keep_ipvs);
    remained.extend(left.operations().iter().map(|it| format!("not done: {it}")));
    if !args.keep_ipvs {
        forget(&folder);
    }
    say(format!("removed {removed} objects\n"))?;
    for line in &remained {
        say(format!("{line}\n"))?;
    }
    Ok(if remained.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// With virtual services kept, so are their addresses and the table, whose register tells that they
/// are ours.
fn removal(ours: &KernelState, table: bool, keep_ipvs: bool) -> Plan {
    let mut kept = KernelState::default();
    if keep_ipvs {
        kept.clone_from(ours);
        kept.elements.retain(|element| matches!(element, weir_core::state::Element::Service(_)));
        kept.nats.clear();
        kept.chains.clear();
        kept.interfaces.clear();
        kept.flowtable = None;
        kept.locals.retain(|address| kept.virtuals.keys().any(|key| key.address == *address));
    }
    let mut steps = weir_core::diff::diff(ours, &kept).operations().to_vec();
    if !keep_ipvs {
        // The table goes with all its elements, whatever somebody made of it.
        let stays =
            |it: &Operation| it.virtual_key().is_some() || matches!(it, Operation::RemoveLocal(_));
        steps.retain(|it| stays(it) && !matches!(it, Operation::RemoveNat { .. }));
        steps.extend(table.then_some(Operation::RemoveBase));
    }
    Plan::new(steps)
}

fn note(plan: &Plan, outcomes: &[Outcome], remained: &mut BTreeSet<String>) {
    for (operation, outcome) in plan.operations().iter().zip(outcomes) {
        if let Err(refusal) = outcome {
            remained.insert(format!("{operation}: {refusal}"));
        }
    }
}

/// What was kept for the next start has no meaning any more.
fn forget(folder: &std::path::Path) {
    for name in ["drains.json", "leaving.json", "first-seen.json", "own-addresses.json"] {
        // A file that isn't there is as good as removed.
        drop(std::fs::remove_file(folder.join(name)));
    }
}
