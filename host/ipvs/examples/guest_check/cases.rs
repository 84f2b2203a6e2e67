//! Services and destinations in our words and in the words of `ipvsadm -Sn`.

use ipvs_rs::{
    AddressFamily, Checksum, Destination, DestinationKey, Forward, Netmask, Persistence, Scheduler,
    Service, ServiceFlags, ServiceKey, Tunnel,
};

/// One service with its destinations, and the line that `ipvsadm -Sn` writes for each.
pub(crate) struct Case {
    pub(crate) service: Service,
    pub(crate) line: String,
    pub(crate) destinations: Vec<(Destination, String)>,
}

pub(crate) fn key(text: &str) -> ServiceKey {
    text.parse().expect(text)
}

pub(crate) fn plain(at: &str, scheduler: &str) -> Service {
    Service::new(key(at), scheduler.parse().expect(scheduler))
}

pub(crate) fn server(at: &str, forward: Forward) -> Destination {
    let at: std::net::SocketAddr = at.parse().expect(at);
    Destination::new(DestinationKey::new(at), forward)
}

fn sticky(service: Service, timeout: u32, prefix: u8) -> Service {
    let netmask = Netmask::prefix(service.key().family(), prefix).expect("prefix");
    service.with_persistence(Persistence { timeout, netmask }).expect("netmask")
}

fn case(service: Service, line: &str) -> Case {
    Case { service, line: line.to_owned(), destinations: Vec::new() }
}

/// Every case; the power of two choices only where the kernel was built with it (6.1 of Debian isn't).
pub(crate) fn all(two_choices: bool) -> Vec<Case> {
    let mut cases =
        vec![every_forward(), mixed_weights(), fwmark_with_server(), ipv6_with_servers()];
    cases.extend(services());
    let known = Scheduler::KNOWN.iter().filter(|it| two_choices || **it != Scheduler::TwoChoices);
    cases.extend(known.enumerate().map(|(index, scheduler)| {
        let at = format!("10.0.2.1:{}", 1000 + index);
        case(plain(&format!("tcp {at}"), scheduler.name()), &format!("-A -t {at} -s {scheduler}"))
    }));
    cases
}

fn services() -> Vec<Case> {
    let sh = ServiceFlags::SH_FALLBACK | ServiceFlags::SH_PORT;
    let mh = ServiceFlags::MH_FALLBACK | ServiceFlags::MH_PORT;
    let ops = ServiceFlags::ONE_PACKET;
    let (v4, v6) = (AddressFamily::V4.bits(), AddressFamily::V6.bits());
    let sip = || "sip".parse().expect("engine");
    vec![
        case(
            sticky(plain("udp 10.0.0.1:53", "wlc"), 300, 24),
            "-A -u 10.0.0.1:53 -s wlc -p 300 -M 255.255.255.0",
        ),
        case(plain("udp 10.0.0.2:53", "rr").with_flags(ops), "-A -u 10.0.0.2:53 -s rr -o"),
        case(
            sticky(plain("udp 10.0.0.3:5060", "rr"), 60, v4).with_engine(sip()),
            "-A -u 10.0.0.3:5060 -s rr -p 60 --pe sip",
        ),
        case(
            plain("udp 10.0.0.4:5060", "rr").with_flags(ops).with_engine(sip()),
            "-A -u 10.0.0.4:5060 -s rr --pe sip -o",
        ),
        case(
            plain("sctp 10.0.0.1:9", "sh").with_flags(sh),
            "-A --sctp-service 10.0.0.1:9 -s sh -b sh-fallback,sh-port",
        ),
        case(
            plain("tcp 10.0.0.5:80", "sh").with_flags(ServiceFlags::SH_PORT),
            "-A -t 10.0.0.5:80 -s sh -b sh-port",
        ),
        case(
            plain("tcp 10.0.0.6:80", "mh").with_flags(mh),
            "-A -t 10.0.0.6:80 -s mh -b mh-fallback,mh-port",
        ),
        case(
            sticky(plain("tcp [2001:db8::2]:80", "lc"), 120, v6),
            "-A -t [2001:db8::2]:80 -s lc -p 120",
        ),
        case(plain("sctp [2001:db8::2]:9", "wrr"), "-A --sctp-service [2001:db8::2]:9 -s wrr"),
        case(
            plain("udp [2001:db8::2]:53", "rr").with_flags(ops),
            "-A -u [2001:db8::2]:53 -s rr -o",
        ),
        case(
            plain("tcp [2001:db8::3]:80", "rr").with_flags(ServiceFlags::SCHED3),
            "-A -t [2001:db8::3]:80 -s rr -b flag-3",
        ),
        case(sticky(plain("tcp 10.0.0.7:0", "rr"), 10, v4), "-A -t 10.0.0.7:0 -s rr -p 10"),
        case(plain("fwmark 8", "lblcr").with_flags(ops), "-A -f 8 -s lblcr -o"),
        case(plain("fwmark 8 IPv6", "lblc"), "-A -f 8 -6 -s lblc"),
        // the file's lines of these two are the same
        case(plain("fwmark 9", "rr"), "-A -f 9 -s rr"),
        case(plain("fwmark 9 IPv6", "rr"), "-A -f 9 -6 -s rr"),
        case(
            sticky(plain("fwmark 2147483647 IPv6", "fo"), 33, 64),
            "-A -f 2147483647 -6 -s fo -p 33 -M 64",
        ),
        case(plain("tcp 10.0.0.8:80", "none"), "-A -t 10.0.0.8:80 -s none"),
    ]
}

fn every_forward() -> Case {
    let mut all = case(plain("tcp 10.0.0.1:80", "rr"), "-A -t 10.0.0.1:80 -s rr");
    let gue =
        |checksum| Forward::Tunnel(Tunnel::Gue { port: 6080.try_into().expect("port"), checksum });
    let gre = |checksum| Forward::Tunnel(Tunnel::Gre { checksum });
    let servers = [
        ("10.0.1.1:8080", Forward::Masquerade, "-m -w 1"),
        ("10.0.1.2:80", Forward::Route, "-g -w 1"),
        ("10.0.1.3:80", Forward::Tunnel(Tunnel::Ipip), "-i -w 1 --tun-type ipip"),
        ("10.0.1.4:80", gue(Checksum::None), "-i -w 1 --tun-type gue --tun-port 6080 --tun-nocsum"),
        ("10.0.1.5:80", gue(Checksum::Full), "-i -w 1 --tun-type gue --tun-port 6080 --tun-csum"),
        (
            "10.0.1.6:80",
            gue(Checksum::Remote),
            "-i -w 1 --tun-type gue --tun-port 6080 --tun-remcsum",
        ),
        ("10.0.1.7:80", gre(Checksum::None), "-i -w 1 --tun-type gre --tun-nocsum"),
        ("10.0.1.8:80", gre(Checksum::Full), "-i -w 1 --tun-type gre --tun-csum"),
        ("[2001:db8::5]:80", Forward::Tunnel(Tunnel::Ipip), "-i -w 1 --tun-type ipip"),
    ];
    all.destinations = servers
        .into_iter()
        .map(|(at, forward, words)| {
            (server(at, forward), format!("-a -t 10.0.0.1:80 -r {at} {words}"))
        })
        .collect();
    all
}

fn mixed_weights() -> Case {
    let mut all = case(plain("udp 10.0.0.9:53", "wrr"), "-A -u 10.0.0.9:53 -s wrr");
    for (port, weight) in [(1, 0u16), (2, 1), (3, 100), (4, 65535)] {
        let at = format!("10.0.1.9:{port}");
        let line = format!("-a -u 10.0.0.9:53 -r {at} -m -w {weight}");
        let destination = server(&at, Forward::Masquerade).with_weight(weight.into());
        all.destinations.push((destination, line));
    }
    all
}

fn fwmark_with_server() -> Case {
    let mut all = case(sticky(plain("fwmark 7", "dh"), 10, 32), "-A -f 7 -s dh -p 10");
    all.destinations
        .push((server("10.0.1.9:0", Forward::Route), "-a -f 7 -r 10.0.1.9:0 -g -w 1".to_owned()));
    all
}

fn ipv6_with_servers() -> Case {
    let mh = ServiceFlags::MH_FALLBACK | ServiceFlags::MH_PORT;
    let service = sticky(plain("tcp [2001:db8::1]:80", "mh").with_flags(mh), 120, 64);
    let mut all = case(service, "-A -t [2001:db8::1]:80 -s mh -p 120 -M 64 -b mh-fallback,mh-port");
    for (host, weight) in [(0x10, 0u16), (0x11, 5)] {
        let at = format!("[2001:db8::{host:x}]:8080");
        let line = format!("-a -t [2001:db8::1]:80 -r {at} -m -w {weight}");
        all.destinations.push((server(&at, Forward::Masquerade).with_weight(weight.into()), line));
    }
    let at = "10.0.1.20:80";
    let line = format!("-a -t [2001:db8::1]:80 -r {at} -i -w 1 --tun-type ipip");
    all.destinations.push((server(at, Forward::Tunnel(Tunnel::Ipip)), line));
    all
}
