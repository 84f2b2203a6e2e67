//! What the daemon asks of the API server: the verbs that its Role must grant, and no others. Pure.
//!
//! `deploy/` grants exactly these, which a test checks; who adds a call to the client adds it here.

/// A kind of objects and what is done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// The API group; empty is the core's.
    pub group: &'static str,
    /// The resource, in the plural.
    pub resource: &'static str,
    /// The verbs, sorted.
    pub verbs: &'static [&'static str],
}

/// All of them, sorted by group and resource.
pub const RIGHTS: [Right; 6] = [
    Right { group: "", resource: "namespaces", verbs: &["list", "watch"] },
    Right { group: "", resource: "nodes", verbs: &["list", "watch"] },
    Right { group: "", resource: "services", verbs: &["list", "watch"] },
    Right { group: "discovery.k8s.io", resource: "endpointslices", verbs: &["list", "watch"] },
    Right { group: "events.k8s.io", resource: "events", verbs: &["create", "patch"] },
    Right { group: "networking.k8s.io", resource: "servicecidrs", verbs: &["list", "watch"] },
];
