//! The clock behind the epoch deadline: ticks while evaluations run, sleeps when none does.
//!
//! Not pure: one thread. It ends with its owner.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use wasmtime::Engine;

/// Length of one epoch.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// Increments an engine's epoch every [`TICK`] while a [`Running`] exists.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    running: AtomicUsize,
    idle: AtomicBool,
    stop: AtomicBool,
}

/// An evaluation in progress.
pub(crate) struct Running<'a>(&'a Shared);

impl Ticker {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub(crate) fn start(engine: &Engine) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (theirs, engine) = (Arc::clone(&shared), engine.clone());
        let thread = thread::Builder::new()
            .name("policy-epoch".into())
            .spawn(move || tick(&theirs, &engine))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Keeps the clock ticking until the result is dropped.
    pub(crate) fn run(&self) -> Running<'_> {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        // Waking costs a system call, so only when the thread said that it sleeps.
        if self.shared.idle.swap(false, Ordering::SeqCst) {
            self.thread().unpark();
        }
        Running(&self.shared)
    }

    fn thread(&self) -> &Thread {
        self.thread.as_ref().expect("the thread is taken in drop only").thread()
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.thread().unpark();
        if let Some(thread) = self.thread.take() {
            // The thread can't panic: it sleeps and increments.
            let _ = thread.join();
        }
    }
}

fn tick(shared: &Shared, engine: &Engine) {
    while !shared.stop.load(Ordering::SeqCst) {
        if shared.running.load(Ordering::SeqCst) == 0 {
            shared.idle.store(true, Ordering::SeqCst);
            // An evaluation that started between the two lines saw `idle` unset: look again.
            if shared.running.load(Ordering::SeqCst) == 0 {
                thread::park();
            }
            shared.idle.store(false, Ordering::SeqCst);
        } else {
            thread::park_timeout(TICK);
            engine.increment_epoch();
        }
    }
}
