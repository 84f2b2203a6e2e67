//! What is told of Services where their owners look: Events. Which there are and their words. Pure.

use std::net::SocketAddr;

use weir_core::health_checks::PortConflict;
use weir_core::net::ObjectName;

use crate::reconcile::Turn;

/// Something to tell of one Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The Service.
    pub service: ObjectName,
    /// Why, in one word for machines.
    pub reason: &'static str,
    /// What weir did about it, or couldn't, in one word.
    pub action: String,
    /// The same for people.
    pub note: String,
}

/// Tells notices, or leaves it where nobody would hear; never waits.
pub type Tell = Box<dyn Fn(Notice, Option<String>) + Send>;

/// A health-check port can't be opened: the reason of kube-proxy's event.
pub const CHECK_FAILED: &str = "FailedToStartServiceHealthcheck";

/// What is new in a turn. Each is told once, when it comes.
pub fn of_turn(turn: &Turn) -> impl Iterator<Item = Notice> + '_ {
    let set_aside = turn.set_aside.iter().map(|it| Notice {
        service: it.service.clone(),
        reason: "SetAside",
        action: camel(&it.reason.field),
        note: format!("port {}: {}", it.port, it.reason),
    });
    let failed = turn.failed.iter().map(|it| {
        let stands = if it.failure.stood_in { "; its last good answer stands" } else { "" };
        Notice {
            service: it.service.clone(),
            reason: "PolicyFailed",
            action: "Decide".to_owned(),
            note: format!("port {}: {}{stands}", it.port, it.failure),
        }
    });
    let conflicts = turn.conflicts.iter().map(|it| {
        let note = format!("{} belongs to Service {}, which is older", it.key, it.winner);
        conflict(&it.loser, note)
    });
    set_aside.chain(failed).chain(conflicts)
}

/// Two services want one health-check port.
pub fn of_checks(new: &PortConflict) -> Notice {
    let PortConflict { port, winner, loser } = new;
    conflict(loser, format!("health-check port {port} belongs to Service {winner}, which is older"))
}

fn conflict(loser: &ObjectName, held: String) -> Notice {
    Notice {
        service: loser.clone(),
        reason: "PortConflict",
        action: "LeaveOut".to_owned(),
        note: held + "; not served here",
    }
}

/// A health-check port can't be opened.
pub fn not_open(service: &ObjectName, at: SocketAddr, why: &str) -> Notice {
    Notice {
        service: service.clone(),
        reason: CHECK_FAILED,
        action: "Listen".to_owned(),
        note: format!("health-check port: can't listen on {at}: {why}; trying again"),
    }
}

/// `offload-interfaces` as `OffloadInterfaces`, as actions are written.
fn camel(kebab: &str) -> String {
    let words = kebab.split('-').filter_map(|word| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::camel;

    #[test]
    fn fields_become_actions() {
        for (field, want) in
            [("offload", "Offload"), ("offload-interfaces", "OffloadInterfaces"), ("", "")]
        {
            assert_eq!(camel(field), want);
        }
    }
}
