//! Connections kept open for a while, with a question and an answer on each now and then.

use std::io::{self, Write};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use socket2::Socket;

use crate::answer::Answer;
use crate::endpoint::Protocol;
use crate::failure;
use crate::socket::{Dial, ask, read_answer};
use crate::tally::Tally;
use crate::transfer::milliseconds;

/// What to keep up.
#[derive(Clone, Copy, Debug)]
pub struct Hold {
    /// Where and how to connect.
    pub dial: Dial,
    /// How many connections.
    pub count: usize,
    /// For how long.
    pub time: Duration,
    /// How often to ask on each.
    pub interval: Duration,
}

/// A connection that didn't last.
#[derive(Clone, Debug, Serialize)]
pub struct Broken {
    /// Its number, from 0.
    pub connection: usize,
    /// Who was at the other end.
    pub server: String,
    /// When, in milliseconds after it was made.
    pub after_ms: u64,
    /// `timeout`, `reset`, `closed`, `other-server`, ….
    pub error: String,
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Connections tried, made, and by whom they were answered.
    #[serde(flatten)]
    pub tally: Tally,
    /// Questions that were answered.
    pub pings: u64,
    /// The longest wait for an answer, in milliseconds.
    pub longest_answer_ms: u64,
    /// Connections that didn't last.
    pub broken: Vec<Broken>,
}

impl Report {
    /// Whether every connection was made and lasted.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.broken.is_empty() && self.tally.answered == self.tally.attempts
    }
}

/// What one connection saw.
struct Seen {
    first: io::Result<Answer>,
    pings: u64,
    longest: Duration,
    broken: Option<Broken>,
}

impl Hold {
    /// Makes the connections, calls `ready` when all were tried, and keeps them up. What goes wrong
    /// is in the report.
    pub fn run(&self, ready: impl FnOnce()) -> Report {
        let tried = Barrier::new(self.count + 1);
        let seen: Vec<Seen> = thread::scope(|scope| {
            let start = |number| {
                let tried = &tried;
                scope.spawn(move || self.connection(number, tried))
            };
            let connections: Vec<_> = (0..self.count).map(start).collect();
            tried.wait();
            ready();
            let join = |thread: thread::ScopedJoinHandle<'_, Seen>| match thread.join() {
                Ok(seen) => seen,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            connections.into_iter().map(join).collect()
        });
        let mut report = Report::default();
        for one in seen {
            report.tally.count(&one.first);
            report.pings += one.pings;
            report.longest_answer_ms = report.longest_answer_ms.max(milliseconds(one.longest));
            report.broken.extend(one.broken);
        }
        report
    }

    fn connection(&self, number: usize, tried: &Barrier) -> Seen {
        let opened = self.dial.connect().and_then(|socket| {
            let first = match self.dial.protocol {
                Protocol::Udp => ask(&socket, "first", self.dial.timeout)?,
                Protocol::Tcp | Protocol::Sctp => read_answer(&socket, self.dial.timeout)?,
            };
            Ok((socket, first))
        });
        tried.wait();
        let (socket, first) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                return Seen { first: Err(error), pings: 0, longest: Duration::ZERO, broken: None };
            }
        };
        let start = Instant::now();
        let mut seen =
            Seen { first: Ok(first.clone()), pings: 0, longest: Duration::ZERO, broken: None };
        while start.elapsed() < self.time {
            let asked = Instant::now();
            match self.ping(&socket, seen.pings) {
                Ok(answer) if answer.name == first.name => seen.pings += 1,
                other => {
                    seen.broken = Some(Broken {
                        connection: number,
                        server: first.name,
                        after_ms: milliseconds(start.elapsed()),
                        error: other.map_or_else(|e| failure::name(&e), |_| "other-server".into()),
                    });
                    return seen;
                }
            }
            seen.longest = seen.longest.max(asked.elapsed());
            let left = self.time.saturating_sub(start.elapsed());
            thread::sleep(self.interval.saturating_sub(asked.elapsed()).min(left));
        }
        seen
    }

    fn ping(&self, mut socket: &Socket, number: u64) -> io::Result<Answer> {
        let words = number.to_string();
        if self.dial.protocol == Protocol::Udp {
            return ask(socket, &words, self.dial.timeout);
        }
        socket.write_all(format!("ping {words}\n").as_bytes())?;
        let answer = read_answer(socket, self.dial.timeout)?;
        if answer.echo == words {
            return Ok(answer);
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "an answer to another question"))
    }
}
