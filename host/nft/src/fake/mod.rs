//! nftables in memory, refusing as Linux refuses: for tests of callers. Pure.
//!
//! What it doesn't know: whether an expression suits its chain or its registers, loops of jumps,
//! time (elements don't expire), and what other tables hold.

mod elements;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::table::FakeTable;
use crate::{
    ApplyError, Batch, BatchError, Culprit, Element, Nftables, ObserveError, Op, Refusal, Set,
    Table, TableState, wire,
};

/// nftables in memory.
#[derive(Clone, Debug, Default)]
pub struct FakeNft {
    tables: BTreeMap<Table, FakeTable>,
    generation: u32,
    devices: Option<BTreeSet<String>>,
}

/// Why the kernel would refuse.
struct No {
    errno: i32,
    culprit: Option<Culprit>,
}

impl From<i32> for No {
    fn from(errno: i32) -> Self {
        Self { errno, culprit: None }
    }
}

impl FakeNft {
    /// No tables; every device that a flowtable names exists.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with these devices and no others.
    #[must_use]
    pub fn with_devices<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.devices = Some(names.into_iter().map(str::to_owned).collect());
        self
    }

    fn run(&self, table: &mut Option<FakeTable>, op: &Op) -> Result<(), No> {
        match op {
            Op::AddTable => {
                table.get_or_insert_default();
                Ok(())
            }
            Op::DeleteTable => table.take().map(drop).ok_or(libc::ENOENT.into()),
            Op::DestroyTable => {
                *table = None;
                Ok(())
            }
            Op::AddFlowtable(flowtable) => {
                let known = |name: &String| {
                    self.devices.as_ref().is_none_or(|devices| devices.contains(name))
                };
                if !flowtable.devices.iter().all(known) {
                    return Err(libc::ENOENT.into());
                }
                table.as_mut().ok_or(libc::ENOENT)?.run(op)
            }
            inside => table.as_mut().ok_or(libc::ENOENT)?.run(inside),
        }
    }
}

impl Nftables for FakeNft {
    fn apply(&mut self, batch: &Batch) -> Result<(), ApplyError> {
        if batch.is_empty() {
            return Ok(());
        }
        check(batch)?;
        let mut table = self.tables.get(batch.table()).cloned();
        let mut refusals = Vec::new();
        for (index, op) in batch.ops().iter().enumerate() {
            // As the kernel does: it goes on after a refusal, to name them all.
            if let Err(No { errno, culprit }) = self.run(&mut table, op) {
                let op = batch.describe(op);
                refusals.push(Refusal { index: Some(index), op, culprit, errno, message: None });
            }
        }
        if !refusals.is_empty() {
            return Err(ApplyError::Refused(refusals));
        }
        match table {
            Some(table) => drop(self.tables.insert(batch.table().clone(), table)),
            None => drop(self.tables.remove(batch.table())),
        }
        self.generation = self.generation.wrapping_add(1);
        Ok(())
    }

    fn observe(&mut self, table: &Table) -> Result<Option<TableState>, ObserveError> {
        Ok(self.tables.get(table).map(|table| table.state(self.generation)))
    }

    fn elements(
        &mut self,
        table: &Table,
        set: &Arc<Set>,
    ) -> Result<Option<Vec<Element>>, ObserveError> {
        Ok(self.tables.get(table).and_then(|table| table.elements(&set.name)))
    }

    fn generation(&mut self) -> Result<u32, ObserveError> {
        Ok(self.generation)
    }
}

fn check(batch: &Batch) -> Result<(), BatchError> {
    for (index, op) in batch.ops().iter().enumerate() {
        wire::check(op).map_err(|why| BatchError { index, op: batch.describe(op), why })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DataType, Family, Name, Rule, Value};

    fn port(number: u16) -> Element {
        Element::value([Value::Port(number)], [Value::Mark(1)])
    }

    #[test]
    fn refuses_as_linux() {
        let table = Table { family: Family::Inet, name: Name::literal("weir") };
        let map =
            Arc::new(Set::map(Name::literal("ports"), &[DataType::InetService], &[DataType::Mark]));
        let mut nft = FakeNft::new();
        let mut batch = Batch::new(table.clone());
        batch.add_table().add_set(&map).add_elements(&map, [port(1), port(2)]);
        nft.apply(&batch).unwrap();
        let before = nft.observe(&table).unwrap();

        let other = Element::value([Value::Port(2)], [Value::Mark(9)]);
        let cases: [(&str, Op, i32); 5] = [
            (
                "other data",
                Op::AddElements { set: map.clone(), elements: vec![port(3), other] },
                libc::EEXIST,
            ),
            (
                "exclusive",
                Op::CreateElements { set: map.clone(), elements: vec![port(1)] },
                libc::EEXIST,
            ),
            (
                "gone",
                Op::DeleteElements { set: map.clone(), elements: vec![port(7)] },
                libc::ENOENT,
            ),
            ("no chain", Op::FlushChain(Name::literal("none")), libc::ENOENT),
            (
                "no chain",
                Op::AddRule { chain: Name::literal("none"), rule: Rule::new().counter() },
                libc::ENOENT,
            ),
        ];
        for (name, op, errno) in cases {
            let mut batch = Batch::new(table.clone());
            batch.add_elements(&map, [port(4)]).push(op);
            let error = nft.apply(&batch).unwrap_err();
            let [refusal] = error.refusals() else { panic!("{name}: {error}") };
            assert_eq!((refusal.index, refusal.errno), (Some(1), errno), "{name}");
            assert_eq!(nft.observe(&table).unwrap(), before, "{name}: nothing is applied");
        }
    }
}
