//! A network namespace of one's own, furnished with iproute2.

use std::error::Error;
use std::io::Write;
use std::net::{IpAddr, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use weir_link::{Links, NodeState, Options, Watcher};

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

/// What a check needs beyond network namespaces and veth.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    Dummy,
    Bridge,
    Bond,
    Vlan,
    Macvlan,
    Vxlan,
    Wireguard,
}

impl Needs {
    pub(crate) const ALL: [Self; 8] = [
        Self::Nothing,
        Self::Dummy,
        Self::Bridge,
        Self::Bond,
        Self::Vlan,
        Self::Macvlan,
        Self::Vxlan,
        Self::Wireguard,
    ];

    /// Whether this kernel has it.
    pub(crate) fn is_met(self) -> bool {
        let how: &[&str] = match self {
            Self::Nothing => return true,
            Self::Dummy => &["type", "dummy"],
            Self::Bridge => &["type", "bridge"],
            Self::Bond => &["type", "bond"],
            Self::Vlan => &["link", "v0", "type", "vlan", "id", "5"],
            Self::Macvlan => &["link", "v0", "type", "macvlan"],
            Self::Vxlan => &["type", "vxlan", "id", "5", "dstport", "4789"],
            Self::Wireguard => &["type", "wireguard"],
        };
        let tried = in_netns(move || {
            veth("v0", "v1")?;
            ip(&[&["link", "add", "name", "probe0"], how].concat())
        });
        tried.is_ok()
    }
}

/// One thing to show.
#[derive(Clone, Copy)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) needs: Needs,
    pub(crate) run: fn() -> Outcome,
}

impl Check {
    pub(crate) const fn new(name: &'static str, run: fn() -> Outcome) -> Self {
        Self { name, needs: Needs::Nothing, run }
    }

    pub(crate) const fn with(name: &'static str, needs: Needs, run: fn() -> Outcome) -> Self {
        Self { name, needs, run }
    }

    /// Runs it in a fresh namespace whose loopback is up; the error as text.
    pub(crate) fn run(&self) -> Result<(), String> {
        let run = self.run;
        in_netns(move || {
            ip(&["link", "set", "lo", "up"])?;
            run()
        })
    }
}

/// Runs `f` in a thread that has a network namespace to itself.
pub(crate) fn in_netns(f: impl FnOnce() -> Outcome + Send + 'static) -> Result<(), String> {
    in_new_netns(move || f().map_err(|e| told(e.as_ref())))
        .unwrap_or_else(|e| Err(format!("make a network namespace: {e}")))
}

/// An error with all its causes.
pub(crate) fn told(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        words = format!("{words}: {next}");
        cause = next.source();
    }
    words
}

pub(crate) fn ip(args: &[&str]) -> Outcome {
    let out = Command::new("ip").args(args).output()?;
    ensure!(out.status.success(), "ip {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    Ok(())
}

pub(crate) fn ip_says(args: &[&str]) -> Result<String, Box<dyn Error>> {
    let out = Command::new("ip").args(args).output()?;
    Ok(String::from_utf8(out.stdout)?)
}

/// Many `ip` lines by one process.
pub(crate) fn ip_batch(lines: &[String]) -> Outcome {
    let mut child = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn()?;
    let text = lines.join("\n") + "\n";
    child.stdin.take().ok_or("no pipe")?.write_all(text.as_bytes())?;
    ensure!(child.wait()?.success(), "ip -batch failed");
    Ok(())
}

/// A veth pair, both ends here and up, without addresses of the kernel's own making.
pub(crate) fn veth(name: &str, peer: &str) -> Outcome {
    ip(&["link", "add", name, "type", "veth", "peer", "name", peer])?;
    for end in [name, peer] {
        ip(&["link", "set", end, "addrgenmode", "none", "up"])?;
    }
    Ok(())
}

/// A network namespace where a pod could be, for as long as this lives.
pub(crate) struct Elsewhere(Child);

impl Elsewhere {
    pub(crate) fn new() -> Result<Self, Box<dyn Error>> {
        let there = Self(Command::new("unshare").args(["-n", "sleep", "600"]).spawn()?);
        let here = std::fs::read_link("/proc/thread-self/ns/net")?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::fs::read_link(there.file())? == here {
            ensure!(Instant::now() < deadline, "unshare made no network namespace within 20 s");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(there)
    }

    /// What `ip link set … netns` takes.
    pub(crate) fn id(&self) -> String {
        self.0.id().to_string()
    }

    fn file(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }

    /// Runs `f` in a thread that is there.
    pub(crate) fn enter<T: Send>(&self, f: impl FnOnce() -> T + Send) -> std::io::Result<T> {
        let file = std::fs::File::open(self.file())?;
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                let kind = Some(rustix::thread::LinkNameSpaceType::Network);
                rustix::thread::move_into_link_name_space(file.as_fd(), kind)?;
                Ok(f())
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        // Gone already is gone, too.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn open() -> Result<Links, Box<dyn Error>> {
    Ok(Links::open(Duration::from_secs(20))?)
}

pub(crate) fn addr(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Whether the kernel takes packets to `ip` for this namespace's own. (Binding a socket would show
/// it for IPv4 only: in IPv6 that takes an address, a route isn't enough.)
pub(crate) fn is_local(ip: IpAddr) -> bool {
    ip_says(&["route", "get", &ip.to_string()]).is_ok_and(|says| says.starts_with("local "))
}

/// The source that a connection to `ip` chooses. Nothing is sent.
pub(crate) fn source_towards(ip: IpAddr) -> Result<IpAddr, Box<dyn Error>> {
    let any = if ip.is_ipv4() { addr("0.0.0.0") } else { addr("::") };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((ip, 9))?;
    Ok(socket.local_addr()?.ip())
}

/// A watcher that gives up waiting soon and polls often.
pub(crate) fn watcher(queue: usize) -> Result<Watcher, Box<dyn Error>> {
    let options = Options {
        timeout: Duration::from_secs(20),
        poll_every: Duration::from_millis(200),
        reopen_after: Duration::from_millis(300),
        reopen_at_most: Duration::from_millis(600),
        queue,
    };
    Ok(Watcher::spawn(options)?)
}

/// Waits until the published state is as wanted.
pub(crate) fn wait_for(
    watcher: &Watcher,
    what: &str,
    mut good: impl FnMut(&NodeState) -> bool,
) -> Outcome {
    let state = watcher.state();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !good(&state.borrow()) {
        let now = state.borrow().clone();
        ensure!(
            Instant::now() < deadline,
            "{what}: not within 30 s; feed {:?}, current {}, {:?}",
            now.feed,
            now.current,
            now.counters
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
