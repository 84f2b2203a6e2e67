//! What service ports carried, each by its name: only where the configuration asks for it, since there
//! are as many series as service ports.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use weir_core::compile::PortKey;
use weir_core::kernel::Traffic;
use weir_core::net::ObjectName;

use super::book::{Book, Named};

/// A service port, where somebody asked for numbers of each.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ServicePortLabels {
    /// The Service's namespace.
    pub namespace: String,
    /// The Service's name.
    pub service: String,
    /// `80/tcp`.
    pub port: String,
}

impl Named for ServicePortLabels {
    const NAMES: &'static [&'static str] = &["namespace", "service", "port"];
}

impl ServicePortLabels {
    /// Of a port of a service.
    #[must_use]
    pub fn of(name: &ObjectName, port: PortKey) -> Self {
        Self {
            namespace: name.namespace.as_ref().to_owned(),
            service: name.name.as_ref().to_owned(),
            port: port.to_string(),
        }
    }
}

type Counts = Family<ServicePortLabels, Counter>;

/// What service ports carried.
#[derive(Default)]
pub struct TrafficMetrics {
    /// Offloaded flows, where they are counted.
    pub offloaded_flows: Family<ServicePortLabels, Gauge>,
    connections: Counts,
    packets_in: Counts,
    packets_out: Counts,
    bytes_in: Counts,
    bytes_out: Counts,
}

impl TrafficMetrics {
    pub(super) fn registered(book: &mut Book) -> Self {
        let all = Self::default();
        let help =
            "Offloaded flows of each service port when they were last counted (offload.countFlows)";
        book.put("weir_offloaded_flows", help, &all.offloaded_flows);
        let help = "Connections that IPVS scheduled for each service port (metrics.countTraffic)";
        book.put("weir_service_connections_total", help, &all.connections);
        let help = "Packets from clients of each service port on IPVS";
        book.put("weir_service_received_packets_total", help, &all.packets_in);
        let help = "Packets to clients of each service port on IPVS";
        book.put("weir_service_sent_packets_total", help, &all.packets_out);
        let help = "Bytes from clients of each service port on IPVS";
        book.put("weir_service_received_bytes_total", help, &all.bytes_in);
        let help = "Bytes to clients of each service port on IPVS";
        book.put("weir_service_sent_bytes_total", help, &all.bytes_out);
        all
    }

    fn counts(&self) -> [&Counts; 5] {
        let Self { connections, packets_in, packets_out, bytes_in, bytes_out, .. } = self;
        [connections, packets_in, packets_out, bytes_in, bytes_out]
    }

    /// Adds what a service port carried since this was last said.
    pub fn add(&self, labels: &ServicePortLabels, more: &Traffic) {
        let Traffic { connections, packets_in, packets_out, bytes_in, bytes_out, .. } = *more;
        let more = [connections, packets_in, packets_out, bytes_in, bytes_out];
        for (family, more) in self.counts().into_iter().zip(more) {
            family.get_or_create(labels).inc_by(more);
        }
    }

    /// Forgets what was carried: nobody counts it any more.
    pub fn forget_carried(&self) {
        self.counts().into_iter().for_each(Family::clear);
    }

    /// Forgets a service port that is gone.
    pub fn forget(&self, labels: &ServicePortLabels) {
        for family in self.counts() {
            family.remove(labels);
        }
    }
}
