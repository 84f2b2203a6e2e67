//! weir's nftables table: its sets, base chains and rules, as `weir-nft` writes them. Pure.
//!
//! Everything that belongs to a service is an element of a set; the rules here are the same
//! whatever the number of services. Rules use the connection's original tuple, so that no packet
//! mark is needed. The nat chains exist from the start: a first nat chain that comes later would
//! send running IPVS connections into DNAT and reset them.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use weir_core::net::{Family as CoreFamily, Port, Protocol};
use weir_core::state::{self, Base, VirtualKey};
use weir_nft::expr::ct_state;
use weir_nft::value::Value;
use weir_nft::{
    Batch, Chain, ChainType, CtAddr, CtDir, DataType, Element, Family, Field, Hook, Name, Rule,
    Set, Table, TableState, Verdict, priority,
};

/// The table's name in every listing.
pub const TABLE: Name = Name::literal("weir");

const POSTROUTING: Name = Name::literal("nat-postrouting");
const INPUT: Name = Name::literal("filter-input");
const UNKNOWN_PORT: Name = Name::literal("unknown-port");

/// The table's name and family.
#[must_use]
pub fn table() -> Table {
    Table { family: Family::Inet, name: TABLE }
}

/// The sets of one address family.
pub(super) struct FamilySets {
    /// Virtual services of ours: the register, and the ports that a VIP answers.
    pub(super) services: Arc<Set>,
    /// Our VIPs.
    pub(super) vips: Arc<Set>,
    /// Endpoints on this node, each paired with itself.
    pub(super) hairpin: Arc<Set>,
    /// Ranges of pods.
    pub(super) pods: Arc<Set>,
    words: Words,
}

/// What differs between the families in rules.
struct Words {
    family: Family,
    saddr: Field,
    daddr: Field,
    original_daddr: CtAddr,
}

impl FamilySets {
    /// The sets of `family`.
    pub(super) fn new(family: CoreFamily) -> Self {
        let (address, words) = match family {
            CoreFamily::V4 => (DataType::Ipv4Addr, Words::V4),
            CoreFamily::V6 => (DataType::Ipv6Addr, Words::V6),
        };
        let name = |v4, v6| match family {
            CoreFamily::V4 => v4,
            CoreFamily::V6 => v6,
        };
        let tuple = [address, DataType::InetProto, DataType::InetService];
        let services = name(Name::literal("services-4"), Name::literal("services-6"));
        let vips = name(Name::literal("vips-4"), Name::literal("vips-6"));
        let hairpin = name(Name::literal("hairpin-4"), Name::literal("hairpin-6"));
        let pods = name(Name::literal("pods-4"), Name::literal("pods-6"));
        Self {
            services: Arc::new(Set::new(services, &tuple).comment("virtual services made by weir")),
            vips: Arc::new(Set::new(vips, &[address]).comment("addresses of services on IPVS")),
            hairpin: Arc::new(
                Set::new(hairpin, &[address, address]).comment("local endpoints, twice"),
            ),
            pods: Arc::new(Set::new(pods, &[address]).interval().comment("not masqueraded")),
            words,
        }
    }

    fn all(&self) -> [&Arc<Set>; 4] {
        [&self.services, &self.vips, &self.hairpin, &self.pods]
    }

    /// The set that an element of the state belongs to, and its form there.
    pub(super) fn element(&self, element: &state::Element) -> (&Arc<Set>, Element) {
        match element {
            state::Element::Service(key) => (&self.services, Element::new(tuple(*key))),
            state::Element::Vip(vip) => (&self.vips, Element::new([address(*vip)])),
            state::Element::Hairpin(endpoint) => {
                (&self.hairpin, Element::new([address(*endpoint), address(*endpoint)]))
            }
        }
    }

    /// The state's elements among those that were found in our sets; what weir never writes is left out.
    pub(super) fn read<'a>(
        &'a self,
        found: &'a TableState,
    ) -> impl Iterator<Item = state::Element> + 'a {
        let keys =
            |set: &Arc<Set>| found.sets.get(&set.name).into_iter().flat_map(|it| &it.elements);
        let services =
            keys(&self.services).filter_map(|e| virtual_key(&e.key).map(state::Element::Service));
        let vips = keys(&self.vips).filter_map(|e| ip(e.key.first()?).map(state::Element::Vip));
        let hairpin =
            keys(&self.hairpin).filter_map(|e| ip(e.key.first()?).map(state::Element::Hairpin));
        services.chain(vips).chain(hairpin)
    }

    fn pods(&self, base: &Base) -> Vec<IpNet> {
        let family = self.words.family;
        let mine = base.pods.iter().flatten().filter(|net| is_of(family, net));
        IpNet::aggregate(&mine.copied().collect())
    }

    fn pod_ranges(&self, base: &Base) -> Vec<Element> {
        let nets = self.pods(base);
        nets.iter()
            .map(|net| Element::new([address(net.network())]).to([address(net.broadcast())]))
            .collect()
    }

    /// `ct original ip daddr . meta l4proto . ct original proto-dst @services`
    fn of_a_service(&self) -> Rule {
        let original = Field::CtAddr(CtDir::Original, self.words.original_daddr);
        let tuple = [original, Field::L4Proto, Field::CtProtoDst(CtDir::Original)];
        Rule::new().nfproto(self.words.family).in_set(&tuple, &self.services.name)
    }

    fn masquerade(&self, base: &Base) -> Vec<Rule> {
        let own = [self.words.saddr.clone(), self.words.daddr.clone()];
        let hairpin =
            self.of_a_service().in_set(&own, &self.hairpin.name).masquerade_fully_random();
        let mut rules = vec![hairpin.comment("an endpoint that was balanced to itself")];
        if base.masquerade_all {
            let all = self.of_a_service().masquerade_fully_random();
            rules.push(all.comment("masquerade all"));
        } else if !self.pods(base).is_empty() {
            // A family of which no range is known has no pods to tell from others.
            let pods = [self.words.saddr.clone()];
            let rule =
                self.of_a_service().not_in_set(&pods, &self.pods.name).masquerade_fully_random();
            rules.push(rule.comment("a client that is no pod"));
        }
        rules
    }

    fn refuse_unknown_port(&self) -> Rule {
        let tuple = [self.words.daddr.clone(), Field::L4Proto, Field::ThDport];
        Rule::new()
            .nfproto(self.words.family)
            .in_set(std::slice::from_ref(&self.words.daddr), &self.vips.name)
            .not_in_set(&tuple, &self.services.name)
            .reject()
            .comment("a service has no such port")
    }
}

impl Words {
    const V4: Self = Self {
        family: Family::Ip,
        saddr: Field::Ip4Saddr,
        daddr: Field::Ip4Daddr,
        original_daddr: CtAddr::Ip4Daddr,
    };
    const V6: Self = Self {
        family: Family::Ip6,
        saddr: Field::Ip6Saddr,
        daddr: Field::Ip6Daddr,
        original_daddr: CtAddr::Ip6Daddr,
    };
}

/// Both families' sets.
pub(super) struct Sets {
    v4: FamilySets,
    v6: FamilySets,
}

impl Sets {
    pub(super) fn new() -> Self {
        Self { v4: FamilySets::new(CoreFamily::V4), v6: FamilySets::new(CoreFamily::V6) }
    }

    pub(super) fn of(&self, family: CoreFamily) -> &FamilySets {
        match family {
            CoreFamily::V4 => &self.v4,
            CoreFamily::V6 => &self.v6,
        }
    }

    pub(super) fn both(&self) -> [&FamilySets; 2] {
        [&self.v4, &self.v6]
    }

    fn chains(&self) -> [Chain; 5] {
        let nat = |name, hook, priority| Chain::base(name, ChainType::Nat, hook, priority);
        [
            nat(Name::literal("nat-prerouting"), Hook::Prerouting, priority::DSTNAT),
            nat(Name::literal("nat-output"), Hook::Output, priority::DSTNAT),
            nat(POSTROUTING, Hook::Postrouting, priority::SRCNAT),
            Chain::base(INPUT, ChainType::Filter, Hook::Input, priority::FILTER),
            Chain::regular(UNKNOWN_PORT),
        ]
    }

    fn rules(&self, base: &Base) -> Vec<(Name, Rule)> {
        let masquerade = self.both().into_iter().flat_map(|sets| sets.masquerade(base));
        let mut rules: Vec<_> = masquerade.map(|rule| (POSTROUTING, rule)).collect();
        // ICMP to a VIP is the host's to answer: only what has ports can have an unknown one.
        rules.extend([Protocol::Tcp, Protocol::Udp, Protocol::Sctp].map(|protocol| {
            let new = Rule::new().any_bit(Field::CtState, ct_state::NEW);
            let rule = new.eq(Field::L4Proto, Value::Proto(protocol.number()));
            (INPUT, rule.verdict(Verdict::Goto(UNKNOWN_PORT)))
        }));
        rules.extend(self.both().map(|sets| (UNKNOWN_PORT, sets.refuse_unknown_port())));
        rules
    }

    /// Gives the table this base in one batch; elements of services stay.
    pub(super) fn lay(&self, base: &Base) -> Batch {
        let mut batch = Batch::new(table());
        batch.add_table();
        for chain in self.chains() {
            let name = chain.name.clone();
            batch.add_chain(chain).flush_chain(&name);
        }
        for sets in self.both() {
            for set in sets.all() {
                batch.add_set(set);
            }
            batch.flush_set(&sets.pods.name).add_elements(&sets.pods, sets.pod_ranges(base));
        }
        for (chain, rule) in self.rules(base) {
            batch.add_rule(&chain, rule);
        }
        batch
    }

    /// Whether a table has just this base: rules, chains and sets as [`lay`](Self::lay) writes them.
    pub(super) fn is_laid(&self, base: &Base, found: &TableState) -> bool {
        let chains = self.chains().into_iter().all(|chain| {
            let rules = self.rules(base).into_iter().filter(|(name, _)| *name == chain.name);
            let want = rules.map(|(_, rule)| rule);
            found.chains.get(&chain.name).is_some_and(|have| {
                have.chain.base == chain.base && have.rules.iter().map(|r| r.rule.clone()).eq(want)
            })
        });
        let sets = self.both().into_iter().flat_map(FamilySets::all);
        let mut sets =
            sets.map(|set| found.sets.get(&set.name).is_some_and(|have| have.set == *set));
        let pods = |sets: &FamilySets| {
            let have =
                found.sets.get(&sets.pods.name).map(|it| it.elements.clone()).unwrap_or_default();
            let mut want = sets.pod_ranges(base);
            want.sort();
            have == want
        };
        chains && sets.all(|same| same) && self.both().into_iter().all(pods)
    }
}

fn is_of(family: Family, net: &IpNet) -> bool {
    matches!((family, net), (Family::Ip, IpNet::V4(_)) | (Family::Ip6, IpNet::V6(_)))
}

fn address(ip: IpAddr) -> Value {
    match ip {
        IpAddr::V4(ip) => Value::Ipv4(ip),
        IpAddr::V6(ip) => Value::Ipv6(ip),
    }
}

fn tuple(key: VirtualKey) -> [Value; 3] {
    [address(key.address), Value::Proto(key.protocol.number()), Value::Port(key.port.get())]
}

fn ip(value: &Value) -> Option<IpAddr> {
    match value {
        Value::Ipv4(ip) => Some((*ip).into()),
        Value::Ipv6(ip) => Some((*ip).into()),
        _ => None,
    }
}

fn virtual_key(key: &[Value]) -> Option<VirtualKey> {
    let [address, Value::Proto(protocol), Value::Port(port)] = key else { return None };
    Some(VirtualKey {
        address: ip(address)?,
        protocol: Protocol::from_number(*protocol)?,
        port: Port::new(*port)?,
    })
}

#[cfg(test)]
mod tests;
