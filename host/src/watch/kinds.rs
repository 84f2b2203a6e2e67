//! The kinds of objects that weir reads: how the API names them, and what they are to the model. Pure.

use k8s_openapi::api::core::v1::{Namespace, Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::de::DeserializeOwned;
use weir_core::model::Change;
use weir_core::net::ObjectName;

use super::convert::{self, Converted, ServiceCidrObject};
use super::key::Key;

/// A type of the API that weir reads.
pub trait Kind: DeserializeOwned + 'static {
    /// Its API group; empty for the core group.
    const GROUP: &'static str;
    /// The version that is read.
    const VERSION: &'static str;
    /// As in `kind:`.
    const KIND: &'static str;
    /// As in the API's paths.
    const PLURAL: &'static str;

    /// The identity of the object of this name; `namespace` is empty for kinds without one.
    fn key(namespace: &str, name: &str) -> Key;

    /// What it is to the model, and everything that is wrong with it.
    fn convert(self) -> Converted<Change>;
}

impl Kind for Service {
    const GROUP: &'static str = "";
    const VERSION: &'static str = "v1";
    const KIND: &'static str = "Service";
    const PLURAL: &'static str = "services";

    fn key(namespace: &str, name: &str) -> Key {
        Key::Service(ObjectName::new(namespace, name))
    }

    fn convert(self) -> Converted<Change> {
        convert::service(self).map(|object| Change::Service(Box::new(object)))
    }
}

impl Kind for EndpointSlice {
    const GROUP: &'static str = "discovery.k8s.io";
    const VERSION: &'static str = "v1";
    const KIND: &'static str = "EndpointSlice";
    const PLURAL: &'static str = "endpointslices";

    fn key(namespace: &str, name: &str) -> Key {
        Key::Slice(ObjectName::new(namespace, name))
    }

    fn convert(self) -> Converted<Change> {
        convert::slice(self).map(|object| Change::Slice(Box::new(object)))
    }
}

impl Kind for Namespace {
    const GROUP: &'static str = "";
    const VERSION: &'static str = "v1";
    const KIND: &'static str = "Namespace";
    const PLURAL: &'static str = "namespaces";

    fn key(_namespace: &str, name: &str) -> Key {
        Key::Namespace(name.to_owned())
    }

    fn convert(self) -> Converted<Change> {
        convert::namespace(self).map(|object| Change::Namespace(Box::new(object)))
    }
}

impl Kind for Node {
    const GROUP: &'static str = "";
    const VERSION: &'static str = "v1";
    const KIND: &'static str = "Node";
    const PLURAL: &'static str = "nodes";

    fn key(_namespace: &str, name: &str) -> Key {
        Key::Node(name.to_owned())
    }

    fn convert(self) -> Converted<Change> {
        convert::node(self).map(|object| Change::Node(Box::new(object)))
    }
}

impl Kind for ServiceCidrObject {
    const GROUP: &'static str = "networking.k8s.io";
    const VERSION: &'static str = "v1";
    const KIND: &'static str = "ServiceCIDR";
    const PLURAL: &'static str = "servicecidrs";

    fn key(_namespace: &str, name: &str) -> Key {
        Key::ServiceCidr(name.to_owned())
    }

    fn convert(self) -> Converted<Change> {
        convert::service_cidr(self).map(|object| Change::ServiceCidr(Box::new(object)))
    }
}
