//! Views with sensible defaults, changed where a test cares.

use crate::{
    Counters, Decision, Endpoint, KernelAbilities, Namespace, NetworkInterface, Node, Port,
    Service, ServiceView, Slice,
};

/// Builds a [`ServiceView`]: a `ClusterIP` Service with port `http` 80/TCP and two ready
/// endpoints, 10.0.0.1:8080 here and 10.0.0.2:8080 elsewhere, on [`node`].
#[derive(Clone, Debug)]
pub struct View(ServiceView);

impl View {
    /// A Service by `NAMESPACE/NAME`; without a slash it's in namespace `default`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
        let mut here = endpoint("10.0.0.1:8080");
        (here.local, here.node) = (true, Some("node-1".into()));
        Self(ServiceView {
            namespace: Namespace {
                name: namespace.into(),
                labels: vec![("kubernetes.io/metadata.name".into(), namespace.into())],
                annotations: Vec::new(),
            },
            service: service(name),
            port: Port {
                name: "http".into(),
                protocol: "TCP".into(),
                number: 80,
                app_protocol: None,
                node_port: None,
            },
            endpoints: vec![here, endpoint("10.0.0.2:8080")],
            slices: vec![Slice {
                name: format!("{name}-abcde"),
                labels: vec![("kubernetes.io/service-name".into(), name.into())],
                annotations: Vec::new(),
            }],
            node: node(),
            counters: None,
            previous: None,
            attributes: Vec::new(),
        })
    }

    /// Sets a label of the Service.
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        set(&mut self.0.service.labels, name, value);
        self
    }

    /// Sets an annotation of the Service.
    #[must_use]
    pub fn annotation(mut self, name: &str, value: &str) -> Self {
        set(&mut self.0.service.annotations, name, value);
        self
    }

    /// Sets a label of the Namespace.
    #[must_use]
    pub fn namespace_label(mut self, name: &str, value: &str) -> Self {
        set(&mut self.0.namespace.labels, name, value);
        self
    }

    /// Sets an annotation of the Namespace.
    #[must_use]
    pub fn namespace_annotation(mut self, name: &str, value: &str) -> Self {
        set(&mut self.0.namespace.annotations, name, value);
        self
    }

    /// Sets an annotation of the one EndpointSlice.
    #[must_use]
    pub fn slice_annotation(mut self, name: &str, value: &str) -> Self {
        set(&mut self.0.slices[0].annotations, name, value);
        self
    }

    /// Sets the port.
    #[must_use]
    pub fn port(mut self, name: &str, protocol: &str, number: u16) -> Self {
        (self.0.port.name, self.0.port.protocol) = (name.into(), protocol.into());
        self.0.port.number = number;
        self
    }

    /// Sets the port's `appProtocol`.
    #[must_use]
    pub fn app_protocol(mut self, name: &str) -> Self {
        self.0.port.app_protocol = Some(name.into());
        self
    }

    /// Replaces the endpoints.
    #[must_use]
    pub fn endpoints(mut self, endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        self.0.endpoints = endpoints.into_iter().collect();
        self
    }

    /// Replaces the node.
    #[must_use]
    pub fn node(mut self, node: Node) -> Self {
        self.0.node = node;
        self
    }

    /// Sets the counters since the last evaluation.
    #[must_use]
    pub fn counters(mut self, counters: Counters) -> Self {
        self.0.counters = Some(counters);
        self
    }

    /// Sets the decision in force.
    #[must_use]
    pub fn previous(mut self, decision: Decision) -> Self {
        self.0.previous = Some(decision);
        self
    }

    /// Changes whatever else.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut ServiceView)) -> Self {
        change(&mut self.0);
        self
    }

    /// The view.
    #[must_use]
    pub fn build(self) -> ServiceView {
        self.0
    }
}

/// A ready endpoint of the first slice, by `ADDRESS:PORT` (`[ADDRESS]:PORT` for IPv6).
///
/// # Panics
/// When the text is something else.
#[must_use]
pub fn endpoint(address_and_port: &str) -> Endpoint {
    let socket: std::net::SocketAddr =
        address_and_port.parse().expect("an endpoint is written ADDRESS:PORT");
    Endpoint {
        address: socket.ip().to_string(),
        port: socket.port(),
        ready: true,
        serving: true,
        terminating: false,
        local: false,
        node: None,
        zone: None,
        hint_zones: Vec::new(),
        hint_nodes: Vec::new(),
        age_seconds: None,
        slice: Some(0),
    }
}

/// A node `node-1` in zone `zone-a` whose kernel can do everything.
#[must_use]
pub fn node() -> Node {
    let words = |list: &[&str]| list.iter().map(|&word| word.to_owned()).collect();
    let ipvs = ["rr", "wrr", "lc", "wlc", "sh", "dh", "mh", "sed", "nq", "fo", "ovf"];
    Node {
        name: "node-1".into(),
        labels: vec![("topology.kubernetes.io/zone".into(), "zone-a".into())],
        zone: Some("zone-a".into()),
        cpus: 4,
        kernel: KernelAbilities {
            release: "6.12.0".into(),
            dataplanes: words(&["ipvs", "nftables"]),
            ipvs_schedulers: words(&ipvs),
            nftables_schedulers: words(&["random", "rr", "wrr", "sh", "dh", "mh"]),
            flowtable: true,
        },
        attributes: Vec::new(),
    }
}

/// A hardware interface that is up and carries nothing yet.
#[must_use]
pub fn interface(name: &str) -> NetworkInterface {
    NetworkInterface {
        index: 2,
        name: name.into(),
        kind: String::new(),
        master: None,
        mtu: 1500,
        flags: vec!["up".into(), "running".into()],
        addresses: Vec::new(),
        default_route: false,
        pod: false,
        attributes: Vec::new(),
    }
}

fn service(name: &str) -> Service {
    Service {
        name: name.into(),
        labels: Vec::new(),
        annotations: Vec::new(),
        kind: "ClusterIP".into(),
        cluster_ips: vec!["10.96.0.10".into()],
        external_ips: Vec::new(),
        load_balancer_ips: Vec::new(),
        affinity_seconds: None,
        internal_traffic_policy: "Cluster".into(),
        external_traffic_policy: "Cluster".into(),
        traffic_distribution: None,
    }
}

/// Keeps the order that views have.
fn set(pairs: &mut Vec<(String, String)>, name: &str, value: &str) {
    match pairs.binary_search_by(|(known, _)| known.as_str().cmp(name)) {
        Ok(found) => pairs[found].1 = value.into(),
        Err(place) => pairs.insert(place, (name.into(), value.into())),
    }
}
