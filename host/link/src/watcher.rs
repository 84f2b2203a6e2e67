//! Keeps a [`NodeView`] current: a thread that listens to the kernel and publishes what it hears.
//!
//! Talks to the kernel, in the network namespace of the thread that spawned it. While news comes
//! in, nothing is dumped: one dump at the start, one after each overrun. Without an event socket
//! it says so, dumps once a minute, and keeps trying to open one.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::watch;

use crate::driver::Driver;
use crate::links::DEFAULT_TIMEOUT;
use crate::view::NodeView;

/// Where the view's news comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Feed {
    /// Nothing is known yet.
    Starting,
    /// Events, as they happen.
    Events,
    /// No event socket, for this reason: a dump once in [`Options::poll_every`].
    Polling(String),
}

/// How often what happened, since the watcher was spawned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Dumps asked of the kernel; a resync takes four (links, addresses, routes of each family).
    pub dumps: u64,
    /// Resyncs that succeeded.
    pub resyncs: u64,
    /// Resyncs that failed.
    pub failed_resyncs: u64,
    /// Times that the kernel had more news than room for it.
    pub overruns: u64,
    /// Event sockets opened.
    pub opened: u64,
    /// Events taken in.
    pub events: u64,
    /// Messages that couldn't be read; each leads to a resync.
    pub malformed: u64,
}

/// What the watcher publishes.
#[derive(Clone, Debug)]
pub struct NodeState {
    /// Links, addresses and default routes. Keeps its last good content through failures.
    pub view: NodeView,
    /// Where news comes from.
    pub feed: Feed,
    /// Whether `view` was whole when last looked at. False before the first dump, and from an
    /// overrun or a failure to dump until the next dump that succeeds.
    pub current: bool,
    /// Counted; a change of counters alone isn't announced.
    pub counters: Counters,
}

/// How the watcher works.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long the kernel may take to answer one request.
    pub timeout: Duration,
    /// Time between dumps without an event socket.
    pub poll_every: Duration,
    /// Wait before the first try to open a lost event socket again; doubled with each.
    pub reopen_after: Duration,
    /// The longest such wait.
    pub reopen_at_most: Duration,
    /// Bytes of news that the kernel may hold, by its own reckoning (about 1 KiB each).
    pub queue: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: DEFAULT_TIMEOUT,
            poll_every: Duration::from_secs(60),
            reopen_after: Duration::from_secs(1),
            reopen_at_most: Duration::from_secs(60),
            queue: 8 * 1024 * 1024,
        }
    }
}

/// A running watcher. Dropping it ends the thread.
#[derive(Debug)]
pub struct Watcher {
    state: watch::Receiver<NodeState>,
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Starts the thread; what it hears comes by [`Watcher::state`].
    ///
    /// # Errors
    /// When there is no thread or no event descriptor to be had. A kernel that doesn't answer is
    /// no such error: the state says so.
    pub fn spawn(options: Options) -> io::Result<Self> {
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        let start = NodeState {
            view: NodeView::default(),
            feed: Feed::Starting,
            current: false,
            counters: Counters::default(),
        };
        let (sender, state) = watch::channel(start);
        let driver = Driver::new(options, sender, Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("link-watcher".to_owned());
        let thread = thread.spawn(move || driver.run())?;
        Ok(Self { state, stop, thread: Some(thread) })
    }

    /// The state now, and news of its changes.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<NodeState> {
        self.state.clone()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Neither can fail on an eventfd that is open and was written once, nor needs telling.
        let _ = rustix::io::write(&*self.stop, &1u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
