//! A chain of policies that answers from a list.

use std::collections::BTreeSet;

use serde::Deserialize;
use weir::reconcile::{Policies, Question};
use weir_core::compile::PortKey;
use weir_core::net::ObjectName;
use weir_core::view::{Interface, Node};
use weir_core::wish::{Refusal, Wish};
use weir_policy_host::Answers;

/// One answer of `decisions.yaml`; the list is the chain's order.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    /// The policy.
    policy: String,
    /// `NAMESPACE/NAME`.
    service: String,
    /// `80/tcp`; every port of the service without it.
    port: Option<String>,
    /// What it wants.
    wish: Wish,
}

#[derive(Clone)]
pub(crate) struct Chain {
    answers: Vec<Answer>,
}

impl Chain {
    pub(crate) fn new(answers: Vec<Answer>) -> Self {
        Self { answers }
    }
}

impl Policies for Chain {
    fn ask(&mut self, question: &Question<'_>) -> Answers {
        let mut answers = Answers::default();
        let (service, port) = (question.service.to_string(), question.port.to_string());
        for it in &self.answers {
            let meant = it.service == service && it.port.as_ref().is_none_or(|of| *of == port);
            if meant {
                answers.wishes.push((it.policy.clone(), it.wish.clone()));
            } else {
                answers.refusals.push((it.policy.clone(), Refusal::NotMine));
            }
        }
        answers
    }

    fn see_node(&mut self, _: Node) {}

    fn classify(&mut self, _: &Interface) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn forget(&mut self, _: &ObjectName, _: PortKey) {}
}
