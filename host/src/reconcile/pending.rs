//! What came in and waits for a turn: how much of it, and since when the cluster has known. Pure.

use std::collections::{BTreeMap, BTreeSet};

use weir_core::model::Change;
use weir_core::net::ObjectName;

/// Changes that no turn has taken in yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Of Services.
    pub services: u64,
    /// Of EndpointSlices.
    pub endpoints: u64,
}

/// What waits for a turn.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) waiting: Waiting,
    /// When the cluster's change was made that a slice tells of, by slice's service: each time once.
    triggers: BTreeMap<ObjectName, BTreeSet<u64>>,
}

impl Pending {
    /// Takes note of a change that touched something. As kube-proxy does, endpoints that go have no
    /// time: the annotation of a slice that is gone is that of an earlier change.
    pub(super) fn note(&mut self, change: &Noted) {
        match change {
            Noted::Service => self.waiting.services += 1,
            Noted::Slice(trigger) => {
                self.waiting.endpoints += 1;
                if let Some((service, time)) = trigger {
                    self.triggers.entry(service.clone()).or_default().insert(*time);
                }
            }
            Noted::SliceGone => self.waiting.endpoints += 1,
            Noted::Other => {}
        }
    }

    /// A turn has worked out all that waited.
    pub(super) fn taken(&mut self) {
        self.waiting = Waiting::default();
    }

    /// The times of what is written by now.
    pub(super) fn written(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.triggers).into_values().flatten().collect()
    }

    /// Services that are gone have nobody who waits for them.
    pub(super) fn forget(&mut self, service: &ObjectName) {
        self.triggers.remove(service);
    }
}

/// What of a change is taken note of: the change itself goes into the model.
pub(super) enum Noted {
    Service,
    Slice(Option<(ObjectName, u64)>),
    SliceGone,
    Other,
}

impl Noted {
    pub(super) fn of(change: &Change) -> Self {
        match change {
            Change::Service(_) | Change::ServiceGone(_) => Self::Service,
            Change::Slice(slice) => {
                let trigger = slice.last_change_trigger;
                Self::Slice(trigger.map(|time| (slice.service.clone(), time)))
            }
            Change::SliceGone(_) => Self::SliceGone,
            _ => Self::Other,
        }
    }
}
