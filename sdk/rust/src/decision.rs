//! Decisions, built up field by field.

use crate::{Decision, Endpoint, EndpointWeight, InterfaceSelection, Offload};

#[allow(clippy::derivable_impls, reason = "the type is generated, with derives for all types only")]
impl Default for Decision {
    fn default() -> Self {
        Self {
            dataplane: None,
            scheduler: None,
            scheduler_flags: None,
            weights: None,
            offload: None,
            interfaces: None,
            affinity_seconds: None,
            re_evaluate_after_seconds: None,
            note: None,
            attributes: Vec::new(),
        }
    }
}

impl Decision {
    /// No opinion on anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `ipvs` or `nftables`.
    #[must_use]
    pub fn dataplane(mut self, name: impl Into<String>) -> Self {
        self.dataplane = Some(name.into());
        self
    }

    /// A scheduler by its kernel name: `rr`, `wrr`, `lc`, `mh`, …
    #[must_use]
    pub fn scheduler(mut self, name: impl Into<String>) -> Self {
        self.scheduler = Some(name.into());
        self
    }

    /// A flag of the scheduler, such as `mh-port`, besides those that are set.
    #[must_use]
    pub fn scheduler_flag(mut self, flag: impl Into<String>) -> Self {
        self.scheduler_flags.get_or_insert_default().push(flag.into());
        self
    }

    /// The weight of an endpoint; the others keep theirs, which is 1 at first.
    #[must_use]
    pub fn weight(mut self, endpoint: &Endpoint, weight: u32) -> Self {
        let (address, port) = (endpoint.address.clone(), endpoint.port);
        let weights = self.weights.get_or_insert_default();
        weights.push(EndpointWeight { address, port, weight });
        self
    }

    /// Every packet takes the slow path.
    #[must_use]
    pub fn never_offload(mut self) -> Self {
        self.offload = Some(Offload::Never);
        self
    }

    /// Flows skip the rule set once more than so many packets, both directions together, were
    /// counted.
    #[must_use]
    pub fn offload_after(mut self, packets: u32) -> Self {
        self.offload = Some(Offload::After(packets));
        self
    }

    /// Offloads flows of these interfaces: a name, a glob such as `eth*`, or a group such as
    /// `group:uplink`. Without any, flows of all interfaces are.
    #[must_use]
    pub fn include_interface(mut self, pattern: impl Into<String>) -> Self {
        self.selection().include.push(pattern.into());
        self
    }

    /// Leaves out flows of these interfaces, whatever is included.
    #[must_use]
    pub fn exclude_interface(mut self, pattern: impl Into<String>) -> Self {
        self.selection().exclude.push(pattern.into());
        self
    }

    /// Has the service's node port answer at the addresses of these interfaces only, of those that the
    /// node's configuration allows: entries as of `include_interface`, separated by commas, `!` before
    /// one that is left out.
    #[must_use]
    pub fn node_port_interfaces(mut self, list: impl Into<String>) -> Self {
        self.attributes.push(("node-port-interfaces".into(), list.into()));
        self
    }

    /// A client stays with its server for so many seconds; 0 asks for no affinity.
    #[must_use]
    pub fn affinity(mut self, seconds: u32) -> Self {
        self.affinity_seconds = Some(seconds);
        self
    }

    /// Ask again after so many seconds although nothing changed.
    #[must_use]
    pub fn re_evaluate_after(mut self, seconds: u32) -> Self {
        self.re_evaluate_after_seconds = Some(seconds);
        self
    }

    /// Words for operators.
    #[must_use]
    pub fn note(mut self, words: impl Into<String>) -> Self {
        self.note = Some(words.into());
        self
    }

    fn selection(&mut self) -> &mut InterfaceSelection {
        let none = InterfaceSelection { include: Vec::new(), exclude: Vec::new() };
        self.interfaces.get_or_insert(none)
    }
}
