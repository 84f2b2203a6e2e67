//! nftables in the kernel's words.

mod batch;
mod chain;
mod element;
mod error;
pub mod expr;
mod flowtable;
mod name;
mod read;
mod rule;
mod set;
mod socket;
mod state;
mod table;
mod uapi;
pub mod value;
mod verdict;
mod wire;

pub use batch::{Batch, Handle, Op};
pub use chain::{Base, Chain, ChainType, Hook, Policy, priority};
pub use element::{Data, Element};
pub use error::{ApplyError, BatchError, Culprit, DecodeError, ObserveError, Refusal, Unsendable};
pub use expr::{CtAddr, CtDir, Expr, Field};
pub use flowtable::Flowtable;
pub use name::{NAME_MAX, Name, NameError};
pub use read::Generation;
pub use rule::Rule;
pub use set::{Set, SetFlags, SetKind};
pub use socket::{Event, Listener, Socket};
pub use state::{ChainState, Nftables, RuleState, SetState, TableState};
pub use table::{Family, Table};
pub use value::{DataType, Ifname, Value};
pub use verdict::Verdict;
