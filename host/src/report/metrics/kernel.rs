//! What was asked of the kernel, and what was found in it.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::book::{Book, Named};
use super::number;

/// An operation's kind and what became of it.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct OperationLabels {
    /// For example `add_destination`.
    pub operation: &'static str,
    /// `done`, or the kind of refusal.
    pub outcome: &'static str,
}

impl Named for OperationLabels {
    const NAMES: &'static [&'static str] = &["operation", "outcome"];
}

/// What was asked of the kernel, and what was found in it.
#[derive(Default)]
pub struct KernelMetrics {
    /// Operations by kind and outcome.
    pub operations: Family<OperationLabels, Counter>,
    /// Objects that were found to differ from what was known.
    pub drift: Counter,
    /// Looks at the kernel that failed.
    pub looks_failed: Counter,
    /// Objects whose last operation was refused.
    pub refused: Gauge,
    /// Destinations of all virtual services.
    pub destinations: Gauge,
    /// Servers that end.
    pub draining: Gauge,
    /// Virtual services that somebody else made.
    pub foreign: Gauge,
    /// Devices of the flowtable.
    pub flowtable_devices: Gauge,
    /// Sysctls that aren't as they must be.
    pub sysctls_wrong: Gauge,
    /// Signs of a kube-proxy on this node.
    pub kube_proxy_signs: Gauge,
    /// Sockets of health-check ports that listen.
    pub check_sockets: Gauge,
    /// Those that should and can't.
    pub check_sockets_failed: Gauge,
}

impl KernelMetrics {
    pub(super) fn registered(book: &mut Book) -> Self {
        let all = Self::default();
        let help = "Operations sent to the kernel, by kind and by what became of them";
        book.put("weir_plan_operations_total", help, &all.operations);
        let help = "Kernel objects that others had changed";
        book.put("weir_drift_objects_total", help, &all.drift);
        let help = "Looks at the kernel that failed";
        book.put("weir_looks_failed_total", help, &all.looks_failed);
        let help = "Objects that the kernel refused, which are tried again";
        book.put("weir_refused_objects", help, &all.refused);
        book.put("weir_destinations", "Destinations of virtual services", &all.destinations);
        book.put(
            "weir_draining_destinations",
            "Servers that left and still have connections, on either dataplane",
            &all.draining,
        );
        let help = "Virtual services of others, left alone";
        book.put("weir_foreign_virtual_services", help, &all.foreign);
        book.put("weir_flowtable_devices", "Devices of the flowtable", &all.flowtable_devices);
        let help = "Sysctls that are not as they must be";
        book.put("weir_sysctls_wrong", help, &all.sysctls_wrong);
        let help = "Signs that kube-proxy is or was on this node";
        book.put("weir_kube_proxy_signs", help, &all.kube_proxy_signs);
        let help = "Sockets of services' health-check ports that listen";
        book.put("weir_health_check_sockets", help, &all.check_sockets);
        let help = "Sockets of services' health-check ports that can't be opened";
        book.put("weir_health_check_sockets_failed", help, &all.check_sockets_failed);
        all
    }

    /// Takes over how many sockets of health-check ports listen, and how many can't.
    pub fn count_checks(&self, (open, failed): (usize, usize)) {
        self.check_sockets.set(number(open));
        self.check_sockets_failed.set(number(failed));
    }
}
