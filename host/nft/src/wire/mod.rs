//! Batches as netlink messages, written by libnftnl. No socket.

mod check;
mod encode;
mod expr;
mod object;
mod raw;
mod userdata;

pub(crate) use check::op as check;
pub(crate) use encode::{Encoded, encode};
pub(crate) use userdata::{COMMENT, SET_COMMENT, comment_of};
