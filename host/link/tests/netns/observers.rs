//! What the dumps say.

use weir_link::{Address, Family, LinkName};

use crate::world::{Check, Outcome, addr, ensure, ip, ip_batch, open, veth};

pub(crate) const CHECKS: &[Check] = &[
    Check::new("the filter and the exclusions hold by one dump", except),
    Check::new("a device that isn't there: excluded, nothing; asked for, an error", absent),
    Check::new("one link's addresses come filtered by the kernel", one_link),
    Check::new("one address twice on a link stays when one goes", twice_on_a_link),
    Check::new("link facts", facts),
    Check::new("default routes of both families, with several hops", default_routes),
    Check::new("a dump of many links is whole", many_links),
];

fn name(text: &str) -> LinkName {
    LinkName::new(text).expect("a good name")
}

/// Two links with one address of every kind.
fn furnish() -> Outcome {
    veth("v0", "v1")?;
    for (link, cidr) in [
        ("v0", "192.0.2.1/24"),
        ("v0", "169.254.7.7/16"),
        ("v0", "2001:db8::1/64"),
        ("v0", "fe80::7/64"),
        ("v1", "198.51.100.1/32"),
        ("v1", "192.0.2.1/24"),
        ("lo", "127.0.0.9/8"),
        ("lo", "203.0.113.5/32"),
    ] {
        ip(&["addr", "add", cidr, "dev", link])?;
    }
    Ok(())
}

fn except() -> Outcome {
    furnish()?;
    let mut links = open()?;
    let (v0, v1, lo) = (name("v0"), name("v1"), name("lo"));
    let cases: [(&[LinkName], &[&str]); 4] = [
        (&[], &["169.254.7.7", "192.0.2.1", "198.51.100.1", "203.0.113.5", "2001:db8::1"]),
        (std::slice::from_ref(&v1), &["169.254.7.7", "192.0.2.1", "203.0.113.5", "2001:db8::1"]),
        (&[v1.clone(), lo.clone()], &["169.254.7.7", "192.0.2.1", "2001:db8::1"]),
        (&[v0, v1.clone(), lo], &[]),
    ];
    for (excluded, want) in cases {
        let before = links.traffic().dumps;
        let got = links.local_addresses_except(excluded)?;
        let want: Vec<_> = want.iter().map(|ip| addr(ip)).collect();
        ensure!(got.iter().collect::<Vec<_>>() == want, "all but {excluded:?}: {got:?}");
        let dumps = links.traffic().dumps - before;
        ensure!(dumps == 1, "{dumps} dumps");
    }
    let all = links.local_addresses()?;
    ensure!(all.v6() == ["2001:db8::1".parse::<std::net::Ipv6Addr>()?], "{all:?}");
    ensure!(links.local_addresses_on(&v1)?.len() == 2, "v1 has other addresses");
    Ok(())
}

fn absent() -> Outcome {
    furnish()?;
    let mut links = open()?;
    let all = links.local_addresses()?;
    let gone = name("nowhere");
    ensure!(links.local_addresses_except(std::slice::from_ref(&gone))? == all, "excluded some");
    for result in [links.local_addresses_on(&gone), links.bound(&gone)] {
        let Err(error) = result else { return Err("an empty set instead of an error".into()) };
        ensure!(error.is_not_found(), "{error:?}");
        ensure!(error.to_string() == "look up link nowhere", "{error}");
    }
    let index = weir_link::LinkIndex::new(9999).ok_or("zero")?;
    let Err(error) = links.dump_addresses_on(index) else {
        return Err("an empty dump instead of an error".into());
    };
    ensure!(error.is_not_found(), "{error:?}");
    Ok(())
}

fn one_link() -> Outcome {
    furnish()?;
    let mut links = open()?;
    for link in links.dump_links()? {
        let want: Vec<_> = links.dump_addresses()?.on(link.index).collect();
        let mut got = links.dump_addresses_on(link.index)?;
        got.sort();
        ensure!(got == want, "{}: {got:?}", link.name);
    }
    Ok(())
}

fn twice_on_a_link() -> Outcome {
    veth("v0", "v1")?;
    let here = |a: &Address| a.ip == addr("10.1.0.1");
    for peer in ["10.1.0.2", "10.1.0.3"] {
        ip(&["addr", "add", "10.1.0.1", "peer", peer, "dev", "v0"])?;
    }
    let mut links = open()?;
    let watcher = crate::world::watcher(1 << 20)?;
    crate::world::wait_for(&watcher, "first dump", |state| state.current)?;
    ensure!(links.dump_addresses()?.iter().filter(here).count() == 2, "not two");
    ip(&["addr", "del", "10.1.0.1", "peer", "10.1.0.2", "dev", "v0"])?;
    crate::world::wait_for(&watcher, "one left", |state| {
        state.view.addresses().with_ip(addr("10.1.0.1")).count() == 1
    })?;
    let left: Vec<_> = links.dump_addresses()?.iter().filter(here).collect();
    ensure!(left.len() == 1 && left[0].peer == addr("10.1.0.3"), "{left:?}");
    ensure!(links.local_addresses()?.contains(addr("10.1.0.1")), "gone");
    Ok(())
}

fn facts() -> Outcome {
    veth("v0", "v1")?;
    ip(&["link", "set", "v0", "mtu", "1400"])?;
    let mut links = open()?;
    let lo = links.link(&name("lo"))?.ok_or("no lo")?;
    ensure!(lo.is_loopback() && lo.is_up() && lo.kind.is_empty(), "{lo:?}");
    ensure!(lo.index.get() == 1 && lo.parent.is_none(), "{lo:?}");
    let v0 = links.link(&name("v0"))?.ok_or("no v0")?;
    ensure!(v0.kind == "veth" && v0.mtu == 1400 && v0.is_up() && v0.has_carrier(), "{v0:?}");
    ensure!(!v0.leads_elsewhere() && v0.master.is_none(), "{v0:?}");
    ensure!(links.dump_links()?.contains(&v0), "dumped otherwise");
    Ok(())
}

fn default_routes() -> Outcome {
    veth("v0", "v1")?;
    ip(&["addr", "add", "192.0.2.1/24", "dev", "v0"])?;
    ip(&["addr", "add", "198.51.100.1/24", "dev", "v1"])?;
    ip(&["route", "add", "default", "via", "192.0.2.2", "metric", "7"])?;
    ip(&["route", "add", "10.0.0.0/8", "via", "192.0.2.2"])?;
    let hops = ["nexthop", "via", "192.0.2.2", "nexthop", "via", "198.51.100.2"];
    ip(&[&["route", "add", "default", "table", "300"][..], &hops].concat())?;
    ip(&["-6", "route", "add", "default", "dev", "v1"])?;
    let mut links = open()?;
    let v0 = links.link(&name("v0"))?.ok_or("no v0")?.index;
    let v1 = links.link(&name("v1"))?.ok_or("no v1")?.index;
    let mut got: Vec<_> = links.dump_default_routes()?;
    got.sort();
    let short: Vec<_> = got.iter().map(|r| (r.family, r.table, r.priority, &r.links[..])).collect();
    let want = [
        (Family::V4, 254, 7, &[v0][..]),
        (Family::V4, 300, 0, &[v0, v1]),
        (Family::V6, 254, 1024, &[v1]),
    ];
    ensure!(short == want, "{got:?}");
    Ok(())
}

fn many_links() -> Outcome {
    let pairs: Vec<_> =
        (0..120).map(|i| format!("link add a{i} type veth peer name b{i}")).collect();
    ip_batch(&pairs)?;
    let addresses =
        (0..4800).map(|i| format!("addr add 10.{}.{}.1/24 dev a{}", i / 250, i % 250, i % 120));
    ip_batch(&addresses.collect::<Vec<_>>())?;
    let mut links = open()?;
    let before = links.traffic();
    // The added ones, and loopback's two.
    let count = links.dump_addresses()?.len();
    ensure!(count == 4802, "{count} addresses");
    let (receives, bytes) = (links.traffic().receives - before.receives, 4802 * 80);
    ensure!(receives <= bytes / 16_384 + 4, "{receives} receives for about {bytes} bytes");
    ensure!(links.dump_links()?.len() == 241, "not all links");
    Ok(())
}
