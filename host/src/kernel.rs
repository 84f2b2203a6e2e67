//! The kernel's side of the door: a plan becomes netlink, a look becomes a state.
//!
//! Netlink words end here. One thread owns everything in this room: its sockets block, and its
//! work is in order. The sockets stay in the network namespace of the thread that opened them.

mod affinity;
pub mod as_found;
mod bridges;
mod connections;
pub mod doctor;
mod elements;
mod fastpath;
mod firewall;
mod flows;
mod followed;
pub mod interfaces;
pub mod load;
mod locals;
pub mod lock;
pub mod modules;
pub mod neighbours;
pub mod probe;
pub mod processors;
mod reverse_path;
mod settle;
mod stages;
pub mod sysctl;
pub mod table;
mod virtuals;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipvs_rs::{Ipvs, ServiceTable, TableKey, TableService, Timeouts};
use weir_core::kernel::{
    Kernel, Observation, ObserveError, Outcome, Ownership, Proof, Refusal, RefusalKind, Server,
    Traffic,
};
use weir_core::plan::{Operation, Plan};
use weir_core::state::{Base, KernelState, Virtual, VirtualKey};
use weir_link::{DEFAULT_TIMEOUT, Links, Sources};
use weir_nft::{Nftables, Socket, TableState};

use flows::Flows;
use followed::Followed;
use locals::Locals;
use stages::{Door, in_stages};
use sysctl::ProcSys;
use table::{Sets, table};
use virtuals::{carried, chain, found, refusal, request, service_key, virtual_key};

pub use locals::{DUMMY, How};

/// The running kernel.
pub struct LinuxKernel {
    nft: Followed<Socket>,
    ipvs: Option<Ipvs>,
    locals: Locals,
    sets: Sets,
    /// The base that the table is held against when it is looked at.
    base: Option<Base>,
    /// How many virtual services, anybody's, the last look found.
    listed: usize,
    ownership: Ownership,
    flows: Flows,
    /// A look of this run has read what is remembered of clients: what an earlier one left is known.
    recalled: bool,
}

/// One read of all of IPVS costs as much as asking so many times fewer services for their servers
/// (`/proc/net/ip_vs` against a dump a service, measured on 6.12).
const READ_ALL: usize = 9;

/// A door that doesn't open.
#[derive(Debug, thiserror::Error)]
#[error("open {door}")]
pub struct NoKernel {
    /// Which door.
    pub door: &'static str,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl LinuxKernel {
    /// Opens nftables, rtnetlink and IPVS in the calling thread's network namespace; the kernel
    /// loads their modules. A kernel without IPVS is no error here: see [`has_ipvs`](Self::has_ipvs).
    ///
    /// # Errors
    /// A socket can't be had, or IPVS is there and doesn't answer.
    pub fn open(how: How) -> Result<Self, NoKernel> {
        let no = |door| move |source| NoKernel { door, source };
        let nft = Socket::open().map_err(|error| no("nftables")(error.into()))?;
        let links = Links::open(DEFAULT_TIMEOUT).map_err(|error| no("rtnetlink")(error.into()))?;
        let locals = Locals::new(links, how).map_err(|error| no("rtnetlink")(error.into()))?;
        let ipvs = match Ipvs::open(ipvs_rs::Options::default()) {
            Ok(ipvs) => Some(ipvs),
            Err(error) if error.is_unavailable() => None,
            Err(error) => return Err(no("IPVS")(error.into())),
        };
        Ok(Self {
            nft: Followed::new(nft),
            ipvs,
            locals,
            sets: Sets::new(),
            base: None,
            listed: 0,
            ownership: Ownership::default(),
            flows: Flows::default(),
            recalled: false,
        })
    }

    /// Whether this kernel has IPVS.
    #[must_use]
    pub fn has_ipvs(&self) -> bool {
        self.ipvs.is_some()
    }

    /// Tries what nftables of this kernel can do; leaves nothing behind but what it says.
    #[must_use]
    pub fn probe(&mut self) -> probe::Found {
        probe::probe(&mut self.nft, &ProcSys::default())
    }

    /// Goes on with virtual services that an earlier run made at addresses of the node's own.
    pub fn resume(&mut self, kept: BTreeSet<VirtualKey>) {
        self.ownership.resume(kept);
    }

    /// Says which base a look at the table is held against.
    pub fn expect(&mut self, base: Base) {
        self.base = Some(base);
    }

    /// Sets the time-outs of IPVS where they differ; a zero leaves the kernel's value. Says what
    /// they were if it wrote.
    ///
    /// # Errors
    /// IPVS refused.
    pub fn set_timeouts(&mut self, want: Timeouts) -> Result<Option<Timeouts>, ipvs_rs::Error> {
        let Some(ipvs) = &mut self.ipvs else { return Ok(None) };
        let is = ipvs.timeouts()?;
        let differs = |want: u32, is: u32| want != 0 && want != is;
        let differ = differs(want.tcp, is.tcp)
            || differs(want.tcp_fin, is.tcp_fin)
            || differs(want.udp, is.udp);
        if differ {
            ipvs.apply_one(&ipvs_rs::Request::SetTimeouts(want))?;
        }
        Ok(differ.then_some(is))
    }

    /// The time-outs of IPVS; `None` without IPVS.
    ///
    /// # Errors
    /// IPVS refused.
    pub fn timeouts(&mut self) -> Result<Option<Timeouts>, ipvs_rs::Error> {
        self.ipvs.as_mut().map(Ipvs::timeouts).transpose()
    }

    /// From now on connections from the node to a service are to come from these addresses: routes
    /// that are written say so, and [`repoint`](Self::repoint) sees to those that are there.
    pub fn set_sources(&mut self, sources: Sources) {
        self.locals.set_sources(sources);
    }

    /// Writes routes again that say another source than they should: after each look, since what was
    /// found may be old, and after a refusal. Says how many it wrote, and what the kernel refused.
    pub fn repoint(&mut self) -> (usize, Vec<weir_link::Error>) {
        self.locals.repoint()
    }

    /// Removes what an earlier run made local in the way that is not configured now.
    pub fn tidy(&mut self) -> Vec<weir_link::Error> {
        self.locals.tidy()
    }

    /// Removes our dummy device, with the addresses on it; says whether there was one.
    ///
    /// # Errors
    /// The kernel refused, or a device of that name isn't a dummy.
    pub fn remove_dummy(&mut self) -> Result<bool, weir_link::Error> {
        self.locals.remove_dummy()
    }

    /// Whether a virtual service is there: one cheap question, for a loss that no event tells of.
    ///
    /// # Errors
    /// IPVS can't be asked.
    pub fn has_virtual(&mut self, key: VirtualKey) -> Result<bool, ipvs_rs::Error> {
        let Some(ipvs) = &mut self.ipvs else { return Ok(false) };
        match ipvs.service(&service_key(key)) {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether weir's table is there, in whatever form.
    ///
    /// # Errors
    /// nftables can't be asked.
    pub fn has_table(&mut self) -> Result<bool, weir_nft::ObserveError> {
        self.nft.has_table(&table())
    }

    /// Whether somebody else may have changed the rule set since our last look at the table.
    ///
    /// # Errors
    /// nftables can't be asked.
    pub fn rule_set_moved(&mut self) -> Result<bool, weir_nft::ObserveError> {
        self.nft.moved()
    }

    /// What every virtual service has carried since it was made, by one dump.
    ///
    /// # Errors
    /// IPVS can't be asked.
    pub fn carried(&mut self) -> Result<BTreeMap<VirtualKey, Traffic>, ipvs_rs::Error> {
        let Some(ipvs) = &mut self.ipvs else { return Ok(BTreeMap::new()) };
        let entries = ipvs.services()?;
        let keyed = entries.iter().filter_map(|it| Some((virtual_key(it.service.key())?, it)));
        Ok(keyed.map(|(key, it)| (key, carried(&it.stats, &[]))).collect())
    }

    fn observe_ipvs(&mut self) -> Result<BTreeMap<VirtualKey, Arc<Virtual>>, ipvs_rs::Error> {
        let Some(ipvs) = &mut self.ipvs else { return Ok(BTreeMap::new()) };
        let entries = ipvs.services()?;
        self.listed = entries.len();
        let listed = ipvs.table()?;
        let by_key = index(&listed);
        let mut all = BTreeMap::new();
        for entry in &entries {
            if let Some(key) = virtual_key(entry.service.key()) {
                all.insert(key, found(entry, by_key.get(&key).copied()).into());
            }
        }
        Ok(all)
    }

    fn find_table(&mut self) -> Result<Option<KernelState>, ObserveError> {
        let read = |error| failed("read table weir", error);
        let mut found = self.nft.observe(&table()).map_err(read)?;
        if let Some(found) = found.as_mut().filter(|_| !self.recalled) {
            affinity::look(&mut self.nft, &self.sets, found).map_err(read)?;
        }
        self.recalled = true;
        Ok(found.map(|found| self.read_table(&found)))
    }

    fn read_table(&self, found: &TableState) -> KernelState {
        // A table that isn't as it should be reads as one without a base: the plan lays it anew.
        let base = self.base.clone().filter(|base| self.sets.is_laid(base, found));
        KernelState { base, ..self.sets.read(found) }
    }

    fn apply_at(&mut self, door: Door, operations: &[Operation]) -> Vec<Outcome> {
        match door {
            Door::Base => operations.iter().map(|operation| self.apply_base(operation)).collect(),
            Door::Elements => elements::apply(&mut self.nft, &self.sets, operations),
            Door::Fastpath => {
                let locals = &mut self.locals;
                let mut present = |of: &_| locals.present(of);
                fastpath::apply(&mut self.nft, &self.sets, &mut present, operations)
            }
            Door::Locals => self.locals.apply(operations),
            Door::Ipvs => self.apply_ipvs(operations),
            Door::Flows => self.flows.apply(operations),
        }
    }

    fn apply_base(&mut self, operation: &Operation) -> Outcome {
        match operation {
            Operation::SetBase(base) => {
                self.base = Some(Base::clone(base));
                elements::lay(&mut self.nft, &self.sets, base)
            }
            _ => elements::remove(&mut self.nft),
        }
    }

    fn apply_ipvs(&mut self, operations: &[Operation]) -> Vec<Outcome> {
        let Some(ipvs) = &mut self.ipvs else {
            let none = Refusal::new(RefusalKind::Unsupported, "this kernel has no IPVS");
            return vec![Err(none); operations.len()];
        };
        let mut outcomes: Vec<Outcome> = vec![Ok(()); operations.len()];
        let mut sent = Vec::new();
        for (index, operation) in operations.iter().enumerate() {
            match request(operation) {
                Some(Ok(request)) => sent.push((index, request)),
                Some(Err(error)) => {
                    outcomes[index] = Err(Refusal::new(RefusalKind::Other, error.to_string()));
                }
                None => {}
            }
        }
        // A new service that exists may be somebody else's and must not be set; anything else may
        // be repeated.
        let (places, requests): (Vec<_>, Vec<_>) = sent.into_iter().unzip();
        let adds = operations.iter().any(|it| matches!(it, Operation::AddVirtual(..)));
        let verdicts = if adds { ipvs.apply(&requests) } else { ipvs.apply_idempotent(&requests) };
        for (index, verdict) in places.into_iter().zip(verdicts) {
            let operation = &operations[index];
            outcomes[index] = verdict.map_err(|error| refusal(operation, &error, &self.ownership));
            self.ownership.note(operation, &outcomes[index]);
        }
        outcomes
    }
}

impl Kernel for LinuxKernel {
    fn observe(&mut self) -> Result<Observation, ObserveError> {
        let found = self.find_table()?;
        let there = found.is_some();
        let mut ours = found.unwrap_or_default();
        ours.locals =
            self.locals.observe().map_err(|error| failed("read local addresses", error))?;
        let all = self.observe_ipvs().map_err(|error| failed("read virtual services", error))?;
        let addresses = self.locals.in_either_way();
        let register = there.then_some(&ours.elements);
        let (virtuals, foreign) =
            self.ownership.sort(all, &Proof { register, addresses: &addresses });
        ours.virtuals = virtuals;
        Ok(Observation { ours, foreign })
    }

    fn observe_table(&mut self) -> Result<KernelState, ObserveError> {
        Ok(self.find_table()?.unwrap_or_default())
    }

    fn apply(&mut self, plan: &Plan) -> Vec<Outcome> {
        in_stages(plan, |door, operations| self.apply_at(door, operations))
    }

    fn connections(
        &mut self,
        of: &BTreeSet<Server>,
    ) -> Result<BTreeMap<Server, u64>, ObserveError> {
        let Some(ipvs) = &mut self.ipvs else { return Ok(BTreeMap::new()) };
        let services: BTreeSet<VirtualKey> = of.iter().map(|(key, _)| *key).collect();
        let few = (self.listed / READ_ALL).max(2);
        let open = if services.len() <= few {
            connections::by_service(ipvs, &services)
        } else {
            connections::of_all(ipvs)
        };
        let open = open.map_err(|error| failed("read connections", error))?;
        Ok(open.into_iter().filter(|(server, _)| of.contains(server)).collect())
    }

    fn translated(&mut self, of: &BTreeSet<Server>) -> Result<BTreeMap<Server, u64>, ObserveError> {
        let open = self.flows.translated(of);
        open.map_err(|error| failed("count connections of servers that left", error))
    }

    fn traffic(&mut self, of: VirtualKey) -> Result<Option<Traffic>, ObserveError> {
        let Some(ipvs) = &mut self.ipvs else { return Ok(None) };
        let key = service_key(of);
        let read = ipvs.service(&key).and_then(|it| Ok((it, ipvs.destinations(&key)?)));
        match read {
            Ok((service, destinations)) => Ok(Some(carried(&service.stats, &destinations))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(failed("read the traffic of a virtual service", error)),
        }
    }

    fn offloaded(
        &mut self,
        of: &BTreeSet<VirtualKey>,
    ) -> Result<BTreeMap<VirtualKey, u64>, ObserveError> {
        self.flows.offloaded(of).map_err(|error| failed("count offloaded flows", error))
    }
}

fn index(listed: &ServiceTable) -> BTreeMap<VirtualKey, &TableService> {
    let keyed = listed.services.iter().filter_map(|service| match &service.key {
        TableKey::Address(key) => Some((virtual_key(key)?, service)),
        TableKey::Fwmark(_) => None,
    });
    keyed.collect()
}

fn failed(doing: &str, error: impl std::error::Error + Send + Sync + 'static) -> ObserveError {
    ObserveError { doing: doing.to_owned(), source: error.into() }
}

/// The connection time-outs of IPVS, as they are configured; a zero leaves the kernel's value.
#[must_use]
pub fn timeouts(ipvs: &crate::config::Ipvs) -> Timeouts {
    let seconds =
        |period: crate::config::Period| u32::try_from(period.get().as_secs()).unwrap_or(u32::MAX);
    Timeouts {
        tcp: seconds(ipvs.tcp_timeout),
        tcp_fin: seconds(ipvs.tcp_fin_timeout),
        udp: seconds(ipvs.udp_timeout),
    }
}

/// An error with all its causes, in one line.
#[must_use]
pub fn words(error: &dyn std::error::Error) -> String {
    chain(error)
}
