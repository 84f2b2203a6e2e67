//! Clients of a table, each where it lives, and whether they meet what the table says.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use crate::endpoint::Protocol;
use crate::hit::Hit;
use crate::netns;
use crate::socket::Dial;
use crate::table::{Answer, NODE, Party, Row, Source};
use crate::tally::Tally;

/// For what answers at all: it ends what hangs, and is no measure.
const PATIENCE: Duration = Duration::from_secs(10);
/// For what doesn't. All who are dropped wait at the same time.
const SILENCE: Duration = Duration::from_millis(1500);

/// How many targets are tried at a time.
const WORKERS: usize = 3;

/// What became of a row: nothing if it is as the table says.
pub type Verdict = Result<(), String>;

/// Sends the clients of these rows: those to one address and port one after the other, since services
/// that are served in turn have to stay in turn. `done` hears of each.
pub fn meet(rows: &[&Row], mut done: impl FnMut(&Row, Verdict)) {
    let (silent, heard): (Vec<&Row>, Vec<&Row>) =
        rows.iter().partition(|row| matches!(row.answer, Answer::Dropped | Answer::Away));
    let mut by_target: BTreeMap<_, Vec<&Row>> = BTreeMap::new();
    for row in heard {
        by_target.entry((row.to, row.protocol.to_string())).or_default().push(row);
    }
    let waiting = Mutex::new(by_target.into_values().collect::<VecDeque<_>>());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let (told, hear) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            let told = told.clone();
            scope.spawn(move || {
                for row in std::iter::from_fn(next).flatten() {
                    // A thread of its own for each: none comes back from where its client lives.
                    let verdict = thread::scope(|scope| ended(scope.spawn(|| try_row(row))));
                    // Who listens is on this stack.
                    let _ = told.send((row, verdict));
                }
            });
        }
        drop(told);
        hear.into_iter().for_each(|(row, verdict)| done(row, verdict));
    });
    let verdicts: Vec<Verdict> = thread::scope(|scope| {
        let tried: Vec<_> = silent.iter().map(|row| scope.spawn(|| try_row(row))).collect();
        tried.into_iter().map(ended).collect()
    });
    silent.into_iter().zip(verdicts).for_each(|(row, verdict)| done(row, verdict));
}

fn ended(thread: thread::ScopedJoinHandle<'_, Verdict>) -> Verdict {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// In a thread of its own, which moves to where the client lives.
fn try_row(row: &Row) -> Verdict {
    let Party { netns, .. } = row.from;
    if let Some(name) = netns {
        netns::enter(name).map_err(|error| format!("can't enter {name}: {error}"))?;
    }
    let (count, timeout) = match &row.answer {
        Answer::From(servers, _) => (2 * servers.len() as u64, PATIENCE),
        Answer::Refused | Answer::Host => (1, PATIENCE),
        Answer::Dropped | Answer::Away => (1, SILENCE),
    };
    // The node chooses by itself which of its addresses it comes from.
    let source = (*row.from != NODE).then(|| row.from.address(row.to.ip()));
    let dial = Dial { target: row.to, protocol: row.protocol, source, timeout };
    let (concurrency, keep, same_port, pause) = (1, false, false, Duration::ZERO);
    let report = Hit { dial, count, concurrency, keep, same_port, pause }.run();
    judge(row, &report.tally, source)
}

/// What a client hears that is refused. What the node itself sends by UDP never leaves, and the one who
/// sends it is told so.
fn refusal(row: &Row) -> [&'static str; 1] {
    let of_node = row.from.netns.is_none();
    [if of_node && row.protocol == Protocol::Udp { "not-permitted" } else { "refused" }]
}

fn judge(row: &Row, tally: &Tally, own: Option<IpAddr>) -> Verdict {
    let told = |what: &str| {
        let list = |of: &BTreeMap<String, u64>| {
            of.iter().map(|(name, count)| format!("{name}*{count}")).collect::<Vec<_>>().join(" ")
        };
        let Tally { servers, sources, errors, .. } = tally;
        let all = [("from", servers), ("seen as", sources), ("failed", errors)];
        let all = all.into_iter().filter(|(_, of)| !of.is_empty());
        let all: Vec<_> = all.map(|(word, of)| format!("{word} {}", list(of))).collect();
        Err(format!("{what}: {}", all.join(", ")))
    };
    let failed: BTreeSet<&str> = tally.errors.keys().map(String::as_str).collect();
    let servers: BTreeSet<String> = tally.servers.keys().cloned().collect();
    let want = match &row.answer {
        Answer::Refused if failed == refusal(row).into() && servers.is_empty() => return Ok(()),
        Answer::Dropped | Answer::Away if failed == ["timeout"].into() && servers.is_empty() => {
            return Ok(());
        }
        Answer::Host if failed.is_empty() && servers == ["host".to_owned()].into() => return Ok(()),
        Answer::Refused | Answer::Dropped | Answer::Away | Answer::Host => {
            return told("another answer");
        }
        Answer::From(names, _) if !failed.is_empty() || *names != servers => {
            return told("other servers");
        }
        Answer::From(_, want) => *want,
    };
    let Some(own) = own else { return Ok(()) };
    let itself = servers.contains(row.from.name);
    let kept = tally.sources.contains_key(&own.to_string());
    let others = tally.sources.keys().any(|source| *source != own.to_string());
    match want {
        Some(Source::Kept) if !kept => told("rewritten"),
        Some(Source::Kept) if others != itself => told("not kept everywhere"),
        Some(Source::Rewritten) if kept => told("kept"),
        _ => Ok(()),
    }
}
