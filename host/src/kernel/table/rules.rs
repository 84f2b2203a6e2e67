//! The rules of weir's table: those that are always there, and those of a class. Pure.

use std::time::Duration;

use weir_core::net::Protocol;
use weir_core::state::{Base, Chain as Shared, Class, Memory, OffloadClass, Pick};
use weir_nft::expr::{DynsetOp, Expr, Numgen, Reg, ct_state, ct_status};
use weir_nft::value::Value;
use weir_nft::{Chain, ChainType, Field, Hook, Name, Rule, Set, Verdict, priority};

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
const UNKNOWN_PORT: Name = Name::literal("unknown-port");
const REFUSE: Name = Name::literal("refuse");
const MASQUERADE: [Name; 2] = [Name::literal("masquerade-4"), Name::literal("masquerade-6")];

/// The same on every node and after every start: a client's hash stays what it was.
const SEED: u32 = 0x7765_6972;

/// The chains that are always there.
pub(super) fn chains() -> [Chain; 11] {
    let nat = |name, hook, priority| Chain::base(name, ChainType::Nat, hook, priority);
    let filter = |name, hook| Chain::base(name, ChainType::Filter, hook, priority::FILTER);
    let [masquerade_4, masquerade_6] = MASQUERADE;
    [
        nat(PREROUTING, Hook::Prerouting, priority::DSTNAT),
        nat(NAT_OUTPUT, Hook::Output, priority::DSTNAT),
        nat(POSTROUTING, Hook::Postrouting, priority::SRCNAT),
        filter(INPUT, Hook::Input),
        filter(FORWARD, Hook::Forward),
        filter(OUTPUT, Hook::Output),
        // Before any translation of the source: once another program has translated it, no nat chain
        // that comes later is run.
        Chain::base(LEAVING, ChainType::Filter, Hook::Postrouting, priority::SRCNAT - 10),
        Chain::regular(UNKNOWN_PORT),
        Chain::regular(REFUSE),
        Chain::regular(masquerade_4),
        Chain::regular(masquerade_6),
    ]
}

/// The rules that are always there, in order within each chain.
pub(super) fn rules(sets: &Sets, base: &Base) -> Vec<(Name, Rule)> {
    let mut rules = Vec::new();
    for of in sets.both() {
        // First of all: a flow without answers is new for ever, and what is new goes elsewhere below.
        rules.push((FORWARD, of.offloaded()));
        rules.extend([PREROUTING, NAT_OUTPUT].map(|chain| (chain, of.balanced())));
        rules.extend([LEAVING, INPUT].map(|chain| (chain, of.remembered())));
        rules.extend(of.masquerade(base));
        rules.extend(
            of.drop_unused(base)
                .into_iter()
                .flat_map(|rule| [(FORWARD, rule.clone()), (OUTPUT, rule)]),
        );
    }
    for chain in [INPUT, FORWARD, OUTPUT] {
        // ICMP to a VIP is the host's to answer: only what has ports can have an unknown one.
        rules.extend([Protocol::Tcp, Protocol::Udp, Protocol::Sctp].map(|protocol| {
            let new = Rule::new().any_bit(Field::CtState, ct_state::NEW);
            let rule = new.eq(Field::L4Proto, Value::Proto(protocol.number()));
            (chain.clone(), rule.verdict(Verdict::Goto(UNKNOWN_PORT)))
        }));
    }
    // The kernel sends few ICMP errors a second to one host; a reset is heard every time.
    let tcp = Rule::new().eq(Field::L4Proto, Value::Proto(Protocol::Tcp.number()));
    rules.extend([tcp.reject_tcp_reset(), Rule::new().reject()].map(|rule| (REFUSE, rule)));
    for of in sets.both() {
        rules.push((UNKNOWN_PORT, of.refuse_unknown_port()));
    }
    rules
}

/// The rules of a chain that services share.
pub(super) fn shared(sets: &Sets, chain: &Shared) -> Vec<Rule> {
    match chain {
        Shared::Balance(class) => sets.of(class.family).picks(class),
        Shared::Offload(class) => vec![offloads(class)],
        Shared::Remember(memory) => vec![sets.of(memory.family).remembers(memory)],
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

    fn masquerade(&self, base: &Base) -> Vec<(Name, Rule)> {
        let [v4, v6] = MASQUERADE;
        let chain = if self.words.family == weir_nft::Family::Ip6 { v6 } else { v4 };
        let rule = |of: &Rule| of.clone().verdict(Verdict::Goto(chain.clone()));
        let on_ipvs = self.words.rule().in_set(&self.words.original(), &self.services.name);
        // What goes to an address of ours and is translated was translated by us.
        let on_nftables =
            self.words.translated().in_set(&[self.words.original_daddr()], &self.vips.name);
        let ways = [(POSTROUTING, rule(&on_ipvs)), (POSTROUTING, rule(&on_nftables))];
        let sources = self.masqueraded(base).into_iter().map(|it| (chain.clone(), it));
        ways.into_iter().chain(sources).collect()
    }

    fn masqueraded(&self, base: &Base) -> Vec<Rule> {
        let own = [self.words.saddr.clone(), self.words.daddr.clone()];
        let hairpin = self.words.rule().in_set(&own, &self.hairpin.name).masquerade_fully_random();
        let mut rules = vec![hairpin.comment("an endpoint that was balanced to itself")];
        if base.masquerade_all {
            rules.push(Rule::new().masquerade_fully_random().comment("masquerade all"));
        } else if !self.pod_ranges(base).is_empty() {
            // A family of which no range is known has no pods to tell from others.
            let pods = [self.words.saddr.clone()];
            let rule = self.words.rule().not_in_set(&pods, &self.pods.name);
            rules.push(rule.masquerade_fully_random().comment("a client that is no pod"));
        }
        rules
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
        let rule = self.words.rule().any_bit(Field::CtState, ct_state::NEW);
        let rule = rule.in_set(&destination, &self.ranges.name);
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
        let picked = to(&[&service[..], &[self.picked(class)]].concat(), &self.endpoints);
        if !class.sticky {
            return vec![picked];
        }
        let goes_back = to(&[std::slice::from_ref(saddr), &service].concat(), &self.affinity);
        vec![goes_back.comment("a client goes where it went"), picked]
    }

    /// `ct status dnat ct original ip daddr . … vmap @sticky`, for first packets.
    fn remembered(&self) -> Rule {
        let new = self.words.rule().any_bit(Field::CtState, ct_state::NEW);
        let translated = new.any_bit(Field::CtStatus, ct_status::DNAT);
        translated.vmap(&self.words.original(), &self.sticky.name)
    }

    /// Notes where a first packet went, once it is translated: unless that was an endpoint until a
    /// moment ago.
    fn remembers(&self, memory: &Memory) -> Rule {
        let Words { saddr, daddr, .. } = &self.words;
        let went_to = [daddr.clone(), Field::ThDport];
        let member = [&self.words.original()[..], &went_to].concat();
        let client = [std::slice::from_ref(saddr), &self.words.original()].concat();
        let width: u8 = client.iter().map(Field::slots).sum();
        let timeout = Some(Duration::from_secs(memory.seconds.get().into()));
        let (op, set, key) = (DynsetOp::Update, self.affinity.name.clone(), Reg::FIRST);
        let rule = self.words.rule().in_set(&member, &self.members.name);
        let rule = rule.load(&client).load_at(&went_to, width);
        rule.expr(Expr::Dynset { op, set, key, data: Reg::new(width), timeout })
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
