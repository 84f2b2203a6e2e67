use super::{candidates, eligible};
use crate::fixtures::{HERE, at, model, ready, slice, slice_port, web};
use crate::model::{Endpoint, EndpointSlice, Service};
use crate::net::Family;
use crate::net::Protocol::{Sctp, Tcp, Udp};

/// The sets for one service with one slice, as (cluster, local), addresses by their last number.
fn sets(endpoints: &[Endpoint]) -> (Vec<u8>, Vec<u8>) {
    let model = model(&web(&["10.96.0.1"]), &[slice("a", &[slice_port("", Tcp, 80)], endpoints)]);
    let service = model.service(&crate::net::ObjectName::new("shop", "web")).unwrap();
    let candidates = candidates(&model, service, &service.ports[0]);
    let sets = eligible(&model, &candidates, Family::V4);
    (numbers(&sets.cluster), numbers(&sets.local))
}

fn numbers(list: &[std::net::SocketAddr]) -> Vec<u8> {
    let last = |to: &std::net::SocketAddr| match to.ip() {
        std::net::IpAddr::V4(ip) => ip.octets()[3],
        std::net::IpAddr::V6(ip) => ip.octets()[15],
    };
    list.iter().map(last).collect()
}

fn n(number: u8) -> Endpoint {
    ready(&format!("10.0.0.{number}"))
}

/// Terminating and still serving.
fn ending(number: u8) -> Endpoint {
    n(number).is(false, true, true)
}

#[test]
fn conditions_and_nodes() {
    type Case<'a> = (&'a str, Vec<Endpoint>, &'a [u8], &'a [u8]);
    let cases: &[Case<'_>] = &[
        ("none", vec![], &[], &[]),
        ("ready, wherever", vec![n(1).on(HERE), n(2).on("there"), n(3)], &[1, 2, 3], &[1]),
        ("not ready", vec![n(1), n(2).is(false, false, false).on(HERE)], &[1], &[]),
        (
            "not ready, serving, not terminating",
            vec![n(1).is(false, true, false).on(HERE)],
            &[],
            &[],
        ),
        ("terminating, not serving", vec![n(1).is(false, false, true).on(HERE)], &[], &[]),
        ("ready before ending", vec![n(1), ending(2).on(HERE)], &[1], &[2]),
        (
            "only ending ones, from anywhere",
            vec![ending(1).on("there"), ending(2).on(HERE)],
            &[1, 2],
            &[2],
        ),
        (
            "each set falls back by itself",
            vec![n(1).on("there"), ending(2).on(HERE), ending(3).on("there")],
            &[1],
            &[2],
        ),
        (
            "a ready one here spares the ending one here",
            vec![n(1).on(HERE), ending(2).on(HERE)],
            &[1],
            &[1],
        ),
        (
            "published although not ready counts as ready",
            vec![n(1).is(true, true, true).on(HERE)],
            &[1],
            &[1],
        ),
        ("a node of almost this name", vec![n(1).on("here2"), n(2).on("Here")], &[1, 2], &[]),
    ];
    for (name, endpoints, cluster, local) in cases {
        assert_eq!(sets(endpoints), (cluster.to_vec(), local.to_vec()), "{name}");
    }
}

#[test]
fn hints() {
    let cases: &[(&str, Vec<Endpoint>, &[u8])] = &[
        ("this zone", vec![n(1).for_zones(&["z1"]), n(2).for_zones(&["z2"])], &[1]),
        ("several zones", vec![n(1).for_zones(&["z2", "z1"]), n(2).for_zones(&["z2"])], &[1]),
        (
            "one without a zone hint turns them off",
            vec![n(1).for_zones(&["z1"]), n(2), n(3).for_zones(&["z2"])],
            &[1, 2, 3],
        ),
        ("no hint for this zone", vec![n(1).for_zones(&["z2"]), n(2).for_zones(&["z3"])], &[1, 2]),
        ("this node", vec![n(1).for_nodes(&[HERE]), n(2).for_nodes(&["there"])], &[1]),
        ("one without a node hint turns them off", vec![n(1).for_nodes(&[HERE]), n(2)], &[1, 2]),
        (
            "node before zone",
            vec![
                n(1).for_nodes(&[HERE]).for_zones(&["z2"]),
                n(2).for_nodes(&["there"]).for_zones(&["z1"]),
            ],
            &[1],
        ),
        (
            "no hint for this node: zone",
            vec![
                n(1).for_nodes(&["there"]).for_zones(&["z2"]),
                n(2).for_nodes(&["there"]).for_zones(&["z1"]),
            ],
            &[2],
        ),
        (
            "incomplete node hints: zone",
            vec![n(1).for_nodes(&[HERE]).for_zones(&["z2"]), n(2).for_zones(&["z1"])],
            &[2],
        ),
        (
            "one that isn't ready needs no hint",
            vec![
                n(1).for_zones(&["z1"]),
                n(2).is(false, false, false),
                ending(3),
                n(4).for_zones(&["z2"]),
            ],
            &[1],
        ),
        (
            "hints don't filter ending ones",
            vec![ending(1).for_zones(&["z2"]), ending(2).for_zones(&["z1"])],
            &[1, 2],
        ),
    ];
    for (name, endpoints, cluster) in cases {
        assert_eq!(sets(endpoints).0, cluster.to_vec(), "{name}");
    }
}

#[test]
fn topology_leaves_the_local_set_alone() {
    let there = [n(1).on(HERE).for_zones(&["z2"]), n(2).on("there").for_zones(&["z1"])];
    assert_eq!(sets(&there), (vec![2], vec![1]));
}

#[test]
fn a_node_without_a_zone_takes_everybody() {
    let service = web(&["10.96.0.1"]);
    let slice =
        slice("a", &[slice_port("", Tcp, 80)], &[n(1).for_zones(&["z1"]), n(2).for_zones(&["z2"])]);
    let mut model = model(&service, &[slice]);
    let unzoned = crate::model::Node { name: HERE.into(), ..Default::default() };
    for node in
        [crate::model::Change::Node(Box::new(unzoned)), crate::model::Change::NodeGone(HERE.into())]
    {
        model.fold(node);
        let candidates = candidates(&model, &service, &service.ports[0]);
        assert_eq!(numbers(&eligible(&model, &candidates, Family::V4).cluster), [1, 2]);
    }
}

#[test]
fn whether_anybody_anywhere_could_serve() {
    let cases = [
        ("none", vec![], false),
        ("ready elsewhere", vec![n(1).on("there")], true),
        ("ending elsewhere", vec![ending(1).on("there")], true),
        ("serving, but neither ready nor terminating", vec![n(1).is(false, true, false)], false),
        ("dead", vec![n(1).is(false, false, true)], false),
    ];
    for (name, endpoints, want) in cases {
        let service = web(&["10.96.0.1"]);
        let model = model(&service, &[slice("a", &[slice_port("", Tcp, 80)], &endpoints)]);
        let candidates = candidates(&model, &service, &service.ports[0]);
        assert_eq!(eligible(&model, &candidates, Family::V4).anywhere, want, "{name}");
        assert!(!eligible(&model, &candidates, Family::V6).anywhere, "{name}, the other family");
    }
}

/// Where the candidates of the first port of a service are.
fn found(service: &Service, slices: &[EndpointSlice]) -> Vec<String> {
    let model = model(service, slices);
    let found = candidates(&model, service, &service.ports[0]);
    found.iter().map(|c| format!("{} {}", c.to, c.slice.name.name)).collect()
}

#[test]
fn of_an_address_in_two_slices_the_one_that_stays_counts() {
    let port = [slice_port("", Tcp, 80)];
    let cases = [
        ("the second stays", ending(1), n(1), "b"),
        ("the first stays", n(1), ending(1), "a"),
        ("both stay", n(1), n(1), "a"),
        ("neither stays", ending(1), ending(1), "a"),
    ];
    for (name, a, b, want) in cases {
        let slices = [slice("a", &port, &[a]), slice("b", &port, &[b])];
        let got = found(&web(&["10.96.0.1"]), &slices);
        assert_eq!(got, [format!("10.0.0.1:80 {want}")], "{name}");
    }
}

#[test]
fn ports_are_tied_by_name_and_protocol() {
    let mut service = web(&["10.96.0.1"]);
    service.ports = vec![crate::fixtures::port("dns", Udp, 53)];
    let ports = [
        slice_port("dns", Udp, 5353),
        slice_port("dns", Tcp, 5354),
        slice_port("dns-tcp", Udp, 5355),
        slice_port("", Udp, 5356),
        slice_port("dns", Sctp, 5357),
    ];
    let slices = [
        slice("a", &ports, &[n(1)]),
        slice("b", &[slice_port("dns", Udp, 5454)], &[n(2), n(1)]),
        slice("c", &[], &[n(3)]),
    ];
    assert_eq!(
        found(&service, &slices),
        ["10.0.0.1:5353 a", "10.0.0.1:5454 b", "10.0.0.2:5454 b"],
        "a pod's named port may differ from slice to slice"
    );
}

#[test]
fn slices_of_other_services_and_namespaces_are_not_looked_at() {
    let port = [slice_port("", Tcp, 80)];
    let of = |namespace: &str, service: &str| EndpointSlice {
        service: crate::net::ObjectName::new(namespace, service),
        ..slice(&format!("{namespace}-{service}"), &port, &[n(1)])
    };
    assert!(found(&web(&["10.96.0.1"]), &[of("shop", "web2"), of("other", "web")]).is_empty());
}

#[test]
fn families_are_kept_apart() {
    let service = web(&["10.96.0.1", "fd00::1"]);
    let port = [slice_port("", Tcp, 80)];
    let slices = [
        slice("a", &port, &[n(1).for_zones(&["z1"]), n(2).for_zones(&["z2"])]),
        slice("b", &port, &[ready("fd00::a"), ready("fd00::b").is(false, true, true)]),
    ];
    let model = model(&service, &slices);
    let candidates = candidates(&model, &service, &service.ports[0]);
    assert_eq!(
        eligible(&model, &candidates, Family::V4).cluster,
        [at("10.0.0.1:80")],
        "hints of one family only"
    );
    assert_eq!(eligible(&model, &candidates, Family::V6).cluster, [at("[fd00::a]:80")]);
}
