//! What the loop is told or asked, and what it shares with whoever answers probes.

use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use weir_core::net::ObjectName;
use weir_link::NodeState;

use crate::config::Config;
use crate::report::checks::Board;
use crate::report::explain::Explanation;
use crate::report::health::Health;
use crate::report::metrics::Metrics;
use crate::report::mode::Mode;
use crate::report::status::Status;
use crate::watch;

/// What the loop is told or asked.
#[derive(Debug)]
pub enum Command {
    /// A source saw something.
    Source(watch::Event),
    /// Look at the sources and at the kernel, and write what differs, now; answers when it is done.
    Sync(Sender<Result<(), String>>),
    /// Others changed the rule set, or may have.
    Look,
    /// A policy's file or the configuration's may have changed.
    Files,
    /// Links or addresses changed.
    Node(Box<NodeState>),
    /// Signs of another proxy on this node, all that there are now.
    Neighbours(Vec<String>),
    /// Bring the metrics up to date that nobody counts as he goes.
    Measure(Sender<()>),
    /// What `/proxyMode` answers.
    Mode(Sender<Mode>),
    /// What `weir status` shows.
    Status(Sender<Box<Status>>),
    /// What `weir explain` shows.
    Explain(ObjectName, Sender<Option<Box<Explanation>>>),
    /// End; traffic goes on.
    Stop,
}

/// What the loop shares with whoever answers probes.
#[derive(Clone)]
pub struct Shared {
    /// Health.
    pub health: Arc<Mutex<Health>>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Health-check ports of services.
    pub checks: Arc<Board>,
    /// Whether the loop takes commands by now.
    pub is_running: Arc<AtomicBool>,
    config: Arc<Mutex<Arc<Config>>>,
}

impl Shared {
    /// Healthy, with nothing counted and no port asked for.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let sync_period = config.sync.sync_period.get();
        Self {
            health: Arc::new(Mutex::new(Health::new(sync_period))),
            metrics: Arc::new(Metrics::default()),
            checks: Arc::new(Board::default()),
            is_running: Arc::default(),
            config: Arc::new(Mutex::new(Arc::new(config.clone()))),
        }
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// This one is in force from now on.
    pub fn set_config(&self, config: &Config) {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(config.clone());
    }

    /// Health, whatever a thread that panicked left of it.
    pub fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
