//! nftables in the kernel's words: tables, chains, rules, sets, maps, verdict maps, elements and
//! flowtables as values; changes as atomic batches; a table read back as the same values.
//!
//! - A [`Batch`] is a value: print it, compare it, then give it to [`Nftables::apply`]. All of it
//!   is applied or nothing, and a refusal names the operation, the element or expression, and the
//!   kernel's own words.
//! - [`Socket`] is the kernel, in the network namespace of the thread that opened it; [`FakeNft`]
//!   is a rule set in memory that refuses as Linux refuses.
//! - [`Nftables::observe`] reads one table; what was written compares equal to what is read.
//! - [`Listener`] tells when somebody changed the rule set, and who.
//!
//! Messages are written by libnftnl (1.2.4 or newer), which makes a program that links this crate
//! subject to the GPL. They are sent and read here; see the README for why.
//!
//! ```
//! use std::{net::Ipv4Addr, sync::Arc};
//! use weir_nft::{
//!     Batch, Chain, ChainType, CtAddr, CtDir, DataType, Element, FakeNft, Family, Field, Hook, Name, Nftables, Rule,
//!     Set, Table, Value, expr::NatFlags, priority,
//! };
//!
//! const POSTROUTING: Name = Name::literal("nat-postrouting");
//! const INPUT: Name = Name::literal("filter-input");
//! let table = Table { family: Family::Inet, name: Name::literal("weir") };
//! let mut batch = Batch::new(table.clone());
//! batch.add_table();
//! for (name, kind, hook, at) in [
//!     ("nat-prerouting", ChainType::Nat, Hook::Prerouting, priority::DSTNAT),
//!     ("nat-output", ChainType::Nat, Hook::Output, priority::DSTNAT),
//!     ("nat-postrouting", ChainType::Nat, Hook::Postrouting, priority::SRCNAT),
//!     ("filter-input", ChainType::Filter, Hook::Input, priority::FILTER),
//!     ("filter-forward", ChainType::Filter, Hook::Forward, priority::FILTER),
//!     ("filter-output", ChainType::Filter, Hook::Output, priority::FILTER),
//! ] {
//!     batch.add_chain(Chain::base(Name::new(name)?, kind, hook, at));
//! }
//!
//! // Sets are shared definitions: element operations need the types of the fields.
//! use DataType::{InetProto, InetService, Ipv4Addr as V4};
//! let services = Arc::new(Set::new(Name::literal("ipvs_services"), &[V4, InetProto, InetService]));
//! let masq = Arc::new(Set::new(Name::literal("masq4"), &[V4, InetProto, InetService]));
//! let hairpin = Arc::new(Set::new(Name::literal("hairpin4"), &[V4, V4]));
//! batch.add_set(&services).add_set(&masq).add_set(&hairpin);
//!
//! let vip = [Value::Ipv4(Ipv4Addr::new(10, 96, 0, 1)), Value::Proto(6), Value::Port(80)];
//! let endpoint = Value::Ipv4(Ipv4Addr::new(10, 0, 0, 7));
//! batch.add_elements(&services, [Element::new(vip).comment("default/web")]);
//! batch.add_elements(&masq, [Element::new(vip)]);
//! batch.add_elements(&hairpin, [Element::new([endpoint, endpoint])]);
//!
//! // ct original ip daddr . meta l4proto . ct original proto-dst @masq4 masquerade fully-random
//! let original =
//!     [Field::CtAddr(CtDir::Original, CtAddr::Ip4Daddr), Field::L4Proto, Field::CtProtoDst(CtDir::Original)];
//! batch.add_rule(&POSTROUTING, Rule::new().in_set(&original, &masq.name).masquerade_fully_random());
//! // ip saddr . ip daddr @hairpin4 masquerade: payload of IPv4 wants the guard before it
//! let ends = [Field::Ip4Saddr, Field::Ip4Daddr];
//! batch.add_rule(
//!     &POSTROUTING,
//!     Rule::new().nfproto(Family::Ip).in_set(&ends, &hairpin.name).masquerade(NatFlags::default()).comment("hairpin"),
//! );
//! // ip daddr . meta l4proto . th dport != @ipvs_services fib daddr type local reject
//! let destination = [Field::Ip4Daddr, Field::L4Proto, Field::ThDport];
//! batch.add_rule(
//!     &INPUT,
//!     Rule::new().nfproto(Family::Ip).not_in_set(&destination, &services.name).to_local().counter().reject(),
//! );
//!
//! println!("{batch}"); // one line an operation
//! let mut nft = FakeNft::new(); // or Socket::open()?
//! nft.apply(&batch)?;
//!
//! let state = nft.observe(&table)?.expect("it was just made");
//! assert_eq!(state.sets[&masq.name].elements, [Element::new(vip)]);
//! assert_eq!(state.chains[&POSTROUTING].rules[1].rule.comment.as_deref(), Some("hairpin"));
//!
//! // Deleting what isn't there is refused, by name.
//! let mut again = Batch::new(table);
//! again.delete_elements(&masq, [Element::new(vip), Element::new(vip)]);
//! let error = nft.apply(&again).unwrap_err();
//! assert!(error.refusals()[0].is_not_found());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod chain;
mod element;
mod error;
pub mod expr;
mod fake;
mod flowtable;
#[doc(hidden)]
pub mod fuzz;
mod name;
mod read;
#[cfg(test)]
mod roundtrip;
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
pub use fake::FakeNft;
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
