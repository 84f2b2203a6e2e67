//! `weir run`: opens the doors, starts the threads, and waits to be told to stop.

mod ends;
mod news;
mod source;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};

use anyhow::{Context, Result, bail};
use weir_core::decision::{Dataplane, Offload};
use weir_core::model::Model;
use weir_core::sight;

use crate::admin::Desk;
use crate::config::{Config, Dataplane as Configured, Vips};
use crate::drive::{Command, Drive, Rescan, Shared};
use crate::keep::Keep;
use crate::kernel::lock::Lock;
use crate::kernel::probe::Found;
use crate::kernel::sysctl::{self, ProcSys};
use crate::kernel::{How, LinuxKernel, doctor, neighbours, processors, timeouts, words};
use crate::policies::{Chain, watch_files};
use crate::reconcile::{Defaults, Reconciler};
use crate::report::events::Tell;
use crate::{admin, http};

use ends::{Signals, Watched, stopped_or_ended};
use news::{forward, watch_kernel};
use source::Opened;
pub use source::{Source, source};

/// Serves the node until SIGTERM or SIGINT.
///
/// # Errors
/// Something without which no service can be carried: another weir, no kernel support, no source;
/// or the loop ended without being told to.
pub fn run(config: &Config) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // First of all: a signal that nobody listens for would kill the daemon half-way.
    let mut signals = Signals::listen(&runtime)?;
    let source = source(config)?;
    let _lock = Lock::take(&config.paths.run_dir)?;
    let (commands, inbox) = mpsc::channel();
    let shared = Shared::new(config.sync.sync_period.get());
    runtime.block_on(listen(config, &shared, &commands))?;
    runtime.spawn(http::checks(shared.clone()));
    let desk = Desk { commands: commands.clone(), shared: shared.clone(), config: config.clone() };
    admin::listen(&config.paths.run_dir, desk).context("listen for weir status and others")?;
    let Opened { events, rescan, tell } =
        source.open(config, &runtime, Arc::clone(&shared.metrics.api))?;
    let _files = watch_files(config.policies.iter().map(|it| it.file.as_path()), &commands)
        .inspect_err(
            |error| tracing::warn!(%error, "policies' files are looked at on the sync period only"),
        );
    let _watcher = watch_kernel(&runtime, &commands)?;
    runtime.spawn(forward(events, commands.clone()));
    let (config, ready) = (config.clone(), Arc::new(AtomicBool::new(false)));
    let is_ready = Arc::clone(&ready);
    let reconcile = Watched::spawn("reconcile", move || {
        let drive = prepare(&config, shared, rescan, tell)?;
        is_ready.store(true, Ordering::Release);
        drive.run(&inbox);
        Ok(())
    })?;
    stopped_or_ended(&runtime, &mut signals, reconcile, &commands, &ready)
}

async fn listen(config: &Config, shared: &Shared, commands: &Sender<Command>) -> Result<()> {
    let (health, metrics) = (&config.health, &config.metrics);
    let site = http::health(shared.clone(), commands.clone());
    let listened = http::serve("health", health.address.get(), health.required, site).await;
    listened.with_context(|| format!("listen on health.address {}", health.address))?;
    let site = http::metrics(shared.clone(), commands.clone(), config);
    let listened = http::serve("metrics", metrics.address.get(), metrics.required, site).await;
    listened.with_context(|| format!("listen on metrics.address {}", metrics.address))
}

/// Opens the kernel, sets what is set once, and loads the policies.
fn prepare(
    config: &Config,
    shared: Shared,
    rescan: Rescan,
    tell: Tell,
) -> Result<Drive<LinuxKernel, Chain>> {
    let (mut kernel, found) = open(config)?;
    let sysctls = set_sysctls(config, kernel.has_ipvs());
    for missing in &found.missing {
        tracing::warn!(%missing, "nftables of this kernel lacks something");
    }
    let abilities = doctor::abilities(kernel.has_ipvs(), &found);
    warn_of_kube_proxy();
    if let Err(error) = kernel.set_timeouts(timeouts(&config.ipvs)) {
        tracing::warn!(error = words(&error), "the time-outs of IPVS can't be set");
    }
    let model = Model::new(config.resolved_node_name()?.to_string());
    let defaults = defaults(config)?;
    let node = sight::node(&model, &abilities, defaults.cpus);
    let chain = Chain::load(config, Some(&config.paths.cache_dir), node)?;
    let mut all = Reconciler::new(model, kernel, chain, abilities, defaults);
    let (keep, drains, seen) = Keep::open(&config.paths.run_dir, drain_limit(config));
    all.resume(drains, seen);
    all.kernel.resume(keep.virtuals());
    all.policies.restore(keep.answers());
    Ok(Drive::new(all, config.clone(), shared, keep, sysctls, rescan).telling(tell))
}

/// Opens the kernel and tries what nftables can do, which loads the modules whose sysctls are set next.
///
/// # Errors
/// The kernel can't be asked, or nothing in it could carry a service.
pub fn open(config: &Config) -> Result<(LinuxKernel, Found)> {
    if !may_write_the_kernel() {
        bail!(
            "CAP_NET_ADMIN is missing, without which nothing of services can be read or written in the \
             kernel: run as root, or give the container this capability (capabilities.add: [NET_ADMIN])"
        );
    }
    let mut kernel = LinuxKernel::open(how(config))?;
    let found = kernel.probe();
    if !kernel.has_ipvs() && found.schedulers.is_empty() {
        bail!(
            "this kernel has neither IPVS nor what nftables takes to carry services: `weir doctor` \
             says what is missing and how to get it"
        );
    }
    Ok((kernel, found))
}

/// Where that can't be asked, trying will tell.
fn may_write_the_kernel() -> bool {
    let sets = rustix::thread::capabilities(None);
    sets.map_or(true, |it| it.effective.contains(rustix::thread::CapabilitySet::NET_ADMIN))
}

/// How long a leaving server may drain, in milliseconds.
#[must_use]
pub fn drain_limit(config: &Config) -> u64 {
    u64::try_from(config.drain.limit.get().as_millis()).unwrap_or(u64::MAX)
}

fn warn_of_kube_proxy() {
    for neighbours::Sign { what, there, advice } in neighbours::kube_proxy() {
        match there {
            Ok(None) => {}
            Ok(Some(detail)) => {
                tracing::warn!(found = what, detail, advice, "kube-proxy is or was on this node");
            }
            Err(error) => tracing::warn!(what, error, "can't look for kube-proxy"),
        }
    }
}

/// How the configuration wants addresses made local.
#[must_use]
pub fn how(config: &Config) -> How {
    match config.ipvs.vips {
        Vips::Route => How::Route,
        Vips::Address => How::Address,
    }
}

/// What the configuration says for services on which no policy has an opinion.
///
/// # Errors
/// A scheduler of a name that weir doesn't know, or a mode that isn't built.
pub fn defaults(config: &Config) -> Result<Defaults> {
    Ok(Defaults {
        dataplane: match config.dataplane {
            Configured::Auto => None,
            Configured::Ipvs => Some(Dataplane::Ipvs),
            Configured::Nftables => Some(Dataplane::Nftables),
        },
        scheduler: config.ipvs.scheduler.as_str().parse()?,
        offload: NonZeroU32::new(
            u32::try_from(config.offload.after_packets.get()).unwrap_or(u32::MAX),
        )
        .map_or(Offload::Never, Offload::After),
        proxy_name: config.service_proxy_name.as_ref().map(ToString::to_string),
        cpus: processors::online(),
    })
}

/// Sets the sysctls that differ; says which stay wrong, in words.
#[must_use]
pub fn set_sysctls(config: &Config, has_ipvs: bool) -> Vec<String> {
    let settings = sysctl::all(config, has_ipvs, processors::online());
    let (written, wrong) = ProcSys::default().settle(&settings);
    for sysctl::Written { name, was, is } in written {
        tracing::info!(name, was, is, "sysctl set");
    }
    for wrong in &wrong {
        tracing::warn!(problem = %wrong, "a sysctl is not as it must be");
    }
    wrong.iter().map(ToString::to_string).collect()
}
