//! `weir run`: opens the doors, starts the threads, and waits to be told to stop.

use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use weir_core::decision::Dataplane;
use weir_core::model::Model;
use weir_core::sight;
use weir_link::Watcher;
use weir_nft::Listener;

use crate::config::{Config, Dataplane as Configured, Vips};
use crate::drive::{Command, Drive, Shared};
use crate::keep::Keep;
use crate::kernel::lock::Lock;
use crate::kernel::sysctl::{self, ProcSys};
use crate::kernel::{How, LinuxKernel, doctor, timeouts, words};
use crate::policies::{Chain, watch_files};
use crate::reconcile::{Defaults, Reconciler};
use crate::report::health::Health;
use crate::report::metrics::Metrics;
use crate::watch::manifests::{Settings, Watch, watch_directory};
use crate::{admin, http};

/// How often a change by others to the rule set may lead to a look.
const LOOKS_APART: Duration = Duration::from_secs(1);

/// Serves the node until SIGTERM or SIGINT.
///
/// # Errors
/// Something without which no service can be carried: another weir, no kernel support, no source.
pub fn run(config: &Config) -> Result<()> {
    let Some(manifests) = config.manifests.clone() else {
        bail!(
            "no source of services: give a folder of manifests with --manifests DIR or `manifests:` \
             in the configuration"
        );
    };
    let _lock = Lock::take(&config.paths.run_dir)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (commands, inbox) = mpsc::channel();
    let shared = Shared {
        health: Arc::new(Mutex::new(Health::new(config.sync.sync_period.get()))),
        metrics: Arc::new(Metrics::default()),
    };
    runtime.block_on(listen(config, &shared, &commands))?;
    admin::listen(&config.paths.run_dir, commands.clone())
        .context("listen for weir status and others")?;
    let settings = Settings { rescan: config.sync.refresh_period.get(), ..Settings::default() };
    let (source, events) = watch_directory(&manifests, settings).context("read the manifests")?;
    let _files = watch_files(config.policies.iter().map(|it| it.file.as_path()), &commands)
        .inspect_err(
            |error| tracing::warn!(%error, "policies' files are looked at on the sync period only"),
        );
    let drive = prepare(config, shared)?;
    let _watcher = watch_kernel(&runtime, &commands)?;
    runtime.spawn(forward(events, commands.clone()));
    let ends =
        thread::Builder::new().name("reconcile".to_owned()).spawn(move || drive.run(&inbox))?;
    runtime.block_on(until_stopped(&commands, &source))?;
    // The loop may have ended already, and then hears nothing.
    drop(commands.send(Command::Stop));
    if ends.join().is_err() {
        bail!("the loop ended by a panic; its message is in the log above");
    }
    Ok(())
}

async fn listen(config: &Config, shared: &Shared, commands: &Sender<Command>) -> Result<()> {
    let (health, metrics) = (&config.health, &config.metrics);
    let site = http::health(shared.clone(), commands.clone());
    let listened = http::serve("health", health.address.get(), health.required, site).await;
    listened.with_context(|| format!("listen on health.address {}", health.address))?;
    let site = http::metrics(shared.clone(), commands.clone());
    let listened = http::serve("metrics", metrics.address.get(), metrics.required, site).await;
    listened.with_context(|| format!("listen on metrics.address {}", metrics.address))
}

/// Opens the kernel, sets what is set once, and loads the policies.
fn prepare(config: &Config, shared: Shared) -> Result<Drive> {
    let mut kernel = LinuxKernel::open(how(config))?;
    if !kernel.has_ipvs() {
        bail!(
            "this kernel has no IPVS, and nothing else can carry services: `weir doctor` says what is \
             missing and how to get it"
        );
    }
    let sysctls = set_sysctls(config);
    if let Err(error) = kernel.set_timeouts(timeouts(&config.ipvs)) {
        tracing::warn!(error = words(&error), "the time-outs of IPVS can't be set");
    }
    let model = Model::new(config.resolved_node_name()?.to_string());
    let abilities = doctor::abilities(kernel.has_ipvs());
    let defaults = defaults(config)?;
    let node = sight::node(&model, &abilities, defaults.cpus);
    let chain = Chain::load(config, Some(&config.paths.cache_dir), node)?;
    let mut all = Reconciler::new(model, kernel, chain, abilities, defaults);
    let limit = u64::try_from(config.drain.limit.get().as_millis()).unwrap_or(u64::MAX);
    let (keep, drains, seen) = Keep::open(&config.paths.run_dir, limit);
    all.resume(drains, seen);
    Ok(Drive::new(all, config.clone(), shared, keep, sysctls))
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
/// A scheduler of a name that weir doesn't know.
pub fn defaults(config: &Config) -> Result<Defaults> {
    Ok(Defaults {
        dataplane: match config.dataplane {
            Configured::Auto => None,
            Configured::Ipvs => Some(Dataplane::Ipvs),
            Configured::Nftables => Some(Dataplane::Nftables),
        },
        scheduler: config.ipvs.scheduler.as_str().parse()?,
        proxy_name: config.service_proxy_name.as_ref().map(ToString::to_string),
        cpus: doctor::cpus(),
    })
}

/// Sets the sysctls that differ; says which stay wrong, in words.
#[must_use]
pub fn set_sysctls(config: &Config) -> Vec<String> {
    let settings =
        [sysctl::for_ipvs(config), sysctl::for_conntrack(&config.conntrack, doctor::cpus())];
    let (written, wrong) = ProcSys::default().settle(&settings.concat());
    if written > 0 {
        tracing::info!(written, "sysctls set");
    }
    for wrong in &wrong {
        tracing::warn!(problem = %wrong, "a sysctl is not as it must be");
    }
    wrong.iter().map(ToString::to_string).collect()
}

async fn forward(
    mut events: tokio::sync::mpsc::Receiver<crate::watch::Event>,
    commands: Sender<Command>,
) {
    while let Some(event) = events.recv().await {
        if commands.send(Command::Source(event)).is_err() {
            return;
        }
    }
    tracing::error!("the source of services ended; what is known stays in force");
}

/// News of links, addresses and the rule set.
fn watch_kernel(runtime: &tokio::runtime::Runtime, commands: &Sender<Command>) -> Result<Watcher> {
    let watcher =
        Watcher::spawn(weir_link::Options::default()).context("watch links and addresses")?;
    let mut state = watcher.state();
    let to = commands.clone();
    runtime.spawn(async move {
        while state.changed().await.is_ok() {
            let now = state.borrow_and_update().clone();
            if to.send(Command::Node(Box::new(now))).is_err() {
                return;
            }
        }
    });
    let to = commands.clone();
    thread::Builder::new().name("nft-events".to_owned()).spawn(move || watch_rule_set(&to))?;
    Ok(watcher)
}

/// Tells the loop when somebody else changed the rule set. Without events the resync finds it.
fn watch_rule_set(commands: &Sender<Command>) {
    loop {
        let ended = Listener::open().and_then(|listener| listen_on(listener, commands));
        match ended {
            Ok(()) => return,
            Err(error) => {
                tracing::warn!(%error, "no news of the rule set for now; the resync finds changes");
            }
        }
        thread::sleep(Duration::from_secs(10));
    }
}

/// Our own writes are heard too: the loop tells them from others' by the generation that it knows.
fn listen_on(mut listener: Listener, commands: &Sender<Command>) -> std::io::Result<()> {
    loop {
        if listener.wait(Duration::from_secs(3600))?.is_none() {
            continue;
        }
        if commands.send(Command::Look).is_err() {
            return Ok(());
        }
        // Others may write all the time: their news is bundled.
        thread::sleep(LOOKS_APART);
    }
}

/// SIGTERM and SIGINT end the daemon, SIGHUP looks at everything now.
async fn until_stopped(commands: &Sender<Command>, source: &Watch) -> Result<()> {
    let on = |kind| signal(kind).context("listen for signals");
    let (mut term, mut int) = (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
    let mut hup: Signal = on(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = term.recv() => return Ok(()),
            _ = int.recv() => return Ok(()),
            _ = hup.recv() => {
                source.rescan();
                let (done, _) = mpsc::channel();
                let asked = [Command::Policies, Command::Sync(done)].map(|it| commands.send(it));
                if asked.iter().any(Result::is_err) {
                    bail!("the loop ended by itself; its message is in the log above");
                }
            }
        }
    }
}
