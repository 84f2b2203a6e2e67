//! What a packet meets among kernel objects: the order of the kernel's hooks, in a few lines. Pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use weir_core::net::Port;
use weir_core::state::{Closed, Element, Masquerade, Nat, Pods, VirtualKey};
use weir_traffic::table::{Answer, NODE, PARTIES, Row, Source};

use crate::World;

/// Where the node itself listens.
const HOST: u16 = 9000;

/// What the client of a row gets.
pub(crate) fn meets(world: &World, row: &Row) -> Answer {
    let key = VirtualKey {
        address: row.to.ip(),
        protocol: row.protocol.to_string().to_uppercase().parse().unwrap(),
        port: Port::new(row.to.port()).unwrap(),
    };
    let packet = Packet { world, row, from: row.from.address(row.to.ip()), key };
    packet.prerouting()
}

struct Packet<'a> {
    world: &'a World,
    row: &'a Row,
    from: IpAddr,
    key: VirtualKey,
}

impl Packet<'_> {
    fn nat(&self) -> Option<&Nat> {
        self.world.state.nats.get(&self.key).map(AsRef::as_ref)
    }

    fn is_of_node(&self) -> bool {
        self.row.from.netns.is_none()
    }

    fn is_of_pod(&self) -> Option<bool> {
        // The pods of this node are behind br0.
        let here = self.row.from.name.starts_with("pod");
        match &self.world.state.base.as_ref().unwrap().pods {
            Pods::Unknown => None,
            Pods::In(ranges) => Some(ranges.iter().any(|range| range.contains(&self.from))),
            Pods::By(name) => Some(here && name == "br0"),
            Pods::ByPrefix(prefix) => Some(here && "br0".starts_with(prefix)),
        }
    }

    /// Source ranges, then translation.
    fn prerouting(&self) -> Answer {
        let allowed = self.nat().and_then(|nat| nat.sources.as_ref());
        if allowed.is_some_and(|ranges| !ranges.iter().any(|range| range.contains(&self.from))) {
            return Answer::Dropped;
        }
        let inside = self.is_of_node() || self.is_of_pod() == Some(true);
        let legs = self.nat().map(|nat| (inside.then_some(&nat.inside), &nat.main));
        let (first, second) = legs.unzip();
        for leg in first.flatten().into_iter().chain(second) {
            if !leg.is_empty() {
                return self.postrouting(&leg.slots.iter().flatten().copied().collect());
            }
        }
        self.filter()
    }

    /// What nobody translated: new connections that are closed, then IPVS, then unknown ports.
    fn filter(&self) -> Answer {
        let state = &self.world.state;
        match self.nat().and_then(|nat| nat.closed) {
            Some(Closed::Drop) => return Answer::Dropped,
            Some(Closed::Refuse) => return Answer::Refused,
            None => {}
        }
        let own = self.world.around.held.iter().any(|(_, ip)| *ip == self.key.address);
        let local = own || state.locals.contains(&self.key.address);
        let of_us = state.elements.contains(&Element::Vip(self.key.address));
        match state.virtuals.get(&self.key).filter(|_| local) {
            Some(found) => {
                let takes = found.destinations.iter().filter(|(_, weight)| weight.0 > 0);
                let servers: BTreeSet<_> = takes.map(|(to, _)| *to).collect();
                if servers.is_empty() { Answer::Refused } else { self.postrouting(&servers) }
            }
            None if of_us => Answer::Refused,
            None if own && self.key.port.get() == HOST => Answer::Host,
            None if own => Answer::Refused,
            None => self.unused(),
        }
    }

    fn unused(&self) -> Answer {
        let address = self.key.address;
        let allocated = self.world.state.elements.contains(&Element::Allocated(address));
        let ranges = &self.world.state.base.as_ref().unwrap().ranges;
        let unused = ranges.iter().any(|range| range.contains(&address)) && !allocated;
        if unused { Answer::Dropped } else { Answer::Away }
    }

    /// Whose address those see who answer. The node's own connections have some address of its own.
    fn postrouting(&self, servers: &BTreeSet<SocketAddr>) -> Answer {
        let names: BTreeSet<String> = servers.iter().map(|to| name(*to)).collect();
        let itself = BTreeSet::from([self.row.from.name.to_owned()]);
        let source = match () {
            () if *self.row.from == NODE => None,
            () if names == itself => {
                let twice = Element::Hairpin(self.from);
                let known = self.world.state.elements.contains(&twice);
                Some(if known { Source::Rewritten } else { self.source() })
            }
            () => Some(self.source()),
        };
        Answer::From(names, source)
    }

    fn source(&self) -> Source {
        let base = self.world.state.base.as_ref().unwrap();
        let rewritten = match self.nat().and_then(|nat| nat.masquerade) {
            Some(Masquerade::All) => true,
            Some(Masquerade::Node) => self.is_of_node(),
            None => base.masquerade_all || self.is_of_pod() == Some(false),
        };
        if rewritten { Source::Rewritten } else { Source::Kept }
    }
}

fn name(to: SocketAddr) -> String {
    assert_eq!(to.port(), 8080, "{to}");
    let it = PARTIES.iter().find(|party| [party.v4.into(), party.v6.into()].contains(&to.ip()));
    it.unwrap_or_else(|| panic!("nobody is at {to}")).name.to_owned()
}
