//! Dumps that are torn, cut, refused or fall silent, and deletions in batches, against a kernel made
//! of a list.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should stop")]

mod fake;

use std::num::NonZeroUsize;

use fake::{Fake, Faults};
use weir_conntrack::{
    Cause, Conntrack, Deleted, Error, Filter, Flow, FlowKey, Options, Partial, Status, Tuple,
    TupleFilter,
};

const UDP: u8 = 17;

/// A UDP flow of this client port to a service whose endpoint is 10.1.0.`endpoint`.
fn flow(client: u16, endpoint: u8) -> Flow {
    Flow {
        protocol: UDP,
        original: Tuple::new(([10, 0, 0, 1], client).into(), ([10, 96, 0, 1], 53).into()),
        reply: Tuple::new(([10, 1, 0, endpoint], 5353).into(), ([10, 0, 0, 1], client).into()),
        status: Status::CONFIRMED | Status::DST_NAT,
        id: 1000 + u32::from(client),
        zone: 0,
        reply_zone: 0,
        mark: 0,
        timeout: Some(30),
        original_count: None,
        reply_count: None,
    }
}

fn flow6(client: u16) -> Flow {
    let at = |last: u16, port: u16| ([0xfd00, 0, 0, 0, 0, 0, 0, last], port).into();
    Flow {
        original: Tuple::new(at(1, client), at(2, 53)),
        reply: Tuple::new(at(3, 53), at(1, client)),
        ..flow(client, 1)
    }
}

fn icmp() -> Flow {
    let bare = |tuple: Tuple| Tuple { ports: None, ..tuple };
    let of = flow(1, 1);
    Flow { protocol: 1, original: bare(of.original), reply: bare(of.reply), ..of }
}

fn kernel(faults: Faults) -> Fake {
    let flows = vec![flow(1, 1), flow(2, 2), flow6(3), flow(4, 1), icmp(), flow6(5)];
    Fake { flows, faults, ..Fake::default() }
}

fn open(fake: &mut Fake) -> Conntrack<&mut Fake> {
    let batch = NonZeroUsize::new(3).unwrap();
    Conntrack::over(fake, Options { batch, ..Options::default() })
}

fn udp() -> Filter {
    Filter { protocol: Some(UDP), ..Filter::default() }
}

fn keys(flows: &[Flow]) -> Vec<FlowKey> {
    flows.iter().filter_map(Flow::key).collect()
}

fn kinds(verdicts: &[Result<Deleted, Error>]) -> Vec<&'static str> {
    let kind = |verdict: &Result<Deleted, Error>| match verdict {
        Ok(Deleted::Now) => "now",
        Ok(Deleted::AlreadyGone) => "gone",
        Err(error) => error.kind(),
    };
    verdicts.iter().map(kind).collect()
}

#[test]
fn what_the_kernel_sends_too_much_is_left_out() {
    let mut fake = kernel(Faults { stale: true, ..Faults::default() });
    let mut seen = Vec::new();
    let dumped = open(&mut fake).dump(&udp(), |flow| seen.push(*flow)).unwrap();
    assert_eq!((dumped.looked, dumped.matched, dumped.partial), (6, 5, None));
    assert!(dumped.filtered_by_kernel);
    assert_eq!(seen, [flow(1, 1), flow(2, 2), flow(4, 1), flow6(3), flow6(5)]);
    assert_eq!(fake.dumps, [(2, true), (10, true)]);
}

#[test]
fn a_kernel_that_cannot_filter_is_asked_once() {
    for errno in [libc::EINVAL, libc::EOPNOTSUPP] {
        let mut fake = kernel(Faults { filters: Some(errno), ..Faults::default() });
        let mut conntrack = open(&mut fake);
        for _ in 0..2 {
            let dumped = conntrack.dump(&udp(), |_| {}).unwrap();
            assert_eq!((dumped.matched, dumped.filtered_by_kernel), (5, false));
        }
        assert_eq!(fake.dumps, [(2, true), (2, false), (10, false), (2, false), (10, false)]);
    }
}

#[test]
fn other_refusals_are_told_and_not_taken_for_that() {
    let cases = [
        (libc::EBUSY, "refused", 1),
        (libc::EPERM, "not_permitted", 1),
        // all that a kernel without ctnetlink says
        (libc::EINVAL, "unavailable", 2),
    ];
    for (errno, kind, asked) in cases {
        let mut fake = kernel(Faults { all: Some(errno), ..Faults::default() });
        let mut conntrack = open(&mut fake);
        for _ in 0..2 {
            let error = conntrack.dump(&udp(), |_| {}).unwrap_err();
            assert_eq!((error.kind(), error.is_unavailable()), (kind, errno == libc::EINVAL));
        }
        assert_eq!(fake.sent.len(), 2 * asked, "{kind}: the filter is tried each time");
    }
}

#[test]
fn a_partial_dump_is_known_to_be_one() {
    let cases = [
        ("interrupted", Faults { interrupted: true, ..Faults::default() }, 6),
        ("overrun", Faults { overrun: Some(1), ..Faults::default() }, 4),
        ("cut", Faults { cut: Some(1), ..Faults::default() }, 4),
        ("unreadable", Faults { unreadable: Some(0), ..Faults::default() }, 6),
    ];
    for (name, faults, matched) in cases {
        let mut fake = kernel(faults);
        let mut conntrack = open(&mut fake);
        let dumped = conntrack.dump(&Filter::default(), |_| {}).unwrap();
        let told = match dumped.partial {
            Some(Partial::Interrupted) => "interrupted",
            Some(Partial::Overrun) => "overrun",
            Some(Partial::Truncated) => "cut",
            Some(Partial::Unreadable(_)) => "unreadable",
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!((told, dumped.matched), (name, matched));
        fake.faults = Faults::default();
        let dumped = open(&mut fake).dump(&Filter::default(), |_| {}).unwrap();
        assert_eq!((dumped.matched, dumped.partial), (6, None), "after {name}");
    }
}

#[test]
fn a_dump_that_ends_in_an_error_or_not_at_all_is_one() {
    let mut fake = kernel(Faults { ends: libc::ENOMEM, ..Faults::default() });
    let error = open(&mut fake).dump(&Filter::default(), |_| {}).unwrap_err();
    assert!(matches!(error.cause(), Cause::Refused { errno: libc::ENOMEM, .. }));

    let mut fake = kernel(Faults { silence: Some(0), ..Faults::default() });
    let mut conntrack = open(&mut fake);
    let mut seen = 0;
    let error = conntrack.dump(&Filter::default(), |_| seen += 1).unwrap_err();
    assert_eq!((error.kind(), seen), ("timeout", 2));
    assert_eq!(conntrack.dump(&Filter::default(), |_| {}).unwrap().matched, 6);

    let mut fake = kernel(Faults { unsendable: Some(0), ..Faults::default() });
    let error = open(&mut fake).dump(&Filter::default(), |_| {}).unwrap_err();
    assert_eq!(error.kind(), "not_sent");
}

#[test]
fn a_dump_has_its_time_and_what_is_left_of_it_is_read_away() {
    let mut fake = kernel(Faults::default());
    let short = Options { dump_timeout: std::time::Duration::ZERO, ..Options::default() };
    let mut seen = 0;
    let error = Conntrack::over(&mut fake, short).dump(&Filter::default(), |_| seen += 1);
    assert_eq!((error.unwrap_err().kind(), seen), ("timeout", 2));

    let mut fake = kernel(Faults { overrun: Some(0), ..Faults::default() });
    let mut conntrack = open(&mut fake);
    // the loss of the only datagram of verdicts breaks the batch off
    assert_eq!(kinds(&conntrack.delete(&keys(&[flow(9, 9)]))), ["overrun"]);
    assert_eq!(conntrack.dump(&Filter::default(), |_| {}).unwrap().matched, 6);
    assert_eq!(fake.unread_at_send, 0);
}

#[test]
fn each_deletion_has_its_verdict() {
    let mut fake = kernel(Faults { stale: true, ..Faults::default() });
    let other_id = Flow { id: 7, ..flow(2, 2) };
    let other_endpoint = Flow { id: flow(2, 2).id, ..flow(2, 3) };
    let other_zone = Flow { zone: 7, reply_zone: 7, ..flow(2, 2) };
    let flows = [
        flow(1, 1),
        flow(9, 1),
        flow6(3),
        flow(1, 1),
        other_id,
        other_zone,
        other_endpoint,
        flow(4, 1),
    ];
    let verdicts = open(&mut fake).delete(&keys(&flows));
    assert_eq!(kinds(&verdicts), ["now", "gone", "now", "gone", "gone", "gone", "gone", "now"]);
    assert_eq!(fake.flows, [flow(2, 2), icmp(), flow6(5)]);
    assert_eq!(fake.sent.len(), 3, "in batches of three");
    assert_eq!(open(&mut fake).delete(&[]), []);
    assert_eq!(fake.sent.len(), 3);
}

#[test]
fn refusals_and_failures_of_the_socket_are_told_of_each() {
    let four = keys(&[flow(1, 1), flow(2, 2), flow(4, 1), flow6(3)]);
    let cases = [
        ("refused", Faults { deletions: Some(libc::EBUSY), ..Faults::default() }, ["refused"; 4]),
        // one answer for the whole datagram, and no acknowledgement after it
        ("no rights", Faults { all: Some(libc::EPERM), ..Faults::default() }, ["not_permitted"; 4]),
        (
            "overrun",
            Faults { overrun: Some(0), ..Faults::default() },
            ["overrun", "overrun", "overrun", "not_sent"],
        ),
        ("unsendable", Faults { unsendable: Some(0), ..Faults::default() }, ["not_sent"; 4]),
        (
            "cut",
            Faults { cut: Some(0), ..Faults::default() },
            ["truncated", "truncated", "truncated", "not_sent"],
        ),
    ];
    for (name, faults, want) in cases {
        let mut fake = kernel(faults);
        let verdicts = open(&mut fake).delete(&four);
        assert_eq!(kinds(&verdicts), want, "{name}");
        let unknown = verdicts[0].as_ref().is_err_and(Error::is_outcome_unknown);
        assert_eq!(unknown, ["overrun", "cut"].contains(&name), "{name}");
    }
    let mut fake = kernel(Faults { deletions: Some(libc::EBUSY), ..Faults::default() });
    let error = open(&mut fake).delete(&four[..1]).remove(0).unwrap_err();
    let words =
        "cannot delete conntrack flow udp with replies 10.1.0.1:5353 -> 10.0.0.1:1, id 1001";
    assert_eq!(error.to_string(), words);
}

#[test]
fn flows_of_an_endpoint_that_is_gone_are_ended() {
    let mut fake = kernel(Faults { interrupted: true, ..Faults::default() });
    let gone = Some(([10, 1, 0, 1], 5353).into());
    let mut asked = 0;
    let mut which = |flow: &Flow| {
        asked += 1;
        flow.reply.source() == gone
    };
    let any = Filter::default();
    let ended = open(&mut fake).end_flows(&mut which, &any).unwrap();
    assert_eq!((ended.looked, ended.deleted, ended.already_gone, ended.failed), (5, 2, 0, 0));
    assert_eq!((ended.partial, ended.is_complete()), (Some(Partial::Interrupted), false));
    assert_eq!(asked, 5, "what has no ports isn't shown");
    assert_eq!(fake.flows, [flow(2, 2), flow6(3), icmp(), flow6(5)]);

    let mut fake = kernel(Faults { deletions: Some(libc::EBUSY), ..Faults::default() });
    let reply = TupleFilter { src: gone.map(|it| it.ip()), ..TupleFilter::default() };
    let filter = Filter { reply, ..udp() };
    let ended = open(&mut fake).end_flows(&mut |_| true, &filter).unwrap();
    assert_eq!((ended.looked, ended.failed, ended.is_complete()), (2, 2, false));
    assert_eq!(ended.failure.unwrap().kind(), "refused");

    let mut fake = kernel(Faults { all: Some(libc::EPERM), ..Faults::default() });
    assert!(open(&mut fake).end_flows(&mut |_| true, &any).is_err());
}
