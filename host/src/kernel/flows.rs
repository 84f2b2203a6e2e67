//! Flows in connection tracking: those that shall go elsewhere by now end, those that are offloaded
//! are counted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use weir_conntrack::{Conntrack, Error, Filter, Flow, Options, Status, TupleFilter};
use weir_core::kernel::{Outcome, Refusal, RefusalKind};
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

/// Of each service port the endpoints whose flows stay, and whether only translated ones may go.
type Ends<'a> = BTreeMap<VirtualKey, (&'a BTreeSet<SocketAddr>, bool)>;

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
                Operation::EndFlows { key, keep, translated } => Some((*key, (keep, *translated))),
                _ => None,
            })
            .collect();
        let filters: Vec<Filter> = if ends.len() <= FEW {
            ends.keys().map(|key| to(*key)).collect()
        } else {
            let protocols: BTreeSet<u8> = ends.keys().map(|key| key.protocol.number()).collect();
            let of = |protocol| Filter { protocol: Some(protocol), ..Filter::default() };
            protocols.into_iter().map(of).collect()
        };
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
                tracing::warn!(
                    error = chain(&error),
                    "UDP flows to endpoints that are gone can't be ended: they go on until they are idle"
                );
                self.missing = true;
                return Ok(());
            }
            Err(error) => return Err(failed(&error)),
        };
        let ended = conntrack.end_flows(&mut |flow| is_stray(ends, flow), filter);
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

/// Flows to a service port.
fn to(key: VirtualKey) -> Filter {
    let original = TupleFilter {
        dst: Some(key.address),
        dst_port: Some(key.port.get()),
        ..TupleFilter::default()
    };
    Filter { protocol: Some(key.protocol.number()), original, ..Filter::default() }
}

/// Whether a flow to one of these goes to none of the endpoints that keep theirs: to one that is gone,
/// or nowhere, since it began before the service was balanced by nftables.
fn is_stray(ends: &Ends<'_>, flow: &Flow) -> bool {
    // Another zone is another program's: what goes to our addresses there isn't translated there.
    if (flow.zone, flow.reply_zone) != (0, 0) {
        return false;
    }
    let of = service_port(flow).and_then(|key| ends.get(&key));
    let Some((keep, only_translated)) = of else { return false };
    let goes_to = flow.reply.source();
    match flow.status.contains(Status::DST_NAT) {
        true => !goes_to.is_some_and(|to| keep.contains(&to)),
        false => !only_translated,
    }
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
        let ends = Ends::from([(key, (&keep, false))]);
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
            assert_eq!(is_stray(&ends, &flow(to, from, status)), want, "{name}");
        }
        let ours = Ends::from([(key, (&keep, true))]);
        assert!(!is_stray(&ours, &flow("10.96.0.10:53", "10.0.0.2:5353", none)), "IPVS's own");
        assert!(is_stray(&ours, &flow("10.96.0.10:53", "10.0.0.2:5353", dnat)), "from before");
        let elsewhere = Flow { zone: 7, ..flow("10.96.0.10:53", "10.0.0.2:5353", dnat) };
        assert!(!is_stray(&ends, &elsewhere), "of another zone");
        let tcp = Flow { protocol: 6, ..flow("10.96.0.10:53", "10.0.0.2:53", dnat) };
        assert!(!is_stray(&ends, &tcp), "of another protocol");
    }
}
