//! The state's words to IPVS's and back.

use super::*;
use std::num::NonZeroU32;

const KEY: &str = "10.96.0.1:80";

fn key() -> VirtualKey {
    let at: SocketAddr = KEY.parse().unwrap();
    VirtualKey { address: at.ip(), protocol: Protocol::Tcp, port: Port::new(at.port()).unwrap() }
}

fn found_as(service: Service) -> Balance {
    balance(&ServiceEntry { service, stats: Stats::default() })
}

#[test]
fn every_scheduler_and_flag_comes_back_as_it_was_written() {
    for scheduler in Scheduler::ALL.into_iter().filter(|s| s.on_ipvs()) {
        for (fallback, port) in [(false, false), (true, false), (false, true), (true, true)] {
            for persistence in [None, NonZeroU32::new(10_800)] {
                let want =
                    Balance { scheduler, flags: SchedulerFlags { fallback, port }, persistence };
                assert_eq!(found_as(service(key(), &want).unwrap()), want);
            }
        }
    }
}

#[test]
fn what_weir_never_writes_reads_as_never_wanted() {
    let plain =
        Balance { scheduler: Scheduler::Rr, flags: SchedulerFlags::default(), persistence: None };
    let ours = service(key(), &plain).unwrap();
    let one_packet = ours.clone().with_flags(ServiceFlags::ONE_PACKET);
    let unknown = Service::new(service_key(key()), "homegrown".parse().unwrap());
    for other in [one_packet, unknown] {
        assert_ne!(found_as(other.clone()), plain, "{other}");
    }
}

#[test]
fn requests_say_what_the_operations_say() {
    let to: SocketAddr = "10.1.0.1:8080".parse().unwrap();
    let cases = [
        (Operation::RemoveVirtual(key()), "delete service tcp 10.96.0.1:80"),
        (
            Operation::AddDestination(key(), to, Weight(3)),
            "add destination 10.1.0.1:8080 masquerade weight 3 to tcp 10.96.0.1:80",
        ),
        (
            Operation::SetDestination(key(), to, Weight(0)),
            "set destination 10.1.0.1:8080 masquerade weight 0 of tcp 10.96.0.1:80",
        ),
    ];
    for (operation, want) in cases {
        assert_eq!(request(&operation).unwrap().unwrap().to_string(), want);
    }
    assert!(request(&Operation::AddLocal(key().address)).is_none());
}

#[test]
fn keys_survive_the_way_there_and_back() {
    assert_eq!(virtual_key(&service_key(key())), Some(key()));
}
