//! Who else works for services on this node, looked for again and again: a kube-proxy may come later.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use crate::drive::Command;
use crate::kernel::neighbours::{Sign, kube_proxy};

/// How often they are looked for, beside the loop, which waits for nobody.
const EVERY: Duration = Duration::from_secs(30);

/// Signs that are there: what, and what of it.
type Signs = BTreeMap<String, String>;

/// Looks at once, so that what a start tells is in order, then from time to time for as long as the
/// loop listens. `is_alone`: weir is the node's only proxy.
pub(super) fn watch(commands: Sender<Command>, is_alone: bool) {
    let signs = look(&Signs::new(), kube_proxy(is_alone));
    tell(&commands, &signs);
    let spawned = thread::Builder::new().name("neighbours".to_owned()).spawn(move || {
        let mut signs = signs;
        loop {
            thread::sleep(EVERY);
            let now = look(&signs, kube_proxy(is_alone));
            if now != signs && !tell(&commands, &now) {
                return;
            }
            signs = now;
        }
    });
    if let Err(error) = spawned {
        tracing::warn!(%error, "a kube-proxy that comes later isn't looked for");
    }
}

/// Whether anybody listens.
fn tell(commands: &Sender<Command>, signs: &Signs) -> bool {
    let lines = signs.iter().map(|(what, found)| format!("{what}: {found}")).collect();
    commands.send(Command::Neighbours(lines)).is_ok()
}

/// What is there now. What is new is logged, and what can't be looked for stands as it did.
fn look(before: &Signs, signs: Vec<Sign>) -> Signs {
    let mut now = Signs::new();
    for Sign { what, there, advice } in signs {
        match there {
            Ok(None) => {}
            Ok(Some(detail)) => {
                if !before.contains_key(&what) {
                    let found = &what;
                    tracing::warn!(found, detail, advice, "kube-proxy is or was on this node");
                }
                now.insert(what, detail);
            }
            Err(error) => {
                tracing::debug!(what, error, "can't look for kube-proxy");
                let known = before.get(&what).cloned();
                now.extend(known.map(|detail| (what, detail)));
            }
        }
    }
    for found in before.keys().filter(|what| !now.contains_key(*what)) {
        tracing::info!(found, "a sign of kube-proxy is gone");
    }
    now
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_come_and_go_and_one_that_cant_be_seen_stays() {
        let sign = |what: &str, there: Result<Option<&str>, &str>| Sign {
            what: what.to_owned(),
            there: there.map(|it| it.map(str::to_owned)).map_err(str::to_owned),
            advice: "stop it".to_owned(),
        };
        let named = |signs: &Signs| signs.keys().cloned().collect::<Vec<_>>();
        let first = look(&Signs::new(), vec![sign("a", Ok(Some("there"))), sign("b", Ok(None))]);
        assert_eq!(named(&first), ["a"]);
        let second = look(&first, vec![sign("a", Err("no right")), sign("b", Ok(Some("there")))]);
        assert_eq!(named(&second), ["a", "b"]);
        let third = look(&second, vec![sign("a", Ok(None)), sign("b", Err("no right"))]);
        assert_eq!(named(&third), ["b"]);
    }
}
