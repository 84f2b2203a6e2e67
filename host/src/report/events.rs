//! What is told of Services where their owners look: Events. Which there are and their words. Pure.

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

/// What is new in a turn. Each is told once, when it comes.
pub fn of_turn(turn: &Turn) -> impl Iterator<Item = Notice> + '_ {
    let set_aside = turn.set_aside.iter().map(|it| Notice {
        service: it.service.clone(),
        reason: "SetAside",
        action: camel(&it.reason.field),
        note: format!("port {}: {}", it.port, it.reason),
    });
    let conflicts = turn.conflicts.iter().map(|it| Notice {
        service: it.loser.clone(),
        reason: "PortConflict",
        action: "LeaveOut".to_owned(),
        note: format!(
            "{} belongs to Service {}, which is older; not served here",
            it.key, it.winner
        ),
    });
    set_aside.chain(conflicts)
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
