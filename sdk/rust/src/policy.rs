//! What a policy has to be.

use crate::{Config, Decision, NetworkInterface, Node, Refusal, ServiceView};

/// Decides how service ports are balanced on a node.
pub trait Policy: Sized + 'static {
    /// Makes the policy of what the operator wrote. Called once in the life of an instance.
    ///
    /// # Errors
    /// Words for the operator: what is wrong with the configuration. The policy isn't used then.
    fn configure(config: &Config, node: &Node) -> Result<Self, String>;

    /// Decides on one service port. What the decision leaves open is left to the next policy.
    ///
    /// Has to be a function of the configuration and the view, because answers are kept.
    ///
    /// # Errors
    /// A [`Refusal`] is no failure: [`Refusal::NotMine`] or a reason that operators read.
    fn decide(&self, view: &ServiceView) -> Result<Decision, Refusal>;

    /// Inputs that change by themselves and that this policy has to see. With any of them,
    /// [`Decision::re_evaluate_after`] says when they are looked at again.
    fn wants(&self) -> Vec<Want> {
        Vec::new()
    }
}

/// Names groups of interfaces for use in [`Decision::include_interface`]. Export such a policy
/// with `export!(Mine, interfaces)`.
pub trait Classify: Policy {
    /// The groups, such as `uplink`, that an interface belongs to.
    fn classify(&self, interface: &NetworkInterface) -> Vec<String>;
}

/// An input that changes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// [`crate::Endpoint::age_seconds`].
    Age,
    /// [`ServiceView::counters`]: what IPVS carried for the port since the policies were asked last.
    /// None at the first evaluation of a run, and none on nftables.
    Counters,
    /// [`ServiceView::previous`]: the decision in force, other policies' opinions and the node's
    /// defaults in it. None at the first evaluation of a run.
    Previous,
}

impl Want {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Counters => "counters",
            Self::Previous => "previous",
        }
    }
}
