//! How the daemon ends: by a signal, or because the loop ended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, bail};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::drive::Command;

/// Waits for the end. A daemon that is told to stop while it still starts has written nothing that
/// would have to be finished.
pub(super) fn stopped_or_ended(
    runtime: &Runtime,
    signals: &mut Signals,
    mut reconcile: Watched,
    commands: &Sender<Command>,
    ready: &AtomicBool,
) -> Result<()> {
    let stopped = runtime.block_on(async {
        tokio::select! {
            () = signals.until_stopped(commands) => true,
            () = reconcile.ended() => false,
        }
    });
    if !stopped {
        return reconcile.verdict().and_then(|()| bail!("the loop ended by itself"));
    }
    if !ready.load(Ordering::Acquire) {
        tracing::info!("stopped while starting; nothing was written");
        return Ok(());
    }
    // The loop may have ended already, and then hears nothing.
    drop(commands.send(Command::Stop));
    reconcile.verdict()
}

/// SIGTERM and SIGINT end the daemon, SIGHUP looks at everything now.
pub(super) struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    /// From now on these signals are heard; what comes before somebody waits is kept.
    pub(super) fn listen(runtime: &Runtime) -> Result<Self> {
        let _inside = runtime.enter();
        let on = |kind| signal(kind).context("listen for signals");
        Ok(Self {
            term: on(SignalKind::terminate())?,
            int: on(SignalKind::interrupt())?,
            hup: on(SignalKind::hangup())?,
        })
    }

    async fn until_stopped(&mut self, commands: &Sender<Command>) {
        loop {
            tokio::select! {
                _ = self.term.recv() => return,
                _ = self.int.recv() => return,
                _ = self.hup.recv() => {
                    let (done, _) = mpsc::channel();
                    // A loop that has ended is heard of elsewhere.
                    drop(commands.send(Command::Sync(done)));
                }
            }
        }
    }
}

/// A thread whose end can be awaited, however it ends.
pub(super) struct Watched {
    thread: JoinHandle<Result<()>>,
    end: oneshot::Receiver<()>,
}

impl Watched {
    pub(super) fn spawn(
        name: &str,
        work: impl FnOnce() -> Result<()> + Send + 'static,
    ) -> Result<Self> {
        let (alive, end) = oneshot::channel::<()>();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            // Dropped with the thread's stack, by a panic too.
            let _alive = alive;
            work()
        })?;
        Ok(Self { thread, end })
    }

    async fn ended(&mut self) {
        // Nothing is ever sent: the error is the news.
        let _ = (&mut self.end).await;
    }

    /// What it said at its end.
    fn verdict(self) -> Result<()> {
        match self.thread.join() {
            Ok(verdict) => verdict,
            Err(_) => bail!("the loop ended by a panic; its message is in the log above"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::runtime::Builder;

    fn end(work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let mut signals = Signals::listen(&runtime).unwrap();
        let (commands, _inbox) = mpsc::channel();
        let watched = Watched::spawn("test", work).unwrap();
        stopped_or_ended(&runtime, &mut signals, watched, &commands, &AtomicBool::new(true))
    }

    /// One test for both: signals go to the whole process, and so to every test in it.
    #[test]
    fn the_daemon_ends_by_signals_that_are_never_lost_or_with_the_loop() {
        a_loop_that_ends_ends_the_daemon_with_words();
        signals_before_anybody_waits_are_kept();
    }

    fn a_loop_that_ends_ends_the_daemon_with_words() {
        let words = |ended: Result<()>| ended.unwrap_err().to_string();
        assert_eq!(words(end(|| bail!("no kernel"))), "no kernel");
        assert!(words(end(|| panic!("on purpose"))).contains("by a panic"));
        assert!(words(end(|| Ok(()))).contains("by itself"));
    }

    fn signals_before_anybody_waits_are_kept() {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let mut signals = Signals::listen(&runtime).unwrap();
        let raise = |signal| {
            let pid = rustix::process::getpid();
            rustix::process::kill_process(pid, signal).unwrap();
        };
        raise(rustix::process::Signal::HUP);
        let (commands, inbox) = mpsc::channel();
        let patience = Duration::from_secs(30);
        let waits = async {
            let stopped = tokio::time::timeout(patience, signals.until_stopped(&commands));
            let heard = async {
                while inbox.try_recv().is_err() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                raise(rustix::process::Signal::TERM);
            };
            tokio::join!(stopped, heard).0
        };
        assert!(runtime.block_on(waits).is_ok(), "SIGHUP is heard, then SIGTERM");
        let (still, asleep) = mpsc::channel::<()>();
        let starting = Watched::spawn("test", move || asleep.recv().map_err(Into::into)).unwrap();
        raise(rustix::process::Signal::TERM);
        let ready = AtomicBool::new(false);
        let ended = stopped_or_ended(&runtime, &mut signals, starting, &commands, &ready);
        assert!(ended.is_ok(), "a start that takes long isn't waited for");
        drop(still);
    }
}
