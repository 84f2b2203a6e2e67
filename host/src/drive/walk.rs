//! The walk as spans: from the first change that waits to the end of the turn that carries it to the
//! kernel. Costs nothing where nobody takes spans.

use tracing::Span;
use tracing::field::Empty;
use weir_core::kernel::ObserveError;

use crate::reconcile::Turn;
use crate::report::metrics::number;

use super::Reloads;

/// The walk that has begun, if any has.
#[derive(Default)]
pub(super) struct Walk {
    root: Option<Span>,
    taking: Option<Taking>,
}

/// A burst that is being taken in.
struct Taking {
    span: Span,
    fold: Span,
    batches: usize,
    changes: usize,
}

impl Walk {
    fn root(&mut self) -> &Span {
        // One that comes in the middle of something else (a look, a probe) is none of its parts.
        self.root.get_or_insert_with(|| tracing::info_span!(parent: None, "walk"))
    }

    /// A batch of so many changes was taken in: around their fold. One span for a whole burst.
    pub(super) fn fold(&mut self, changes: usize) -> Span {
        let root = self.root().id();
        let taking = self.taking.get_or_insert_with(|| {
            let span =
                tracing::info_span!(parent: root, "take in", batches = Empty, changes = Empty);
            let fold = tracing::info_span!(parent: &span, "fold");
            Taking { span, fold, batches: 0, changes: 0 }
        });
        taking.batches += 1;
        taking.changes += changes;
        taking.fold.clone()
    }

    /// The burst is over. Where nothing waits for a turn by now, none will come to end the walk.
    pub(super) fn taken(&mut self, waits: bool) {
        if let Some(Taking { span, batches, changes, .. }) = self.taking.take() {
            span.record("batches", number(batches));
            span.record("changes", number(changes));
        }
        if !waits {
            self.root = None;
        }
    }

    /// The turn comes that ends it: one without any change has a walk of its own.
    pub(super) fn ends(&mut self) -> Span {
        self.taken(true);
        self.root();
        self.root.take().unwrap_or_else(Span::none)
    }
}

/// Around a turn.
pub(super) fn turn() -> Span {
    tracing::info_span!(
        "turn",
        services = Empty,
        named = Empty,
        full = Empty,
        operations = Empty,
        refused = Empty,
        conflicts = Empty,
        asked = Empty,
        remembered = Empty,
        failed = Empty,
        oldest_trigger = Empty,
        waited_ms = Empty,
        error = Empty,
        otel.status_code = Empty,
    )
}

/// Answers of policies since the start.
#[derive(Clone, Copy, Default)]
pub(super) struct Asked {
    /// By running a policy.
    asked: u64,
    /// From before.
    remembered: u64,
    failed: u64,
}

/// What policies were asked so far, where a span takes it.
pub(super) fn asked(span: &Span, policies: &impl Reloads) -> Option<Asked> {
    if span.is_disabled() {
        return None;
    }
    let add = |sum: Asked, it: &weir_policy_host::PolicyStats| {
        let failed: u64 = it.tally.failures.values().sum();
        Asked {
            asked: sum.asked + it.tally.decisions + it.tally.refusals + failed,
            remembered: sum.remembered + it.tally.cache_hits,
            failed: sum.failed + failed,
        }
    };
    Some(policies.stats().iter().fold(Asked::default(), add))
}

/// Writes down what a turn did.
pub(super) fn turned(
    span: &Span,
    turn: &Result<Turn, ObserveError>,
    asked: Option<(Asked, Asked)>,
) {
    if span.is_disabled() {
        return;
    }
    if let Some((before, after)) = asked {
        // Unsigned numbers arrive as text.
        let more = |of: fn(&Asked) -> u64| number(of(&after).saturating_sub(of(&before)));
        span.record("asked", more(|it| it.asked));
        span.record("remembered", more(|it| it.remembered));
        span.record("failed", more(|it| it.failed));
    }
    let fails = match turn {
        Ok(turn) => {
            did(span, turn);
            !turn.refused.is_empty()
        }
        Err(error) => {
            span.record("error", crate::kernel::words(error));
            true
        }
    };
    if fails {
        span.record("otel.status_code", "error");
    }
}

fn did(span: &Span, turn: &Turn) {
    span.record("services", number(turn.services));
    span.record("full", turn.full);
    span.record("operations", number(turn.plan.len()));
    span.record("refused", number(turn.refused.len()));
    span.record("conflicts", number(turn.conflicts.len()));
    let Some(oldest) = turn.triggers.iter().min().copied() else { return };
    let at = i64::try_from(oldest).ok().and_then(|it| jiff::Timestamp::from_millisecond(it).ok());
    if let Some(at) = at {
        span.record("oldest_trigger", tracing::field::display(at));
    }
    let waited = super::millis().saturating_sub(oldest);
    span.record("waited_ms", i64::try_from(waited).unwrap_or(i64::MAX));
}
