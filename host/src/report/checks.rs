//! What is told at health-check ports and which of them can't be opened: between the loop and those who answer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use weir_core::health_checks::HealthCheck;
use weir_core::net::Port;

/// What is to be answered, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The addresses that are listened on, at each port; an unspecified one is all of its family.
    pub addresses: BTreeSet<IpAddr>,
    /// What is told at each port.
    pub checks: BTreeMap<Port, HealthCheck>,
}

impl Wanted {
    /// All addresses of both families.
    #[must_use]
    pub fn everywhere() -> BTreeSet<IpAddr> {
        [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()].into()
    }

    /// Every socket that is to listen.
    #[must_use]
    pub fn sockets(&self) -> BTreeSet<SocketAddr> {
        let on = |port: &Port| {
            let port = port.get();
            self.addresses.iter().map(move |address| SocketAddr::new(*address, port))
        };
        self.checks.keys().flat_map(on).collect()
    }
}

/// What has become of a socket that is to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Socket {
    /// It listens.
    Open,
    /// It can't, for this reason, and is tried again.
    Failed(String),
}

/// What the loop wants told, and what has become of it.
#[derive(Debug, Default)]
pub struct Board {
    wanted: watch::Sender<Wanted>,
    sockets: Mutex<BTreeMap<SocketAddr, Noted>>,
}

#[derive(Debug)]
struct Noted {
    socket: Socket,
    /// It was handed out by [`Board::take_failed`], or is nothing to hand out.
    taken: bool,
}

impl Noted {
    fn failure(&self) -> Option<String> {
        match &self.socket {
            Socket::Open => None,
            Socket::Failed(why) => Some(why.clone()),
        }
    }
}

impl Board {
    /// From now on this is wanted.
    pub fn want(&self, wanted: Wanted) {
        self.wanted.send_if_modified(|now| {
            let differs = *now != wanted;
            *now = wanted;
            differs
        });
    }

    /// What is wanted, and news of it.
    #[must_use]
    pub fn wanted(&self) -> watch::Receiver<Wanted> {
        self.wanted.subscribe()
    }

    /// What is told at a port.
    #[must_use]
    pub fn check(&self, port: u16) -> Option<HealthCheck> {
        self.wanted.borrow().checks.get(&Port::new(port)?).cloned()
    }

    /// A socket is like this now, `None` where it isn't wanted any more; says what it was before.
    pub fn note(&self, at: SocketAddr, now: Option<Socket>) -> Option<Socket> {
        let mut sockets = self.locked();
        let Some(now) = now else { return sockets.remove(&at).map(|it| it.socket) };
        let taken =
            now == Socket::Open || sockets.get(&at).is_some_and(|it| it.taken && it.socket == now);
        sockets.insert(at, Noted { socket: now, taken }).map(|it| it.socket)
    }

    /// How many sockets listen, and how many that should don't.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        let sockets = self.locked();
        let open = sockets.values().filter(|it| it.socket == Socket::Open).count();
        (open, sockets.len() - open)
    }

    /// Why sockets that should listen don't.
    #[must_use]
    pub fn failures(&self) -> Vec<(SocketAddr, String)> {
        let failure = |(at, noted): (&SocketAddr, &Noted)| Some((*at, noted.failure()?));
        self.locked().iter().filter_map(failure).collect()
    }

    /// Those of [`Board::failures`] that are new since this was last asked.
    pub fn take_failed(&self) -> Vec<(SocketAddr, String)> {
        let fresh = |(at, noted): (&SocketAddr, &mut Noted)| {
            let fresh = !std::mem::replace(&mut noted.taken, true);
            Some((*at, noted.failure().filter(|_| fresh)?))
        };
        self.locked().iter_mut().filter_map(fresh).collect()
    }

    /// What is noted, whatever a thread that panicked left of it.
    fn locked(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Noted>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
