//! The dummy device, and VIPs as addresses on it.

use weir_link::{Change, Error, LinkName, Op, Vip};

use crate::world::{Check, Needs, Outcome, addr, ensure, ip, ip_says, is_local, open, veth};

pub(crate) const CHECKS: &[Check] = &[
    Check::with("a dummy is made once and removed once", Needs::Dummy, made_and_removed),
    Check::with("a dummy made by another is taken as it is", Needs::Dummy, made_by_another),
    Check::new("removing a dummy that isn't there is fine", removing_nothing),
    Check::new("a device of that name that isn't a dummy is left alone", foreign_device),
    Check::with("VIPs are bound to a dummy and unbound", Needs::Dummy, bind_on_dummy),
    Check::new("binding twice and unbinding twice is fine", bind_twice),
    Check::new("binding to no link fails by name, unbinding from none is fine", no_link),
];

fn weir0() -> LinkName {
    LinkName::new("weir0").expect("a good name")
}

fn made_and_removed() -> Outcome {
    let mut links = open()?;
    let (index, first) = links.ensure_dummy(&weir0())?;
    let (again, second) = links.ensure_dummy(&weir0())?;
    ensure!((first, second) == (Change::Made, Change::AlreadySo), "{first:?} {second:?}");
    ensure!(index == again, "another index");
    let link = links.link(&weir0())?.ok_or("not found")?;
    ensure!(link.is_dummy() && !link.is_up(), "{link:?}");
    ensure!(links.remove_dummy(&weir0())? == Change::Made, "not removed");
    ensure!(links.link(&weir0())?.is_none(), "still there");
    ensure!(links.remove_dummy(&weir0())? == Change::AlreadySo, "removed twice");
    Ok(())
}

fn made_by_another() -> Outcome {
    ip(&["link", "add", "weir0", "type", "dummy"])?;
    let (_, change) = open()?.ensure_dummy(&weir0())?;
    ensure!(change == Change::AlreadySo, "made anew");
    Ok(())
}

fn removing_nothing() -> Outcome {
    ensure!(open()?.remove_dummy(&weir0())? == Change::AlreadySo, "removed something");
    Ok(())
}

fn foreign_device() -> Outcome {
    veth("weir0", "peer0")?;
    let mut links = open()?;
    let before = links.link(&weir0())?;
    let ensured = links.ensure_dummy(&weir0());
    let removed = links.remove_dummy(&weir0());
    ensure!(matches!(&ensured, Err(Error::NotDummy { kind, .. }) if kind == "veth"), "{ensured:?}");
    ensure!(matches!(&removed, Err(Error::NotDummy { .. })), "{removed:?}");
    ensure!(links.link(&weir0())? == before, "the device was touched");
    Ok(())
}

fn bind_on_dummy() -> Outcome {
    let mut links = open()?;
    let (dummy, _) = links.ensure_dummy(&weir0())?;
    let vips = [Vip::new(addr("10.96.0.10"))?, Vip::new(addr("fd00:96::10"))?];
    for vip in vips {
        ensure!(!is_local(vip.ip()), "{vip} is local already");
    }
    let binds = vips.map(|vip| Op::Bind(vip, dummy));
    for outcome in links.apply(&binds) {
        ensure!(outcome? == Change::Made, "not bound");
    }
    let bound = links.bound(&weir0())?;
    ensure!(bound.iter().eq(vips.map(Vip::ip)), "{bound:?}");
    for vip in vips {
        ensure!(is_local(vip.ip()), "{vip} isn't local");
    }
    let routes = ip_says(&["-6", "route", "show", "dev", "weir0"])?;
    ensure!(routes.is_empty(), "a prefix route: {routes}");
    let except = links.local_addresses_except(&[weir0()])?;
    ensure!(except.is_empty(), "{except:?}");
    for outcome in links.apply(&vips.map(|vip| Op::Unbind(vip, dummy))) {
        ensure!(outcome? == Change::Made, "not unbound");
    }
    ensure!(links.bound(&weir0())?.is_empty(), "still bound");
    ensure!(!vips.iter().any(|vip| is_local(vip.ip())), "still local");
    Ok(())
}

fn bind_twice() -> Outcome {
    veth("v0", "v1")?;
    let mut links = open()?;
    let name = LinkName::new("v0")?;
    let link = links.link(&name)?.ok_or("no v0")?.index;
    for vip in [Vip::new(addr("10.96.0.10"))?, Vip::new(addr("fd00:96::10"))?] {
        let ops = [
            Op::Bind(vip, link),
            Op::Bind(vip, link),
            Op::Unbind(vip, link),
            Op::Unbind(vip, link),
        ];
        let outcomes: Result<Vec<_>, _> = links.apply(&ops).into_iter().collect();
        let want = [Change::Made, Change::AlreadySo, Change::Made, Change::AlreadySo];
        let outcomes = outcomes?;
        ensure!(outcomes == want, "{vip}: {outcomes:?}");
    }
    ensure!(links.bound(&name)?.is_empty(), "something is left");
    Ok(())
}

fn no_link() -> Outcome {
    let mut links = open()?;
    let nowhere = weir_link::LinkIndex::new(9999).ok_or("zero")?;
    for vip in [Vip::new(addr("10.96.0.10"))?, Vip::new(addr("fd00:96::10"))?] {
        let outcomes = links.apply(&[Op::Bind(vip, nowhere), Op::Unbind(vip, nowhere)]);
        let Err(bound) = &outcomes[0] else { return Err("bound to nothing".into()) };
        ensure!(bound.is_not_found() && bound.kind() == "not_found", "{bound:?}");
        ensure!(bound.to_string() == format!("bind {vip} to link 9999"), "{bound}");
        ensure!(matches!(outcomes[1], Ok(Change::AlreadySo)), "{:?}", outcomes[1]);
    }
    Ok(())
}
