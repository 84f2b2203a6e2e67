//! A network namespace of one's own in which flows are tracked, and ways to make some.

use std::error::Error;
use std::io::Write;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use weir_conntrack::{Conntrack, Filter, Flow, Options};

use crate::isolation::in_new_netns;

pub(crate) type Outcome = Result<(), Box<dyn Error>>;

/// Fails the check with words.
macro_rules! ensure {
    ($good:expr, $($words:tt)+) => {
        if !$good {
            return Err(format!($($words)+).into());
        }
    };
}
pub(crate) use ensure;

/// One thing to show.
#[derive(Clone, Copy)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    run: fn() -> Outcome,
}

/// What makes the kernel follow flows and count them; 10.96.0.1 and fd96::1 are services on port 53
/// whose endpoint is chosen by the client's port.
const TRACKED: &str = "
table inet checks {
    map endpoints { type inet_service : ipv4_addr; }
    chain raw { type filter hook output priority -300; }
    chain nat { type nat hook output priority -100;
        ip daddr 10.96.0.1 udp dport 53 dnat ip to udp sport map { 0-39999 : 127.0.0.2, 40000-65535 : 127.0.0.3 };
        ip6 daddr fd96::1 udp dport 53 dnat ip6 to fd00::2;
    }
    chain filter { type filter hook output priority 0;
        meta nfproto ipv6 ct state new ct mark set 0x1234;
        ct state new counter;
    }
}
";

impl Check {
    pub(crate) const fn new(name: &'static str, run: fn() -> Outcome) -> Self {
        Self { name, run }
    }

    /// Runs it in a fresh namespace; the error as text.
    pub(crate) fn run(&self) -> Result<(), String> {
        let run = self.run;
        let ran = in_new_netns(move || {
            furnish().and_then(|()| run()).map_err(|error| told(error.as_ref()))
        });
        ran.unwrap_or_else(|errno| Err(format!("make a network namespace: {errno}")))
    }
}

fn furnish() -> Outcome {
    run("ip", &["link", "set", "lo", "up"])?;
    for address in ["fd00::1", "fd00::2"] {
        run("ip", &["-6", "address", "add", address, "dev", "lo", "nodad"])?;
        wait_for_local(address)?;
    }
    for (family, service) in [("-4", "10.96.0.0/16"), ("-6", "fd96::/16")] {
        run("ip", &[family, "route", "add", service, "dev", "lo"])?;
    }
    nft(TRACKED)?;
    std::fs::write("/proc/sys/net/netfilter/nf_conntrack_acct", "1")?;
    Ok(())
}

/// The kernel makes an IPv6 address local a little after it has taken it (in a work queue).
fn wait_for_local(address: &str) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let out = Command::new("ip").args(["-6", "route", "get", address]).output()?;
        if out.stdout.starts_with(b"local ") {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{address} isn't local: {out:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// An error with all its causes.
fn told(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        words = format!("{words}: {next}");
        cause = next.source();
    }
    words
}

fn run(command: &str, args: &[&str]) -> Outcome {
    let out = Command::new(command).args(args).output()?;
    ensure!(out.status.success(), "{command} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    Ok(())
}

/// Has the nft command write rules.
pub(crate) fn nft(rules: &str) -> Outcome {
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn()?;
    nft.stdin.take().ok_or("no pipe")?.write_all(rules.as_bytes())?;
    ensure!(nft.wait()?.success(), "nft refused {rules}");
    Ok(())
}

pub(crate) fn open() -> Result<Conntrack, Box<dyn Error>> {
    let timeout = Duration::from_secs(20);
    Ok(Conntrack::open(Options { timeout, ..Options::default() })?)
}

pub(crate) fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address with its port")
}

/// Sends one datagram, which makes a flow.
pub(crate) fn send(from: &str, to: &str) -> Result<UdpSocket, Box<dyn Error>> {
    let socket = UdpSocket::bind(at(from))?;
    socket.send_to(b"question", at(to))?;
    Ok(socket)
}

/// A UDP server that answers the next question that it is asked.
pub(crate) fn server(at_address: &str) -> Result<impl Fn() -> Outcome, Box<dyn Error>> {
    let socket = UdpSocket::bind(at(at_address))?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok(move || {
        let (_, client) = socket.recv_from(&mut [0; 64])?;
        socket.send_to(b"answer", client)?;
        Ok(())
    })
}

/// Sends an ICMP echo request, which makes a flow without ports.
pub(crate) fn ping(ip: [u8; 4]) -> Outcome {
    use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket};
    let socket = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP))?;
    // type, code, checksum, id and number
    let request = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];
    sendto(&socket, &request, SendFlags::empty(), &SocketAddr::from((IpAddr::from(ip), 0)))?;
    Ok(())
}

/// All flows that pass, of a dump that was whole.
pub(crate) fn flows(filter: &Filter) -> Result<Vec<Flow>, Box<dyn Error>> {
    let mut flows = Vec::new();
    let dumped = open()?.dump(filter, |flow| flows.push(*flow))?;
    ensure!(dumped.partial.is_none(), "{:?}", dumped.partial);
    ensure!(dumped.matched == flows.len() as u64, "{} of {}", flows.len(), dumped.matched);
    Ok(flows)
}

/// The flow that a client began, which must be one.
pub(crate) fn flow_from(client: &str) -> Result<Flow, Box<dyn Error>> {
    let all = flows(&Filter::default())?;
    let mut of_client = all.iter().filter(|flow| flow.original.source() == Some(at(client)));
    let flow = of_client.next().ok_or_else(|| format!("no flow from {client} in {all:?}"))?;
    ensure!(of_client.next().is_none(), "more than one flow from {client}: {all:?}");
    Ok(*flow)
}
