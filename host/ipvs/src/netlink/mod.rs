//! Netlink framing: messages, attributes and the socket they travel on.
//!
//! Pure except for [`Socket`]. Layouts: `include/uapi/linux/netlink.h` and
//! `include/uapi/linux/genetlink.h`. Numbers are in host order unless a name says otherwise.

mod attribute;
mod message;
mod socket;

pub use attribute::{Attribute, Attributes, Writer};
pub use message::{Ack, Message, Messages};
pub use socket::{Socket, Transport, Wait};

pub(crate) use message::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NLMSG_OVERRUN,
};
pub(crate) use socket::BUFFER;

/// Why bytes from the kernel could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Fewer bytes than the field needs, or a length that runs past its container.
    #[error("{field}: {have} bytes where {need} are needed")]
    Short {
        /// What was being read.
        field: &'static str,
        /// Bytes needed.
        need: usize,
        /// Bytes there.
        have: usize,
    },
    /// A field without which the object can't be told is absent.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field holds something that has no meaning there.
    #[error("{field}: {found} has no meaning")]
    Meaningless {
        /// What was being read.
        field: &'static str,
        /// What it held.
        found: String,
    },
}

impl DecodeError {
    pub(crate) fn meaningless(field: &'static str, found: impl ToString + Copy) -> Self {
        Self::Meaningless { field, found: found.to_string() }
    }
}

/// Netlink pads messages and attributes to four bytes.
pub(crate) const fn align(length: usize) -> usize {
    (length + 3) & !3
}
