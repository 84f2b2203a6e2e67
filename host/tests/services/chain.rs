//! Policies without an opinion but one: where node ports answer, by annotation.

use std::collections::BTreeSet;

use weir::reconcile::{Policies, Question};
use weir_core::compile::PortKey;
use weir_core::net::ObjectName;
use weir_core::view::{Interface, Node};
use weir_core::wish::{NODE_PORT_INTERFACES, Wish};
use weir_policy_host::{Answers, Wants};

/// Services are balanced as the node does by itself.
pub(crate) struct InTurn;

const NODE_PORTS: &str = "weir.dev/node-port-interfaces";

impl Policies for InTurn {
    fn ask(&mut self, question: &Question<'_>) -> Answers {
        let view = (question.view)(Wants::default());
        let mut wish = Wish::default();
        if let Some(list) = view.service.annotations.get(NODE_PORTS) {
            wish.attributes.insert(NODE_PORT_INTERFACES.to_owned(), list.clone());
        }
        Answers { wishes: vec![("annotations".to_owned(), wish)], ..Answers::default() }
    }

    fn see_node(&mut self, _: Node) {}

    fn classify(&mut self, _: &Interface) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn forget(&mut self, _: &ObjectName, _: PortKey) {}
}
