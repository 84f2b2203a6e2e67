//! Netlink framing: messages, attributes and the socket they travel on.
//!
//! Pure except for [`Socket`]. Layouts: linux/netlink.h and linux/netfilter/nfnetlink.h. Headers are
//! in host order, the numbers inside netfilter's attributes in network order.

mod attribute;
mod message;
mod socket;

pub use attribute::{Attribute, Attributes, Writer};
pub use message::{Ack, Message, Messages};
pub use socket::{Socket, Transport, Wait};

pub(crate) use socket::BUFFER;

pub(crate) const NLMSG_ERROR: u16 = libc::NLMSG_ERROR as u16;
pub(crate) const NLMSG_DONE: u16 = libc::NLMSG_DONE as u16;
pub(crate) const NLMSG_OVERRUN: u16 = libc::NLMSG_OVERRUN as u16;
pub(crate) const NLM_F_REQUEST: u16 = libc::NLM_F_REQUEST as u16;
pub(crate) const NLM_F_ACK: u16 = libc::NLM_F_ACK as u16;
pub(crate) const NLM_F_DUMP: u16 = libc::NLM_F_DUMP as u16;
pub(crate) const NLM_F_DUMP_INTR: u16 = libc::NLM_F_DUMP_INTR as u16;

/// Bytes that are not what they claim to be: what was being read, and why it can't be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {what}: {why}")]
pub struct Malformed {
    /// What was being read.
    pub what: &'static str,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Malformed {
    pub(crate) const fn new(what: &'static str, why: &'static str) -> Self {
        Self { what, why }
    }
}

/// Netlink pads messages and attributes to four bytes. Only for lengths found inside a buffer.
pub(crate) const fn align(length: usize) -> usize {
    (length + 3) & !3
}
