//! Many short connections, each from a socket of its own, and who answered them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde::Serialize;
use socket2::Socket;

use crate::answer::Answer;
use crate::endpoint::Protocol;
use crate::socket::{Dial, ask, read_answer};
use crate::tally::Tally;

/// What to do.
#[derive(Clone, Copy, Debug)]
pub struct Hit {
    /// Where and how to connect.
    pub dial: Dial,
    /// How many connections, or datagrams.
    pub count: u64,
    /// How many at a time.
    pub concurrency: usize,
    /// Whether to keep every connection open until the last was made.
    pub keep: bool,
    /// UDP: one socket, and so one source port, for all datagrams of a thread.
    pub same_port: bool,
    /// How long to pause after each, on each thread.
    pub pause: Duration,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The address that was connected to.
    pub target: String,
    /// By this protocol.
    pub protocol: Protocol,
    /// The counts.
    #[serde(flatten)]
    pub tally: Tally,
}

impl Hit {
    /// Makes the connections. Failures are counted, not returned.
    #[must_use]
    pub fn run(&self) -> Report {
        let next = AtomicU64::new(0);
        let mut tally = Tally::default();
        // Kept sockets leave their threads, so that all stay open until the last thread is done.
        let mut kept: Vec<Socket> = Vec::new();
        thread::scope(|scope| {
            let start = || scope.spawn(|| self.worker(&next));
            let workers: Vec<_> = (0..self.concurrency.max(1)).map(|_| start()).collect();
            for worker in workers {
                let (counts, sockets) = match worker.join() {
                    Ok(done) => done,
                    Err(panic) => std::panic::resume_unwind(panic),
                };
                tally.merge(counts);
                kept.extend(sockets);
            }
        });
        drop(kept);
        Report { target: self.dial.target.to_string(), protocol: self.dial.protocol, tally }
    }

    fn worker(&self, next: &AtomicU64) -> (Tally, Vec<Socket>) {
        let (mut tally, mut kept) = (Tally::default(), Vec::new());
        let mut reused: Option<Socket> = None;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= self.count {
                return (tally, kept);
            }
            let socket = reused.take().map_or_else(|| self.dial.connect(), Ok);
            let outcome = socket.and_then(|socket| {
                let answer = self.once(&socket, number);
                if self.same_port && self.dial.protocol == Protocol::Udp {
                    reused = Some(socket);
                } else if self.keep {
                    kept.push(socket);
                }
                answer
            });
            tally.count(&outcome);
            thread::sleep(self.pause);
        }
    }

    fn once(&self, socket: &Socket, number: u64) -> std::io::Result<Answer> {
        match self.dial.protocol {
            Protocol::Udp => ask(socket, &number.to_string(), self.dial.timeout),
            Protocol::Tcp | Protocol::Sctp => read_answer(socket, self.dial.timeout),
        }
    }
}
