//! Commands that work everything out without writing: `weir plan`, `weir explain` and policies' views.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use weir_core::drain::Drains;
use weir_core::kernel::{FakeKernel, Kernel};
use weir_core::model::{Change, Model, Touched};
use weir_core::net::ObjectName;
use weir_core::plan::{Operation, Plan};
use weir_core::seen::FirstSeen;
use weir_core::sight::{self, Beside, view_of};
use weir_core::view::{KernelAbilities, ServiceView};

use super::{json, load, say};
use crate::app::{self, Source};
use crate::args::{Against, GlobalArgs, PlanArgs, PlanOutput, SourceArgs};
use crate::base::{self, Around};
use crate::config::Config;
use crate::drive::millis;
use crate::keep::Keep;
use crate::kernel::{LinuxKernel, doctor, interfaces, processors};
use crate::policies::Chain;
use crate::reconcile::Reconciler;
use crate::report::explain::{Explanation, explain as explained};
use crate::watch::Problem;
use crate::watch::api::read_api;
use crate::watch::manifests::read_directory;

/// How long an API server may take to show everything.
const ASKED: Duration = Duration::from_secs(60);

/// `weir plan`.
pub(super) fn plan(global: &GlobalArgs, args: &PlanArgs) -> Result<ExitCode> {
    let config = load(global, &args.source)?;
    let plan = match args.against {
        Against::Empty => {
            let mut all = reconciler(&config, FakeKernel::default(), assumed(), Kept::Nothing)?;
            all.turn(millis())?.plan
        }
        Against::Kernel => against_kernel(&config)?,
    };
    show(&plan, args.output)?;
    Ok(ExitCode::SUCCESS)
}

/// What the daemon would change in this node's kernel with this configuration.
pub(super) fn against_kernel(config: &Config) -> Result<Plan> {
    let expected = base::base(config, &model(config)?);
    let mut kernel = LinuxKernel::open(app::how(config))?;
    let abilities = doctor::abilities(kernel.has_ipvs(), &kernel.probe());
    kernel.expect(expected);
    let looked = FakeKernel::seen(kernel.observe()?);
    let node = interfaces::look().context("look at the node's interfaces")?;
    let mut all = reconciler(config, looked, abilities, Kept::ByTheDaemon)?;
    all.set_interfaces(&interfaces::interfaces(&node));
    all.set_here(base::here(config, &all.model, &interfaces::around(&node)));
    let plan = all.turn(millis())?.plan;
    // Which flows a running daemon has looked at nobody here knows.
    let written = plan.operations().iter().filter(|it| !matches!(it, Operation::EndFlows { .. }));
    Ok(Plan::new(written.cloned().collect()))
}

fn show(plan: &Plan, output: PlanOutput) -> Result<()> {
    match output {
        PlanOutput::Table if plan.is_empty() => say("nothing to do\n"),
        PlanOutput::Table => say(plan),
        PlanOutput::Json => json(plan),
    }
}

/// `weir explain` with sources of its own: against a kernel that holds nothing.
pub(super) fn explain(
    global: &GlobalArgs,
    source: &SourceArgs,
    name: &ObjectName,
) -> Result<Option<Explanation>> {
    let config = load(global, source)?;
    let mut all = reconciler(&config, FakeKernel::default(), assumed(), Kept::Nothing)?;
    all.turn(millis())?;
    Ok(explained(&all, name).map(Explanation::without_kernel))
}

/// The views that policies get of the services in a folder of manifests.
pub(super) fn views(folder: &Path) -> Result<Vec<ServiceView>> {
    let mut model = Model::new("this-node");
    for change in read(folder)? {
        model.fold(change);
    }
    let (kernel, seen) = (assumed(), FirstSeen::default());
    let beside = Beside {
        kernel: &kernel,
        cpus: processors::online(),
        seen: &seen,
        now: millis() / 1000,
        counters: None,
        previous: None,
    };
    let ours = model.services().filter(|service| service.is_ours(service.proxy_name.as_deref()));
    let ports = ours.flat_map(|service| service.ports.iter().map(move |port| (service, port)));
    Ok(ports.map(|(service, port)| view_of(&model, service, port, &beside)).collect())
}

/// A kernel with everything: what a plan against an empty kernel is made for.
fn assumed() -> KernelAbilities {
    let all = weir_core::decision::Scheduler::ALL.into_iter().filter(|s| s.on_ipvs());
    let nftables = weir_core::decision::Scheduler::ALL.into_iter().filter(|s| s.on_nftables());
    KernelAbilities {
        ipvs_schedulers: all.map(|s| s.to_string()).collect(),
        nftables_schedulers: nftables.map(|s| s.to_string()).collect(),
        dataplanes: ["ipvs", "nftables"].map(str::to_owned).into(),
        flowtable: true,
        ..KernelAbilities::default()
    }
}

fn read(folder: &Path) -> Result<Vec<Change>> {
    let reading = read_directory(folder)?;
    tell(&reading.problems);
    Ok(reading.changes)
}

fn tell(problems: &[Problem]) {
    for problem in problems {
        tracing::warn!(%problem, "an object is not as it should be");
    }
}

fn changes(config: &Config) -> Result<Vec<Change>> {
    let settings = match app::source(config)? {
        Source::Manifests(folder) => return read(&folder),
        Source::Api(settings) => settings,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let reading = runtime.block_on(read_api(&settings, ASKED))?;
    tell(&reading.problems);
    Ok(reading.changes)
}

fn model(config: &Config) -> Result<Model> {
    let mut model = Model::new(config.resolved_node_name()?.to_string());
    for change in changes(config)? {
        model.fold(change);
    }
    Ok(model)
}

/// What an earlier run is taken to have left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Nothing,
    /// The run folder's files: servers that end are no servers to remove.
    ByTheDaemon,
}

fn reconciler(
    config: &Config,
    kernel: FakeKernel,
    abilities: KernelAbilities,
    kept: Kept,
) -> Result<Reconciler<FakeKernel, Chain>> {
    let model = model(config)?;
    let defaults = base::defaults(config, processors::online());
    let node = sight::node(&model, &abilities, defaults.cpus);
    let chain = Chain::load(config, None, node).context("load the policies")?;
    let table = base::base(config, &model);
    // Addresses of interfaces are nobody's guess; those that the Node names are known.
    let here = base::here(config, &model, &Around::default());
    let mut all = Reconciler::new(model, kernel, chain, abilities, defaults);
    let limit = base::drain_limit(config);
    let (mut drains, mut seen, mut first) = (Drains::new(limit, &[]), FirstSeen::default(), true);
    if kept == Kept::ByTheDaemon {
        let keep;
        (keep, drains, seen) = Keep::open(&config.paths.run_dir, limit);
        first = keep.is_first_start();
    }
    all.resume(drains, seen);
    all.listed((!first).then(|| millis() / 1000));
    all.set_base(Some(table));
    all.set_here(here);
    all.touch(Touched::all());
    Ok(all)
}

#[cfg(test)]
mod tests;
