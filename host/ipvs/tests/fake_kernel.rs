//! Batches, acknowledgements, lost and cut answers and torn dumps, against a kernel made of a map.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should stop")]

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::num::NonZeroUsize;

use ipvs_rs::netlink::{Attributes, Messages, Transport, Wait, Writer};
use ipvs_rs::{
    Cause, Destination, DestinationEntry, DestinationKey, Error, Forward, Ipvs, Options, Request,
    Scheduler, Service, ServiceEntry, ServiceKey,
};

const FAMILY: u16 = 30;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const ACK: u16 = 4;
const DUMP: u16 = 0x300;

/// What goes wrong, and when.
#[derive(Debug, Default)]
struct Faults {
    /// The answer to the n-th datagram from now is lost to an overrun.
    overrun: Option<usize>,
    /// The answers to the n-th datagram from now never come.
    silence: Option<usize>,
    /// The n-th datagram from now can't be sent.
    unsendable: Option<usize>,
    /// The n-th datagram from now is received in part.
    cut: Option<usize>,
    /// This many dumps leave out their first object.
    torn: usize,
    /// This many dumps are marked as interrupted.
    interrupted: usize,
    /// A stale answer precedes each answer.
    stale: bool,
}

#[derive(Debug, Default)]
struct Kernel {
    services: BTreeMap<ServiceKey, (Service, BTreeMap<DestinationKey, Destination>)>,
    absent: bool,
    faults: Faults,
    answers: VecDeque<io::Result<Vec<u8>>>,
    sends: Vec<usize>,
    /// Answers that the client had not read when it sent again.
    unread_at_send: usize,
    dumps: usize,
}

impl Transport for &mut Kernel {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        if due(&mut self.faults.unsendable) {
            return Err(io::Error::from_raw_os_error(libc::ENOMEM));
        }
        self.unread_at_send += self.answers.len();
        self.sends.push(Messages::new(datagram).count());
        let silent = due(&mut self.faults.silence);
        let overrun = due(&mut self.faults.overrun);
        let mut answers = Vec::new();
        for message in Messages::new(datagram) {
            answers.extend(self.handle(&message.unwrap()));
        }
        if silent {
            answers.clear();
        }
        if overrun {
            // the first refusal is queued, the rest is lost
            answers.truncate(1);
            self.answers.push_back(Err(io::Error::from_raw_os_error(libc::ENOBUFS)));
        }
        if self.faults.stale {
            self.answers.push_back(Ok(refusal(0xffff_0000, libc::EIO)));
        }
        self.answers.extend(answers.into_iter().map(Ok));
        Ok(())
    }

    fn receive(&mut self, buffer: &mut Vec<u8>, _: Wait) -> io::Result<usize> {
        buffer.clear();
        let answer =
            self.answers.pop_front().unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))?;
        buffer.extend_from_slice(&answer);
        Ok(answer.len() + usize::from(due(&mut self.faults.cut)))
    }

    fn receive_buffer(&self) -> io::Result<usize> {
        Ok(8 << 20)
    }
}

fn due(counter: &mut Option<usize>) -> bool {
    let now = *counter == Some(0);
    *counter = counter.and_then(|left| left.checked_sub(1));
    now
}

fn refusal(sequence: u32, errno: i32) -> Vec<u8> {
    let mut writer = Writer::default();
    // four bytes of error and an echoed header, written as attributes would be
    let error = (-errno).to_ne_bytes();
    writer.message(ERROR, 0x100, sequence, |writer| {
        let kind = u16::from_ne_bytes([error[2], error[3]]);
        writer.bytes(kind, &[0; 16]);
    });
    let mut bytes = writer.as_bytes().to_vec();
    bytes[16..20].copy_from_slice(&error);
    bytes
}

fn object(sequence: u32, flags: u16, command: u8, fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.generic((FAMILY, flags, sequence), command, 1, fill);
    writer.as_bytes().to_vec()
}

impl Kernel {
    fn handle(&mut self, message: &ipvs_rs::netlink::Message<'_>) -> Vec<Vec<u8>> {
        let (sequence, command) = (message.sequence, message.payload[0]);
        if message.kind == 0x10 {
            let family = |writer: &mut Writer| writer.u16(1, FAMILY);
            return vec![if self.absent {
                refusal(sequence, libc::ENOENT)
            } else {
                object(sequence, 0, 1, family)
            }];
        }
        if message.flags & DUMP != 0 {
            return self.dump(sequence, command, message.attributes().unwrap());
        }
        if command == 4 {
            let key = key(message.attributes().unwrap());
            return vec![match self.services.get(&key) {
                Some((service, _)) => object(sequence, 0, 1, |writer| service.encode(writer)),
                None => refusal(sequence, libc::ESRCH),
            }];
        }
        match self.change(command, message.attributes().unwrap()) {
            0 if message.flags & ACK == 0 => vec![],
            errno => vec![refusal(sequence, errno)],
        }
    }

    fn dump(&mut self, sequence: u32, command: u8, attributes: Attributes<'_>) -> Vec<Vec<u8>> {
        self.dumps += 1;
        let interrupted = self
            .faults
            .interrupted
            .checked_sub(1)
            .map(|left| self.faults.interrupted = left)
            .is_some();
        let flags = if interrupted { 0x10 } else { 0 };
        let mut objects: Vec<_> = match command {
            4 => self
                .services
                .values()
                .map(|(it, _)| object(sequence, flags, 1, |writer| it.encode(writer)))
                .collect(),
            _ => match self.services.get(&key(attributes)) {
                Some((_, all)) => all
                    .values()
                    .map(|it| object(sequence, flags, 5, |writer| it.encode(writer)))
                    .collect(),
                None => vec![],
            },
        };
        if self.faults.torn > 0 && !objects.is_empty() {
            objects.remove(self.faults.torn % objects.len());
            self.faults.torn -= 1;
        }
        let mut done = Writer::default();
        done.message(DONE, 2, sequence, |writer| writer.bytes(0, &[]));
        let mut done = done.as_bytes().to_vec();
        done[16..20].fill(0);
        // two objects a datagram, so that a dump takes several
        let mut datagrams: Vec<Vec<u8>> = objects.chunks(2).map(<[_]>::concat).collect();
        datagrams.push(done);
        datagrams
    }

    fn change(&mut self, command: u8, attributes: Attributes<'_>) -> i32 {
        if command == 17 {
            self.services.clear();
            return 0;
        }
        let key = key(attributes.clone());
        let there = self.services.contains_key(&key);
        match command {
            1 if there => libc::EEXIST,
            2 | 3 | 5 | 6 | 7 | 16 if !there => libc::ESRCH,
            1 | 2 => {
                let service = ServiceEntry::decode(attributes).unwrap().service;
                if service.scheduler().name() == "nosuch" {
                    return libc::ENOENT;
                }
                let destinations = self.services.remove(&key).map(|(_, destinations)| destinations);
                self.services.insert(key, (service, destinations.unwrap_or_default()));
                0
            }
            3 => self.services.remove(&key).map_or(libc::ESRCH, |_| 0),
            16 => 0,
            _ => change_destination(
                &mut self.services.get_mut(&key).unwrap().1,
                command,
                attributes,
                key,
            ),
        }
    }
}

fn change_destination(
    all: &mut BTreeMap<DestinationKey, Destination>,
    command: u8,
    attributes: Attributes<'_>,
    key: ServiceKey,
) -> i32 {
    if command == 7 {
        let at = destination_key(attributes);
        return all.remove(&at).map_or(libc::ENOENT, |_| 0);
    }
    let destination = DestinationEntry::decode(attributes, key.family()).unwrap().destination;
    match (command, all.contains_key(&destination.key)) {
        (5, true) => libc::EEXIST,
        (6, false) => libc::ENOENT,
        _ => {
            all.insert(destination.key, destination);
            0
        }
    }
}

/// A key-only nest, made whole with defaults so that the crate's own decoder reads it.
fn key(attributes: Attributes<'_>) -> ServiceKey {
    let nest = attributes.map(Result::unwrap).find(|attribute| attribute.kind == 1).unwrap();
    let mut writer = Writer::default();
    writer.nest(1, |writer| {
        nest.nested()
            .map(Result::unwrap)
            .for_each(|attribute| writer.bytes(attribute.kind, attribute.payload));
        writer.text(6, "rr");
    });
    // a persistent flag without its netmask is the one thing that could fail here
    let entry = ServiceEntry::decode(Attributes::new(writer.as_bytes()));
    *entry.unwrap().service.key()
}

fn destination_key(attributes: Attributes<'_>) -> DestinationKey {
    let nest = attributes.map(Result::unwrap).find(|attribute| attribute.kind == 2).unwrap();
    let mut writer = Writer::default();
    writer.nest(2, |writer| {
        nest.nested()
            .map(Result::unwrap)
            .for_each(|attribute| writer.bytes(attribute.kind, attribute.payload));
        writer.u32(3, 0);
        writer.u32(4, 0);
    });
    let entry =
        DestinationEntry::decode(Attributes::new(writer.as_bytes()), ipvs_rs::AddressFamily::V4);
    entry.unwrap().destination.key
}

fn options(batch: usize) -> Options {
    Options { batch: NonZeroUsize::new(batch).unwrap(), ..Options::default() }
}

fn open(kernel: &mut Kernel, batch: usize) -> Ipvs<&mut Kernel> {
    Ipvs::over(kernel, options(batch)).unwrap()
}

fn at(number: u8) -> ServiceKey {
    ServiceKey::new(ipvs_rs::Protocol::Tcp, ([10, 0, 0, number], 80))
}

fn add(number: u8) -> Request {
    Request::NewService(Service::new(at(number), Scheduler::RoundRobin))
}

fn server(number: u8) -> Destination {
    Destination::new(DestinationKey::new(([10, 0, 1, number], 80)), Forward::Masquerade)
}

fn kinds(verdicts: &[Result<(), Error>]) -> Vec<&'static str> {
    verdicts.iter().map(|verdict| verdict.as_ref().map_or_else(Error::kind, |()| "ok")).collect()
}

#[test]
fn a_kernel_without_ipvs_is_told_apart() {
    let mut kernel = Kernel { absent: true, ..Kernel::default() };
    let error = Ipvs::over(&mut kernel, Options::default()).unwrap_err();
    assert!(error.is_unavailable() && !error.is_not_found());
    assert_eq!(error.to_string(), "cannot open IPVS");
}

#[test]
fn requests_travel_in_batches_and_keep_their_order() {
    let mut kernel = Kernel::default();
    let mut ipvs = open(&mut kernel, 4);
    let plan: Vec<_> =
        (0..5).flat_map(|n| [add(n), Request::NewDestination(at(n), server(n))]).collect();
    assert!(ipvs.apply(&plan).iter().all(Result::is_ok));
    assert_eq!(ipvs.services().unwrap().len(), 5);
    assert_eq!(ipvs.destinations(&at(3)).unwrap()[0].destination, server(3));
    assert_eq!(kernel.sends[1..4], [4, 4, 2]);
}

#[test]
fn each_refusal_finds_its_request() {
    let mut kernel = Kernel::default();
    kernel.faults.stale = true;
    let mut ipvs = open(&mut kernel, 3);
    let nosuch = Request::NewService(Service::new(at(9), "nosuch".parse().unwrap()));
    let plan = [
        add(1),
        add(1),
        nosuch,
        Request::NewDestination(at(2), server(1)),
        Request::SetDestination(at(1), server(1)),
        Request::NewDestination(at(1), server(1)),
        Request::DeleteDestination(at(1), server(2).key),
        Request::DeleteService(at(2)),
    ];
    let verdicts = ipvs.apply(&plan);
    let want = [
        "ok",
        "exists",
        "unknown_scheduler",
        "not_found",
        "not_found",
        "ok",
        "not_found",
        "not_found",
    ];
    assert_eq!(kinds(&verdicts), want);
    assert_eq!(
        verdicts[1].as_ref().unwrap_err().to_string(),
        "cannot add service tcp 10.0.0.1:80 rr"
    );
    assert!(verdicts[3].as_ref().unwrap_err().is_service_not_found());
    assert!(!verdicts[4].as_ref().unwrap_err().is_service_not_found());
}

#[test]
fn an_overrun_leaves_the_rest_of_its_batch_open_and_stops() {
    let mut kernel = Kernel::default();
    kernel.faults.overrun = Some(2);
    let mut ipvs = open(&mut kernel, 3);
    let plan = [add(1), add(2), add(3), add(1), add(2), add(4), add(5)];
    let verdicts = ipvs.apply(&plan);
    assert_eq!(kinds(&verdicts), ["ok", "ok", "ok", "exists", "overrun", "overrun", "not_sent"]);
    assert!(verdicts[4].as_ref().unwrap_err().is_outcome_unknown());
    assert!(!verdicts[6].as_ref().unwrap_err().is_outcome_unknown());
    // the handle goes on
    assert_eq!(ipvs.services().unwrap().len(), 4);
}

#[test]
fn silence_leaves_the_outcome_open_and_a_late_answer_is_not_taken_for_another() {
    let mut kernel = Kernel::default();
    kernel.faults.silence = Some(1);
    let mut ipvs = open(&mut kernel, 8);
    let verdicts = ipvs.apply(&[add(1), add(2)]);
    assert_eq!(kinds(&verdicts), ["timeout", "timeout"]);
    assert_eq!(kinds(&ipvs.apply(&[add(2), add(3)])), ["exists", "ok"]);
}

#[test]
fn what_cannot_be_sent_was_not_done() {
    let mut kernel = Kernel::default();
    kernel.faults.unsendable = Some(2);
    let mut ipvs = open(&mut kernel, 1);
    let verdicts = ipvs.apply(&[add(1), add(2), add(3)]);
    assert_eq!(kinds(&verdicts), ["ok", "not_sent", "not_sent"]);
    assert_eq!(ipvs.services().unwrap().len(), 1);
}

#[test]
fn a_cut_answer_is_an_error_and_its_rest_is_read_away() {
    let mut kernel = Kernel::default();
    let mut ipvs = open(&mut kernel, 8);
    assert!(ipvs.apply(&(0..6).map(add).collect::<Vec<_>>()).iter().all(Result::is_ok));
    drop(ipvs);
    kernel.faults.cut = Some(1);
    let mut ipvs = open(&mut kernel, 8);
    let error = ipvs.services_once().unwrap_err();
    assert!(matches!(error.cause(), Cause::Truncated { .. }));
    assert_eq!(error.kind(), "truncated");
    assert_eq!(ipvs.services_once().unwrap().len(), 6);
    drop(ipvs);
    assert_eq!(kernel.unread_at_send, 0);
}

#[test]
fn a_listing_counts_when_the_next_one_agrees() {
    let mut kernel = Kernel::default();
    let mut ipvs = open(&mut kernel, 8);
    assert!(ipvs.apply(&(0..6).map(add).collect::<Vec<_>>()).iter().all(Result::is_ok));
    drop(ipvs);
    let cases = [("calm", 0, 0, 2), ("torn thrice", 3, 0, 5), ("told so twice", 0, 2, 4)];
    for (name, torn, interrupted, dumps) in cases {
        kernel.faults = Faults { torn, interrupted, ..Faults::default() };
        let before = kernel.dumps;
        assert_eq!(open(&mut kernel, 8).services().unwrap().len(), 6, "{name}");
        assert_eq!(kernel.dumps - before, dumps, "{name}");
    }
    kernel.faults = Faults { torn: 100, ..Faults::default() };
    let error = open(&mut kernel, 8).services().unwrap_err();
    assert_eq!(*error.cause(), Cause::Unstable { attempts: 8 });
    assert_eq!(open(&mut kernel, 8).services_once().unwrap().len(), 5);
}

#[test]
fn destinations_of_no_service_are_not_an_empty_list() {
    let mut kernel = Kernel::default();
    let mut ipvs = open(&mut kernel, 8);
    assert!(ipvs.destinations(&at(1)).unwrap_err().is_not_found());
    assert_eq!(ipvs.confirm(&at(1)), Ok(None));
    ipvs.apply_one(&add(1)).unwrap();
    assert_eq!(ipvs.destinations(&at(1)), Ok(vec![]));
    assert_eq!(ipvs.confirm(&at(1)).unwrap().unwrap().1, []);
}

#[test]
fn idempotent_changes_are_made_whatever_was_there() {
    let mut kernel = Kernel::default();
    let mut ipvs = open(&mut kernel, 8);
    let least = Service::new(at(1), Scheduler::LeastConnection);
    let heavy = server(1).with_weight(7.into());
    let plan = [
        Request::SetService(least.clone()),
        Request::NewDestination(at(1), server(1)),
        Request::SetDestination(at(1), server(2)),
        Request::DeleteDestination(at(1), server(3).key),
        Request::DeleteService(at(5)),
    ];
    assert_eq!(kinds(&ipvs.apply_idempotent(&plan)), ["ok"; 5]);
    assert_eq!(ipvs.destinations(&at(1)).unwrap().len(), 2);
    let again = [Request::NewService(least), Request::NewDestination(at(1), heavy)];
    assert_eq!(kinds(&ipvs.apply_idempotent(&again)), ["ok"; 2]);
    assert!(ipvs.destinations(&at(1)).unwrap().iter().any(|entry| entry.destination == heavy));
    let hopeless = [
        Request::NewService(Service::new(at(6), "nosuch".parse().unwrap())),
        Request::ZeroService(at(8)),
    ];
    assert_eq!(kinds(&ipvs.apply_idempotent(&hopeless))[0], "unknown_scheduler");
}
