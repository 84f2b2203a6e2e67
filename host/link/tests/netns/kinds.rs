//! What links are: their flags, their other ends, what they stand on and belong to.

use std::error::Error;

use weir_link::{Link, LinkIndex, LinkName, NodeState};

use crate::watching::{agrees, current, watched};
use crate::world::{
    Check, Elsewhere, Needs, Outcome, ensure, ip, ip_says, open, told, veth, wait_for,
};

pub(crate) const CHECKS: &[Check] = &[
    Check::new("flags are those that ip shows", flags),
    Check::new("a pair's other end is known, here and elsewhere", pair),
    Check::new("prefix lengths are kept, also when an address comes by an event", prefixes),
    Check::with("a port names its bridge", Needs::Bridge, bridge),
    Check::with("a member names its bond, and no more when it left", Needs::Bond, bond),
    Check::with("a VLAN names its parent", Needs::Vlan, vlan),
    Check::with("a macvlan names its parent", Needs::Macvlan, macvlan),
    Check::with("a VXLAN is told by its kind", Needs::Vxlan, vxlan),
    Check::with("a WireGuard tunnel is told by its kind and flags", Needs::Wireguard, wireguard),
];

/// A link as a dump has it, which must be what a single question says.
fn link(of: &str) -> Result<Link, Box<dyn Error>> {
    let mut links = open()?;
    let asked = links.link(&LinkName::new(of)?)?.ok_or_else(|| format!("no {of}"))?;
    ensure!(links.dump_links()?.contains(&asked), "{of}: dumped otherwise than {asked:?}");
    Ok(asked)
}

/// The flags between `<` and `>`. It leaves out `RUNNING` and says instead when that is missing.
fn shown_by_ip(of: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let says = ip_says(&["-o", "link", "show", "dev", of])?;
    let inside = says.split_once('<').and_then(|(_, rest)| Some(rest.split_once('>')?.0));
    let words = inside.ok_or_else(|| format!("no flags in {says:?}"))?.split(',');
    // "M-DOWN" and "NO-CARRIER" are no flags but its own words.
    let mut words: Vec<_> =
        words.filter(|word| !word.contains('-')).map(str::to_lowercase).collect();
    words.sort();
    Ok(words)
}

fn flags() -> Outcome {
    veth("v0", "v1")?;
    let states: [&[&str]; 5] = [
        &["down"],
        &["up"],
        &["promisc", "on", "allmulticast", "on"],
        &["promisc", "off", "allmulticast", "off", "arp", "off"],
        &["arp", "on", "multicast", "off"],
    ];
    let mut seen = Vec::new();
    for state in states {
        ip(&[&["link", "set", "v0"], state].concat())?;
        for name in ["v0", "v1", "lo"] {
            let is = link(name)?;
            let mut names: Vec<_> =
                is.flags.names().filter(|n| *n != "running").map(str::to_owned).collect();
            names.sort();
            ensure!(names == shown_by_ip(name)?, "{name} {state:?}: {:?}", is.flags);
            seen.extend(names);
        }
        ensure!(link("v0")?.is_up() == (state != ["down"]), "{state:?}");
    }
    for flag in ["up", "lower_up", "loopback", "noarp", "promisc", "allmulti", "multicast"] {
        ensure!(seen.iter().any(|name| name == flag), "never saw {flag}");
    }
    ensure!(link("lo")?.is_loopback() && !link("v0")?.is_loopback(), "loopback");
    Ok(())
}

fn pair() -> Outcome {
    veth("v0", "v1")?;
    for end in [link("v0")?, link("v1")?] {
        ensure!(end.is_pair() && !end.leads_elsewhere() && end.parent.is_none(), "{end:?}");
    }
    let watcher = watched()?;
    current(&watcher)?;
    let pod = Elsewhere::new()?;
    ip(&["link", "set", "v1", "netns", &pod.id()])?;
    let v0 = link("v0")?;
    ensure!(v0.leads_elsewhere() && v0.parent.is_none() && !v0.has_carrier(), "{v0:?}");
    // As a CNI plug-in does it: one end is made where the pod is.
    ip(&["link", "add", "v2", "type", "veth", "peer", "name", "eth0", "netns", &pod.id()])?;
    ip(&["link", "set", "v2", "up"])?;
    let v2 = link("v2")?;
    ensure!(v2.leads_elsewhere() && v2.parent.is_none(), "{v2:?}");
    // Or it is made there, and its other end sent here.
    let here = rustix::thread::gettid().as_raw_nonzero().to_string();
    let made = ["link", "add", "eth1", "type", "veth", "peer", "name", "v3", "netns", &here];
    pod.enter(|| ip(&made).map_err(|e| told(e.as_ref())))??;
    ip(&["link", "set", "v3", "up"])?;
    wait_for(&watcher, "that both lead elsewhere, by events", |state: &NodeState| {
        let leads = |name| state.view.link_named(name).is_some_and(Link::leads_elsewhere);
        leads("v0") && leads("v2") && leads("v3")
    })?;
    agrees(&watcher)
}

fn prefixes() -> Outcome {
    veth("v0", "v1")?;
    ip(&["addr", "add", "192.0.2.1/24", "dev", "v0"])?;
    let watcher = watched()?;
    current(&watcher)?;
    for cidr in ["192.0.2.2/32", "10.9.0.1/30", "2001:db8::1/64", "2001:db8::2/128"] {
        ip(&["addr", "add", cidr, "dev", "v0"])?;
    }
    let index = link("v0")?.index;
    let want = ["10.9.0.1/30", "192.0.2.1/24", "192.0.2.2/32", "2001:db8::1/64", "2001:db8::2/128"];
    wait_for(&watcher, "all five with their prefixes", |state: &NodeState| {
        let on = state.view.addresses().on(index);
        on.map(|a| format!("{}/{}", a.ip, a.prefix_len)).collect::<Vec<_>>() == want
    })?;
    agrees(&watcher)
}

/// Puts `v0` under a master, and takes it out again.
fn belongs(to: &str) -> Outcome {
    veth("v0", "v1")?;
    let watcher = watched()?;
    current(&watcher)?;
    ip(&["link", "set", "v0", "down"])?;
    let master: LinkIndex = link(to)?.index;
    for (state, want) in [(&["master", to][..], Some(master)), (&["nomaster"], None)] {
        ip(&[&["link", "set", "v0"], state].concat())?;
        let v0 = link("v0")?;
        ensure!(v0.master == want, "{state:?}: {v0:?}");
        // What a link belongs to is not what it stands on.
        ensure!(v0.parent.is_none(), "{state:?}: {v0:?}");
        wait_for(&watcher, "v0's master", |state: &NodeState| {
            state.view.link_named("v0").is_some_and(|link| link.master == want)
        })?;
    }
    agrees(&watcher)
}

fn bridge() -> Outcome {
    ip(&["link", "add", "br0", "type", "bridge"])?;
    ensure!(link("br0")?.kind == "bridge", "another kind");
    belongs("br0")
}

fn bond() -> Outcome {
    ip(&["link", "add", "bond0", "type", "bond", "mode", "active-backup"])?;
    ip(&["link", "set", "bond0", "up"])?;
    let bond = link("bond0")?;
    ensure!(bond.kind == "bond" && bond.is_up() && !bond.has_carrier(), "{bond:?}");
    ensure!(bond.flags.names().any(|name| name == "master"), "{bond:?}");
    belongs("bond0")?;
    veth("v2", "v3")?;
    ip(&["link", "set", "v2", "down"])?;
    ip(&["link", "set", "v2", "master", "bond0"])?;
    ensure!(link("v2")?.flags.names().any(|name| name == "slave"), "no member");
    Ok(())
}

/// A link of that kind, made on `v0`, is told as such.
fn stands_on_v0(words: &[&str], kind: &str) -> Outcome {
    veth("v0", "v1")?;
    let watcher = watched()?;
    current(&watcher)?;
    ip(&[&["link", "add", "link", "v0", "name", "top0"], words].concat())?;
    let top = link("top0")?;
    ensure!(top.kind == kind && top.parent == Some(link("v0")?.index), "{top:?}");
    agrees(&watcher)?;
    ensure!(top.master.is_none() && !top.lower_elsewhere && !top.is_pair(), "{top:?}");
    // Seen from a pod that was given it, what is below is elsewhere.
    let pod = Elsewhere::new()?;
    ip(&["link", "set", "top0", "netns", &pod.id()])?;
    let top = pod.enter(|| link("top0").map_err(|e| told(e.as_ref())))??;
    ensure!(top.lower_elsewhere && top.parent.is_none() && !top.leads_elsewhere(), "{top:?}");
    Ok(())
}

fn vlan() -> Outcome {
    stands_on_v0(&["type", "vlan", "id", "5"], "vlan")
}

fn macvlan() -> Outcome {
    stands_on_v0(&["type", "macvlan"], "macvlan")
}

fn vxlan() -> Outcome {
    veth("v0", "v1")?;
    let vxlan = ["type", "vxlan", "id", "5", "dstport", "4789", "dev", "v0"];
    ip(&[&["link", "add", "vxlan5"], &vxlan[..]].concat())?;
    let vxlan = link("vxlan5")?;
    // What it is bound to is a matter of its own kind (IFLA_VXLAN_LINK): not asked for.
    ensure!(vxlan.kind == "vxlan" && vxlan.parent.is_none(), "{vxlan:?}");
    Ok(())
}

fn wireguard() -> Outcome {
    ip(&["link", "add", "wg0", "type", "wireguard"])?;
    ip(&["link", "set", "wg0", "up"])?;
    let wg0 = link("wg0")?;
    ensure!(wg0.kind == "wireguard" && wg0.parent.is_none(), "{wg0:?}");
    let names: Vec<_> = wg0.flags.names().collect();
    ensure!(names.contains(&"noarp") && names.contains(&"pointopoint"), "{wg0:?}");
    Ok(())
}
