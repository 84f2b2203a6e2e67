//! The netlink socket: whole datagrams in and out, each wait bounded. I/O.

use std::io;
use std::time::Duration;

use netlink_sys::{Socket as Raw, SocketAddr, protocols::NETLINK_NETFILTER};
use rustix::net::sockopt;

/// Bytes offered to every receive. A dump's datagrams are as large as the largest buffer the
/// socket has offered, at most 32 KiB; one size from the first receive on means none is cut.
pub(crate) const BUFFER: usize = 64 * 1024;

/// Bytes of socket memory for one outgoing batch.
const SEND_BUFFER: usize = 1024 * 1024;

/// How long a receive may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Until the socket's time-out.
    Timeout,
    /// Not at all.
    No,
}

/// A way for datagrams to reach ctnetlink and back. [`Socket`] is the real one.
pub trait Transport {
    /// Sends one datagram whole.
    ///
    /// # Errors
    /// When it wasn't sent.
    fn send(&mut self, datagram: &[u8]) -> io::Result<()>;

    /// Receives one datagram into the spare capacity of `buffer`, and returns its true length,
    /// which is larger than `buffer` now is when it was cut.
    ///
    /// # Errors
    /// `WouldBlock`: nothing came in time. `ENOBUFS`: the kernel dropped datagrams.
    fn receive(&mut self, buffer: &mut Vec<u8>, wait: Wait) -> io::Result<usize>;

    /// Bytes of answers that can be queued before the kernel drops them (`SO_RCVBUF` as read back).
    ///
    /// # Errors
    /// When the socket can't tell.
    fn receive_buffer(&self) -> io::Result<usize>;
}

/// A netfilter netlink socket in the network namespace of the thread that opened it.
///
/// It stays in that namespace wherever it is used afterwards.
#[derive(Debug)]
pub struct Socket {
    raw: Raw,
}

impl Socket {
    /// Opens the socket with extended, capped acknowledgements. `receive_buffer` is a wish: without
    /// `CAP_NET_ADMIN` in the initial user namespace it is held to `net.core.rmem_max`.
    ///
    /// # Errors
    /// When the kernel has no nfnetlink (`EPROTONOSUPPORT`) or refuses the socket.
    pub fn open(timeout: Duration, receive_buffer: usize) -> io::Result<Self> {
        let mut raw = Raw::new(NETLINK_NETFILTER)?;
        raw.bind_auto()?;
        raw.set_cap_ack(true)?;
        raw.set_ext_ack(true)?;
        // zero would mean to wait for ever
        let timeout = Some(timeout.max(Duration::from_millis(1)));
        sockopt::set_socket_timeout(&raw, sockopt::Timeout::Recv, timeout)?;
        sockopt::set_socket_timeout(&raw, sockopt::Timeout::Send, timeout)?;
        sockopt::set_socket_recv_buffer_size_force(&raw, receive_buffer)
            .or_else(|_| sockopt::set_socket_recv_buffer_size(&raw, receive_buffer))?;
        sockopt::set_socket_send_buffer_size_force(&raw, SEND_BUFFER)
            .or_else(|_| sockopt::set_socket_send_buffer_size(&raw, SEND_BUFFER))?;
        Ok(Self { raw })
    }
}

impl Transport for Socket {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        let sent = retry(|| self.raw.send_to(datagram, &SocketAddr::new(0, 0), 0))?;
        // netlink takes a datagram whole or refuses it
        if sent == datagram.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    fn receive(&mut self, buffer: &mut Vec<u8>, wait: Wait) -> io::Result<usize> {
        let flags = libc::MSG_TRUNC | if wait == Wait::No { libc::MSG_DONTWAIT } else { 0 };
        loop {
            buffer.clear();
            let (length, sender) = retry(|| self.raw.recv_from(buffer, flags))?;
            // another process may write to our port; only port 0 is the kernel
            if sender.port_number() == 0 {
                return Ok(length);
            }
        }
    }

    fn receive_buffer(&self) -> io::Result<usize> {
        Ok(sockopt::socket_recv_buffer_size(&self.raw)?)
    }
}

fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_told() {
        let mut socket = Socket::open(Duration::from_millis(20), 1 << 20).unwrap();
        let mut buffer = Vec::with_capacity(BUFFER);
        for wait in [Wait::Timeout, Wait::No] {
            let error = socket.receive(&mut buffer, wait).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{wait:?}");
        }
    }
}
