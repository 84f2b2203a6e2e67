//! Ending the flows that somebody picks: one dump, then their deletion. I/O.

use crate::netlink::Transport;
use crate::{Conntrack, Deleted, Error, Filter, Flow, FlowKey, Partial};

/// What [`Conntrack::end_flows`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "some flows may not have been ended"]
pub struct Ended {
    /// Flows that passed the filter and were looked at.
    pub looked: u64,
    /// Flows that were chosen and deleted.
    pub deleted: u64,
    /// Flows that were chosen and had gone by themselves.
    pub already_gone: u64,
    /// Flows that were chosen and couldn't be deleted, or it isn't known.
    pub failed: u64,
    /// Why the first of these failed.
    pub failure: Option<Error>,
    /// Why flows may not have been looked at.
    pub partial: Option<Partial>,
}

impl Ended {
    /// Whether every flow was looked at, and none that was chosen is left. If not: do it again.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.partial.is_none() && self.failed == 0
    }
}

impl<T: Transport> Conntrack<T> {
    /// Deletes the flows that pass `filter` and that `which` chooses. Flows without ports, such as
    /// those of ICMP, are neither shown to it nor deleted.
    ///
    /// # Errors
    /// When the dump fails; nothing was deleted then. A deletion that fails is told in the result.
    pub fn end_flows(
        &mut self,
        which: &mut dyn FnMut(&Flow) -> bool,
        filter: &Filter,
    ) -> Result<Ended, Error> {
        let mut ended = Ended::default();
        let mut chosen: Vec<FlowKey> = Vec::new();
        let dumped = self.dump(filter, |flow| {
            let Some(key) = flow.key() else { return };
            ended.looked += 1;
            if which(flow) {
                chosen.push(key);
            }
        })?;
        ended.partial = dumped.partial;
        for verdict in self.delete(&chosen) {
            match verdict {
                Ok(Deleted::Now) => ended.deleted += 1,
                Ok(Deleted::AlreadyGone) => ended.already_gone += 1,
                Err(error) => {
                    ended.failed += 1;
                    ended.failure.get_or_insert(error);
                }
            }
        }
        Ok(ended)
    }
}
