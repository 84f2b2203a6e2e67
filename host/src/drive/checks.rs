//! What is told at health-check ports follows the services and the node's addresses.

use weir_core::net::Port;

use crate::kernel::interfaces::held;
use crate::report::checks::Wanted;
use crate::report::events;
use crate::report::status::HealthCheck;

use super::{Drive, Machine, Reloads};

impl<K: Machine, P: Reloads> Drive<K, P> {
    /// After a turn: whoever is told of a server finds it in the kernel.
    pub(super) fn settle_checks(&mut self) {
        if !self.all.settle_checks() {
            return;
        }
        let conflicts = self.all.health_checks().conflicts();
        for it in conflicts.difference(&self.check_conflicts) {
            let (port, winner, loser) = (it.port.get(), &it.winner, &it.loser);
            tracing::warn!(port, %winner, %loser, "two services want one health-check port");
            self.tell_of(events::of_checks(it));
        }
        self.check_conflicts = conflicts;
        self.tell_checks();
    }

    /// Whoever opens the ports logs what fails; here the services' owners are told.
    pub(super) fn tell_unopened(&self) {
        let failed = self.shared.checks.take_failed();
        if failed.is_empty() {
            return;
        }
        let ports = self.all.health_checks().ports();
        for (at, why) in failed {
            let check = Port::new(at.port()).and_then(|port| ports.get(&port));
            if let Some(check) = check {
                self.tell_of(events::not_open(&check.service, at, &why));
            }
        }
    }

    /// The node's addresses are others, or its object is another.
    pub(super) fn set_node_ports(&mut self) {
        let which = self.config.node_port_addresses.get();
        let node = self.all.model.node();
        self.node_ports = match &self.addresses {
            _ if which.is_all() => Wanted::everywhere(),
            // Before the first dump a node seems to have no address.
            Some(state) if !state.current => return,
            Some(state) => which.of(node, held(&state.view)),
            None => which.of(node, []),
        };
        self.tell_checks();
    }

    fn tell_checks(&self) {
        let checks = self.all.health_checks().ports();
        self.shared.checks.want(Wanted { addresses: self.node_ports.clone(), checks });
    }

    pub(super) fn check_conflicts(&self) -> impl Iterator<Item = String> + '_ {
        self.check_conflicts.iter().map(ToString::to_string)
    }

    pub(super) fn check_status(&self) -> Vec<HealthCheck> {
        let failures = self.shared.checks.failures();
        let of_port = |port: u16| {
            let of_port = failures.iter().filter(move |(at, _)| at.port() == port);
            of_port.map(|(at, why)| format!("{at}: {why}")).collect()
        };
        let ports = self.all.health_checks().ports();
        let rows = ports.into_iter().map(|(port, check)| HealthCheck {
            port: port.get(),
            service: check.service.to_string(),
            local_endpoints: check.local_endpoints,
            not_open: of_port(port.get()),
        });
        rows.collect()
    }
}
