//! The two steps of a turn that every touched service takes, as one span each: a span a service would
//! be ten thousand of them.

use std::collections::BTreeSet;

use tracing::Span;
use weir_core::net::ObjectName;

use crate::report::metrics::number;

/// Services of a turn that its span names; where there are more, it says only how many.
const NAMED: usize = 8;

/// Each lies around all services; how long it was busy (`busy_ns`) is what it took.
pub(super) struct Steps {
    /// Policies are asked, their wishes checked.
    pub(super) decide: Span,
    /// Decisions become kernel objects.
    pub(super) compile: Span,
}

impl Steps {
    /// The steps of these services, in the turn whose span is entered.
    pub(super) fn of(names: &BTreeSet<ObjectName>) -> Self {
        let turn = Span::current();
        if !turn.is_disabled() && !names.is_empty() && names.len() <= NAMED {
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            turn.record("named", names.join(" "));
        }
        let services = number(names.len());
        Self {
            decide: tracing::info_span!("decide", services),
            compile: tracing::info_span!("compile", services),
        }
    }
}
