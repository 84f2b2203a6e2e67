//! Ways to look at a view.

use crate::{KernelAbilities, Node, ServiceView, Slice};

/// Labels, annotations and other names with values, sorted by name.
///
/// ```
/// use weir_policy::Attributes;
/// let view = weir_policy::testing::View::new("shop/cart").label("app", "cart").build();
/// assert_eq!(view.service.labels.value("app"), Some("cart"));
/// ```
pub trait Attributes {
    /// The value of a name.
    fn value(&self, name: &str) -> Option<&str>;
}

impl Attributes for [(String, String)] {
    fn value(&self, name: &str) -> Option<&str> {
        let found = self.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok()?;
        Some(&self[found].1)
    }
}

impl ServiceView {
    /// An annotation of the Service, else of its Namespace.
    #[must_use]
    pub fn annotation(&self, name: &str) -> Option<&str> {
        let service = self.service.annotations.value(name);
        service.or_else(|| self.namespace.annotations.value(name))
    }

    /// The EndpointSlice that an endpoint came from.
    #[must_use]
    pub fn slice_of(&self, endpoint: &crate::Endpoint) -> Option<&Slice> {
        self.slices.get(usize::try_from(endpoint.slice?).ok()?)
    }
}

impl Default for KernelAbilities {
    /// A kernel that can do nothing.
    fn default() -> Self {
        Self {
            release: String::new(),
            dataplanes: Vec::new(),
            ipvs_schedulers: Vec::new(),
            nftables_schedulers: Vec::new(),
            flowtable: false,
        }
    }
}

impl Default for Node {
    /// A node without a name, with one processor.
    fn default() -> Self {
        Self {
            name: String::new(),
            labels: Vec::new(),
            zone: None,
            cpus: 1,
            kernel: KernelAbilities::default(),
            attributes: Vec::new(),
        }
    }
}
