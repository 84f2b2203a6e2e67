//! The view that is kept by events, and what happens when events fail.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use weir_link::{Feed, LinkIndex, NodeView, Op, Snapshot, Vip, Watcher};

use crate::world::{
    Check, Needs, Outcome, addr, ensure, ip, ip_batch, open, veth, wait_for, watcher,
};

const QUEUE: usize = 8 * 1024 * 1024;

pub(crate) const CHECKS: &[Check] = &[
    Check::new("the view follows churn by events, without a dump", churn),
    Check::new("default routes follow events and links that go down", default_routes),
    Check::with("a port that leaves its bridge is still there", Needs::Bridge, bridge_port),
    Check::new("10,000 VIP routes are no news", routes_are_no_news),
    Check::new("an overrun is seen and made good by a dump", overrun),
    Check::new("a lost event socket: said, dumped meanwhile, opened again", lost_socket),
    Check::new("an event socket that can't be opened: said, dumped meanwhile", no_socket),
];

/// A watcher whose queue holds all that a check does.
pub(crate) fn watched() -> Result<Watcher, Box<dyn std::error::Error>> {
    watcher(QUEUE)
}

fn dumped() -> Result<NodeView, Box<dyn std::error::Error>> {
    let mut links = open()?;
    let mut view = NodeView::default();
    view.load(Snapshot {
        links: links.dump_links()?,
        addresses: links.dump_addresses()?,
        default_routes: links.dump_default_routes()?,
    });
    Ok(view)
}

/// The view comes to equal a dump; links settle (carrier, duplicate detection) on their own time.
pub(crate) fn agrees(watcher: &Watcher) -> Outcome {
    wait_for(watcher, "the view equals a dump", |state| {
        state.current && dumped().is_ok_and(|dumped| dumped == state.view)
    })
}

pub(crate) fn current(watcher: &Watcher) -> Outcome {
    wait_for(watcher, "first dump", |state| state.current && state.feed == Feed::Events)
}

fn churn() -> Outcome {
    veth("v0", "v1")?;
    let watcher = watcher(QUEUE)?;
    current(&watcher)?;
    let dumps = watcher.state().borrow().counters.dumps;
    for round in 0..5 {
        let mut lines = vec![format!("link add c{round} type veth peer name d{round}")];
        for i in 0..40 {
            lines.push(format!("addr add 10.{round}.{i}.1/24 dev v{}", i % 2));
            lines.push(format!("addr add 2001:db8:{round}:{i}::1/64 dev v{} nodad", i % 2));
            if i % 3 == 0 {
                lines.push(format!("addr del 10.{round}.{i}.1/24 dev v{}", i % 2));
            }
        }
        lines.push(format!("link set c{round} name e{round} mtu 1300"));
        lines.push(format!("addr add 10.200.{round}.1/24 dev d{round}"));
        if round % 2 == 0 {
            lines.push(format!("link del e{round}"));
        }
        ip_batch(&lines)?;
    }
    agrees(&watcher)?;
    let counters = watcher.state().borrow().counters;
    ensure!(counters.dumps == dumps, "{} dumps more", counters.dumps - dumps);
    ensure!(dumps == 4 && counters.resyncs == 1 && counters.overruns == 0, "{counters:?}");
    ensure!(counters.events > 400, "only {} events", counters.events);
    Ok(())
}

fn default_routes() -> Outcome {
    veth("v0", "v1")?;
    let watcher = watcher(QUEUE)?;
    current(&watcher)?;
    let index = open()?.link(&weir_link::LinkName::new("v0")?)?.ok_or("no v0")?.index;
    let carries = |want: bool| {
        wait_for(&watcher, "whether v0 carries a default route", |state| {
            state.view.carries_default_route(index) == want
        })
    };
    let dumps = watcher.state().borrow().counters.dumps;
    ip(&["addr", "add", "192.0.2.1/24", "dev", "v0"])?;
    carries(false)?;
    for family in ["-4", "-6"] {
        ip(&[family, "route", "add", "default", "dev", "v0", "metric", "5"])?;
        carries(true)?;
        ip(&[family, "route", "replace", "default", "dev", "v1", "metric", "5"])?;
        carries(false)?;
        ip(&[family, "route", "replace", "default", "dev", "v0", "metric", "5"])?;
        carries(true)?;
        ip(&["link", "set", "v0", "down"])?;
        carries(false)?;
        ip(&["link", "set", "v0", "up"])?;
        agrees(&watcher)?;
        carries(false)?;
    }
    ip(&["route", "add", "default", "nexthop", "dev", "v0", "nexthop", "dev", "v1"])?;
    let hops = ["nexthop", "via", "fe80::2", "dev", "v0", "nexthop", "via", "fe80::3", "dev", "v1"];
    ip(&[&["-6", "route", "add", "default"][..], &hops].concat())?;
    carries(true)?;
    agrees(&watcher)?;
    for state in ["down", "up"] {
        ip(&["link", "set", "v0", state])?;
        carries(state == "up")?;
    }
    ip(&["link", "del", "v0"])?;
    carries(false)?;
    agrees(&watcher)?;
    ensure!(watcher.state().borrow().counters.dumps == dumps, "dumped");
    Ok(())
}

fn bridge_port() -> Outcome {
    veth("v0", "v1")?;
    ip(&["link", "add", "br0", "type", "bridge"])?;
    ip(&["addr", "add", "192.0.2.1/24", "dev", "v0"])?;
    let watcher = watcher(QUEUE)?;
    current(&watcher)?;
    let master = |want: bool| {
        wait_for(&watcher, "v0's master", |state| {
            state.view.link_named("v0").is_some_and(|link| link.master.is_some() == want)
        })
    };
    ip(&["link", "set", "v0", "master", "br0"])?;
    master(true)?;
    ip(&["link", "set", "v0", "nomaster"])?;
    master(false)?;
    agrees(&watcher)?;
    ensure!(watcher.state().borrow().view.addresses().contains(addr("192.0.2.1")), "lost");
    Ok(())
}

fn routes_are_no_news() -> Outcome {
    let watcher = watcher(QUEUE)?;
    current(&watcher)?;
    let mut links = open()?;
    let vip = |i: u32| Vip::new(std::net::Ipv4Addr::from(0x0a60_0000 + i).into());
    let vips = (1..=10_000).map(vip).collect::<Result<Vec<_>, _>>()?;
    let ops: Vec<_> = vips.iter().map(|vip| Op::PutRoute(weir_link::VipRoute::new(*vip))).collect();
    for outcome in links.apply(&ops) {
        outcome?;
    }
    // An address after them all: once it is seen, so would be the routes.
    for outcome in links.apply(&[Op::Bind(vips[0], LinkIndex::LOOPBACK)]) {
        outcome?;
    }
    wait_for(&watcher, "the address", |s| s.view.addresses().contains(vips[0].ip()))?;
    let counters = watcher.state().borrow().counters;
    ensure!(counters.events <= 3 && counters.overruns == 0, "{counters:?}");
    Ok(())
}

fn overrun() -> Outcome {
    veth("v0", "v1")?;
    let watcher = watcher(1)?;
    current(&watcher)?;
    let mut links = open()?;
    let index = links.link(&weir_link::LinkName::new("v0")?)?.ok_or("no v0")?.index;
    // A reader that doesn't let go keeps the watcher from reading on.
    let state = watcher.state();
    let held = state.borrow();
    for round in 0..20u32 {
        let vip =
            |i: u32| Vip::new(std::net::Ipv4Addr::from(0x0a00_0000 + round * 65_536 + i).into());
        let vips = (1..=200).map(vip).collect::<Result<Vec<_>, _>>()?;
        let binds: Vec<_> = vips.iter().map(|vip| Op::Bind(*vip, index)).collect();
        let unbinds: Vec<_> = vips.iter().skip(10).map(|vip| Op::Unbind(*vip, index)).collect();
        for outcome in links.apply(&binds).into_iter().chain(links.apply(&unbinds)) {
            outcome?;
        }
    }
    drop(held);
    agrees(&watcher)?;
    let counters = watcher.state().borrow().counters;
    ensure!(counters.overruns >= 1, "no overrun: {counters:?}");
    ensure!(counters.resyncs >= 2 && counters.opened == 1, "{counters:?}");
    ensure!(watcher.state().borrow().view.addresses().on(index).count() >= 200, "too few");
    Ok(())
}

fn lost_socket() -> Outcome {
    veth("v0", "v1")?;
    let watcher = watcher(QUEUE)?;
    current(&watcher)?;
    break_event_socket()?;
    // The thread sleeps on the socket that was there before: news by a signal of any kind wakes it.
    ip(&["addr", "add", "192.0.2.1/24", "dev", "v0"])?;
    wait_for(&watcher, "another event socket", |state| {
        state.counters.opened == 2 && state.feed == Feed::Events && state.current
    })?;
    ip(&["addr", "add", "192.0.2.2/24", "dev", "v0"])?;
    agrees(&watcher)?;
    Ok(())
}

fn no_socket() -> Outcome {
    veth("v0", "v1")?;
    let watcher = watcher(QUEUE)?;
    current(&watcher)?;
    let mut links = open()?;
    let index = links.link(&weir_link::LinkName::new("v0")?)?.ok_or("no v0")?.index;
    let vip = Vip::new(addr("192.0.2.9"))?;
    break_event_socket()?;
    let before = getrlimit(Resource::Nofile);
    // No descriptor can be opened from now on; those that are open stay.
    setrlimit(Resource::Nofile, Rlimit { current: Some(1), maximum: before.maximum })?;
    let polling = links
        .apply(&[Op::Bind(vip, index)])
        .remove(0)
        .map_err(Into::into)
        .and_then(|_| polls(&watcher, vip));
    setrlimit(Resource::Nofile, before)?;
    polling?;
    current(&watcher)?;
    agrees(&watcher)
}

fn polls(watcher: &Watcher, vip: Vip) -> Outcome {
    wait_for(watcher, "polling", |state| matches!(state.feed, Feed::Polling(_)))?;
    wait_for(watcher, "seen by polling", |state| state.view.addresses().contains(vip.ip()))?;
    let dumps = watcher.state().borrow().counters.dumps;
    std::thread::sleep(Duration::from_millis(900));
    let state = watcher.state().borrow().clone();
    ensure!(state.counters.dumps > dumps, "no further dump: {:?}", state.counters);
    ensure!(state.current && state.counters.opened == 1, "{:?}", state.counters);
    let Feed::Polling(reason) = state.feed else { return Err("events, but from where?".into()) };
    ensure!(reason.contains("Too many open files"), "{reason}");
    Ok(())
}

/// Puts a closed pipe where the watcher's event socket was, as nothing of Linux's own ends one.
fn break_event_socket() -> Outcome {
    let fd = event_socket()?;
    let (reader, writer) = rustix::pipe::pipe()?;
    drop(writer);
    #[allow(unsafe_code, reason = "the descriptor belongs to the watcher, and is given back")]
    // SAFETY: `fd` is open (just found), and `into_raw_fd` below keeps it so for its owner.
    let mut theirs = unsafe { OwnedFd::from_raw_fd(fd) };
    let broken = rustix::io::dup2(&reader, &mut theirs);
    let _ = std::os::fd::IntoRawFd::into_raw_fd(theirs);
    broken?;
    ensure!(reader.as_raw_fd() != fd, "broke the wrong one");
    Ok(())
}

/// The descriptor of this process's only netlink socket that has joined groups in this namespace.
fn event_socket() -> Result<RawFd, Box<dyn std::error::Error>> {
    let table = std::fs::read_to_string("/proc/thread-self/net/netlink")?;
    let joined = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let route_with_groups = fields.get(1) == Some(&"0") && fields.get(3)? != &"00000000";
        route_with_groups.then(|| format!("socket:[{}]", fields.last().unwrap_or(&"")))
    });
    let joined: Vec<_> = joined.collect();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let target = std::fs::read_link(entry.path()).unwrap_or_default();
        if joined.iter().any(|name| target.as_os_str() == name.as_str()) {
            return Ok(entry.file_name().to_string_lossy().parse()?);
        }
    }
    Err("no event socket found".into())
}
