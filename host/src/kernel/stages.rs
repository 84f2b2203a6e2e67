//! A plan's stages, and what of the kernel each is sent by. Pure, but for what is handed in to send with.

use tracing::field::Empty;
use weir_core::kernel::{Lost, Outcome};
use weir_core::plan::{Operation, Plan, Stage};

use crate::report::metrics::number;

/// Whether two stages that follow each other are sent together. Elements are: what concerns nftables
/// alone is one batch, which sees for itself what rests on what. Of all else a stage must know what the
/// one before it was refused.
fn goes_with(a: Stage, b: Stage) -> bool {
    a == b || [a, b].iter().all(|stage| Door::of(*stage) == Door::Elements)
}

/// Sends a plan, stage after stage.
pub(super) fn in_stages(
    plan: &Plan,
    mut send: impl FnMut(Door, &[Operation]) -> Vec<Outcome>,
) -> Vec<Outcome> {
    let mut outcomes = Vec::with_capacity(plan.len());
    let mut lost = Lost::default();
    for operations in plan.operations().chunk_by(|a, b| goes_with(a.stage(), b.stage())) {
        let Some(first) = operations.first() else { continue };
        let door = Door::of(first.stage());
        let span = tracing::info_span!(
            "commit stage",
            otel.name = door.span(),
            operations = number(operations.len()),
            refused = Empty
        );
        let sent = span.in_scope(|| lost.run(operations, |allowed| send(door, allowed)));
        span.record("refused", number(sent.iter().filter(|it| it.is_err()).count()));
        outcomes.extend(sent);
    }
    outcomes
}

/// What a stage of a plan is sent by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    Base,
    Fastpath,
    Elements,
    Ipvs,
    Locals,
    Flows,
}

impl Door {
    fn of(stage: Stage) -> Self {
        match stage {
            Stage::SetBase | Stage::RemoveBase => Self::Base,
            Stage::Interfaces | Stage::RenewFlowtable | Stage::RemoveInterfaces => Self::Fastpath,
            Stage::AddChains | Stage::AddElements | Stage::RemoveElements | Stage::RemoveChains => {
                Self::Elements
            }
            Stage::Virtuals
            | Stage::Destinations
            | Stage::RemoveDestinations
            | Stage::RemoveVirtuals => Self::Ipvs,
            Stage::AddLocals | Stage::RemoveLocals => Self::Locals,
            Stage::EndFlows => Self::Flows,
        }
    }

    /// The name of a stage's span.
    fn span(self) -> &'static str {
        match self {
            Self::Base => "commit table",
            Self::Fastpath => "commit flowtable",
            Self::Elements => "commit elements",
            Self::Ipvs => "commit ipvs",
            Self::Locals => "commit addresses",
            Self::Flows => "commit flows",
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_collector::Collector;
    use weir_core::kernel::{Refusal, RefusalKind};
    use weir_core::state::{Balance, VirtualKey, Weight};

    use super::*;
    use crate::traces::traced;

    fn plan() -> Plan {
        let key = VirtualKey {
            address: "10.96.0.1".parse().unwrap(),
            protocol: weir_core::net::Protocol::Tcp,
            port: weir_core::net::Port::new(80).unwrap(),
        };
        let balance = Balance {
            scheduler: weir_core::decision::Scheduler::Rr,
            flags: weir_core::decision::SchedulerFlags::default(),
            persistence: None,
        };
        let to = |n| format!("10.1.0.{n}:80").parse().unwrap();
        Plan::new(vec![
            Operation::AddVirtual(key, balance),
            Operation::AddDestination(key, to(1), Weight(1)),
            Operation::AddDestination(key, to(2), Weight(1)),
            Operation::AddLocal(key.address),
        ])
    }

    #[test]
    fn each_stage_of_a_commit_is_a_span_with_what_was_refused() {
        let collector = Collector::start().unwrap();
        let refuse = |operation: &Operation| match operation {
            Operation::AddLocal(_) => Err(Refusal::new(RefusalKind::Other, "no")),
            _ => Ok(()),
        };
        let send = |_: Door, operations: &[Operation]| operations.iter().map(refuse).collect();
        let outcomes = traced(&collector.endpoint(), || in_stages(&plan(), send));
        assert_eq!(outcomes.iter().filter(|it| it.is_err()).count(), 1);
        let line = |span: &weir_collector::Span| {
            let of = |key| span.attribute(key).unwrap_or("-").to_owned();
            format!("{} {} {}", span.name, of("operations"), of("refused"))
        };
        let spans: Vec<_> = collector.spans().iter().map(line).collect();
        assert_eq!(spans, ["commit ipvs 1 0", "commit ipvs 2 0", "commit addresses 1 1"]);
    }

    #[test]
    fn only_elements_of_several_stages_are_sent_together() {
        assert!(goes_with(Stage::AddChains, Stage::AddElements));
        assert!(goes_with(Stage::AddElements, Stage::RemoveElements), "one batch a sync");
        // A service that could not be made, or is somebody else's, gets no destination.
        assert!(!goes_with(Stage::Virtuals, Stage::Destinations));
        assert!(!goes_with(Stage::RemoveDestinations, Stage::RemoveVirtuals));
        assert!(!goes_with(Stage::AddElements, Stage::Virtuals));
        assert!(!goes_with(Stage::AddLocals, Stage::RemoveLocals));
    }
}
