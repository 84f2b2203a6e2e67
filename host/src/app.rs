//! `weir run`: opens the doors, starts the threads, and waits to be told to stop.

mod ends;
mod neighbours;
mod news;
mod source;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};

use anyhow::{Context, Result, bail};
use weir_core::model::Model;
use weir_core::sight;

use crate::admin::Desk;
use crate::base;
use crate::config::{Config, ConfigFile, Vips};
use crate::drive::{Command, Drive, Rescan, Shared};
use crate::files::FileWatch;
use crate::keep::Keep;
use crate::kernel::as_found::AsFound;
use crate::kernel::lock::Lock;
use crate::kernel::probe::Found;
use crate::kernel::{How, LinuxKernel, doctor, processors, words};
use crate::policies::Chain;
use crate::reconcile::Reconciler;
use crate::report::events::Tell;
use crate::{admin, http, resident};

use ends::{Signals, Watched, stopped_or_ended};
use news::{forward, watch_kernel};
use source::Opened;
pub use source::{Source, source};

/// Serves the node until SIGTERM or SIGINT. `file` is where the configuration came from.
///
/// # Errors
/// Something without which no service can be carried: another weir, no kernel support, no source;
/// or the loop ended without being told to.
pub fn run(config: &Config, file: ConfigFile) -> Result<()> {
    if let Err(error) = resident::small_pages() {
        tracing::debug!(%error, "huge pages may make the daemon larger");
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // First of all: a signal that nobody listens for would kill the daemon half-way.
    let mut signals = Signals::listen(&runtime)?;
    let source = source(config)?;
    let _lock = Lock::take(&config.paths.run_dir)?;
    let (commands, inbox) = mpsc::channel();
    let shared = Shared::new(config);
    runtime.block_on(listen(config, &shared, &commands))?;
    runtime.spawn(http::checks(shared.clone()));
    let desk = Desk { commands: commands.clone(), shared: shared.clone() };
    admin::listen(&config.paths.run_dir, desk).context("listen for weir status and others")?;
    let Opened { events, rescan, tell } =
        source.open(config, &runtime, Arc::clone(&shared.metrics.api))?;
    let files = watch_files(config, &file, &commands);
    let _watcher = watch_kernel(&runtime, &commands)?;
    runtime.spawn(forward(events, commands.clone()));
    let (config, ready) = (config.clone(), Arc::new(AtomicBool::new(false)));
    let (is_ready, to) = (Arc::clone(&ready), commands.clone());
    let reconcile = Watched::spawn("reconcile", move || {
        let drive = prepare(&config, shared, rescan, tell, to)?.reading(file, files);
        is_ready.store(true, Ordering::Release);
        drive.run(&inbox);
        Ok(())
    })?;
    stopped_or_ended(&runtime, &mut signals, reconcile, &commands, &ready)
}

/// From now on a change of the configuration or of a policy is heard, while the daemon still starts too.
fn watch_files(
    config: &Config,
    file: &ConfigFile,
    commands: &Sender<Command>,
) -> Option<FileWatch> {
    let watch = FileWatch::start(commands).inspect_err(|error| {
        tracing::warn!(%error, "the configuration and policies are looked at on the sync period only");
    });
    let mut watch = watch.ok()?;
    watch.follow(config.policies.iter().map(|it| it.file.as_path()).chain(file.path()));
    Some(watch)
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
    rescan: Box<dyn Rescan>,
    tell: Tell,
    commands: Sender<Command>,
) -> Result<Drive<LinuxKernel, Chain>> {
    let (mut kernel, found) = open(config)?;
    let sysctls = kernel.settle(config);
    for missing in &found.missing {
        tracing::warn!(%missing, "nftables of this kernel lacks something");
    }
    let abilities = doctor::abilities(kernel.has_ipvs(), &found);
    neighbours::watch(commands, config.service_proxy_name.is_none());
    let model = Model::new(config.resolved_node_name()?.to_string());
    let defaults = base::defaults(config, processors::online());
    let node = sight::node(&model, &abilities, defaults.cpus);
    let chain = Chain::load(config, Some(&config.paths.cache_dir), node)?;
    let mut all = Reconciler::new(model, kernel, chain, abilities, defaults);
    let (keep, drains, seen) = Keep::open(&config.paths.run_dir, base::drain_limit(config));
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
    if let Some(written) = found.written {
        let as_found = AsFound::default().with_sysctls(&[written]);
        if let Err(error) = as_found.keep(&config.paths.run_dir) {
            tracing::warn!(error = words(&error), "what the node was like before isn't noted");
        }
    }
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

/// How the configuration wants addresses made local.
#[must_use]
pub fn how(config: &Config) -> How {
    match config.ipvs.vips {
        Vips::Route => How::Route,
        Vips::Address => How::Address,
    }
}
