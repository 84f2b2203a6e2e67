//! TCP segments that belong to no connection: what a server sends that has lost its place.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Octets of a TCP header without options (RFC 9293 section 3.1).
const HEADER: usize = 20;
/// The number of TCP among the protocols of IP.
const TCP: u8 = 6;
const ACK: u8 = 0x10;

/// A quarter of all sequence numbers apart. Connection tracking takes what lies before a connection's
/// window for a late copy and lets it pass, and what lies behind it for invalid (`tcp_in_window` in
/// net/netfilter/nf_conntrack_proto_tcp.c): of four numbers at least one lies behind any window.
const NUMBERS: [u32; 4] = [0, 1 << 30, 1 << 31, 3 << 30];

/// Sends ACKs with numbers all over their range, from an address of this host.
///
/// # Errors
/// What the kernel says; raw sockets want CAP_NET_RAW.
pub fn send(from: SocketAddr, to: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(to), Type::RAW, Some(Protocol::TCP))?;
    socket.bind(&SockAddr::from(SocketAddr::new(from.ip(), 0)))?;
    // A raw socket knows no ports, and IPv6 refuses to be given one.
    let target = SockAddr::from(SocketAddr::new(to.ip(), 0));
    for number in NUMBERS {
        for acknowledged in NUMBERS {
            let sent = socket.send_to(&segment(from, to, number, acknowledged), &target)?;
            if sent != HEADER {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
    }
    Ok(())
}

fn segment(from: SocketAddr, to: SocketAddr, number: u32, acknowledged: u32) -> [u8; HEADER] {
    let mut segment = [0; HEADER];
    segment[0..2].copy_from_slice(&from.port().to_be_bytes());
    segment[2..4].copy_from_slice(&to.port().to_be_bytes());
    segment[4..8].copy_from_slice(&number.to_be_bytes());
    segment[8..12].copy_from_slice(&acknowledged.to_be_bytes());
    segment[12] = 5 << 4;
    segment[13] = ACK;
    segment[14..16].copy_from_slice(&1024_u16.to_be_bytes());
    let sum = checksum(from.ip(), to.ip(), &segment);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    segment
}

/// Of the pseudo header and the segment (RFC 9293 section 3.1, RFC 8200 section 8.1): their sums agree.
fn checksum(from: IpAddr, to: IpAddr, segment: &[u8]) -> u16 {
    let octets = |ip| match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let pseudo = [octets(from), octets(to), vec![0, TCP, 0, HEADER as u8]].concat();
    let words = pseudo.chunks(2).chain(segment.chunks(2));
    let sum: u32 = words.map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !(((folded & 0xffff) + (folded >> 16)) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_with_its_checksum_sums_up_to_nothing() {
        for (from, to) in
            [("10.1.0.11:8080", "10.2.0.2:40000"), ("[fd00:1::11]:8080", "[fd00:2::2]:1")]
        {
            let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
            let whole = segment(from, to, 0xdead_beef, 7);
            assert_eq!(checksum(from.ip(), to.ip(), &whole), 0);
            assert_ne!(whole[16..18], [0, 0]);
        }
    }
}
