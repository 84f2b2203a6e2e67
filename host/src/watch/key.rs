//! Which object a change is about: its kind and its name. Pure.

use std::fmt;

use weir_core::model::Change;
use weir_core::net::ObjectName;

/// An object's identity. The order is the one in which changes are told: what others refer to first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A Namespace.
    Namespace(String),
    /// A Node.
    Node(String),
    /// A Service.
    Service(ObjectName),
    /// An EndpointSlice.
    Slice(ObjectName),
    /// A ServiceCIDR; last, so that who holds an address of it is known before.
    ServiceCidr(String),
}

impl Key {
    /// The object that `change` is about.
    #[must_use]
    pub fn of(change: &Change) -> Self {
        match change {
            Change::Service(service) => Self::Service(service.name.clone()),
            Change::ServiceGone(name) => Self::Service(name.clone()),
            Change::Slice(slice) => Self::Slice(slice.name.clone()),
            Change::SliceGone(name) => Self::Slice(name.clone()),
            Change::Namespace(namespace) => Self::Namespace(namespace.name.clone()),
            Change::NamespaceGone(name) => Self::Namespace(name.clone()),
            Change::Node(node) => Self::Node(node.name.clone()),
            Change::NodeGone(name) => Self::Node(name.clone()),
            Change::ServiceCidr(object) => Self::ServiceCidr(object.name.clone()),
            Change::ServiceCidrGone(name) => Self::ServiceCidr(name.clone()),
        }
    }

    /// The change that says that this object is gone.
    #[must_use]
    pub fn gone(&self) -> Change {
        match self.clone() {
            Self::Namespace(name) => Change::NamespaceGone(name),
            Self::Node(name) => Change::NodeGone(name),
            Self::Service(name) => Change::ServiceGone(name),
            Self::Slice(name) => Change::SliceGone(name),
            Self::ServiceCidr(name) => Change::ServiceCidrGone(name),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace(name) => write!(f, "Namespace {name}"),
            Self::Node(name) => write!(f, "Node {name}"),
            Self::Service(name) => write!(f, "Service {name}"),
            Self::Slice(name) => write!(f, "EndpointSlice {name}"),
            Self::ServiceCidr(name) => write!(f, "ServiceCIDR {name}"),
        }
    }
}
