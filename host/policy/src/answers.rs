//! What the chain of policies said about one service port, and by which inputs it is known again.
//!
//! Pure: values only.

use std::sync::Arc;
use std::time::Duration;

use weir_core::wish::{Refusal, Wish};

use crate::{Failure, FailureKind};

/// Names the inputs of a decision by revision, so that a kept answer is found without building
/// the view. Any numbers do that change whenever what they stand for does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RevisionKey {
    /// The service port, unique on the node: `NAMESPACE/SERVICE:PORT`.
    pub service_port: Arc<str>,
    /// Revision of the Namespace.
    pub namespace: u64,
    /// Revision of the Service.
    pub service: u64,
    /// Revision of its EndpointSlices together, and of what the view's attributes come from.
    pub slices: u64,
    /// Counts the times that a policy's `re-evaluate-after-seconds` ran out. Only policies that
    /// want changing inputs are asked again because of it.
    pub evaluation: u64,
}

impl RevisionKey {
    /// The first revision of everything.
    pub fn first(service_port: impl Into<Arc<str>>) -> Self {
        let service_port = service_port.into();
        Self { service_port, namespace: 0, service: 0, slices: 0, evaluation: 0 }
    }

    /// The name of the service port's namespace.
    #[must_use]
    pub fn namespace_name(&self) -> &str {
        self.service_port.split('/').next().unwrap_or_default()
    }
}

/// What every policy of the chain said, each list in the chain's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Unchecked answers by policy, ready to be checked; those of failed policies that have a last good one are among them.
    pub wishes: Vec<(String, Wish)>,
    /// Policies that don't answer for this service port.
    pub refusals: Vec<(String, Refusal)>,
    /// Policies that failed.
    pub failures: Vec<Failure>,
    /// Whether no guest was asked: nothing can differ from the last time.
    pub from_cache: bool,
    /// When to ask again although nothing changed: a policy failed, or wasn't asked, for a reason
    /// that passes.
    pub ask_again: Option<Duration>,
}

impl Answers {
    /// Whether a policy wasn't asked only because it wasn't its time: it is to be asked soon.
    #[must_use]
    pub fn is_deferred(&self) -> bool {
        self.failures.iter().any(|failure| failure.kind == FailureKind::Deferred)
    }
}
