//! The kernel behind a netlink socket, in the network namespace of the thread that opened it. I/O.

mod apply;
mod ipset;
mod listen;
mod observe;

pub use listen::{Event, Listener};

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    sync::Arc,
    time::Duration,
};

use netlink_sys::{Socket as Netlink, SocketAddr, constants::NETLINK_NETFILTER};
use rustix::net::sockopt;
use socket2::SockRef;

use crate::{ApplyError, Batch, Element, Nftables, ObserveError, Set, Table, TableState};

/// A socket of the caller's own: one thread, one request at a time.
pub struct Socket {
    netlink: Netlink,
    port: u32,
    seq: u32,
    buffer: Vec<u8>,
}

/// The kernel fills at most 32 KiB of a dump's datagram.
const BUFFER: usize = 64 * 1024;
/// Room for one refusal of every operation of a large batch.
const RECEIVE: usize = 8 * 1024 * 1024;
/// Room for a batch of tens of thousands of elements; grows with larger ones.
const SEND: usize = 4 * 1024 * 1024;
/// How long the kernel may take to answer a question.
const PATIENCE: Duration = Duration::from_secs(20);

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// When the kernel has no nfnetlink or refuses the socket. Lacking rights shows at the first use.
    pub fn open() -> io::Result<Self> {
        let (netlink, port) = open()?;
        set_receive_room(netlink.as_fd(), RECEIVE)?;
        set_send_room(netlink.as_fd(), SEND)?;
        netlink.set_cap_ack(true)?;
        netlink.set_ext_ack(true)?;
        SockRef::from(&netlink.as_fd()).set_read_timeout(Some(PATIENCE))?;
        Ok(Self { netlink, port, seq: 1, buffer: vec![0; BUFFER] })
    }

    /// Its netlink port, by which a [`Listener`] tells this socket's own changes.
    #[must_use]
    pub fn port(&self) -> u32 {
        self.port
    }

    /// One datagram; the buffer is larger than any that nf_tables sends.
    fn receive(&mut self, flags: i32) -> io::Result<&[u8]> {
        receive(&self.netlink, &mut self.buffer, flags)
    }
}

impl Nftables for Socket {
    fn apply(&mut self, batch: &Batch) -> Result<(), ApplyError> {
        self.apply_batch(batch)
    }

    fn observe(&mut self, table: &Table) -> Result<Option<TableState>, ObserveError> {
        self.observe_table(table)
    }

    fn elements(
        &mut self,
        table: &Table,
        set: &Arc<Set>,
    ) -> Result<Option<Vec<Element>>, ObserveError> {
        self.observe_elements(table, set)
    }

    fn generation(&mut self) -> Result<u32, ObserveError> {
        self.current_generation()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.netlink.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.netlink.as_raw_fd()
    }
}

fn open() -> io::Result<(Netlink, u32)> {
    let mut netlink = Netlink::new(NETLINK_NETFILTER)?;
    let port = netlink.bind_auto()?.port_number();
    netlink.connect(&SocketAddr::new(0, 0))?;
    Ok((netlink, port))
}

fn receive<'a>(netlink: &Netlink, buffer: &'a mut [u8], flags: i32) -> io::Result<&'a [u8]> {
    let len = loop {
        match netlink.recv(&mut &mut *buffer, flags | libc::MSG_TRUNC) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    buffer.get(..len).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "a datagram larger than the buffer")
    })
}

/// Beyond `net.core.rmem_max` as root of the first user namespace, up to it elsewhere.
fn set_receive_room(fd: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    match sockopt::set_socket_recv_buffer_size_force(fd, bytes) {
        Err(rustix::io::Errno::PERM) => {
            sockopt::set_socket_recv_buffer_size(fd, bytes).map_err(io::Error::from)
        }
        other => other.map_err(io::Error::from),
    }
}

/// Beyond `net.core.wmem_max` as root of the first user namespace, up to it elsewhere.
fn set_send_room(fd: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    match sockopt::set_socket_send_buffer_size_force(fd, bytes) {
        Err(rustix::io::Errno::PERM) => {
            sockopt::set_socket_send_buffer_size(fd, bytes).map_err(io::Error::from)
        }
        other => other.map_err(io::Error::from),
    }
}
