//! What the kernel and the nft command make of what this crate writes.

mod netns;

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use netns::{isolated, listing, run, weir};
use weir_nft::{
    Batch, Chain, ChainType, CtAddr, CtDir, DataType, Element, Family, Field, Hook, Name, Nftables,
    Op, Rule, Set, Socket, Value, Verdict, expr, priority,
};

const TCP: u8 = 6;

fn key(last: u8, port: u16) -> Vec<Value> {
    vec![Value::Ipv4(Ipv4Addr::new(10, 96, 0, last)), Value::Proto(TCP), Value::Port(port)]
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn everything() -> Batch {
    use DataType::{InetProto, InetService, Ipv4Addr as V4, Mark};
    let mut batch = Batch::new(weir());
    batch.add_table();
    for (chain, kind, hook, prio) in [
        ("nat-prerouting", ChainType::Nat, Hook::Prerouting, priority::DSTNAT),
        ("nat-output", ChainType::Nat, Hook::Output, priority::DSTNAT),
        ("nat-postrouting", ChainType::Nat, Hook::Postrouting, priority::SRCNAT),
        ("filter-input", ChainType::Filter, Hook::Input, priority::FILTER),
        ("filter-forward", ChainType::Filter, Hook::Forward, priority::FILTER),
        ("filter-output", ChainType::Filter, Hook::Output, priority::FILTER),
    ] {
        batch.add_chain(Chain::base(name(chain), kind, hook, prio));
    }
    let lb = name("lb-random-3");
    batch.add_chain(Chain { comment: Some("three slots".into()), ..Chain::regular(lb.clone()) });
    let services = Arc::new(
        Set::verdict_map(name("services"), &[V4, InetProto, InetService]).comment("who balances"),
    );
    let endpoints = Arc::new(Set::map(
        name("endpoints"),
        &[V4, InetProto, InetService, Mark],
        &[V4, InetService],
    ));
    let ipvs = Arc::new(Set::new(name("ipvs_services"), &[V4, InetProto, InetService]));
    let masq4 = Arc::new(Set::new(name("masq4"), &[V4, InetProto, InetService]));
    let hairpin = Arc::new(Set::new(name("hairpin4"), &[V4, V4]));
    let recent = Arc::new(
        Set::new(name("recent"), &[V4]).dynamic().size(1000).timeout(Some(Duration::from_secs(60))),
    );
    let ranges = Arc::new(Set::new(name("ranges4"), &[V4]).interval());
    let sources = Arc::new(Set::new(name("sources4"), &[V4, V4]).interval());
    for set in [&services, &endpoints, &ipvs, &masq4, &hairpin, &recent, &ranges, &sources] {
        batch.add_set(set);
    }
    let slots =
        [Field::Ip4Daddr, Field::L4Proto, Field::ThDport, Field::Numgen(expr::Numgen::Random, 3)];
    batch.add_rule(
        &lb,
        Rule::new().nfproto(Family::Ip).eq(Field::L4Proto, Value::Proto(TCP)).dnat_map(
            Family::Ip,
            &slots,
            &endpoints.name,
            true,
        ),
    );
    batch.add_elements(
        &services,
        [Element::verdict(key(1, 80), Verdict::Goto(lb.clone())).comment("ns/a")],
    );
    let slot = |slot| [key(1, 80), vec![Value::Mark(slot)]].concat();
    let to = |last| [Value::Ipv4(Ipv4Addr::new(10, 0, 0, last)), Value::Port(8080)];
    batch.add_elements(&endpoints, (0..3).map(|n| Element::value(slot(n), to(n as u8 + 1))));
    batch.add_elements(&ipvs, [Element::new(key(2, 443))]);
    batch.add_elements(&masq4, [Element::new(key(2, 443))]);
    let v4 = |last| Value::Ipv4(Ipv4Addr::new(10, 0, 0, last));
    batch.add_elements(&hairpin, [Element::new([v4(1), v4(1)])]);
    batch.add_elements(&recent, [Element::new([v4(9)]).timeout(Duration::from_secs(3600))]);
    batch.add_elements(
        &ranges,
        [
            Element::new([v4(0)]).to([v4(255)]),
            Element::new([Value::Ipv4(Ipv4Addr::new(10, 0, 1, 7))]),
            Element::new([Value::Ipv4(Ipv4Addr::new(255, 0, 0, 0))])
                .to([Value::Ipv4(Ipv4Addr::BROADCAST)]),
        ],
    );
    batch.add_elements(&sources, [Element::new([v4(1), v4(0)]).to([v4(1), v4(15)])]);

    let original = [
        Field::CtAddr(CtDir::Original, CtAddr::Ip4Daddr),
        Field::L4Proto,
        Field::CtProtoDst(CtDir::Original),
    ];
    let post = name("nat-postrouting");
    batch.add_rule(&post, Rule::new().in_set(&original, &masq4.name).masquerade_fully_random());
    batch.add_rule(
        &post,
        Rule::new()
            .nfproto(Family::Ip)
            .in_set(&[Field::Ip4Saddr, Field::Ip4Daddr], &hairpin.name)
            .masquerade(expr::NatFlags::default())
            .comment("hairpin"),
    );
    let input = name("filter-input");
    let dest = [Field::Ip4Daddr, Field::L4Proto, Field::ThDport];
    batch.add_rule(
        &input,
        Rule::new().nfproto(Family::Ip).not_in_set(&dest, &ipvs.name).to_local().counter().reject(),
    );
    batch.add_rule(&input, Rule::new().eq(Field::L4Proto, Value::Proto(TCP)).reject_tcp_reset());
    batch.add_rule(
        &name("nat-prerouting"),
        Rule::new().nfproto(Family::Ip).vmap(&dest, &services.name),
    );
    let forward = name("filter-forward");
    batch.add_rule(
        &forward,
        Rule::new()
            .any_bit(Field::CtStatus, expr::ct_status::DNAT)
            .packets_over(Some(CtDir::Original), 20)
            .verdict(Verdict::Accept),
    );
    batch.add_rule(
        &forward,
        Rule::new()
            .any_bit(Field::CtState, expr::ct_state::INVALID)
            .limit_per_second(10, 5)
            .verdict(Verdict::Drop),
    );
    batch.add_rule(
        &forward,
        Rule::new()
            .eq(Field::IifName, Value::Ifname(weir_nft::Ifname::new("eth0").unwrap()))
            .nfproto(Family::Ip)
            .update_set(&[Field::Ip4Saddr], &recent.name, Some(Duration::from_secs(30)))
            .verdict(Verdict::Return),
    );
    batch.insert_rule(
        &forward,
        Rule::new()
            .nfproto(Family::Ip)
            .in_set(&[Field::Ip4Saddr], &ranges.name)
            .expr(weir_nft::Expr::Log { prefix: "weir: ".into() }),
    );
    batch.add_rule(
        &forward,
        Rule::new()
            .nfproto(Family::Ip)
            .in_set(&[Field::Ip4Saddr, Field::Ip4Daddr], &sources.name)
            .verdict(Verdict::Accept),
    );
    batch
}

#[test]
fn nft_lists_what_was_written() {
    isolated("nft_lists_what_was_written", || {
        let mut socket = Socket::open().unwrap();
        let batch = everything();
        socket.apply(&batch).unwrap();
        println!("{}", listing(&weir()));
        println!("{batch}");
        let state = socket.observe(&weir()).unwrap().unwrap();
        println!("{state:#?}");
        let _ = (run, |op: Op| op);
    });
}
