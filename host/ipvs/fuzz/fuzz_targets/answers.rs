//! A kernel that answers anything: every call ends, without a panic, with one verdict a request.
#![no_main]

use std::io;

use ipvs_rs::netlink::{Transport, Wait, Writer};
use ipvs_rs::{Ipvs, Options, Request, Scheduler, Service, ServiceKey};
use libfuzzer_sys::fuzz_target;

struct Answers<'a> {
    opened: bool,
    rest: &'a [u8],
}

impl Transport for Answers<'_> {
    fn send(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn receive(&mut self, buffer: &mut Vec<u8>, _: Wait) -> io::Result<usize> {
        buffer.clear();
        if !std::mem::replace(&mut self.opened, true) {
            let mut family = Writer::default();
            family.generic((0x10, 0, 1), 1, 2, |writer| writer.u16(1, 30));
            buffer.extend_from_slice(family.as_bytes());
            return Ok(buffer.len());
        }
        let Some((length, rest)) = self.rest.split_first() else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let (datagram, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        self.rest = rest;
        buffer.extend_from_slice(datagram);
        Ok(datagram.len())
    }

    fn receive_buffer(&self) -> io::Result<usize> {
        Ok(1 << 20)
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut ipvs) = Ipvs::over(Answers { opened: false, rest: bytes }, Options::default()) else { return };
    let key: ServiceKey = "tcp 10.0.0.1:80".parse().expect("key");
    let add = Request::NewService(Service::new(key, Scheduler::RoundRobin));
    let plan = [add, Request::DeleteService(key), Request::Flush];
    assert_eq!(ipvs.apply(&plan).len(), plan.len());
    let _ = (ipvs.services(), ipvs.destinations(&key), ipvs.service(&key), ipvs.info(), ipvs.timeouts());
    assert_eq!(ipvs.apply_idempotent(&plan).len(), plan.len());
});
