//! `weir cleanup`: removes from the kernel what weir made, and nothing else.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};
use weir_core::kernel::{Kernel, Outcome};
use weir_core::plan::{Operation, Plan};
use weir_core::state::KernelState;

use super::{flags_only, run_dir, say};
use crate::args::{CleanupArgs, GlobalArgs};
use crate::kernel::as_found::AsFound;
use crate::kernel::lock::Lock;
use crate::kernel::modules::{Module, Modules};
use crate::kernel::sysctl::ProcSys;
use crate::kernel::{How, LinuxKernel, doctor, words};
use crate::log;

/// Removes what is provably ours; fails when anything of it remained.
pub(super) fn run(global: &GlobalArgs, args: &CleanupArgs) -> Result<ExitCode> {
    let config = flags_only(global)?;
    log::start(&config.log, None);
    let folder = run_dir(global);
    let lock = Lock::take(&folder).context("weir must not run while its work is removed")?;
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
    say(format!("kernel objects removed: {removed}\n"))?;
    for line in &remained {
        say(format!("{line}\n"))?;
    }
    if !args.keep_ipvs {
        tell_differences(&mut kernel, &folder)?;
        tell_folders([&folder, &config.paths.cache_dir])?;
    }
    if !remained.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    if args.stay {
        drop(lock);
        until_told_to_end()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn until_told_to_end() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut term, mut int) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        say("stays until SIGTERM or SIGINT\n")?;
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        Ok(())
    })
}

/// What weir set of the whole node's may be of use to others by now: it isn't set back.
fn tell_differences(kernel: &mut LinuxKernel, folder: &Path) -> Result<()> {
    let timeouts = kernel.timeouts().context("read the time-outs of IPVS")?;
    let sysctls = ProcSys::default();
    let modules = Modules::read(&doctor::release());
    let is_loaded = |name: &str| modules.find(name) == Module::There;
    let sysctl = |name: &str| sysctls.read(name).ok();
    let differ = AsFound::read(folder).differences(sysctl, timeouts, is_loaded);
    if !differ.is_empty() {
        say("left as it is, since others may rely on it by now:\n")?;
    }
    differ.into_iter().try_for_each(|line| say(format!("  {line}\n")))
}

/// The folders hold what these words come from, and the lock that is held here.
fn tell_folders(folders: [&Path; 2]) -> Result<()> {
    let there = folders.into_iter().filter(|folder| folder.exists());
    let there: Vec<_> = there.map(|folder| folder.display().to_string()).collect();
    if there.is_empty() {
        return Ok(());
    }
    say(format!("left, for weir alone: rm -r {}\n", there.join(" ")))
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
fn forget(folder: &Path) {
    for name in ["drains.json", "leaving.json", "first-seen.json", "own-addresses.json"] {
        // A file that isn't there is as good as removed.
        drop(std::fs::remove_file(folder.join(name)));
    }
}
