//! Bytes from the kernel as values. Pure, and never a panic whatever the bytes.

mod attr;
mod expr;
mod message;
mod object;
mod refusal;

pub(crate) use attr::Attrs;
pub(crate) use message::{Message, Messages};
pub use object::Generation;
pub(crate) use object::{
    chain, elements, flowtable, generation, ipset, join_ranges, rule, set, table_of,
};
pub(crate) use refusal::{Answer, answer, culprit};
