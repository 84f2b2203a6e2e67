//! Who comes first of two services that want one thing. Pure.

use crate::net::ObjectName;

/// A service in the order in which it has a claim: by creation time, then by name. One of unknown age
/// comes last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    created: i64,
    pub(crate) service: ObjectName,
}

impl Rank {
    pub(crate) fn of(service: &ObjectName, created: Option<i64>) -> Self {
        Self { created: created.unwrap_or(i64::MAX), service: service.clone() }
    }
}
