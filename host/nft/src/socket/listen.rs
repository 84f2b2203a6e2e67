//! Hearing of changes of the rule set. I/O.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    time::Duration,
};

use netlink_sys::Socket as Netlink;
use socket2::{SockFilter, SockRef};

use super::{BUFFER, RECEIVE, open, receive, set_receive_room};
use crate::{
    Generation,
    read::{Messages, generation},
    uapi::NFNLGRP_NFTABLES,
};

/// Tells that the rule set of the opening thread's network namespace changed, and by whom.
///
/// The kernel announces every element of a change, too; a socket filter keeps all but the new
/// generation out, so that a change of any size takes one small message.
pub struct Listener {
    netlink: Netlink,
    buffer: Vec<u8>,
}

/// What a [`Listener`] heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody, perhaps this process, changed the rule set.
    Changed(Generation),
    /// Changes came faster than they were heard; some are lost.
    Overrun,
}

impl Listener {
    /// Opens a socket in the calling thread's network namespace. Open it before the first
    /// observation, so that no change falls between.
    ///
    /// # Errors
    /// When the kernel refuses the socket or the subscription.
    pub fn open() -> io::Result<Self> {
        let (netlink, _) = open()?;
        set_receive_room(netlink.as_fd(), RECEIVE)?;
        SockRef::from(&netlink.as_fd()).attach_filter(&only_generations())?;
        netlink.add_membership(NFNLGRP_NFTABLES)?;
        Ok(Self { netlink, buffer: vec![0; BUFFER] })
    }

    /// Waits for the next event; `None` when nothing came in time. Zero doesn't wait.
    ///
    /// # Errors
    /// When the socket fails or the kernel's message makes no sense.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<Option<Event>> {
        let flags = if timeout.is_zero() { libc::MSG_DONTWAIT } else { 0 };
        if !timeout.is_zero() {
            SockRef::from(&self.netlink.as_fd()).set_read_timeout(Some(timeout))?;
        }
        let datagram = match receive(&self.netlink, &mut self.buffer, flags) {
            Ok(datagram) => datagram,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                return Ok(Some(Event::Overrun));
            }
            Err(error) => return Err(error),
        };
        for message in Messages::new(datagram) {
            let message = message.map_err(invalid)?;
            if message.nft() == Some(libc::NFT_MSG_NEWGEN) {
                let (_, attrs) = message.body().map_err(invalid)?;
                return Ok(Some(Event::Changed(generation(attrs, message.port).map_err(invalid)?)));
            }
        }
        Ok(None)
    }
}

fn invalid(error: crate::DecodeError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Classic BPF: keep the datagram if the type of its first message is a new generation, which the
/// kernel sends alone.
fn only_generations() -> [SockFilter; 4] {
    const TYPE_AT: u32 = 4;
    let kind = (libc::NFNL_SUBSYS_NFTABLES << 8 | libc::NFT_MSG_NEWGEN) as u16;
    // The filter loads in network order what stands there in host order.
    let kind = u16::from_be_bytes(kind.to_ne_bytes());
    let load = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
    let jump = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    [
        SockFilter::new(load as u16, 0, 0, TYPE_AT),
        SockFilter::new(jump as u16, 0, 1, kind.into()),
        SockFilter::new(libc::BPF_RET as u16, 0, 0, u32::MAX),
        SockFilter::new(libc::BPF_RET as u16, 0, 0, 0),
    ]
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.netlink.as_raw_fd()
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.netlink.as_fd()
    }
}
