//! The request socket itself: opened with what rtnetlink's answers need, sent to and read from.
//!
//! Talks to the kernel.

use std::io;
use std::time::Duration;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// The kernel fills at most 32 KiB a datagram of a dump, and only if it saw room for it.
pub(crate) const RECEIVE_LEN: usize = 64 * 1024;
/// Room for the refusals of a whole batch: about 1 KiB each in the kernel's books.
const RECEIVE_QUEUE: usize = 4 * 1024 * 1024;

/// A socket with the buffer that it is read into.
#[derive(Debug)]
pub(crate) struct Port {
    socket: Socket,
    buffer: Box<[u8]>,
}

impl Port {
    pub(crate) fn open(timeout: Duration) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_netlink_get_strict_chk(true)?;
        socket.set_cap_ack(true)?;
        socket.set_ext_ack(true)?;
        let options = socket2::SockRef::from(&socket);
        options.set_read_timeout(Some(timeout))?;
        // Beyond rmem_max only with CAP_NET_ADMIN; less room means more, smaller batches.
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_QUEUE).or_else(
            |_| rustix::net::sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_QUEUE),
        )?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, buffer: vec![0; RECEIVE_LEN].into() })
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        match self.socket.send(bytes, 0)? {
            sent if sent == bytes.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    pub(crate) fn receive(&mut self) -> io::Result<&[u8]> {
        receive(&self.socket, &mut self.buffer).map(|len| &self.buffer[..len])
    }
}

/// One datagram from the kernel into `buffer`; `Err` where it was cut, as its rest is lost.
pub(crate) fn receive(socket: &Socket, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        let mut room = &mut *buffer;
        let (len, from) = match socket.recv_from(&mut room, libc::MSG_TRUNC) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        // Any process may have sent it that may administrate the network; only port 0 is the kernel.
        if from.port_number() != 0 {
            continue;
        }
        if len > buffer.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "netlink datagram was cut"));
        }
        return Ok(len);
    }
}
