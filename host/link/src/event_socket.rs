//! The event socket: multicast news of links, addresses and default routes.
//!
//! Talks to the kernel. Never sends: requests have a socket of their own, so that a burst of news
//! can't crowd out an answer.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use socket2::SockFilter;

use crate::port::{RECEIVE_LEN, receive};

/// What has news that is kept in a view.
const GROUPS: [libc::c_uint; 5] = [
    libc::RTNLGRP_LINK,
    libc::RTNLGRP_IPV4_IFADDR,
    libc::RTNLGRP_IPV6_IFADDR,
    libc::RTNLGRP_IPV4_ROUTE,
    libc::RTNLGRP_IPV6_ROUTE,
];

/// What one look at the socket gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News<'a> {
    /// One datagram.
    Datagram(&'a [u8]),
    /// The queue ran over (`ENOBUFS`): news is lost, only a dump tells what is so now.
    Overrun,
    /// Nothing more for now.
    None,
}

#[derive(Debug)]
pub(crate) struct EventSocket {
    socket: Socket,
    buffer: Box<[u8]>,
}

impl EventSocket {
    /// `queue`: bytes that the kernel may hold for us, by its own reckoning.
    pub(crate) fn open(queue: usize) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_non_blocking(true)?;
        let options = socket2::SockRef::from(&socket);
        options.attach_filter(&only_default_routes())?;
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, queue)
            .or_else(|_| rustix::net::sockopt::set_socket_recv_buffer_size(&socket, queue))?;
        socket.bind_auto()?;
        for group in GROUPS {
            socket.add_membership(group)?;
        }
        Ok(Self { socket, buffer: vec![0; RECEIVE_LEN].into() })
    }

    /// Doesn't wait.
    pub(crate) fn next(&mut self) -> io::Result<News<'_>> {
        match receive(&self.socket, &mut self.buffer) {
            Ok(len) => Ok(News::Datagram(&self.buffer[..len])),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(News::None),
            Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => Ok(News::Overrun),
            Err(e) => Err(e),
        }
    }
}

impl AsFd for EventSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Keeps from us, in the kernel, news of all routes but unicast default ones: a batch of 10,000
/// VIP routes would else be 10,000 datagrams. Everything that isn't a route passes.
fn only_default_routes() -> [SockFilter; 9] {
    let load_half = |at| op(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, 0, 0, at);
    let load_byte = |at| op(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, at);
    let equal = |value, yes, no| op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, yes, no, value);
    let give = |bytes| op(libc::BPF_RET | libc::BPF_K, 0, 0, bytes);
    // The filter loads in network order what netlink wrote in host order.
    let kind = |kind: u16| u32::from(kind.to_be());
    [
        load_half(4), // nlmsg_type
        equal(kind(libc::RTM_NEWROUTE), 1, 0),
        equal(kind(libc::RTM_DELROUTE), 0, 4),
        load_byte(16 + 1), // rtm_dst_len
        equal(0, 0, 3),
        load_byte(16 + 7), // rtm_type
        equal(libc::RTN_UNICAST.into(), 0, 1),
        give(u32::MAX),
        give(0),
    ]
}

fn op(code: u32, yes: u8, no: u8, k: u32) -> SockFilter {
    SockFilter::new(code as u16, yes, no, k)
}
