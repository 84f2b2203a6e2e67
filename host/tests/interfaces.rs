//! From links of a real kernel to the groups that they are in, in a network namespace of its own.
//!
//! What this kernel may lack (bonds, VLANs) is shown by `host/link/examples/link-check.rs` in a guest.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use weir::kernel::interfaces::interfaces;
use weir_core::interfaces::{Interfaces, Selection};
use weir_core::view::Interface;
use weir_core::wish;
use weir_link::{Links, NodeView, Snapshot};

#[path = "../../tests/isolation.rs"]
mod isolation;

fn run(program: &str, line: &str) {
    let out = Command::new(program).args(line.split_whitespace()).output().unwrap();
    assert!(out.status.success(), "{program} {line}: {}", String::from_utf8_lossy(&out.stderr));
}

fn ip(line: &str) {
    run("ip", line);
}

/// All interfaces of this thread's network namespace.
fn look() -> Vec<Interface> {
    let mut links = Links::open(Duration::from_secs(20)).unwrap();
    let mut view = NodeView::default();
    view.load(Snapshot {
        links: links.dump_links().unwrap(),
        addresses: links.dump_addresses().unwrap(),
        default_routes: links.dump_default_routes().unwrap(),
    });
    interfaces(&view)
}

fn sorted_out() -> Interfaces {
    Interfaces::of(&look(), |_| BTreeSet::new())
}

/// `NAME GROUP GROUP`, a line each.
fn groups(of: &Interfaces) -> Vec<String> {
    let line = |name: &str, groups: &mut dyn Iterator<Item = String>| {
        std::iter::once(name.to_owned()).chain(groups).collect::<Vec<_>>().join(" ")
    };
    let all = of.iter();
    all.map(|(name, part)| line(name.as_str(), &mut part.groups.iter().map(ToString::to_string)))
        .collect()
}

/// A node with a way out, pods by a bridge and by routes, and an overlay; `pods` is a process in the
/// network namespace where the pods' ends are.
fn furnish(pods: u32) {
    ip("link set lo up");
    for line in [
        format!("link add eth0 type veth peer name far0 netns {pods}"),
        format!("link add cali1 type veth peer name pod1 netns {pods}"),
        format!("link add vethb type veth peer name pod2 netns {pods}"),
        format!("link add off0 type veth peer name pod3 netns {pods}"),
        "link add here0 type veth peer name here1".to_owned(),
        "link add cni0 type bridge".to_owned(),
        "link set vethb master cni0".to_owned(),
        "link add flannel.1 type vxlan id 1 dstport 8472".to_owned(),
        "link add link here0 name mac0 type macvlan".to_owned(),
        "tuntap add tun0 mode tun".to_owned(),
    ] {
        ip(&line);
    }
    for name in ["eth0", "cali1", "vethb", "here0", "cni0", "flannel.1", "mac0", "tun0"] {
        ip(&format!("link set {name} up"));
    }
    for (cidr, name) in [
        ("172.18.0.3/16", "eth0"),
        ("10.244.0.1/24", "cni0"),
        ("10.244.0.0/32", "flannel.1"),
        ("198.51.100.7/24", "mac0"),
    ] {
        ip(&format!("addr add {cidr} dev {name}"));
    }
    ip("route add default via 172.18.0.1 dev eth0 onlink");
}

#[test]
fn groups_of_a_nodes_interfaces() {
    isolation::with_namespaces("groups_of_a_nodes_interfaces", || {
        isolation::in_new_netns(in_a_node).unwrap();
    });
}

fn in_a_node() {
    let mut pods = Command::new("unshare").args(["-n", "sleep", "600"]).spawn().unwrap();
    let here = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    let there = format!("/proc/{}/ns/net", pods.id());
    let apart = || std::fs::read_link(&there).is_ok_and(|there| there != here);
    assert!((0..2000).any(|_| apart() || (std::thread::sleep(Duration::from_millis(5)), false).1));
    let shown = std::panic::catch_unwind(|| {
        furnish(pods.id());
        show();
    });
    pods.kill().unwrap();
    pods.wait().unwrap();
    shown.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

fn show() {
    let node = sorted_out();
    assert_eq!(
        groups(&node),
        [
            "cali1 pod",
            "cni0 bridge pod",
            "eth0 uplink",
            "flannel.1 overlay",
            "here0 other",
            "mac0 uplink",
            "tun0 tunnel",
        ]
    );
    let why = |name: &str| node.left_out(name).unwrap().to_string();
    assert_eq!(why("lo"), "it is the loopback device");
    assert_eq!(why("off0"), "it is switched off");
    assert_eq!(why("vethb"), "it belongs to cni0, which stands for it: name cni0");
    let mac0 = look().into_iter().find(|it| it.name == "mac0").unwrap();
    assert_eq!(mac0.attributes["parent"], "here0");
    assert_eq!(mac0.addresses[0].to_string(), "198.51.100.7/24");
    let wish = wish::Interfaces {
        include: vec!["group:uplink".into(), "cali*".into()],
        exclude: vec!["mac0".into()],
    };
    let (selection, faults) = Selection::check(&wish);
    let names: Vec<_> = selection.resolve(&node).iter().map(ToString::to_string).collect();
    assert_eq!((names.join(" "), faults), ("cali1 eth0".to_owned(), vec![]));
    // A pod that ends, one that starts.
    ip("link set cali1 down");
    ip("link set off0 up");
    let changes = node.changes(&sorted_out());
    assert_eq!(changes.to_string(), "1 appeared (off0), 1 gone (cali1)");
}
