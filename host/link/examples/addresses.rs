//! What the address dumps and the VIPs of this crate cost, and what others do instead.
//!
//! Made for a guest whose clock counts instructions (one vCPU): there a repeat agrees within one
//! per cent, elsewhere the numbers are only a hint. Run as root on a kernel with dummy devices; it
//! makes a network namespace. Prints one line a measurement, `NAME NANOSECONDS` by
//! `CLOCK_MONOTONIC` or `NAME NUMBER count`; `benches/rows` says which ratios are wanted.

#![allow(clippy::print_stdout, reason = "its lines are what it is for")]

use std::error::Error;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::thread::UnshareFlags;
use weir_link::{
    Change, IpRef, LinkIndex, LinkName, Links, LocalAddresses, Op, Options, Vip, VipRoute, Watcher,
};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const DUMMIES: u32 = 250;
const ADDRESSES: usize = 19_757;
const VIPS: u32 = 10_000;

fn main() -> Outcome {
    #[allow(unsafe_code, reason = "rustix can't know that no other thread relies on this one's")]
    // SAFETY: only the file table would be dangerous to unshare; this takes a network namespace.
    unsafe {
        rustix::thread::unshare_unsafe(UnshareFlags::NEWNET)?;
    }
    let up = std::process::Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
    if !up.success() {
        return Err("loopback stays down".into());
    }
    let mut links = Links::open(Duration::from_secs(300))?;
    let dummies = furnish(&mut links)?;
    dumps(&mut links, &dummies)?;
    println!("dumps-steady {} count", steady_state(&mut links, dummies[0])?);
    vips(&mut links)
}

/// 250 dummies beside loopback, with addresses of both families on each.
fn furnish(links: &mut Links) -> Outcome<Vec<LinkIndex>> {
    let mut dummies = Vec::new();
    for i in 0..DUMMIES {
        dummies.push(links.ensure_dummy(&LinkName::new(&format!("bench{i}"))?)?.0);
    }
    let missing = ADDRESSES - links.dump_addresses()?.len();
    let mut ops = Vec::with_capacity(missing);
    for i in 0..missing as u32 {
        let vip = if i % 2 == 0 {
            Vip::new(Ipv4Addr::from(0x0a00_0000 + i + 1).into())?
        } else {
            Vip::new(Ipv6Addr::from((0xfd00_u128 << 112) + u128::from(i)).into())?
        };
        ops.push(Op::Bind(vip, dummies[(i as usize / 2) % dummies.len()]));
    }
    all_made(links, &ops)?;
    let (count, of_links) = (links.dump_addresses()?.len(), links.dump_links()?.len());
    if (count, of_links) != (ADDRESSES, DUMMIES as usize + 1) {
        return Err(format!("{count} addresses on {of_links} links").into());
    }
    println!("# {count} addresses on {of_links} links");
    Ok(dummies)
}

fn all_made(links: &mut Links, ops: &[Op]) -> Outcome {
    for outcome in links.apply(ops) {
        if outcome? != Change::Made {
            return Err("there already".into());
        }
    }
    Ok(())
}

fn dumps(links: &mut Links, dummies: &[LinkIndex]) -> Outcome {
    measure("floor", 5, receive_only)?;
    measure("filtered", 5, || {
        let (v4, v6) = links.fold_ips(|(v4, v6): &mut Both, _, ip| match ip {
            IpRef::V4(octets) if ip.is_node_address() => v4.push(*octets),
            IpRef::V6(octets) if ip.is_node_address() => v6.push(*octets),
            _ => {}
        })?;
        Ok(assert_count(v4.len() + v6.len(), ADDRESSES - 2)?)
    })?;
    measure("sorted-set", 5, || Ok(assert_count(links.local_addresses()?.len(), ADDRESSES - 2)?))?;
    measure("stored", 5, || {
        let mut view = LocalAddresses::default();
        view.load(links.dump_addresses()?);
        Ok(assert_count(view.len(), ADDRESSES)?)
    })?;
    say("rtnetlink-stream", rtnetlink_stream()?);
    measure("one-link", 5, || Ok(assert_count(links.dump_addresses_on(dummies[7])?.len(), 79)?))?;
    measure("dump-for-each", 1, || dump_for_each(links, dummies))
}

/// Addresses of both families as a fold leaves them.
type Both = (Vec<[u8; 4]>, Vec<[u8; 16]>);

fn assert_count(got: usize, want: usize) -> Result<(), String> {
    if got.abs_diff(want) <= 1 { Ok(()) } else { Err(format!("{got} addresses, not {want}")) }
}

/// The kernel's own cost: ask, and receive until the end without looking inside.
fn receive_only() -> Outcome {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    let mut request = vec![24, 0, 0, 0, 22, 0, 1, 3, 1, 0, 0, 0, 0, 0, 0, 0];
    request.extend_from_slice(&[0; 8]);
    socket.send_to(&request, &SocketAddr::new(0, 0), 0)?;
    let mut buffer = vec![0u8; 64 * 1024];
    loop {
        let (len, _) = socket.recv_from(&mut &mut buffer[..], 0)?;
        // The end (NLMSG_DONE with its number) is the last message of a datagram.
        let end = len.checked_sub(20).and_then(|at| buffer.get(at..at + 6));
        if end == Some(&[20, 0, 0, 0, 3, 0]) {
            return Ok(());
        }
    }
}

/// What a proxy does that asks for one interface's addresses after the other's.
fn dump_for_each(links: &mut Links, dummies: &[LinkIndex]) -> Outcome {
    let loopback = LinkIndex::LOOPBACK;
    let mut found = 0;
    for link in dummies.iter().copied().chain([loopback]) {
        found += links.fold_ips(|count: &mut usize, on, _| *count += usize::from(on == link))?;
    }
    Ok(assert_count(found, ADDRESSES)?)
}

fn rtnetlink_stream() -> Outcome<Duration> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        let connection = tokio::spawn(connection);
        let mut best = Duration::MAX;
        for _ in 0..3 {
            let start = Instant::now();
            let mut stream = std::pin::pin!(handle.address().get().execute());
            let mut count = 0;
            while stream.try_next().await?.is_some() {
                count += 1;
            }
            best = best.min(start.elapsed());
            assert_count(count, ADDRESSES)?;
        }
        connection.abort();
        Ok(best)
    })
}

/// Dumps that the watcher took while a thousand addresses came and went.
fn steady_state(links: &mut Links, dummy: LinkIndex) -> Outcome<u64> {
    let watcher = Watcher::spawn(Options::default())?;
    let state = watcher.state();
    wait(|| state.borrow().current)?;
    let before = state.borrow().counters;
    for i in 0..500u32 {
        let vip = Vip::new(Ipv4Addr::from(0xac10_0001 + i).into())?;
        all_made(links, &[Op::Bind(vip, dummy), Op::Unbind(vip, dummy)])?;
    }
    wait(|| state.borrow().counters.events >= before.events + 1000)?;
    let after = state.borrow().counters;
    Ok(after.dumps - before.dumps)
}

fn wait(mut good: impl FnMut() -> bool) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !good() {
        if Instant::now() > deadline {
            return Err("the watcher didn't come to it".into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn vips(links: &mut Links) -> Outcome {
    let vips: Vec<Vip> = (0..VIPS)
        .map(|i| Vip::new(Ipv4Addr::from(0x0a60_0001 + i).into()))
        .collect::<Result<_, _>>()?;
    let (dummy, _) = links.ensure_dummy(&LinkName::new("weir0")?)?;
    let puts: Vec<Op> = vips.iter().map(|vip| Op::PutRoute(VipRoute::new(*vip))).collect();
    let removals: Vec<Op> = vips.iter().map(|vip| Op::RemoveRoute(*vip)).collect();
    let binds: Vec<Op> = vips.iter().map(|vip| Op::Bind(*vip, dummy)).collect();
    let before = links.traffic().sends;
    measure("vips-as-routes", 1, || all_made(links, &puts))?;
    println!("vips-sends {} count", links.traffic().sends - before);
    measure("vips-removed", 1, || all_made(links, &removals))?;
    measure("vips-on-dummy", 1, || all_made(links, &binds))
}

/// The best of some tries: the others met work of the kernel's own.
fn measure(name: &str, times: u32, mut work: impl FnMut() -> Outcome) -> Outcome {
    let mut best = Duration::MAX;
    for _ in 0..times {
        let start = Instant::now();
        work()?;
        best = best.min(start.elapsed());
    }
    say(name, best);
    Ok(())
}

fn say(name: &str, took: Duration) {
    println!("{name} {}", took.as_nanos());
}
