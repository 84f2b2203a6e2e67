use proptest::prelude::*;

use super::{Change, EndpointSlice, Model, Namespace, Node, Service, ServiceCidr, Tags, Touched};
use crate::fixtures::{HERE, ip, ready, slice, slice_port, web};
use crate::net::ObjectName;
use crate::net::Protocol::Tcp;

fn name(text: &str) -> ObjectName {
    text.parse().unwrap()
}

fn service(of: &str) -> Change {
    Change::Service(Box::new(Service { name: name(of), ..web(&["10.96.0.1"]) }))
}

fn slice_of(slice_name: &str, service: &str, address: &str) -> Change {
    let service = name(service);
    Change::Slice(Box::new(EndpointSlice {
        last_change_trigger: None,
        name: ObjectName::new(service.namespace.clone(), slice_name),
        service,
        ..slice("", &[slice_port("", Tcp, 80)], &[ready(address)])
    }))
}

fn namespace(of: &str, tier: &str) -> Change {
    let labels = Tags::from([("tier".to_owned(), tier.to_owned())]);
    Change::Namespace(Box::new(Namespace { name: of.into(), labels, ..Namespace::default() }))
}

fn node(of: &str, address: &str) -> Change {
    let addresses = vec![ip(address)];
    Change::Node(Box::new(Node { name: of.into(), addresses, ..Node::default() }))
}

/// This node with a taint, an annotation and a range of pods.
fn tainted_node(address: &str) -> Change {
    Change::Node(Box::new(Node {
        name: HERE.into(),
        addresses: vec![ip(address)],
        annotations: Tags::from([("seen".to_owned(), "just now".to_owned())]),
        pod_cidrs: vec!["10.1.0.0/24".parse().unwrap()],
        taints: vec!["node.kubernetes.io/unreachable".to_owned()],
        ..Node::default()
    }))
}

fn service_cidr(of: &str, ranges: &[&str]) -> Change {
    let ranges = ranges.iter().map(|range| range.parse().unwrap()).collect();
    Change::ServiceCidr(Box::new(ServiceCidr { name: of.into(), ranges }))
}

/// What a change touched, in short: names, `*` for all.
fn touched(model: &mut Model, change: Change) -> Vec<String> {
    let Touched { all, services } = model.fold(change);
    let all = all.then(|| "*".to_owned());
    all.into_iter().chain(services.iter().map(ToString::to_string)).collect()
}

#[test]
fn a_change_touches_what_depends_on_it() {
    let mut model = Model::new(HERE);
    let steps: Vec<(&str, Change, &[&str])> = vec![
        ("a service", service("shop/web"), &["shop/web"]),
        ("the same again", service("shop/web"), &[]),
        ("another", service("shop/api"), &["shop/api"]),
        ("in a namespace that sorts next to it", service("shop2/web"), &["shop2/web"]),
        ("a slice", slice_of("s", "shop/web", "10.0.0.1"), &["shop/web"]),
        ("the same slice", slice_of("s", "shop/web", "10.0.0.1"), &[]),
        ("its endpoints", slice_of("s", "shop/web", "10.0.0.2"), &["shop/web"]),
        ("given away", slice_of("s", "shop/api", "10.0.0.2"), &["shop/api", "shop/web"]),
        ("before its service", slice_of("t", "shop/late", "10.0.0.3"), &["shop/late"]),
        ("a namespace", namespace("shop", "a"), &["shop/api", "shop/web"]),
        ("the same namespace", namespace("shop", "a"), &[]),
        ("one without services", namespace("empty", "a"), &[]),
        ("a namespace goes", Change::NamespaceGone("shop".into()), &["shop/api", "shop/web"]),
        ("and again", Change::NamespaceGone("shop".into()), &[]),
        ("this node", node(HERE, "192.0.2.1"), &["*"]),
        ("the same", node(HERE, "192.0.2.1"), &[]),
        ("with what no service depends on", tainted_node("192.0.2.1"), &[]),
        ("with another address", node(HERE, "192.0.2.3"), &["*"]),
        ("another node", node("there", "192.0.2.2"), &[]),
        ("another node goes", Change::NodeGone("there".into()), &[]),
        ("this node goes", Change::NodeGone(HERE.into()), &["*"]),
        ("and again", Change::NodeGone(HERE.into()), &[]),
        ("a slice goes", Change::SliceGone(name("shop/s")), &["shop/api"]),
        ("and again", Change::SliceGone(name("shop/s")), &[]),
        ("a service goes", Change::ServiceGone(name("shop/web")), &["shop/web"]),
        ("and again", Change::ServiceGone(name("shop/web")), &[]),
    ];
    for (what, change, want) in steps {
        assert_eq!(touched(&mut model, change), want, "{what}");
    }
    let left: Vec<_> = model.services().map(|it| it.name.to_string()).collect();
    assert_eq!(left, ["shop/api", "shop2/web"]);
}

#[test]
fn a_slice_belongs_to_one_service_at_a_time() {
    let mut model = Model::new(HERE);
    for change in [slice_of("s", "shop/web", "10.0.0.1"), slice_of("s", "shop/api", "10.0.0.1")] {
        model.fold(change);
    }
    let of = |service: &str| model.slices_of(&name(service)).count();
    assert_eq!((of("shop/web"), of("shop/api")), (0, 1));
}

#[test]
fn revisions_move_with_what_a_decision_depends_on_and_with_nothing_else() {
    let web = name("shop/web");
    let mut model = Model::new(HERE);
    let moved = |model: &mut Model, change: Change| {
        let before = model.revisions(&web);
        model.fold(change);
        let now = model.revisions(&web);
        [
            before.service != now.service,
            before.slices != now.slices,
            before.namespace != now.namespace,
            before.node != now.node,
        ]
    };
    let (yes, no) = (true, false);
    assert_eq!(moved(&mut model, service("shop/web")), [yes, no, no, no]);
    assert_eq!(moved(&mut model, service("shop/web")), [no; 4], "nothing changed");
    assert_eq!(moved(&mut model, service("shop/api")), [no; 4]);
    assert_eq!(moved(&mut model, slice_of("a", "shop/web", "10.0.0.1")), [no, yes, no, no]);
    assert_eq!(moved(&mut model, slice_of("b", "shop/web", "10.0.0.2")), [no, yes, no, no]);
    assert_eq!(
        moved(&mut model, slice_of("b", "shop/api", "10.0.0.2")),
        [no, yes, no, no],
        "given away"
    );
    assert_eq!(moved(&mut model, slice_of("b", "shop/api", "10.0.0.3")), [no; 4]);
    assert_eq!(moved(&mut model, namespace("shop", "a")), [no, no, yes, no]);
    assert_eq!(moved(&mut model, namespace("other", "a")), [no; 4]);
    assert_eq!(moved(&mut model, node(HERE, "192.0.2.1")), [no, no, no, yes]);
    assert_eq!(moved(&mut model, node("there", "192.0.2.1")), [no; 4]);
    assert_eq!(moved(&mut model, tainted_node("192.0.2.1")), [no; 4]);
    assert_eq!(model.node().map(|node| node.taints.len()), Some(1), "it is known all the same");
}

/// Changes to few objects, so that many of them meet.
#[test]
fn service_ranges_are_those_of_all_objects_and_touch_no_service() {
    let mut model = Model::new(HERE);
    model.fold(service("shop/web"));
    let dual = ["10.96.0.0/16", "fd00:96::/112"];
    let steps: Vec<(&str, Change, Vec<&str>)> = vec![
        ("the first", service_cidr("kubernetes", &dual), dual.to_vec()),
        ("one within", service_cidr("more", &["10.96.4.0/24"]), {
            vec!["10.96.0.0/16", "10.96.4.0/24", "fd00:96::/112"]
        }),
        ("a range that both have", service_cidr("more", &["10.96.0.0/16"]), dual.to_vec()),
        ("one of the two goes", Change::ServiceCidrGone("kubernetes".into()), vec!["10.96.0.0/16"]),
        ("it changes", service_cidr("more", &["10.97.0.0/16"]), vec!["10.97.0.0/16"]),
        ("it goes", Change::ServiceCidrGone("more".into()), vec![]),
        ("and again", Change::ServiceCidrGone("more".into()), vec![]),
    ];
    assert!(model.service_ranges().is_empty(), "none is known");
    for (step, change, want) in steps {
        assert!(touched(&mut model, change).is_empty(), "{step}");
        let got: Vec<_> = model.service_ranges().iter().map(ToString::to_string).collect();
        assert_eq!(got, want, "{step}");
    }
}

fn any_change() -> impl Strategy<Value = Change> {
    let names = proptest::sample::select(&["shop/web", "shop/api", "dev/web"][..]);
    let slices = proptest::sample::select(&["a", "b"][..]);
    let addresses = proptest::sample::select(&["10.0.0.1", "10.0.0.2"][..]);
    prop_oneof![
        names.clone().prop_map(service),
        names.clone().prop_map(|of| Change::ServiceGone(name(of))),
        (slices.clone(), names, addresses.clone()).prop_map(|(s, of, to)| slice_of(s, of, to)),
        slices.prop_map(|s| Change::SliceGone(ObjectName::new("shop", s))),
        addresses.clone().prop_map(|tier| namespace("shop", tier)),
        addresses.prop_map(|to| node(HERE, to)),
        Just(Change::NodeGone(HERE.into())),
    ]
}

/// All that a decision about a service is made from.
fn seen(model: &Model, of: &ObjectName) -> impl PartialEq + std::fmt::Debug + use<> {
    let slices: Vec<_> = model.slices_of(of).cloned().collect();
    let namespace = model.namespace(&of.namespace).cloned();
    (model.service(of).cloned(), slices, namespace, model.node().cloned())
}

proptest! {
    /// Two looks at one revision see the same, whatever came between; and who isn't told of a change
    /// has nothing to do.
    #[test]
    fn equal_revisions_mean_equal_objects(changes in proptest::collection::vec(any_change(), 1..40)) {
        let services = ["shop/web", "shop/api", "dev/web"].map(name);
        let mut model = Model::new(HERE);
        let mut before: Vec<Vec<_>> = services.iter().map(|_| Vec::new()).collect();
        for change in changes {
            let there = |model: &Model| services.each_ref().map(|of| model.service(of).is_some());
            let (was, old) = (there(&model), services.each_ref().map(|of| seen(&model, of)));
            let touched = model.fold(change);
            for (i, of) in services.iter().enumerate() {
                let now = seen(&model, of);
                let told = touched.all || touched.services.contains(of);
                let concerned = (was[i] || there(&model)[i]) && old[i] != now;
                prop_assert!(told || !concerned, "{} isn't told", of);
                let revisions = model.revisions(of);
                let known = before[i].iter().find(|(known, _)| *known == revisions);
                if let Some((_, then)) = known {
                    prop_assert!(*then == now, "{} at {:?}", of, revisions);
                }
                before[i].push((revisions, now));
            }
        }
    }
}
