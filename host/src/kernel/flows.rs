//! Flows in connection tracking: those that shall go elsewhere by now end, those that are offloaded
//! are counted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use weir_conntrack::{Conntrack, Error, Filter, Flow, Options, Status, TupleFilter};
use weir_core::kernel::{Outcome, Refusal, RefusalKind, Server};
use weir_core::net::{Port, Protocol};
use weir_core::plan::Operation;
use weir_core::state::VirtualKey;

use super::virtuals::chain;

/// For so few service ports the kernel is asked about each; for more, one look at all flows.
const FEW: usize = 4;

/// Connection tracking, opened when it is first needed.
#[derive(Default)]
pub(super) struct Flows {
    conntrack: Option<Conntrack>,
    /// This kernel has no ctnetlink: said once.
    missing: bool,
}

/// Which flows of a service port end.
#[derive(Clone, Copy)]
enum Which<'a> {
    /// Those that go elsewhere than to these endpoints; translated ones alone, or all.
    But(&'a BTreeSet<SocketAddr>, bool),
    /// Those that were translated to these endpoints.
    To(&'a BTreeSet<SocketAddr>),
}

type Ends<'a> = BTreeMap<VirtualKey, Which<'a>>;

impl Flows {
    fn conntrack(&mut self) -> Result<&mut Conntrack, Error> {
        match &mut self.conntrack {
            Some(open) => Ok(open),
            closed => Ok(closed.insert(Conntrack::open(Options::default())?)),
        }
    }

    /// Ends flows. Those that could not be looked at all are looked for again: the operation is
    /// refused, and tried again.
    pub(super) fn apply(&mut self, operations: &[Operation]) -> Vec<Outcome> {
        let ends: Ends<'_> = operations
            .iter()
            .filter_map(|operation| match operation {
                Operation::EndFlows { key, keep, translated } => {
                    Some((*key, Which::But(keep, *translated)))
                }
                Operation::EndConnections { key, to } => Some((*key, Which::To(to))),
                _ => None,
            })
            .collect();
        let filters = filters(ends.keys().copied().collect());
        let outcome = filters.iter().try_for_each(|filter| self.end(&ends, filter));
        vec![outcome; operations.len()]
    }

    fn end(&mut self, ends: &Ends<'_>, filter: &Filter) -> Outcome {
        let failed = |error: &Error| Refusal::new(RefusalKind::Other, chain(error));
        if self.missing {
            return Ok(());
        }
        let conntrack = match self.conntrack() {
            Ok(conntrack) => conntrack,
            Err(error) if error.is_unavailable() => {
                self.lacks(&error);
                return Ok(());
            }
            Err(error) => return Err(failed(&error)),
        };
        let ended = conntrack.end_flows(&mut |flow| ends_with(ends, flow), filter);
        let ended = ended.map_err(|error| failed(&error))?;
        if ended.is_complete() {
            return Ok(());
        }
        let text = match (&ended.failure, &ended.partial) {
            (Some(error), _) => format!("{} flows are left: {}", ended.failed, chain(error)),
            (None, Some(why)) => format!("some flows could not be looked at: {why}"),
            (None, None) => format!("{} flows are left", ended.failed),
        };
        Err(Refusal::new(RefusalKind::Other, text))
    }

    fn lacks(&mut self, error: &Error) {
        tracing::warn!(
            error = chain(error),
            "flows to endpoints that are gone can't be ended: they go on until they are idle"
        );
        self.missing = true;
    }

    /// How many connections of each of these servers were translated to it. Where some could not be
    /// looked at, every server has one at least: none is taken for idle that may be not.
    pub(super) fn translated(
        &mut self,
        of: &BTreeSet<Server>,
    ) -> Result<BTreeMap<Server, u64>, Error> {
        let mut counts = BTreeMap::new();
        if self.missing {
            return Ok(counts);
        }
        for filter in filters(of.iter().map(|(key, _)| *key).collect()) {
            let filter = Filter { with_status: Status::DST_NAT, ..filter };
            let count = |flow: &Flow| {
                if let Some(server) = translated_to(flow).filter(|it| of.contains(it)) {
                    *counts.entry(server).or_default() += 1;
                }
            };
            let dumped = match self.conntrack().and_then(|it| it.dump(&filter, count)) {
                Ok(dumped) => dumped,
                Err(error) if error.is_unavailable() => {
                    self.lacks(&error);
                    return Ok(BTreeMap::new());
                }
                Err(error) => return Err(error),
            };
            if dumped.partial.is_some() {
                for server in of {
                    counts.entry(*server).or_insert(1);
                }
            }
        }
        Ok(counts)
    }

    /// How many flows of each of these service ports are in the flowtable.
    pub(super) fn offloaded(
        &mut self,
        of: &BTreeSet<VirtualKey>,
    ) -> Result<BTreeMap<VirtualKey, u64>, Error> {
        let mut counts = BTreeMap::new();
        let filter = Filter { with_status: Status::OFFLOAD, ..Filter::default() };
        let dumped = self.conntrack()?.dump(&filter, |flow| {
            if let Some(key) = service_port(flow).filter(|key| of.contains(key)) {
                *counts.entry(key).or_default() += 1;
            }
        })?;
        // A count that missed some is the best there is: the table changes while it is looked at.
        let _ = dumped;
        Ok(counts)
    }
}

/// Together they have all flows to these service ports.
fn filters(of: BTreeSet<VirtualKey>) -> Vec<Filter> {
    if of.len() <= FEW {
        return of.into_iter().map(to).collect();
    }
    let protocols: BTreeSet<u8> = of.iter().map(|key| key.protocol.number()).collect();
    let of = |protocol| Filter { protocol: Some(protocol), ..Filter::default() };
    protocols.into_iter().map(of).collect()
}

/// Flows to a service port.
fn to(key: VirtualKey) -> Filter {
    let original = TupleFilter {
        dst: Some(key.address),
        dst_port: Some(key.port.get()),
        ..TupleFilter::default()
    };
    Filter { protocol: Some(key.protocol.number()), original, ..Filter::default() }
}

/// Whether a flow is to end. One that nobody translated began before the service was balanced by
/// nftables, or is IPVS's.
fn ends_with(ends: &Ends<'_>, flow: &Flow) -> bool {
    let of = service_port(flow).and_then(|key| ends.get(&key));
    // Another zone is another program's: what goes to our addresses there isn't translated there.
    let Some(which) = of.filter(|_| is_ours(flow)) else { return false };
    let goes_to = translated_to(flow).map(|(_, to)| to);
    match (*which, goes_to) {
        (Which::But(keep, _), Some(to)) => !keep.contains(&to),
        (Which::But(_, only_translated), None) => !only_translated,
        (Which::To(servers), goes_to) => goes_to.is_some_and(|to| servers.contains(&to)),
    }
}

fn is_ours(flow: &Flow) -> bool {
    (flow.zone, flow.reply_zone) == (0, 0)
}

/// The service port and the server of a flow that was translated.
fn translated_to(flow: &Flow) -> Option<Server> {
    let translated = is_ours(flow) && flow.status.contains(Status::DST_NAT);
    translated.then(|| Some((service_port(flow)?, flow.reply.source()?))).flatten()
}

fn service_port(flow: &Flow) -> Option<VirtualKey> {
    let to = flow.original.destination()?;
    Some(VirtualKey {
        address: to.ip(),
        protocol: Protocol::from_number(flow.protocol)?,
        port: Port::new(to.port())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_conntrack::Tuple;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn flow(to: &str, from: &str, status: Status) -> Flow {
        let client = at("10.0.9.9:1234");
        Flow {
            protocol: 17,
            original: Tuple::new(client, at(to)),
            reply: Tuple::new(at(from), client),
            status,
            id: 1,
            zone: 0,
            reply_zone: 0,
            mark: 0,
            timeout: None,
            original_count: None,
            reply_count: None,
        }
    }

    #[test]
    fn what_goes_to_none_of_the_endpoints_is_stray() {
        let key = VirtualKey {
            address: [10, 96, 0, 10].into(),
            protocol: Protocol::Udp,
            port: Port::new(53).unwrap(),
        };
        let keep = BTreeSet::from([at("10.0.0.1:5353")]);
        let ends = Ends::from([(key, Which::But(&keep, false))]);
        let (dnat, none) = (Status::DST_NAT, Status::default());
        let cases = [
            ("an endpoint", "10.96.0.10:53", "10.0.0.1:5353", dnat, false),
            ("one that is gone", "10.96.0.10:53", "10.0.0.2:5353", dnat, true),
            ("another port of it", "10.96.0.10:53", "10.0.0.1:53", dnat, true),
            ("to the address itself", "10.96.0.10:53", "10.96.0.10:53", none, true),
            ("by IPVS", "10.96.0.10:53", "10.0.0.1:5353", none, true),
            ("another service", "10.96.0.11:53", "10.0.0.2:5353", dnat, false),
            ("another port", "10.96.0.10:54", "10.0.0.2:5353", dnat, false),
        ];
        for (name, to, from, status, want) in cases {
            assert_eq!(ends_with(&ends, &flow(to, from, status)), want, "{name}");
        }
        let ours = Ends::from([(key, Which::But(&keep, true))]);
        assert!(!ends_with(&ours, &flow("10.96.0.10:53", "10.0.0.2:5353", none)), "IPVS's own");
        assert!(ends_with(&ours, &flow("10.96.0.10:53", "10.0.0.2:5353", dnat)), "from before");
        let elsewhere = Flow { zone: 7, ..flow("10.96.0.10:53", "10.0.0.2:5353", dnat) };
        assert!(!ends_with(&ends, &elsewhere), "of another zone");
        let tcp = Flow { protocol: 6, ..flow("10.96.0.10:53", "10.0.0.2:53", dnat) };
        assert!(!ends_with(&ends, &tcp), "of another protocol");
    }

    #[test]
    fn connections_end_that_were_translated_to_a_server_that_left() {
        let key = VirtualKey {
            address: [10, 96, 0, 10].into(),
            protocol: Protocol::Tcp,
            port: Port::new(80).unwrap(),
        };
        let gone = BTreeSet::from([at("10.0.0.1:8080")]);
        let ends = Ends::from([(key, Which::To(&gone))]);
        let tcp = |to, from, status| Flow { protocol: 6, ..flow(to, from, status) };
        let (dnat, none) = (Status::DST_NAT, Status::default());
        let cases = [
            ("to it", "10.96.0.10:80", "10.0.0.1:8080", dnat, true),
            ("to another", "10.96.0.10:80", "10.0.0.2:8080", dnat, false),
            ("to another port of it", "10.96.0.10:80", "10.0.0.1:80", dnat, false),
            ("by another service", "10.96.0.11:80", "10.0.0.1:8080", dnat, false),
            ("by another port", "10.96.0.10:81", "10.0.0.1:8080", dnat, false),
            ("by IPVS", "10.96.0.10:80", "10.0.0.1:8080", none, false),
            ("to itself, without a service", "10.0.0.1:8080", "10.0.0.1:8080", none, false),
            ("of the node to its own address", "10.96.0.10:80", "10.96.0.10:80", none, false),
        ];
        for (name, to, from, status, want) in cases {
            assert_eq!(ends_with(&ends, &tcp(to, from, status)), want, "{name}");
            let elsewhere = Flow { zone: 7, ..tcp(to, from, status) };
            assert!(!ends_with(&ends, &elsewhere), "{name}, of another zone");
        }
        assert!(!ends_with(&ends, &flow("10.96.0.10:80", "10.0.0.1:8080", dnat)), "of UDP");
    }
}
