//! Policies without an opinion.

use std::collections::BTreeSet;

use weir::reconcile::{Policies, Question};
use weir_core::compile::PortKey;
use weir_core::net::ObjectName;
use weir_core::view::{Interface, Node};
use weir_policy_host::Answers;

/// Nobody asked, nobody answered: services are balanced as the node does by itself.
pub(crate) struct InTurn;

impl Policies for InTurn {
    fn ask(&mut self, _: &Question<'_>) -> Answers {
        Answers::default()
    }

    fn see_node(&mut self, _: Node) {}

    fn classify(&mut self, _: &Interface) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn forget(&mut self, _: &ObjectName, _: PortKey) {}
}
