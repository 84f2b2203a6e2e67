//! Making service addresses local, by a route each or by an address on our dummy device.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use weir_core::kernel::{Outcome, Refusal, RefusalKind};
use weir_core::plan::Operation;
use weir_core::state::Devices;
use weir_link::{Change, Error, Link, LinkIndex, LinkName, Links, Op, Sources, Vip, VipRoute};

use super::virtuals::chain;

/// The dummy device's name.
pub const DUMMY: &str = weir_core::node_ports::OWN_DUMMY;

/// How addresses are made local.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// By a `local` route each, on loopback.
    Route,
    /// By an address each, on the dummy device.
    Address,
}

/// The local addresses, as they are kept.
pub(super) struct Locals {
    links: Links,
    how: How,
    dummy: LinkName,
    /// The dummy, where there is one: a device of its name that isn't a dummy has nothing of ours.
    index: Option<LinkIndex>,
    /// Addresses on the dummy when it was last looked at.
    bound: BTreeSet<IpAddr>,
    /// `None` before the node's addresses are known: routes keep what they say until then.
    sources: Option<Sources>,
    /// Our routes as they were written: the kernel takes a stale IPv6 source off without a word.
    routes: BTreeMap<Vip, VipRoute>,
    /// Some route may say another source than it should.
    stale: bool,
}

impl Locals {
    pub(super) fn new(links: Links, how: How) -> Result<Self, weir_link::BadLinkName> {
        let dummy = LinkName::new(DUMMY)?;
        Ok(Self {
            links,
            how,
            dummy,
            index: None,
            bound: BTreeSet::new(),
            sources: None,
            routes: BTreeMap::new(),
            stale: false,
        })
    }

    /// The addresses that are local by our doing, in the way that is configured.
    pub(super) fn observe(&mut self) -> Result<BTreeSet<IpAddr>, Error> {
        let routes = self.links.dump_vip_routes()?;
        self.routes = routes.into_iter().map(|route| (route.vip, route)).collect();
        self.stale = true;
        self.look_at_dummy()?;
        Ok(match self.how {
            How::Route => self.routed().collect(),
            How::Address => self.bound.clone(),
        })
    }

    /// The addresses that were local by our doing at the last look, in whatever way.
    pub(super) fn in_either_way(&self) -> BTreeSet<IpAddr> {
        self.routed().chain(self.bound.iter().copied()).collect()
    }

    fn routed(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.routes.keys().map(|vip| vip.ip())
    }

    fn look_at_dummy(&mut self) -> Result<(), Error> {
        let link = self.links.link(&self.dummy)?.filter(Link::is_dummy);
        self.index = link.map(|link| link.index);
        self.bound = match self.index.map(|index| self.links.dump_addresses_on(index)) {
            Some(Ok(all)) => all.iter().map(|it| it.ip).filter(|ip| !is_link_local(*ip)).collect(),
            Some(Err(error)) if !error.is_not_found() => return Err(error),
            // It went between the two questions.
            Some(Err(_)) | None => BTreeSet::new(),
        };
        Ok(())
    }

    /// Runs the operations about local addresses, in few sends.
    pub(super) fn apply(&mut self, operations: &[Operation]) -> Vec<Outcome> {
        if self.how == How::Address
            && operations.iter().any(|it| matches!(it, Operation::AddLocal(_)))
        {
            match self.links.ensure_dummy(&self.dummy) {
                Ok((index, _)) => self.index = Some(index),
                Err(error) => return vec![Err(refusal(&error)); operations.len()],
            }
        }
        let ops: Vec<Result<Option<Op>, Refusal>> =
            operations.iter().map(|it| self.op(it)).collect();
        let sent: Vec<Op> =
            ops.iter().filter_map(|op| op.as_ref().ok().copied().flatten()).collect();
        let mut verdicts = self.links.apply(&sent).into_iter();
        let outcomes = ops.into_iter().map(|op| match op? {
            None => Ok(()),
            Some(op) => match verdicts.next() {
                Some(Ok(_)) => {
                    self.remember(&op);
                    Ok(())
                }
                Some(Err(error)) => Err(refusal(&error)),
                None => Err(Refusal::new(RefusalKind::Unknown, "no verdict")),
            },
        });
        outcomes.collect()
    }

    fn op(&self, operation: &Operation) -> Result<Option<Op>, Refusal> {
        let vip = |address: &IpAddr| {
            Vip::new(*address).map_err(|error| Refusal::new(RefusalKind::Other, error.to_string()))
        };
        Ok(match (operation, self.how, self.index) {
            (Operation::AddLocal(address), How::Route, _) => {
                let vip = vip(address)?;
                Some(Op::PutRoute(VipRoute {
                    src: self.sources.and_then(|sources| sources.of(vip.family())),
                    ..VipRoute::new(vip)
                }))
            }
            (Operation::RemoveLocal(address), How::Route, _) => {
                Some(Op::RemoveRoute(vip(address)?))
            }
            (Operation::AddLocal(address), How::Address, Some(link)) => {
                Some(Op::Bind(vip(address)?, link))
            }
            (Operation::RemoveLocal(address), How::Address, Some(link)) => {
                Some(Op::Unbind(vip(address)?, link))
            }
            // Without the device its addresses are gone too.
            _ => None,
        })
    }

    fn remember(&mut self, op: &Op) {
        match op {
            Op::PutRoute(route) => drop(self.routes.insert(route.vip, *route)),
            Op::RemoveRoute(vip) => drop(self.routes.remove(vip)),
            Op::Bind(..) | Op::Unbind(..) => {}
        }
    }

    /// Connections from the node to a service are to come from these addresses.
    pub(super) fn set_sources(&mut self, sources: Sources) {
        self.stale |= self.sources != Some(sources);
        self.sources = Some(sources);
    }

    /// Writes routes again that say another source than they should. Says how many, and what the
    /// kernel refused; that is tried again at the next call.
    pub(super) fn repoint(&mut self) -> (usize, Vec<Error>) {
        let (Some(sources), How::Route, true) = (self.sources, self.how, self.stale) else {
            return (0, Vec::new());
        };
        let routes: Vec<VipRoute> = self.routes.values().copied().collect();
        let ops = sources.repoint(&routes);
        let verdicts = self.links.apply(&ops);
        let mut errors = Vec::new();
        for (op, verdict) in ops.iter().zip(verdicts) {
            match verdict {
                Ok(_) => self.remember(op),
                Err(error) => errors.push(error),
            }
        }
        self.stale = !errors.is_empty();
        (ops.len() - errors.len(), errors)
    }

    /// Which of these devices there are; all of them where that can't be told.
    pub(super) fn present(&mut self, of: &Devices) -> Devices {
        match self.links.dump_links() {
            Ok(links) => {
                let names = links.into_iter().filter_map(|link| link.name.parse().ok());
                names.filter(|name| of.contains(name)).collect()
            }
            Err(_) => of.clone(),
        }
    }

    /// Removes what an earlier run made local in the other way.
    pub(super) fn tidy(&mut self) -> Vec<Error> {
        match self.how {
            How::Route => self.remove_dummy().err().into_iter().collect(),
            How::Address => {
                let ops: Vec<Op> = self.routes.keys().map(|vip| Op::RemoveRoute(*vip)).collect();
                let verdicts: Vec<Result<Change, Error>> = self.links.apply(&ops);
                self.routes.clear();
                verdicts.into_iter().filter_map(Result::err).collect()
            }
        }
    }

    /// Removes the dummy device; says whether there was one.
    pub(super) fn remove_dummy(&mut self) -> Result<bool, Error> {
        let change = self.links.remove_dummy(&self.dummy)?;
        self.index = None;
        Ok(change == Change::Made)
    }
}

/// The kernel gives a device that is up an address of its own.
fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

fn refusal(error: &Error) -> Refusal {
    let kind = if error.is_not_found() {
        RefusalKind::NotFound
    } else if error.is_exists() {
        RefusalKind::Exists
    } else if error.errno().is_some() {
        RefusalKind::Other
    } else {
        RefusalKind::Unknown
    };
    Refusal::new(kind, chain(error))
}
