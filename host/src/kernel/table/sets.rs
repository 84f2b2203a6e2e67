//! The sets and maps of weir's table, and the state's objects as their elements. Pure.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use weir_core::net::Family as CoreFamily;
use weir_core::state::{
    self, Base, Class, Closed, Masquerade, Memory, OffloadClass, Pods, Scope, VirtualKey,
};
use weir_nft::expr::ct_status;
use weir_nft::value::Value;
use weir_nft::{CtAddr, CtDir, Data, DataType, Element, Family, Field, Name, Rule, Set, Verdict};

use super::names;

/// The most clients whose affinity is kept, of all services of a family: some 40 MB of the kernel's
/// memory. Beyond it a new client is balanced without affinity.
const CLIENTS: u32 = 262_144;

/// The sets and maps of one address family.
pub(in crate::kernel) struct FamilySets {
    /// Virtual services of ours: the register, and the ports that a VIP answers.
    pub(in crate::kernel) services: Arc<Set>,
    /// Our VIPs.
    pub(in crate::kernel) vips: Arc<Set>,
    /// Endpoints on this node, each paired with itself.
    pub(in crate::kernel) hairpin: Arc<Set>,
    /// Ranges of pods.
    pub(in crate::kernel) pods: Arc<Set>,
    /// Ranges that service addresses come from.
    pub(in crate::kernel) ranges: Arc<Set>,
    /// Addresses in these ranges that are somebody's, but not ours to serve.
    pub(in crate::kernel) allocated: Arc<Set>,
    /// Which chain picks for a service port.
    pub(in crate::kernel) balance: Arc<Set>,
    /// What is in a slot of a service port.
    pub(in crate::kernel) endpoints: Arc<Set>,
    /// Endpoints of service ports with affinity, by their homes.
    pub(in crate::kernel) members: Arc<Set>,
    /// Those of them that are on this node, where these serve by themselves.
    pub(in crate::kernel) local_members: Arc<Set>,
    /// Which chain remembers clients of a service port.
    pub(in crate::kernel) sticky: Arc<Set>,
    /// The home of a service port: its name in the memory. The value has a word in front that nobody
    /// reads; see [`super::rules`].
    pub(in crate::kernel) homes: Arc<Set>,
    /// Which endpoint a client of a home stays with. Written by the kernel.
    pub(in crate::kernel) affinity: Arc<Set>,
    /// And which of those on this node, where these serve by themselves. Written by the kernel.
    pub(in crate::kernel) local_affinity: Arc<Set>,
    /// Which chain offloads flows of a service port.
    pub(in crate::kernel) offload: Arc<Set>,
    /// Which chain picks for clients inside, where these have other endpoints than everybody.
    pub(in crate::kernel) inside: Arc<Set>,
    /// What is in a slot for them.
    pub(in crate::kernel) inside_endpoints: Arc<Set>,
    /// Which chain masquerades connections to a service port from outside of the cluster's addresses.
    pub(in crate::kernel) external: Arc<Set>,
    /// What becomes of new connections to a service port that nobody takes.
    pub(in crate::kernel) closed: Arc<Set>,
    /// Service ports that not everybody may come to.
    pub(in crate::kernel) guarded: Arc<Set>,
    /// Who may.
    pub(in crate::kernel) sources: Arc<Set>,
    pub(super) words: Words,
}

/// What differs between the families in rules.
pub(super) struct Words {
    pub(super) family: Family,
    pub(super) saddr: Field,
    pub(super) daddr: Field,
    pub(super) original_daddr: CtAddr,
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

    /// `ip daddr . meta l4proto . th dport`
    pub(super) fn destination(&self) -> [Field; 3] {
        [self.daddr.clone(), Field::L4Proto, Field::ThDport]
    }

    /// `ct original ip daddr . meta l4proto . ct original proto-dst`
    pub(super) fn original(&self) -> [Field; 3] {
        [self.original_daddr(), Field::L4Proto, Field::CtProtoDst(CtDir::Original)]
    }

    /// `ct original ip daddr`
    pub(super) fn original_daddr(&self) -> Field {
        Field::CtAddr(CtDir::Original, self.original_daddr)
    }

    /// `ct status dnat`: a connection whose destination somebody translated.
    pub(super) fn translated(&self) -> Rule {
        self.rule().any_bit(Field::CtStatus, ct_status::DNAT)
    }

    /// A rule that is about this family only.
    pub(super) fn rule(&self) -> Rule {
        Rule::new().nfproto(self.family)
    }
}

impl FamilySets {
    /// The sets of `family`.
    pub(super) fn new(family: CoreFamily) -> Self {
        use DataType::{InetProto, InetService, Mark};
        let (address, words) = match family {
            CoreFamily::V4 => (DataType::Ipv4Addr, Words::V4),
            CoreFamily::V6 => (DataType::Ipv6Addr, Words::V6),
        };
        let name = |v4, v6| match family {
            CoreFamily::V4 => Name::literal(v4),
            CoreFamily::V6 => Name::literal(v6),
        };
        let tuple = [address, InetProto, InetService];
        let slot = [address, InetProto, InetService, Mark];
        let member = [address, InetProto, InetService, address, InetService];
        let client = [address, address, InetProto, InetService];
        let endpoint = [address, InetService];
        let guard = [address, InetProto, InetService, address];
        let commented = |set: Set, comment: &str| Arc::new(set.comment(comment));
        let home = [Mark, address, InetProto, InetService];
        let remembered = |of: Name| {
            let map = Set::map(of, &client, &endpoint).dynamic().timeout(None).size(CLIENTS);
            commented(map, "client and home of a service port to endpoint")
        };
        Self {
            services: commented(
                Set::new(name("services-4", "services-6"), &tuple),
                "virtual services made by weir",
            ),
            vips: commented(Set::new(name("vips-4", "vips-6"), &[address]), "service addresses"),
            hairpin: commented(
                Set::new(name("hairpin-4", "hairpin-6"), &[address, address]),
                "local endpoints, twice",
            ),
            pods: commented(
                Set::new(name("pods-4", "pods-6"), &[address]).interval(),
                "not masqueraded",
            ),
            ranges: commented(
                Set::new(name("ranges-4", "ranges-6"), &[address]).interval(),
                "where service addresses come from",
            ),
            allocated: commented(
                Set::new(name("allocated-4", "allocated-6"), &[address]),
                "used, but not served by weir",
            ),
            balance: commented(
                Set::verdict_map(name("balance-4", "balance-6"), &tuple),
                "service port to what picks a slot",
            ),
            endpoints: commented(
                Set::map(name("endpoints-4", "endpoints-6"), &slot, &endpoint),
                "service port and slot to endpoint",
            ),
            members: commented(
                Set::new(name("members-4", "members-6"), &member),
                "endpoints of services with affinity",
            ),
            local_members: commented(
                Set::new(name("local-members-4", "local-members-6"), &member),
                "of these, those on this node that serve by themselves",
            ),
            sticky: commented(
                Set::verdict_map(name("sticky-4", "sticky-6"), &tuple),
                "service port to how long clients are remembered",
            ),
            homes: commented(
                Set::map(name("homes-4", "homes-6"), &tuple, &home),
                "service port to its name in the memory",
            ),
            affinity: remembered(name("affinity-4", "affinity-6")),
            local_affinity: remembered(name("local-affinity-4", "local-affinity-6")),
            offload: commented(
                Set::verdict_map(name("offload-4", "offload-6"), &tuple),
                "service port to when its flows are offloaded",
            ),
            inside: commented(
                Set::verdict_map(name("inside-4", "inside-6"), &tuple),
                "service port to what picks for pods and the node",
            ),
            inside_endpoints: commented(
                Set::map(name("inside-endpoints-4", "inside-endpoints-6"), &slot, &endpoint),
                "service port and slot to endpoint, for pods and the node",
            ),
            external: commented(
                Set::verdict_map(name("external-4", "external-6"), &tuple),
                "service port to whose source is rewritten",
            ),
            closed: commented(
                Set::verdict_map(name("closed-4", "closed-6"), &tuple),
                "service port that nobody takes to its end",
            ),
            guarded: commented(
                Set::new(name("guarded-4", "guarded-6"), &tuple),
                "service ports with source ranges",
            ),
            sources: commented(
                Set::new(name("sources-4", "sources-6"), &guard).interval(),
                "service port and who may come to it",
            ),
            words,
        }
    }

    pub(super) fn all(&self) -> [&Arc<Set>; 21] {
        [
            &self.services,
            &self.vips,
            &self.hairpin,
            &self.pods,
            &self.ranges,
            &self.allocated,
            &self.balance,
            &self.endpoints,
            &self.members,
            &self.local_members,
            &self.sticky,
            &self.homes,
            &self.affinity,
            &self.local_affinity,
            &self.offload,
            &self.inside,
            &self.inside_endpoints,
            &self.external,
            &self.closed,
            &self.guarded,
            &self.sources,
        ]
    }

    /// The set that an element of the state belongs to, and its form there.
    pub(in crate::kernel) fn element(&self, element: &state::Element) -> (&Arc<Set>, Element) {
        match element {
            state::Element::Service(key) => (&self.services, Element::new(tuple(*key))),
            state::Element::Vip(vip) => (&self.vips, Element::new([address(*vip)])),
            state::Element::Hairpin(endpoint) => {
                (&self.hairpin, Element::new([address(*endpoint), address(*endpoint)]))
            }
            state::Element::Member(home, scope, to) => {
                let member = Element::new([&tuple(*home)[..], &place(*to)].concat());
                (self.members_of(*scope), member)
            }
            state::Element::Allocated(it) => (&self.allocated, Element::new([address(*it)])),
        }
    }

    /// The element that leads to the chain that picks.
    pub(in crate::kernel) fn balance(&self, key: VirtualKey, class: Class) -> Element {
        let chain = names::chain(&state::Chain::Balance(class));
        Element::verdict(tuple(key), Verdict::Goto(chain))
    }

    /// The element that leads to the chain that offloads.
    pub(in crate::kernel) fn offload(&self, key: VirtualKey, class: OffloadClass) -> Element {
        let chain = names::chain(&state::Chain::Offload(class));
        Element::verdict(tuple(key), Verdict::Goto(chain))
    }

    /// The element that leads to the chain that remembers, and back.
    pub(in crate::kernel) fn sticky(&self, key: VirtualKey, memory: Memory) -> Element {
        let chain = names::chain(&state::Chain::Remember(memory));
        Element::verdict(tuple(key), Verdict::Jump(chain))
    }

    /// The element that tells a service port's name in the memory.
    pub(in crate::kernel) fn home(&self, key: VirtualKey, home: VirtualKey) -> Element {
        Element::value(tuple(key), [&[Value::Mark(0)], &tuple(home)[..]].concat())
    }

    /// The endpoints that may be remembered.
    pub(in crate::kernel) fn members_of(&self, scope: Scope) -> &Arc<Set> {
        match scope {
            Scope::Cluster => &self.members,
            Scope::Local => &self.local_members,
        }
    }

    /// Where clients are remembered.
    pub(in crate::kernel) fn affinity_of(&self, scope: Scope) -> &Arc<Set> {
        match scope {
            Scope::Cluster => &self.affinity,
            Scope::Local => &self.local_affinity,
        }
    }

    /// The element that leads to the chain that masquerades.
    pub(in crate::kernel) fn external(&self, key: VirtualKey, whose: Masquerade) -> Element {
        let chain = super::rules::masquerade(self.words.family, whose);
        Element::verdict(tuple(key), Verdict::Goto(chain))
    }

    /// The element that ends new connections.
    pub(in crate::kernel) fn closed(&self, key: VirtualKey, how: Closed) -> Element {
        Element::verdict(tuple(key), super::rules::end(how))
    }

    /// The element of a service port that not everybody may come to.
    pub(in crate::kernel) fn guarded(&self, key: VirtualKey) -> Element {
        Element::new(tuple(key))
    }

    /// The element of who may.
    pub(in crate::kernel) fn source(&self, key: VirtualKey, range: &IpNet) -> Element {
        let from = |client: IpAddr| [&tuple(key)[..], &[address(client)]].concat();
        Element::new(from(range.network())).to(from(range.broadcast()))
    }

    /// The element of a slot.
    pub(in crate::kernel) fn slot(&self, key: VirtualKey, slot: u32, to: SocketAddr) -> Element {
        Element::value([&tuple(key)[..], &[Value::Mark(slot)]].concat(), place(to))
    }

    /// The home and the endpoint of an element of `affinity`.
    pub(in crate::kernel) fn remembered_of(
        &self,
        element: &Element,
    ) -> Option<(VirtualKey, SocketAddr)> {
        let Data::Value(to) = &element.data else { return None };
        Some((super::read::service_port(element.key.get(1..)?)?, super::read::place(to)?))
    }

    /// The ranges of pods of this family, as elements.
    pub(super) fn pod_ranges(&self, base: &Base) -> Vec<Element> {
        match &base.pods {
            Pods::In(ranges) => self.ranges_of(ranges.iter()),
            Pods::Unknown | Pods::By(_) | Pods::ByPrefix(_) => Vec::new(),
        }
    }

    /// The ranges of services of this family, as elements.
    pub(super) fn service_ranges(&self, base: &Base) -> Vec<Element> {
        self.ranges_of(base.ranges.iter())
    }

    fn ranges_of<'a>(&self, nets: impl Iterator<Item = &'a IpNet>) -> Vec<Element> {
        let mine: Vec<IpNet> = nets.filter(|net| is_of(self.words.family, net)).copied().collect();
        let range =
            |net: &IpNet| Element::new([address(net.network())]).to([address(net.broadcast())]);
        IpNet::aggregate(&mine).iter().map(range).collect()
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

fn place(to: SocketAddr) -> [Value; 2] {
    [address(to.ip()), Value::Port(to.port())]
}
