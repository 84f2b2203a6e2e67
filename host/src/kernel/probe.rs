//! What nftables of this kernel can do: tried, in a batch that the kernel is made to refuse at its end.
//!
//! Nothing of such a batch is ever in force. The kernel loads the modules that it takes.

use std::num::NonZeroU32;

use weir_core::decision::Scheduler;
use weir_core::net::{Family, Port, Protocol};
use weir_core::state::{Base, Chain, Class, Memory, OffloadClass, Pick, Scope, VirtualKey};
use weir_nft::{Batch, Name, Nftables, Table};

use super::sysctl::{ACCOUNTING, ProcSys, Written};
use super::table::{Sets, flowtable};

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// What can pick an endpoint; empty where services can't be carried at all.
    pub schedulers: Vec<Scheduler>,
    /// Whether flows can be offloaded.
    pub flowtable: bool,
    /// Why not, of the first thing that can't be had.
    pub missing: Vec<String>,
    /// What trying set on the node, and can't be put back.
    pub written: Option<Written>,
}

const TABLE: Name = Name::literal("weir-probe");
/// No chain has this name: to remove it is refused.
const NOBODY: Name = Name::literal("nobody");

/// Tries all that weir's table may hold. A rule that reads a connection's packets has them counted from then on
/// (`nft_ct_get_init`), in a batch that is refused, too: that is put back where it may be.
pub(super) fn probe(nft: &mut dyn Nftables, sysctls: &ProcSys) -> Found {
    // Before its module is there nothing was said of it: off.
    let was = sysctls.read(ACCOUNTING).unwrap_or(0);
    let found = attempts(nft);
    match sysctls.read(ACCOUNTING) {
        Ok(is) if is != was && sysctls.write(ACCOUNTING, was).is_err() => {
            Found { written: Some(Written { name: ACCOUNTING, was, is }), ..found }
        }
        _ => found,
    }
}

fn attempts(nft: &mut dyn Nftables) -> Found {
    let sets = Sets::new();
    let mut found = Found::default();
    let two = NonZeroU32::MIN.saturating_add(1);
    let key = VirtualKey {
        address: [192, 0, 2, 1].into(),
        protocol: Protocol::Tcp,
        port: Port(std::num::NonZeroU16::MIN),
    };
    let family = Family::V4;
    let sticky = Some(Scope::Cluster);
    let balance = |pick| Chain::Balance(Class { family, pick, slots: two, sticky, inside: false });
    let mut can = |found: &mut Found, what: &str, chain: Chain| {
        let tried = attempt(nft, &sets, &chain);
        if let Err(why) = &tried {
            found.missing.push(format!("{what}: {why}"));
        }
        tried.is_ok()
    };
    // Every service may ask for affinity, whatever picks for it.
    let memory = Chain::Remember(Memory { family, seconds: two });
    if !can(&mut found, "balancing at random", balance(Pick::Random))
        || !can(&mut found, "affinity", memory)
    {
        return found;
    }
    found.schedulers.push(Scheduler::Random);
    let picks = [
        ("balancing in turn", Pick::Turn(key), [Scheduler::Rr, Scheduler::Wrr].as_slice()),
        (
            "balancing by hash",
            Pick::Source { port: true },
            &[Scheduler::Sh, Scheduler::Dh, Scheduler::Mh],
        ),
    ];
    for (what, pick, schedulers) in picks {
        if can(&mut found, what, balance(pick)) {
            found.schedulers.extend(schedulers);
        }
    }
    let offload = Chain::Offload(OffloadClass { after: two, interfaces: None });
    found.flowtable = can(&mut found, "offload", offload);
    found
}

/// Whether the kernel takes the table with this chain in it.
fn attempt(nft: &mut dyn Nftables, sets: &Sets, chain: &Chain) -> Result<(), String> {
    let table = Table { name: TABLE, ..super::table::table() };
    let mut batch = sets.lay_in(table, &Base::default());
    if matches!(chain, Chain::Offload(_)) {
        batch.add_flowtable(flowtable(Vec::new()));
    }
    sets.add_chain(chain, &mut batch);
    let last = batch.ops().len();
    batch.delete_chain(&NOBODY);
    match nft.apply(&batch) {
        Ok(()) => {
            // A kernel that has a chain of this name in a table of this name isn't to keep either.
            undo(nft, &batch);
            Ok(())
        }
        Err(error) => match error.refusals() {
            [only] if only.index == Some(last) && only.is_not_found() => Ok(()),
            _ => Err(super::words(&error)),
        },
    }
}

fn undo(nft: &mut dyn Nftables, batch: &Batch) {
    let mut undo = Batch::new(batch.table().clone());
    undo.destroy_table();
    if let Err(error) = nft.apply(&undo) {
        tracing::warn!(error = super::words(&error), "table weir-probe can't be removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_nft::FakeNft;

    #[test]
    fn a_kernel_with_everything_has_everything_and_keeps_nothing() {
        let mut nft = FakeNft::new();
        let found = attempts(&mut nft);
        assert_eq!(found.missing, Vec::<String>::new());
        assert!(found.flowtable);
        assert_eq!(found.schedulers.len(), 6);
        let table = Table { name: TABLE, ..super::super::table::table() };
        assert_eq!(nft.observe(&table).unwrap(), None);
    }
}
