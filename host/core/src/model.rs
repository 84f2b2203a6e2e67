//! The Kubernetes objects as weir keeps them, and the fold that says which services a change touched.
//!
//! Pure. Parsed at the edge: an address is an address, a port is never 0. Objects get a revision
//! from the model itself, so that an update which changes nothing touches nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::net::{Family, ObjectName, Port, Protocol};
use crate::pack::pack;
use crate::texts::{self, Texts};

pub use crate::tags::Tags;

/// `spec.type` of a Service. Headless services are [`ServiceType::Headless`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceType {
    /// Reachable inside the cluster.
    #[default]
    ClusterIP,
    /// ClusterIP and a port on each node.
    NodePort,
    /// NodePort and addresses of a load balancer.
    LoadBalancer,
    /// A DNS alias: nothing to proxy.
    ExternalName,
    /// `clusterIP: None`: nothing to proxy.
    Headless,
}

/// `internalTrafficPolicy` or `externalTrafficPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrafficPolicy {
    /// Every endpoint of the cluster.
    #[default]
    Cluster,
    /// Only endpoints on this node.
    Local,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePort {
    /// The port's name; empty where a Service has one unnamed port.
    pub name: String,
    /// The transport protocol.
    pub protocol: Protocol,
    /// The port on the service's addresses.
    pub port: Port,
    /// The port on each node.
    pub node_port: Option<Port>,
    /// `appProtocol`, verbatim.
    pub app_protocol: Option<String>,
}

/// A Service, as far as a proxier needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: ObjectName,
    /// `metadata.uid`; none in a file that nobody handed one out for.
    pub uid: Option<Box<str>>,
    /// `metadata.creationTimestamp` in seconds since 1970; the older of two claimants of one address wins.
    pub created: Option<i64>,
    /// `metadata.labels`.
    pub labels: Tags,
    /// `metadata.annotations`.
    pub annotations: Tags,
    /// `spec.type`, or headless.
    pub kind: ServiceType,
    /// Who proxies it: the label `service.kubernetes.io/service-proxy-name`.
    pub proxy_name: Option<Box<str>>,
    /// `spec.clusterIPs`.
    pub cluster_ips: Vec<IpAddr>,
    /// `spec.externalIPs`.
    pub external_ips: Vec<IpAddr>,
    /// `status.loadBalancer.ingress[].ip` of those whose ipMode is VIP.
    pub load_balancer_ips: Vec<IpAddr>,
    /// `spec.loadBalancerSourceRanges`.
    pub source_ranges: Vec<IpNet>,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
    /// `sessionAffinity: ClientIP` with its time-out in seconds.
    pub affinity_seconds: Option<u32>,
    /// `spec.internalTrafficPolicy`.
    pub internal_policy: TrafficPolicy,
    /// `spec.externalTrafficPolicy`.
    pub external_policy: TrafficPolicy,
    /// `spec.trafficDistribution`, verbatim.
    pub traffic_distribution: Option<Box<str>>,
    /// `spec.healthCheckNodePort`.
    pub health_check_node_port: Option<Port>,
}

impl Service {
    /// Whether this service is to be programmed by the proxy that goes by `proxy_name`.
    #[must_use]
    pub fn is_ours(&self, proxy_name: Option<&str>) -> bool {
        let proxied = !matches!(self.kind, ServiceType::ExternalName | ServiceType::Headless);
        proxied && self.proxy_name.as_deref() == proxy_name
    }

    /// Whether it has more than cluster addresses.
    #[must_use]
    pub fn is_reachable_from_outside(&self) -> bool {
        let elsewhere = !self.external_ips.is_empty() || !self.load_balancer_ips.is_empty();
        elsewhere || self.ports.iter().any(|port| port.node_port.is_some())
    }
}

/// One port of an EndpointSlice. A nil or zero number is left out when parsing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlicePort {
    /// The name that ties it to a Service's port.
    pub name: String,
    /// The transport protocol.
    pub protocol: Protocol,
    /// The port on the endpoint.
    pub port: Port,
}

/// One endpoint of an EndpointSlice. Conditions are after their defaults (nil ready and serving
/// are true, nil terminating is false).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// The first address; others have no meaning (API documentation of EndpointSlice).
    pub address: IpAddr,
    /// `conditions.ready`.
    pub ready: bool,
    /// `conditions.serving`.
    pub serving: bool,
    /// `conditions.terminating`.
    pub terminating: bool,
    /// `nodeName`.
    #[serde(serialize_with = "texts::one")]
    pub node: Option<Arc<str>>,
    /// `zone`.
    #[serde(serialize_with = "texts::one")]
    pub zone: Option<Arc<str>>,
    /// `hints.forZones[].name`.
    #[serde(serialize_with = "texts::all")]
    pub zone_hints: Box<[Arc<str>]>,
    /// `hints.forNodes[].name`.
    #[serde(serialize_with = "texts::all")]
    pub node_hints: Box<[Arc<str>]>,
}

/// An EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndpointSlice {
    /// Its own name.
    pub name: ObjectName,
    /// The service it belongs to: the label `kubernetes.io/service-name`.
    pub service: ObjectName,
    /// `metadata.labels`.
    pub labels: Tags,
    /// `metadata.annotations`.
    pub annotations: Tags,
    /// `addressType`; FQDN slices never get here.
    pub family: Family,
    /// `ports`.
    pub ports: Vec<SlicePort>,
    /// `endpoints`.
    pub endpoints: Vec<Endpoint>,
    /// When what the slice tells last changed in the cluster, in milliseconds since 1970: the annotation
    /// `endpoints.kubernetes.io/last-change-trigger-time`.
    pub last_change_trigger: Option<u64>,
}

impl EndpointSlice {
    /// What other slices are likely to say, too.
    fn texts_mut(&mut self) -> impl Iterator<Item = &mut Arc<str>> {
        self.endpoints.iter_mut().flat_map(|it| {
            let hints = it.zone_hints.iter_mut().chain(&mut it.node_hints);
            it.node.iter_mut().chain(&mut it.zone).chain(hints)
        })
    }
}

/// A Namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// `metadata.labels`.
    pub labels: Tags,
    /// `metadata.annotations`.
    pub annotations: Tags,
}

/// A Node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// `metadata.labels`.
    pub labels: Tags,
    /// `metadata.annotations`.
    pub annotations: Tags,
    /// `status.addresses` that are IP addresses (InternalIP before ExternalIP).
    pub addresses: Vec<IpAddr>,
    /// `spec.podCIDRs`.
    pub pod_cidrs: Vec<IpNet>,
    /// Keys of `spec.taints`.
    pub taints: Vec<String>,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
}

impl Node {
    /// The label `topology.kubernetes.io/zone`.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        self.labels.get("topology.kubernetes.io/zone")
    }

    /// Whether every service is balanced as with `other`. Annotations, taints and ranges of pods
    /// come and go without a service being worked out again: no view and no service's objects hold them.
    fn decides_as(&self, other: &Self) -> bool {
        self.labels == other.labels && self.addresses == other.addresses
    }
}

/// A ServiceCIDR: ranges that addresses of Services are handed out from. One that is being deleted
/// holds until it is gone, since addresses out of it are in use as long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceCidr {
    /// Its name.
    pub name: String,
    /// `spec.cidrs`: at most one of each family; no bit is set after the prefix.
    pub ranges: Vec<IpNet>,
}

/// What a source saw: an object as it is now, or that it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A Service is as this says.
    Service(Box<Service>),
    /// A Service is gone.
    ServiceGone(ObjectName),
    /// An EndpointSlice is as this says.
    Slice(Box<EndpointSlice>),
    /// An EndpointSlice is gone.
    SliceGone(ObjectName),
    /// A Namespace is as this says.
    Namespace(Box<Namespace>),
    /// A Namespace is gone.
    NamespaceGone(String),
    /// A Node is as this says.
    Node(Box<Node>),
    /// A Node is gone.
    NodeGone(String),
    /// A ServiceCIDR is as this says.
    ServiceCidr(Box<ServiceCidr>),
    /// A ServiceCIDR is gone.
    ServiceCidrGone(String),
}

/// The services that must be worked out again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Every service: something changed that all depend on.
    pub all: bool,
    /// These services.
    pub services: BTreeSet<ObjectName>,
}

impl Touched {
    /// One service.
    #[must_use]
    pub fn one(name: ObjectName) -> Self {
        Self { all: false, services: BTreeSet::from([name]) }
    }

    /// Every service.
    #[must_use]
    pub fn all() -> Self {
        Self { all: true, services: BTreeSet::new() }
    }

    /// Whether nothing was touched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.all && self.services.is_empty()
    }

    /// Takes in what another change touched.
    pub fn merge(&mut self, other: Self) {
        self.all |= other.all;
        self.services.extend(other.services);
    }
}

/// An object beside the number of the change that made it what it is.
#[derive(Clone, Debug)]
struct Kept<T> {
    revision: u64,
    object: T,
}

/// The revisions that a decision about one service depends on, for a cache key. All are 0 where
/// the object is absent; `slices` grows with every change of any of the service's slices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revisions {
    /// Of the Service.
    pub service: u64,
    /// Of the newest change to the set of its slices.
    pub slices: u64,
    /// Of its Namespace.
    pub namespace: u64,
    /// Of this Node.
    pub node: u64,
}

/// All objects that weir knows of, and what each change touched.
#[derive(Clone, Debug, Default)]
pub struct Model {
    node_name: String,
    clock: u64,
    // Boxed: a node of a map that has objects in it is half empty.
    services: BTreeMap<ObjectName, Box<Kept<Service>>>,
    slices: BTreeMap<ObjectName, Box<Kept<EndpointSlice>>>,
    by_service: BTreeMap<ObjectName, Slices>,
    namespaces: BTreeMap<String, Kept<Namespace>>,
    node: Option<Kept<Node>>,
    service_cidrs: BTreeMap<String, ServiceCidr>,
    texts: Texts,
}

/// The slices of one service.
#[derive(Clone, Debug, Default)]
struct Slices {
    /// Their names, in order.
    names: Vec<ObjectName>,
    /// The number of the last change of any of them.
    changed: u64,
}

impl Model {
    /// An empty model on the node of this name.
    pub fn new(node_name: impl Into<String>) -> Self {
        Self { node_name: node_name.into(), ..Self::default() }
    }

    /// This node's name.
    #[must_use]
    pub fn node_name(&self) -> &str {
        &self.node_name
    }

    /// This node's object, once a source has shown it.
    #[must_use]
    pub fn node(&self) -> Option<&Node> {
        self.node.as_ref().map(|kept| &kept.object)
    }

    /// The service of this name.
    #[must_use]
    pub fn service(&self, name: &ObjectName) -> Option<&Service> {
        self.services.get(name).map(|kept| &kept.object)
    }

    /// All services, by name.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.values().map(|kept| &kept.object)
    }

    /// The slices of a service, by name.
    pub fn slices_of(&self, service: &ObjectName) -> impl Iterator<Item = &EndpointSlice> {
        let names = self.by_service.get(service).into_iter().flat_map(|it| &it.names);
        names.filter_map(|name| self.slices.get(name)).map(|kept| &kept.object)
    }

    /// The namespace of this name, if a source has shown it.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.get(name).map(|kept| &kept.object)
    }

    /// The ranges that addresses of Services are handed out from, of all ServiceCIDR objects; some
    /// may lie within others. Empty where no source has shown any: then they aren't known.
    #[must_use]
    pub fn service_ranges(&self) -> BTreeSet<IpNet> {
        self.service_cidrs.values().flat_map(|object| object.ranges.iter().copied()).collect()
    }

    /// What a decision about `service` depends on.
    #[must_use]
    pub fn revisions(&self, service: &ObjectName) -> Revisions {
        Revisions {
            service: self.services.get(service).map_or(0, |k| k.revision),
            slices: self.by_service.get(service).map_or(0, |it| it.changed),
            namespace: self.namespaces.get(&*service.namespace).map_or(0, |k| k.revision),
            node: self.node.as_ref().map_or(0, |k| k.revision),
        }
    }

    /// Takes in one change and says which services it touched; a change that changes nothing touches none.
    pub fn fold(&mut self, change: Change) -> Touched {
        self.clock += 1;
        match change {
            Change::Service(service) => self.put_service(*service),
            Change::ServiceGone(name) => match self.services.remove(&name) {
                Some(_) => Touched::one(name),
                None => Touched::default(),
            },
            Change::Slice(slice) => self.put_slice(*slice),
            Change::SliceGone(name) => self.drop_slice(&name),
            Change::Namespace(namespace) => self.put_namespace(*namespace),
            Change::NamespaceGone(name) => match self.namespaces.remove(&name) {
                Some(_) => self.services_in(&name),
                None => Touched::default(),
            },
            Change::Node(node) => self.put_node(*node),
            Change::NodeGone(name) if name == self.node_name && self.node.is_some() => {
                self.node = None;
                Touched::all()
            }
            Change::NodeGone(_) => Touched::default(),
            // No service's objects depend on the ranges: they are for addresses that none has.
            Change::ServiceCidr(object) => {
                self.service_cidrs.insert(object.name.clone(), *object);
                Touched::default()
            }
            Change::ServiceCidrGone(name) => {
                self.service_cidrs.remove(&name);
                Touched::default()
            }
        }
    }

    /// Takes no more memory than it needs: after the first lists, say.
    pub fn pack(&mut self) {
        pack(&mut self.services);
        pack(&mut self.slices);
        pack(&mut self.by_service);
        pack(&mut self.namespaces);
    }

    fn put_service(&mut self, mut service: Service) -> Touched {
        if self.service(&service.name) == Some(&service) {
            return Touched::default();
        }
        share_name(&mut service.name, &self.services);
        // Its slices may have come before.
        share_name(&mut service.name, &self.by_service);
        self.texts.share(&mut service.name.namespace);
        let name = service.name.clone();
        let kept = Kept { revision: self.clock, object: service };
        self.services.insert(name.clone(), Box::new(kept));
        Touched::one(name)
    }

    fn put_slice(&mut self, mut slice: EndpointSlice) -> Touched {
        if self.slices.get(&slice.name).is_some_and(|kept| kept.object == slice) {
            return Touched::default();
        }
        share_name(&mut slice.name, &self.slices);
        // A slice may be given to another service by its label: both are touched.
        let mut touched = self.drop_slice(&slice.name);
        touched.merge(Touched::one(slice.service.clone()));
        share_name(&mut slice.service, &self.services);
        share_name(&mut slice.service, &self.by_service);
        self.texts.share(&mut slice.name.namespace);
        self.texts.share(&mut slice.service.namespace);
        slice.texts_mut().for_each(|text| self.texts.share(text));
        let of_it = self.by_service.entry(slice.service.clone()).or_default();
        of_it.changed = self.clock;
        let place = of_it.names.partition_point(|name| *name < slice.name);
        of_it.names.reserve_exact(1);
        of_it.names.insert(place, slice.name.clone());
        let kept = Kept { revision: self.clock, object: slice };
        self.slices.insert(kept.object.name.clone(), Box::new(kept));
        touched
    }

    fn drop_slice(&mut self, name: &ObjectName) -> Touched {
        let Some(kept) = self.slices.remove(name) else { return Touched::default() };
        let object = kept.object;
        if let Some(of_it) = self.by_service.get_mut(&object.service) {
            of_it.changed = self.clock;
            of_it.names.retain(|known| known != name);
            if of_it.names.is_empty() {
                // No slices is one and the same state whenever it comes: revision 0.
                self.by_service.remove(&object.service);
            }
        }
        Touched::one(object.service)
    }

    fn put_namespace(&mut self, namespace: Namespace) -> Touched {
        let name = namespace.name.clone();
        if self.namespace(&name) == Some(&namespace) {
            return Touched::default();
        }
        self.namespaces.insert(name.clone(), Kept { revision: self.clock, object: namespace });
        self.services_in(&name)
    }

    fn put_node(&mut self, node: Node) -> Touched {
        if node.name != self.node_name {
            return Touched::default();
        }
        let old = self.node.as_ref();
        let as_before = old.filter(|old| old.object.decides_as(&node)).map(|old| old.revision);
        let revision = as_before.unwrap_or(self.clock);
        self.node = Some(Kept { revision, object: node });
        if as_before.is_some() { Touched::default() } else { Touched::all() }
    }

    fn services_in(&self, namespace: &str) -> Touched {
        let first = ObjectName::new(namespace, "");
        let names = self.services.range(first..).map(|(name, _)| name);
        let services = names.take_while(|name| *name.namespace == *namespace).cloned().collect();
        Touched { all: false, services }
    }
}

/// Makes a name the one that is known, if it is: the texts are shared.
fn share_name<T>(name: &mut ObjectName, among: &BTreeMap<ObjectName, T>) {
    if let Some((known, _)) = among.get_key_value(name) {
        *name = known.clone();
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
