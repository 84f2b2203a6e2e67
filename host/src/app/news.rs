//! What is told to the loop: objects, links and addresses, changes of the rule set.

use std::io;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use weir_link::Watcher;
use weir_nft::Listener;

use crate::drive::Command;

/// The least time between two states of the node that are told.
const NODE_APART: Duration = Duration::from_millis(50);

/// How often a change by others to the rule set may lead to a look.
const LOOKS_APART: Duration = Duration::from_secs(1);

pub(super) async fn forward(
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
pub(super) fn watch_kernel(
    runtime: &tokio::runtime::Runtime,
    commands: &Sender<Command>,
) -> Result<Watcher> {
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
            // A node tells of hundreds of interfaces in a burst: the last state holds them all.
            tokio::time::sleep(NODE_APART).await;
        }
    });
    let to = commands.clone();
    thread::Builder::new().name("nft-events".to_owned()).spawn(move || watch_rule_set(&to))?;
    Ok(watcher)
}

/// Tells the loop when somebody else changed the rule set. Without events the resync finds it.
fn watch_rule_set(commands: &Sender<Command>) {
    loop {
        let ended = Listener::open()
            .and_then(|mut it| listen_on(|longest| it.wait(longest), LOOKS_APART, commands));
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
/// An overrun says as much as any change: that it is time to look.
fn listen_on(
    mut wait: impl FnMut(Duration) -> io::Result<Option<weir_nft::Event>>,
    apart: Duration,
    commands: &Sender<Command>,
) -> io::Result<()> {
    // What happened before the first event can be heard is found by looking once.
    while commands.send(Command::Look).is_ok() {
        // Others may write all the time: their news is bundled.
        thread::sleep(apart);
        while wait(Duration::from_secs(3600))?.is_none() {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use weir_nft::{Event, Generation};

    #[test]
    fn an_open_ear_a_change_and_an_overrun_lead_to_a_look_each() {
        let changed = Generation { id: 1, port: 2, pid: None, process: None };
        let mut heard =
            [Ok(None), Ok(Some(Event::Changed(changed))), Ok(Some(Event::Overrun))].into_iter();
        let (commands, inbox) = mpsc::channel();
        let wait = |_| heard.next().unwrap_or_else(|| Err(io::ErrorKind::BrokenPipe.into()));
        let ended = listen_on(wait, Duration::ZERO, &commands).unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::BrokenPipe, "the ear is opened again");
        assert_eq!(inbox.try_iter().filter(|it| matches!(it, Command::Look)).count(), 3);
    }
}
