//! What is around the services on this node: its interfaces and addresses, and whether there is a way out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use weir_core::compile::Here;
use weir_core::decision::Dataplane;
use weir_core::interfaces::{BadGroup, Changes};
use weir_core::kernel::Kernel;
use weir_core::model::{Service, Touched};
use weir_core::net::ObjectName;
use weir_core::view::Interface;

use super::{DecidedPorts, Policies, Reconciler};

impl<K: Kernel, P: Policies> Reconciler<K, P> {
    /// Takes in the node's interfaces as they are now, however many changed: what they change is
    /// written at the next turn. Says what changed.
    pub fn set_interfaces(&mut self, all: &[Interface]) -> Changes {
        let Self { survey, policies, .. } = self;
        let changes = survey.take(all, |interface| policies.classify(interface));
        self.keys.extend(self.ledger.set_interfaces(self.survey.interfaces().clone()));
        changes
    }

    /// Takes in what is around the services; those that it concerns are worked out at the next turn.
    pub fn set_here(&mut self, mut here: Here) {
        here.translates = self.translates();
        here.interfaces.clone_from(self.survey.interfaces());
        let before = std::mem::replace(&mut self.here, here);
        let here = &self.here;
        if before == *here {
            return;
        }
        let all =
            before.ways_out != here.ways_out || before.external_ranges != here.external_ranges;
        if all {
            self.touched.merge(Touched::all());
            return;
        }
        let moved: BTreeSet<&IpAddr> = moved(&before.own, &here.own).collect();
        let ports_moved = before.node_ports != here.node_ports;
        if before.interfaces != here.interfaces || !moved.is_empty() {
            self.touched.services.extend(self.by_interface.iter().cloned());
        }
        let concerns = |service: &&Service| {
            let Service { cluster_ips, external_ips, load_balancer_ips, .. } = service;
            let mut addresses = cluster_ips.iter().chain(external_ips).chain(load_balancer_ips);
            let guarded = !moved.is_empty() && !service.source_ranges.is_empty();
            let node_port = || service.ports.iter().any(|port| port.node_port.is_some());
            guarded || ports_moved && node_port() || addresses.any(|it| moved.contains(it))
        };
        let names = self.model.services().filter(concerns).map(|service| service.name.clone());
        self.touched.merge(Touched { all: false, services: names.collect() });
    }

    /// Notes whether a service's node ports follow the node's interfaces.
    pub(super) fn note_by_interface(&mut self, name: &ObjectName, decided: &DecidedPorts) {
        if decided.values().any(|it| it.decision.node_ports.is_some()) {
            self.by_interface.insert(name.clone());
        } else {
            self.by_interface.remove(name);
        }
    }

    /// Whether this kernel's nftables can balance.
    pub(super) fn translates(&self) -> bool {
        let nftables = Dataplane::Nftables.as_str();
        self.abilities.dataplanes.iter().any(|name| name == nftables)
    }

    /// Has policies asked again about every interface, once these are next taken in.
    pub fn forget_groups(&mut self) {
        self.survey.forget();
    }

    /// What policies named as groups and can't be.
    pub fn bad_groups(&self) -> impl Iterator<Item = BadGroup> + '_ {
        self.survey.bad_groups()
    }
}

/// The addresses that came, went, or are on another interface by now.
fn moved<'a>(
    before: &'a BTreeMap<IpAddr, String>,
    now: &'a BTreeMap<IpAddr, String>,
) -> impl Iterator<Item = &'a IpAddr> {
    let gone = before.iter().filter(|(ip, name)| now.get(*ip) != Some(*name));
    let came = now.iter().filter(|(ip, name)| before.get(*ip) != Some(*name));
    gone.chain(came).map(|(ip, _)| ip)
}
