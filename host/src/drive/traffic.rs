//! What service ports on IPVS carried, summed up while the daemon runs: only where the configuration asks.
//!
//! Kernel counters begin anew with a virtual service that is made anew, and end with it; the sums go on.

use std::collections::BTreeMap;

use weir_core::compile::PortKey;
use weir_core::decision::Dataplane;
use weir_core::kernel::Traffic;
use weir_core::net::ObjectName;
use weir_core::state::VirtualKey;

use super::{Drive, Machine, Reloads};
use crate::report::metrics::ServicePortLabels;
use crate::report::status::{Carried, Status};

/// The sums, and the kernel's numbers that they were made of last.
#[derive(Default)]
pub(super) struct Sums {
    last: Option<BTreeMap<VirtualKey, Traffic>>,
    pub(super) by_port: BTreeMap<(ObjectName, PortKey), Traffic>,
}

impl Sums {
    /// Takes the kernel's numbers of now; says how much more each virtual service has carried. The first
    /// numbers hold what was carried before anybody looked, and count from there.
    fn more(&mut self, now: BTreeMap<VirtualKey, Traffic>) -> BTreeMap<VirtualKey, Traffic> {
        let before = self.last.take();
        let now = self.last.insert(now);
        let Some(before) = before else { return BTreeMap::new() };
        let gone_by = |(key, now): (&VirtualKey, &Traffic)| {
            let before = before.get(key).copied().unwrap_or_default();
            (*key, since(&before, now))
        };
        now.iter().map(gone_by).collect()
    }
}

/// What was carried between two readings of one virtual service.
fn since(before: &Traffic, now: &Traffic) -> Traffic {
    let anew = now.connections < before.connections || now.bytes_in < before.bytes_in;
    let before = if anew { Traffic::default() } else { *before };
    Traffic {
        connections: now.connections.saturating_sub(before.connections),
        open: now.open,
        packets_in: now.packets_in.saturating_sub(before.packets_in),
        packets_out: now.packets_out.saturating_sub(before.packets_out),
        bytes_in: now.bytes_in.saturating_sub(before.bytes_in),
        bytes_out: now.bytes_out.saturating_sub(before.bytes_out),
    }
}

fn add(to: &mut Traffic, more: &Traffic) {
    to.connections += more.connections;
    to.open += more.open;
    to.packets_in += more.packets_in;
    to.packets_out += more.packets_out;
    to.bytes_in += more.bytes_in;
    to.bytes_out += more.bytes_out;
}

impl<K: Machine, P: Reloads> Drive<K, P> {
    /// One dump of IPVS' services, whatever their number.
    pub(super) fn count_traffic(&mut self) {
        self.next_traffic = self.now() + self.config.metrics.count_traffic.get();
        let now = match self.all.kernel.carried() {
            Ok(now) => now,
            Err(error) => return tracing::warn!(error, "the traffic of services can't be counted"),
        };
        let more = self.traffic.more(now);
        let mut sums = std::mem::take(&mut self.traffic.by_port);
        let mut by_port = BTreeMap::new();
        for (name, port) in self.all.decided_ports() {
            let Some(service) = self.all.model.service(name) else { continue };
            let mut of_port = Traffic::default();
            let fronts = self.all.fronts(service, port);
            fronts.iter().filter_map(|it| more.get(&it.key)).for_each(|it| add(&mut of_port, it));
            let labels = ServicePortLabels::of(name, port);
            self.shared.metrics.traffic.add(&labels, &of_port);
            let mut sum = sums.remove(&(name.clone(), port)).unwrap_or_default();
            sum.open = 0;
            add(&mut sum, &of_port);
            by_port.insert((name.clone(), port), sum);
        }
        for (name, port) in sums.keys() {
            self.shared.metrics.traffic.forget(&ServicePortLabels::of(name, *port));
        }
        self.traffic.by_port = by_port;
    }

    /// Puts the sums of service ports on IPVS beside what is known of them.
    pub(super) fn tell_traffic(&self, status: &mut Status) {
        let named = |((name, port), sum): (&(ObjectName, PortKey), &Traffic)| {
            ((name.to_string(), port.to_string()), Carried::from(sum))
        };
        let sums: BTreeMap<_, _> = self.traffic.by_port.iter().map(named).collect();
        if sums.is_empty() {
            return;
        }
        let ipvs = Dataplane::Ipvs.as_str();
        for row in status.services.iter_mut().filter(|row| row.dataplane == ipvs) {
            row.traffic = sums.get(&(row.service.clone(), row.port.clone())).copied();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(port: u16) -> VirtualKey {
        VirtualKey {
            address: "10.96.0.1".parse().unwrap(),
            port: weir_core::net::Port::new(port).unwrap(),
            protocol: weir_core::net::Protocol::Tcp,
        }
    }

    fn carried(connections: u64, bytes_in: u64) -> Traffic {
        Traffic { connections, bytes_in, ..Traffic::default() }
    }

    #[test]
    fn sums_begin_at_the_first_look_and_outlive_a_virtual_service() {
        let mut sums = Sums::default();
        let cases = [
            ("what was before", vec![(80, carried(100, 9000))], vec![]),
            ("more", vec![(80, carried(103, 9500))], vec![(80, carried(3, 500))]),
            ("made anew", vec![(80, carried(2, 40))], vec![(80, carried(2, 40))]),
            (
                "another comes",
                vec![(80, carried(2, 40)), (81, carried(1, 10))],
                vec![(80, carried(0, 0)), (81, carried(1, 10))],
            ),
            ("one goes", vec![(81, carried(1, 10))], vec![(81, carried(0, 0))]),
        ];
        for (name, now, want) in cases {
            let map = |it: Vec<(u16, Traffic)>| it.into_iter().map(|(p, t)| (key(p), t)).collect();
            assert_eq!(sums.more(map(now)), map(want), "{name}");
        }
    }
}
