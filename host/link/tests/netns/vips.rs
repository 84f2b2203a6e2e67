//! VIPs as local routes.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use weir_link::{Change, LinkIndex, NodeView, Op, Snapshot, Sources, Vip, VipRoute};

use crate::world::{
    Check, Needs, Outcome, addr, ensure, ip, ip_says, is_local, open, source_towards, veth,
};

pub(crate) const CHECKS: &[Check] = &[
    Check::new("VIP routes make local, are listed, and go", routes_come_and_go),
    Check::with(
        "a VIP route may be on a dummy (an IPv6 one if it is up), and moves",
        Needs::Dummy,
        route_on_dummy,
    ),
    Check::new("10,000 VIP routes in few sends, all verdicts heard", ten_thousand),
    Check::new("one refused operation doesn't stop the others", one_refused),
    Check::new("a node's own address and a foreign route survive ours", others_survive),
    Check::new("node to VIP chooses the hint, and a stale hint is pointed elsewhere", sources),
];

fn vips() -> [Vip; 2] {
    ["10.96.0.1", "fd00:96::1"].map(|ip| Vip::new(addr(ip)).expect("a VIP"))
}

fn routes_come_and_go() -> Outcome {
    let mut links = open()?;
    let routes = vips().map(VipRoute::new);
    let puts = routes.map(Op::PutRoute);
    for change in [Change::Made, Change::AlreadySo] {
        for outcome in links.apply(&puts) {
            ensure!(outcome? == change, "not {change:?}");
        }
        ensure!(links.dump_vip_routes()? == routes, "listed otherwise");
    }
    ensure!(vips().iter().all(|vip| is_local(vip.ip())), "not local");
    let shown = ip_says(&["-4", "route", "show", "table", "local", "proto", "119"])?;
    ensure!(shown.contains("local 10.96.0.1 dev lo scope host metric 119"), "{shown}");
    for change in [Change::Made, Change::AlreadySo] {
        for outcome in links.apply(&vips().map(Op::RemoveRoute)) {
            ensure!(outcome? == change, "not {change:?}");
        }
    }
    ensure!(links.dump_vip_routes()?.is_empty(), "still listed");
    ensure!(!vips().iter().any(|vip| is_local(vip.ip())), "still local");
    Ok(())
}

fn route_on_dummy() -> Outcome {
    let mut links = open()?;
    let (dummy, _) = links.ensure_dummy(&weir_link::LinkName::new("weir0")?)?;
    // IPv4 takes a device that is down, IPv6 refuses it (ENETDOWN).
    let [v4, v6] = vips().map(|vip| VipRoute { link: dummy, ..VipRoute::new(vip) });
    let outcomes = links.apply(&[Op::PutRoute(v4), Op::PutRoute(v6)]);
    ensure!(matches!(outcomes[0], Ok(Change::Made)), "{:?}", outcomes[0]);
    let refused = outcomes[1].as_ref().err().and_then(weir_link::Error::errno);
    ensure!(refused == Some(libc::ENETDOWN), "{:?}", outcomes[1]);
    ip(&["link", "set", "weir0", "up"])?;
    let on_dummy = vips().map(|vip| VipRoute { link: dummy, ..VipRoute::new(vip) });
    for outcome in links.apply(&on_dummy.map(Op::PutRoute)) {
        outcome?;
    }
    ensure!(vips().iter().all(|vip| is_local(vip.ip())), "not local");
    // And is moved to loopback by putting it there.
    for outcome in links.apply(&vips().map(VipRoute::new).map(Op::PutRoute)) {
        ensure!(outcome? == Change::AlreadySo, "made beside the old one");
    }
    ensure!(links.dump_vip_routes()? == vips().map(VipRoute::new), "not moved");
    links.remove_dummy(&weir_link::LinkName::new("weir0")?)?;
    ensure!(vips().iter().all(|vip| is_local(vip.ip())), "went with the dummy");
    Ok(())
}

fn ten_thousand() -> Outcome {
    let mut links = open()?;
    let vip = |i: u32| Vip::new(Ipv4Addr::from(0x0a60_0000 + i).into());
    let vips: Vec<Vip> = (1..=10_000).map(vip).collect::<Result<_, _>>()?;
    let puts: Vec<Op> = vips.iter().map(|vip| Op::PutRoute(VipRoute::new(*vip))).collect();
    let removals: Vec<Op> = vips.iter().map(|vip| Op::RemoveRoute(*vip)).collect();
    let before = links.traffic();
    ensure!(count(&links.apply(&puts), Change::Made) == 10_000, "not all made");
    let sends = links.traffic().sends - before.sends;
    ensure!(sends <= 10, "{sends} sends");
    ensure!(links.dump_vip_routes()?.len() == 10_000, "not all listed");
    ensure!(count(&links.apply(&puts), Change::AlreadySo) == 10_000, "not all there");
    ensure!(count(&links.apply(&removals), Change::Made) == 10_000, "not all removed");
    ensure!(count(&links.apply(&removals), Change::AlreadySo) == 10_000, "not all gone");
    ensure!(links.dump_vip_routes()?.is_empty(), "some are left");
    Ok(())
}

fn count(outcomes: &[Result<Change, weir_link::Error>], want: Change) -> usize {
    outcomes.iter().filter(|outcome| matches!(outcome, Ok(change) if *change == want)).count()
}

fn one_refused() -> Outcome {
    let mut links = open()?;
    let [v4, v6] = vips();
    let nowhere = VipRoute { link: LinkIndex::new(9999).ok_or("zero")?, ..VipRoute::new(v4) };
    let not_ours = VipRoute { src: Some(addr("192.0.2.77")), ..VipRoute::new(v4) };
    let ops = [nowhere, not_ours, VipRoute::new(v4), VipRoute::new(v6)].map(Op::PutRoute);
    let outcomes = links.apply(&ops);
    let refused: Vec<_> = outcomes.iter().filter_map(|o| o.as_ref().err()).collect();
    ensure!(refused.len() == 2, "{outcomes:?}");
    ensure!(refused[0].is_not_found(), "{:?}", refused[0]);
    ensure!(refused[1].errno() == Some(22), "{:?}", refused[1]);
    let deed = "put local route 10.96.0.1 on link 1 src 192.0.2.77";
    ensure!(refused[1].to_string() == deed, "{}", refused[1]);
    ensure!(links.dump_vip_routes()?.len() == 2, "the others weren't carried out");
    Ok(())
}

fn others_survive() -> Outcome {
    veth("v0", "v1")?;
    ip(&["addr", "add", "192.0.2.1/24", "dev", "v0"])?;
    ip(&["addr", "add", "2001:db8::1/64", "dev", "v0", "nodad"])?;
    ip(&[
        "route",
        "add",
        "local",
        "10.96.0.9/32",
        "dev",
        "lo",
        "table",
        "local",
        "proto",
        "static",
    ])?;
    let mut links = open()?;
    let theirs = ["192.0.2.1", "2001:db8::1", "10.96.0.9"].map(addr);
    // The kernel makes an IPv6 address local a while after it was taken (addrconf_dad_work).
    let deadline = Instant::now() + Duration::from_secs(30);
    while !theirs.into_iter().all(is_local) {
        ensure!(Instant::now() < deadline, "the node's own addresses never became local");
        std::thread::sleep(Duration::from_millis(10));
    }
    for ip in theirs {
        let vip = Vip::new(ip)?;
        let ops = [Op::PutRoute(VipRoute::new(vip)), Op::RemoveRoute(vip), Op::RemoveRoute(vip)];
        let outcomes: Result<Vec<_>, _> = links.apply(&ops).into_iter().collect();
        let outcomes = outcomes?;
        ensure!(outcomes == [Change::Made, Change::Made, Change::AlreadySo], "{ip}: {outcomes:?}");
        ensure!(is_local(ip), "{ip} isn't local any more");
    }
    Ok(())
}

/// Two nodes' worth of addresses: the first goes, the hint must move to the second.
fn sources() -> Outcome {
    veth("v0", "v1")?;
    for ip_cidr in ["192.0.2.1/24", "198.51.100.1/24"] {
        ip(&["addr", "add", ip_cidr, "dev", "v0"])?;
    }
    for ip_cidr in ["2001:db8::1/64", "2001:db8:1::1/64"] {
        ip(&["addr", "add", ip_cidr, "dev", "v0", "nodad"])?;
    }
    let preferred = ["192.0.2.1", "198.51.100.1", "2001:db8::1", "2001:db8:1::1"].map(addr);
    let mut links = open()?;
    let bare = vips().map(VipRoute::new);
    for outcome in links.apply(&bare.map(Op::PutRoute)) {
        outcome?;
    }
    // IPv6 chooses among addresses only, and a route adds none: there the hint only steadies.
    let v4 = vips()[0].ip();
    ensure!(source_towards(v4)? == v4, "{v4}: a hint was not needed");
    let mut ours = bare.to_vec();
    for wanted in [["192.0.2.1", "2001:db8::1"], ["198.51.100.1", "2001:db8:1::1"]] {
        repoint(&mut links, &mut ours, &preferred)?;
        for (vip, want) in vips().iter().zip(wanted.map(addr)) {
            let got = source_towards(vip.ip())?;
            ensure!(got == want, "{vip}: source {got}, not {want}");
        }
        ip(&[
            "addr",
            "del",
            if wanted[0] == "192.0.2.1" { "192.0.2.1/24" } else { "198.51.100.1/24" },
            "dev",
            "v0",
        ])?;
        ip(&[
            "addr",
            "del",
            if wanted[1] == "2001:db8::1" { "2001:db8::1/64" } else { "2001:db8:1::1/64" },
            "dev",
            "v0",
        ])?;
    }
    repoint(&mut links, &mut ours, &preferred)?;
    ensure!(ours == bare, "with no address left there is still a hint");
    ensure!(links.dump_vip_routes()? == bare, "the kernel still has a hint");
    Ok(())
}

fn repoint(
    links: &mut weir_link::Links,
    ours: &mut [VipRoute],
    preferred: &[std::net::IpAddr],
) -> Outcome {
    // Duplicate detection may hold a new IPv6 address back for a moment.
    std::thread::sleep(Duration::from_millis(50));
    let mut view = NodeView::default();
    view.load(Snapshot {
        links: links.dump_links()?,
        addresses: links.dump_addresses()?,
        default_routes: Vec::new(),
    });
    let sources = Sources::choose(&view, preferred, &[]);
    let ops = sources.repoint(ours);
    ensure!(!ops.is_empty(), "nothing to point elsewhere");
    for (op, outcome) in ops.iter().zip(links.apply(&ops)) {
        outcome?;
        let Op::PutRoute(new) = op else { return Err("not a route".into()) };
        ours.iter_mut().filter(|r| r.vip == new.vip).for_each(|r| *r = *new);
    }
    ensure!(sources.repoint(ours).is_empty(), "still stale");
    Ok(())
}
