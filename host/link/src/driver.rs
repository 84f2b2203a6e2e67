//! The watcher's thread: listens, dumps when it must, publishes.
//!
//! Talks to the kernel and to the clock.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::watch;

use crate::event::Event;
use crate::event_socket::{EventSocket, News};
use crate::links::Links;
use crate::watcher::{Counters, Feed, NodeState, Options};
use crate::wire::{Malformed, Messages};

/// Datagrams that are taken in before the view is published, if they come without a pause.
const READS_A_TURN: usize = 4096;
/// Wait after a failed resync before the next, while events still come in.
const RESYNC_AGAIN: Duration = Duration::from_secs(1);

/// Why the thread stopped listening to a socket.
enum End {
    Stopped,
    Lost(io::Error),
}

/// What emptying the event socket's queue showed.
#[derive(Default)]
struct Drained {
    /// News was lost or couldn't be read.
    lost: bool,
    /// Nothing is left in the queue.
    empty: bool,
}

pub(crate) struct Driver {
    options: Options,
    state: watch::Sender<NodeState>,
    stop: Arc<OwnedFd>,
    links: Links,
    counters: Counters,
    reopen_wait: Duration,
    next_poll: Instant,
}

impl Driver {
    pub(crate) fn new(
        options: Options,
        state: watch::Sender<NodeState>,
        stop: Arc<OwnedFd>,
    ) -> Self {
        Self {
            options,
            state,
            stop,
            links: Links::unopened(options.timeout),
            counters: Counters::default(),
            reopen_wait: options.reopen_after,
            next_poll: Instant::now(),
        }
    }

    pub(crate) fn run(mut self) {
        loop {
            let end = match EventSocket::open(self.options.queue) {
                Ok(socket) => self.listen(socket),
                Err(e) => End::Lost(e),
            };
            let End::Lost(reason) = end else { return };
            if let End::Stopped = self.poll_until_reopening(reason) {
                return;
            }
        }
    }

    fn listen(&mut self, mut socket: EventSocket) -> End {
        self.counters.opened += 1;
        self.next_poll = Instant::now();
        self.publish(|state| std::mem::replace(&mut state.feed, Feed::Events) != Feed::Events);
        // Subscribed before the dump: what changes meanwhile waits in the queue.
        let (mut stale, mut resync_at) = (true, Instant::now());
        let mut drained = Drained { lost: false, empty: true };
        loop {
            // Only with an empty queue: until it is, the kernel drops all further news, and what
            // is older than the loss must not be applied after the dump.
            if stale && drained.empty && Instant::now() >= resync_at {
                stale = !self.resync();
                resync_at = Instant::now() + RESYNC_AGAIN;
                if !stale {
                    self.reopen_wait = self.options.reopen_after;
                }
            }
            let wait = stale.then(|| resync_at.saturating_duration_since(Instant::now()));
            match self.wait(Some(&socket), wait) {
                Ok(true) => return End::Stopped,
                Ok(false) => {}
                Err(e) => return End::Lost(e),
            }
            drained = match self.drain(&mut socket) {
                Ok(drained) => drained,
                Err(e) => return End::Lost(e),
            };
            if drained.lost {
                (stale, resync_at) = (true, Instant::now());
            }
        }
    }

    /// Takes in what waits in the queue, and publishes once.
    fn drain(&mut self, socket: &mut EventSocket) -> io::Result<Drained> {
        let mut drained = Drained::default();
        let mut events = Vec::new();
        for _ in 0..READS_A_TURN {
            match socket.next()? {
                News::Datagram(datagram) => {
                    if let Err(error) = decode_into(&mut events, datagram) {
                        tracing::warn!(%error, "unreadable link news, dumping again");
                        self.counters.malformed += 1;
                        drained.lost = true;
                    }
                }
                News::Overrun => {
                    tracing::warn!("link news overran the queue, dumping again");
                    self.counters.overruns += 1;
                    drained.lost = true;
                }
                News::None => {
                    drained.empty = true;
                    break;
                }
            }
        }
        self.counters.events += events.len() as u64;
        self.publish(|state| {
            let mut changed = drained.lost && std::mem::take(&mut state.current);
            for event in events {
                changed |= state.view.apply(event);
            }
            changed
        });
        Ok(drained)
    }

    /// Says that there is no event socket, and dumps now and then until it's time to try again.
    fn poll_until_reopening(&mut self, reason: io::Error) -> End {
        let wait = self.reopen_wait;
        tracing::warn!(error = %reason, retry_seconds = wait.as_secs_f32(), "no link events, dumping instead");
        let feed = Feed::Polling(reason.to_string());
        self.publish(|state| {
            // What a poll found stays as good as it was through tries that fail.
            state.current &= matches!(state.feed, Feed::Polling(_));
            std::mem::replace(&mut state.feed, feed.clone()) != feed
        });
        let reopen_at = Instant::now() + wait;
        self.reopen_wait = (wait * 2).min(self.options.reopen_at_most);
        loop {
            let now = Instant::now();
            if now >= self.next_poll {
                self.resync();
                self.next_poll = now + self.options.poll_every;
            }
            if now >= reopen_at {
                return End::Lost(reason);
            }
            let until = reopen_at.min(self.next_poll).saturating_duration_since(now);
            match self.wait(None, Some(until)) {
                Ok(true) => return End::Stopped,
                Ok(false) => {}
                // Without poll there is still the clock; a stop is then seen late.
                Err(_) => std::thread::sleep(until.min(RESYNC_AGAIN)),
            }
        }
    }

    fn resync(&mut self) -> bool {
        let dumped = self.links.snapshot();
        self.counters.dumps = self.links.traffic().dumps;
        match dumped {
            Ok(snapshot) => {
                self.counters.resyncs += 1;
                self.publish(|state| {
                    let was_current = std::mem::replace(&mut state.current, true);
                    state.view.load(snapshot) || !was_current
                });
                true
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "links could not be dumped");
                self.counters.failed_resyncs += 1;
                self.publish(|state| std::mem::take(&mut state.current));
                false
            }
        }
    }

    /// Waits for news, the end of `at_most`, or the order to stop, which is `true`.
    fn wait(&self, socket: Option<&EventSocket>, at_most: Option<Duration>) -> io::Result<bool> {
        let mut fds = vec![PollFd::new(&*self.stop, PollFlags::IN)];
        fds.extend(socket.map(|s| PollFd::from_borrowed_fd(s.as_fd(), PollFlags::IN)));
        let at_most = at_most.map(|wait| Timespec {
            // Longer than any wait that is configured in earnest.
            tv_sec: wait.as_secs().min(u64::from(u32::MAX)) as i64,
            tv_nsec: wait.subsec_nanos().into(),
        });
        match poll(&mut fds, at_most.as_ref()) {
            Err(rustix::io::Errno::INTR) => Ok(false),
            other => other.map(|_| !fds[0].revents().is_empty()).map_err(io::Error::from),
        }
    }

    /// Changes the published state; announced when `change` says that something differs.
    fn publish(&self, change: impl FnOnce(&mut NodeState) -> bool) {
        self.state.send_if_modified(|state| {
            state.counters = self.counters;
            change(state)
        });
    }
}

fn decode_into(events: &mut Vec<Event>, datagram: &[u8]) -> Result<(), Malformed> {
    for message in Messages::new(datagram) {
        events.extend(Event::decode(&message?)?);
    }
    Ok(())
}
