//! The rules of weir's table: those that are always there, and those of a class. Pure.

use std::time::Duration;

use weir_core::net::Protocol;
use weir_core::state::{
    Base, Chain as Shared, Class, Closed, Echo, Masquerade, Memory, OffloadClass, Pick, Pods, Scope,
};
use weir_nft::expr::{CmpOp, DynsetOp, Expr, Numgen, Reg, ct_state};
use weir_nft::value::{Ifname, Value};
use weir_nft::{Chain, ChainType, Family, Field, Hook, Name, Rule, Set, Verdict, priority};

use super::names;
use super::sets::{FamilySets, Words};
use super::{FASTPATH, Sets};

const PREROUTING: Name = Name::literal("nat-prerouting");
const NAT_OUTPUT: Name = Name::literal("nat-output");
pub(super) const POSTROUTING: Name = Name::literal("nat-postrouting");
pub(super) const INPUT: Name = Name::literal("filter-input");
pub(super) const FORWARD: Name = Name::literal("filter-forward");
const LEAVING: Name = Name::literal("filter-postrouting");
const OUTPUT: Name = Name::literal("filter-output");
const NEW: Name = Name::literal("new-connection");
const NEW_ELSEWHERE: Name = Name::literal("new-connection-elsewhere");
const INVALID: Name = Name::literal("invalid-segment");
const REMEMBER: Name = Name::literal("remember");
const UNKNOWN_PORT: Name = Name::literal("unknown-port");
const REFUSE: Name = Name::literal("refuse");
const CLUSTER: [Name; 2] = [Name::literal("masquerade-4"), Name::literal("masquerade-6")];
const ALL: [Name; 2] = [Name::literal("masquerade-all-4"), Name::literal("masquerade-all-6")];
const NODE: [Name; 2] = [Name::literal("masquerade-node-4"), Name::literal("masquerade-node-6")];

/// Of `linux/if.h`.
const IFNAMSIZ: usize = 16;
/// The same on every node and after every start: a client's hash stays what it was.
const SEED: u32 = 0x7765_6972;

fn of(names: [Name; 2], family: Family) -> Name {
    let [v4, v6] = names;
    if family == Family::Ip6 { v6 } else { v4 }
}

/// The chain that rewrites the sources of those who come to external addresses.
pub(super) fn masquerade(family: Family, whose: Masquerade) -> Name {
    match whose {
        Masquerade::All => of(ALL, family),
        Masquerade::Node => of(NODE, family),
    }
}

/// Whose chain that is.
pub(super) fn whose(family: Family, chain: &Name) -> Option<Masquerade> {
    [Masquerade::All, Masquerade::Node].into_iter().find(|it| masquerade(family, *it) == *chain)
}

/// The end of a new connection that nobody takes.
pub(super) fn end(how: Closed) -> Verdict {
    match how {
        Closed::Refuse => Verdict::Goto(REFUSE),
        Closed::Drop => Verdict::Drop,
    }
}

/// The chains that are always there.
pub(super) fn chains() -> Vec<Chain> {
    let nat = |name, hook, priority| Chain::base(name, ChainType::Nat, hook, priority);
    let filter = |name, hook| Chain::base(name, ChainType::Filter, hook, priority::FILTER);
    let mut all = vec![
        nat(PREROUTING, Hook::Prerouting, priority::DSTNAT),
        nat(NAT_OUTPUT, Hook::Output, priority::DSTNAT),
        nat(POSTROUTING, Hook::Postrouting, priority::SRCNAT),
        filter(INPUT, Hook::Input),
        filter(FORWARD, Hook::Forward),
        filter(OUTPUT, Hook::Output),
        // Before any translation of the source: once another program has translated it, no nat chain
        // that comes later is run.
        Chain::base(LEAVING, ChainType::Filter, Hook::Postrouting, priority::SRCNAT - 10),
    ];
    let regular = [NEW, NEW_ELSEWHERE, INVALID, REMEMBER, UNKNOWN_PORT, REFUSE];
    all.extend(regular.into_iter().chain(CLUSTER).chain(ALL).chain(NODE).map(Chain::regular));
    all
}

/// The rules that are always there, in order within each chain.
pub(super) fn rules(sets: &Sets, base: &Base) -> Vec<(Name, Rule)> {
    let mut rules = Vec::new();
    for of in sets.both() {
        // First of all: a flow without answers is new for ever, and what is new goes elsewhere below.
        rules.push((FORWARD, of.offloaded()));
        // A nat chain sees first packets only, so that this costs the others nothing.
        rules.extend([PREROUTING, NAT_OUTPUT].map(|chain| (chain, of.keeps_out())));
        rules.extend(of.pods_to_inside(base).map(|rule| (PREROUTING, rule)));
        rules.push((NAT_OUTPUT, of.to_inside(of.words.rule())));
        rules.extend([PREROUTING, NAT_OUTPUT].map(|chain| (chain, of.balanced())));
        // The node's own gets to IPVS, which would refuse it, before any filter.
        rules.push((NAT_OUTPUT, of.ended()));
        rules.extend(of.echo(base.echo));
        rules.extend(of.masquerade(base));
        rules.extend(of.drop_unused(base).map(|rule| (NEW_ELSEWHERE, rule)));
        rules.push((NEW, of.ended()));
        rules.push((REMEMBER, of.remembered()));
        rules.push((UNKNOWN_PORT, of.refuse_unknown_port()));
    }
    if base.drop_invalid {
        let invalid = Rule::new().any_bit(Field::CtState, ct_state::INVALID);
        rules.push((FORWARD, jump(&invalid, INVALID)));
    }
    rules.extend(unknown_segments(sets, base).into_iter().map(|rule| (INVALID, rule)));
    let new = Rule::new().any_bit(Field::CtState, ct_state::NEW);
    rules.extend([LEAVING, INPUT].map(|chain| (chain, jump(&new, REMEMBER))));
    rules.push((INPUT, jump(&new, NEW)));
    rules.extend([FORWARD, OUTPUT].map(|chain| (chain, jump(&new, NEW_ELSEWHERE))));
    rules.push((NEW_ELSEWHERE, jump(&Rule::new(), NEW)));
    // ICMP to a VIP is the host's to answer: only what has ports can have an unknown one.
    rules.extend([Protocol::Tcp, Protocol::Udp, Protocol::Sctp].map(|protocol| {
        let rule = Rule::new().eq(Field::L4Proto, Value::Proto(protocol.number()));
        (NEW, rule.verdict(Verdict::Goto(UNKNOWN_PORT)))
    }));
    // The kernel sends few ICMP errors a second to one host; a reset is heard every time.
    rules.extend([tcp().reject_tcp_reset(), Rule::new().reject()].map(|rule| (REFUSE, rule)));
    rules
}

fn jump(rule: &Rule, chain: Name) -> Rule {
    rule.clone().verdict(Verdict::Jump(chain))
}

fn tcp() -> Rule {
    Rule::new().eq(Field::L4Proto, Value::Proto(Protocol::Tcp.number()))
}

/// A packet of a server that connection tracking doesn't know (outside the window, or late) would go to
/// its client untranslated, and the client would reset the connection.
fn unknown_segments(sets: &Sets, base: &Base) -> Vec<Rule> {
    if !base.drop_invalid {
        return Vec::new();
    }
    let rules = match &base.pods {
        Pods::Unknown => vec![tcp()],
        Pods::In(_) => {
            let of = sets.both().into_iter().filter(|of| !of.pod_ranges(base).is_empty());
            let ends = |of: &FamilySets| {
                [of.words.saddr.clone(), of.words.daddr.clone()]
                    .map(|end| tcp().nfproto(of.words.family).in_set(&[end], &of.pods.name))
            };
            of.flat_map(ends).collect()
        }
        Pods::By(_) | Pods::ByPrefix(_) => [Field::IifName, Field::OifName]
            .into_iter()
            .filter_map(|field| by_interface(tcp(), field, &base.pods, CmpOp::Eq))
            .collect(),
    };
    let comment = "of no connection that is known";
    rules.into_iter().map(|rule| rule.verdict(Verdict::Drop).comment(comment)).collect()
}

/// Whether the interface is (or isn't) a pod's; `None` where pods aren't told by interfaces.
fn by_interface(rule: Rule, field: Field, pods: &Pods, op: CmpOp) -> Option<Rule> {
    match pods {
        Pods::Unknown | Pods::In(_) => None,
        Pods::By(name) => {
            let name = Ifname::new(name)?;
            Some(rule.matches(field, op, Value::Ifname(name).to_bytes()))
        }
        Pods::ByPrefix(prefix) => Some(rule.matches(field, op, prefix.as_bytes())),
    }
}

/// The rules of a chain that services share.
pub(super) fn shared(sets: &Sets, chain: &Shared) -> Vec<Rule> {
    match chain {
        Shared::Balance(class) => sets.of(class.family).picks(class),
        Shared::Offload(class) => vec![offloads(class)],
        Shared::Remember(memory) => {
            Scope::ALL.map(|scope| sets.of(memory.family).remembers(memory, scope)).into()
        }
    }
}

/// `iifname @ifaces-… oifname @ifaces-… ct packets > N flow add @fastpath`: both directions of a flow
/// pass it, so that both of its interfaces are looked at whichever packet comes first.
fn offloads(class: &OffloadClass) -> Rule {
    let mut rule = Rule::new();
    if let Some(selection) = class.interfaces {
        let set = names::interfaces(selection);
        rule = rule.in_set(&[Field::IifName], &set).in_set(&[Field::OifName], &set);
    }
    rule.packets_over(None, class.after.get().into()).flow_add(&FASTPATH)
}

impl FamilySets {
    /// `ip daddr . meta l4proto . th dport vmap @balance`
    fn balanced(&self) -> Rule {
        self.words.rule().vmap(&self.words.destination(), &self.balance.name)
    }

    /// `ct status dnat ct original ip daddr . … vmap @offload`: never a flow of IPVS, never one that
    /// another program translated.
    fn offloaded(&self) -> Rule {
        self.words.translated().vmap(&self.words.original(), &self.offload.name)
    }

    /// `ip daddr . meta l4proto . th dport @guarded` and, with the source, not in `@sources`: who comes
    /// to a load balancer's address from elsewhere than it allows.
    fn keeps_out(&self) -> Rule {
        let tuple = self.words.destination();
        let client = [&tuple[..], std::slice::from_ref(&self.words.saddr)].concat();
        let rule = self.words.rule().in_set(&tuple, &self.guarded.name);
        rule.not_in_set(&client, &self.sources.name).verdict(Verdict::Drop)
    }

    /// `ip daddr . meta l4proto . th dport vmap @inside`
    fn to_inside(&self, rule: Rule) -> Rule {
        rule.vmap(&self.words.destination(), &self.inside.name)
    }

    /// The same for what comes from pods; nothing where they can't be told.
    fn pods_to_inside(&self, base: &Base) -> Option<Rule> {
        let rule = match &base.pods {
            Pods::Unknown => None,
            Pods::In(_) if self.pod_ranges(base).is_empty() => None,
            Pods::In(_) => {
                let client = std::slice::from_ref(&self.words.saddr);
                Some(self.words.rule().in_set(client, &self.pods.name))
            }
            pods => by_interface(self.words.rule(), Field::IifName, pods, CmpOp::Eq),
        };
        rule.map(|rule| self.to_inside(rule))
    }

    fn echo(&self, echo: Echo) -> Vec<(Name, Rule)> {
        let (protocol, field, request) = match self.words.family {
            Family::Ip6 => (58, Field::Icmpv6Type, 128),
            _ => (1, Field::IcmpType, 8),
        };
        let to_vip = || {
            let rule = self.words.rule().eq(Field::L4Proto, Value::Proto(protocol));
            let rule = rule.matches(field.clone(), CmpOp::Eq, [request]);
            rule.in_set(std::slice::from_ref(&self.words.daddr), &self.vips.name)
        };
        match echo {
            Echo::Leave => Vec::new(),
            Echo::Answer => [PREROUTING, NAT_OUTPUT].map(|it| (it, to_vip().redirect())).into(),
            Echo::Refuse => vec![(NEW, to_vip().reject_prohibited())],
            Echo::Drop => vec![(NEW, to_vip().verdict(Verdict::Drop))],
        }
    }

    fn masquerade(&self, base: &Base) -> Vec<(Name, Rule)> {
        let [cluster, all, node] = [CLUSTER, ALL, NODE].map(|names| of(names, self.words.family));
        let to_cluster = |rule: Rule| (POSTROUTING, rule.verdict(Verdict::Goto(cluster.clone())));
        // What goes to an address of ours and is translated was translated by us.
        let ours = [self.words.original_daddr()];
        let ways = [
            (POSTROUTING, self.words.rule().vmap(&self.words.original(), &self.external.name)),
            to_cluster(self.words.rule().in_set(&self.words.original(), &self.services.name)),
            to_cluster(self.words.translated().in_set(&ours, &self.vips.name)),
        ];
        let masquerade = |rule: Rule, comment| rule.masquerade_fully_random().comment(comment);
        let own = self.words.rule().from_local();
        let external = [
            (all, masquerade(Rule::new(), "whoever comes to an external address")),
            (node.clone(), self.hairpin()),
            (node, masquerade(own, "the node itself")),
        ];
        let sources = self.masqueraded(base).into_iter().map(|it| (cluster.clone(), it));
        ways.into_iter().chain(external).chain(sources).collect()
    }

    fn hairpin(&self) -> Rule {
        let own = [self.words.saddr.clone(), self.words.daddr.clone()];
        let rule = self.words.rule().in_set(&own, &self.hairpin.name).masquerade_fully_random();
        rule.comment("an endpoint that was balanced to itself")
    }

    fn masqueraded(&self, base: &Base) -> Vec<Rule> {
        let mut rules = vec![self.hairpin()];
        if base.masquerade_all {
            rules.push(Rule::new().masquerade_fully_random().comment("masquerade all"));
            return rules;
        }
        let outside = match &base.pods {
            Pods::Unknown => Vec::new(),
            // A family of which no range is known has no pods to tell from others.
            Pods::In(_) if self.pod_ranges(base).is_empty() => Vec::new(),
            Pods::In(_) => {
                let client = std::slice::from_ref(&self.words.saddr);
                vec![self.words.rule().not_in_set(client, &self.pods.name)]
            }
            pods => {
                // From port to port of a bridge a packet comes without an input interface, as the node's
                // own does (`br_nf_post_routing` in net/bridge/br_netfilter_hooks.c).
                let none = vec![0; IFNAMSIZ];
                let rule = self.words.rule().matches(Field::IifName, CmpOp::Neq, none);
                let others = by_interface(rule, Field::IifName, pods, CmpOp::Neq);
                others.into_iter().chain([self.words.rule().from_local()]).collect()
            }
        };
        let comment = "a client that is no pod";
        let outside = outside.into_iter();
        rules.extend(outside.map(|rule| rule.masquerade_fully_random().comment(comment)));
        rules
    }

    /// `ip daddr . meta l4proto . th dport vmap @closed`
    fn ended(&self) -> Rule {
        self.words.rule().vmap(&self.words.destination(), &self.closed.name)
    }

    fn refuse_unknown_port(&self) -> Rule {
        self.words
            .rule()
            .in_set(std::slice::from_ref(&self.words.daddr), &self.vips.name)
            .not_in_set(&self.words.destination(), &self.services.name)
            .verdict(Verdict::Goto(REFUSE))
            .comment("a service has no such port")
    }

    fn drop_unused(&self, base: &Base) -> Option<Rule> {
        if self.service_ranges(base).is_empty() {
            return None;
        }
        let destination = [self.words.daddr.clone()];
        let rule = self.words.rule().in_set(&destination, &self.ranges.name);
        let rule = rule.not_in_set(&destination, &self.vips.name);
        let rule = rule.not_in_set(&destination, &self.allocated.name).verdict(Verdict::Drop);
        Some(rule.comment("a service address that nobody has"))
    }

    /// The rules that pick a slot and translate.
    fn picks(&self, class: &Class) -> Vec<Rule> {
        let Words { family, saddr, .. } = &self.words;
        let to =
            |key: &[Field], map: &Set| self.words.rule().dnat_map(*family, key, &map.name, true);
        let service = self.words.destination();
        let slots = if class.inside { &self.inside_endpoints } else { &self.endpoints };
        let picked = to(&[&service[..], &[self.picked(class)]].concat(), slots);
        let Some(scope) = class.sticky else { return vec![picked] };
        let goes_back = self.at_home(&service).load(std::slice::from_ref(saddr));
        let goes_back = goes_back.map_at(0, &self.affinity_of(scope).name, 0);
        let goes_back = goes_back.dnat_loaded(*family, true);
        vec![goes_back.comment("a client goes where it went, by the service port's home"), picked]
    }

    /// A service port's home, loaded behind the place of a client's address: `client . home` and
    /// `home . endpoint` are keys then, as they lie there.
    ///
    /// The nft command has no words for what a map gives being part of a key, and aborts (1.0.6 and
    /// others) where it finds that in a rule, whoever's. It goes by the register that an instruction names
    /// first: the word in front of a home goes where the client's address comes next, so that nft
    /// believes the service port's own fields to be where its home is by then, and lists these.
    fn at_home(&self, service: &[Field]) -> Rule {
        let client = self.words.saddr.slots();
        self.words.rule().load_at(service, client).map_at(client, &self.homes.name, client - 1)
    }

    /// `ct status dnat ct original ip daddr . … vmap @sticky`, for first packets.
    fn remembered(&self) -> Rule {
        self.words.translated().vmap(&self.words.original(), &self.sticky.name)
    }

    /// Notes where a first packet went, once it is translated: if that is an endpoint of this scope, and
    /// wasn't one until a moment ago. A client who came by an address of the other scope is noted as
    /// well, so that it stays there when it comes by one of this.
    fn remembers(&self, memory: &Memory, scope: Scope) -> Rule {
        let Words { saddr, daddr, .. } = &self.words;
        let service = self.words.original();
        let client = saddr.slots();
        let width = client + service.iter().map(Field::slots).sum::<u8>();
        let timeout = Some(Duration::from_secs(memory.seconds.get().into()));
        let set = self.affinity_of(scope).name.clone();
        let rule = self.at_home(&service).load_at(&[daddr.clone(), Field::ThDport], width);
        let rule = rule.in_set_at(client, &self.members_of(scope).name);
        let rule = rule.load(std::slice::from_ref(saddr));
        let (op, key, data) = (DynsetOp::Update, Reg::FIRST, Reg::new(width));
        rule.expr(Expr::Dynset { op, set, key, data, timeout })
    }

    fn picked(&self, class: &Class) -> Field {
        let modulus = class.slots.get();
        let hash = |of: Vec<Field>| Field::Jhash { of, modulus, seed: Some(SEED) };
        match class.pick {
            Pick::Random => Field::Numgen(Numgen::Random, modulus),
            Pick::Turn(_) => Field::Numgen(Numgen::Inc, modulus),
            Pick::Source { port: false } => hash(vec![self.words.saddr.clone()]),
            Pick::Source { port: true } => hash(vec![self.words.saddr.clone(), Field::ThSport]),
            Pick::Destination => hash(vec![self.words.daddr.clone()]),
        }
    }
}
