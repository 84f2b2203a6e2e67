//! A batch: what is to change in one table, in order, all or nothing. Pure.

use std::{fmt, sync::Arc};

use crate::{Chain, Element, Flowtable, Name, Rule, Set, Table};

/// A change of one table as a value: printed, checked, then given to [`crate::Nftables::apply`].
///
/// `Display` writes one line an operation, elements one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    table: Table,
    ops: Vec<Op>,
}

/// The number that the kernel gave a rule, unique in the table as long as it exists.
pub type Handle = u64;

/// One operation of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Make the table; fine if it is there.
    AddTable,
    /// Remove the table and all in it; ENOENT if it isn't there.
    DeleteTable,
    /// Remove the table and all in it; fine if it isn't there.
    DestroyTable,
    /// Make a chain; fine if it is there with the same base.
    AddChain(Chain),
    /// Remove a chain and its rules; EBUSY while a verdict leads to it.
    DeleteChain(Name),
    /// Remove the rules of a chain.
    FlushChain(Name),
    /// A rule at the chain's end.
    AddRule {
        /** The chain. */
        chain: Name,
        /** The rule. */
        rule: Rule,
    },
    /// A rule at the chain's beginning.
    InsertRule {
        /** The chain. */
        chain: Name,
        /** The rule. */
        rule: Rule,
    },
    /// A rule in the place of another, whose handle it keeps.
    ReplaceRule {
        /** The chain. */
        chain: Name,
        /** The other. */
        handle: Handle,
        /** The rule. */
        rule: Rule,
    },
    /// Remove a rule.
    DeleteRule {
        /** The chain. */
        chain: Name,
        /** The rule. */
        handle: Handle,
    },
    /// Make a set or map; fine if it is there with the same types and flags.
    AddSet(Arc<Set>),
    /// Remove a set or map with its elements; EBUSY while a rule uses it.
    DeleteSet(Name),
    /// Remove the elements of a set or map.
    FlushSet(Name),
    /// Add elements; one that is there with the same data is fine, with other data EEXIST.
    AddElements {
        /** Where to. */
        set: Arc<Set>,
        /** What. */
        elements: Vec<Element>,
    },
    /// Add elements; one that is there is EEXIST.
    CreateElements {
        /** Where to. */
        set: Arc<Set>,
        /** What. */
        elements: Vec<Element>,
    },
    /// Remove elements by key; one that isn't there is ENOENT.
    DeleteElements {
        /** Where from. */
        set: Arc<Set>,
        /** What. */
        elements: Vec<Element>,
    },
    /// Make a flowtable, or add devices to it.
    AddFlowtable(Flowtable),
    /// Take devices off a flowtable; ENOENT if it lacks one.
    DeleteDevices(Flowtable),
    /// Remove a flowtable; EBUSY while a rule uses it.
    DeleteFlowtable(Name),
}

impl Batch {
    /// Nothing to change in `table` yet.
    #[must_use]
    pub fn new(table: Table) -> Self {
        Self { table, ops: Vec::new() }
    }

    /// The table that it changes.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The operations in order.
    #[must_use]
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Adds an operation at the end.
    pub fn push(&mut self, op: Op) -> &mut Self {
        self.ops.push(op);
        self
    }

    /// [`Op::AddTable`]
    pub fn add_table(&mut self) -> &mut Self {
        self.push(Op::AddTable)
    }

    /// [`Op::DeleteTable`]
    pub fn delete_table(&mut self) -> &mut Self {
        self.push(Op::DeleteTable)
    }

    /// [`Op::DestroyTable`]
    pub fn destroy_table(&mut self) -> &mut Self {
        self.push(Op::DestroyTable)
    }

    /// [`Op::AddChain`]
    pub fn add_chain(&mut self, chain: Chain) -> &mut Self {
        self.push(Op::AddChain(chain))
    }

    /// [`Op::DeleteChain`]
    pub fn delete_chain(&mut self, chain: &Name) -> &mut Self {
        self.push(Op::DeleteChain(chain.clone()))
    }

    /// [`Op::FlushChain`]
    pub fn flush_chain(&mut self, chain: &Name) -> &mut Self {
        self.push(Op::FlushChain(chain.clone()))
    }

    /// [`Op::AddRule`]
    pub fn add_rule(&mut self, chain: &Name, rule: Rule) -> &mut Self {
        self.push(Op::AddRule { chain: chain.clone(), rule })
    }

    /// [`Op::InsertRule`]
    pub fn insert_rule(&mut self, chain: &Name, rule: Rule) -> &mut Self {
        self.push(Op::InsertRule { chain: chain.clone(), rule })
    }

    /// [`Op::ReplaceRule`]
    pub fn replace_rule(&mut self, chain: &Name, handle: Handle, rule: Rule) -> &mut Self {
        self.push(Op::ReplaceRule { chain: chain.clone(), handle, rule })
    }

    /// [`Op::DeleteRule`]
    pub fn delete_rule(&mut self, chain: &Name, handle: Handle) -> &mut Self {
        self.push(Op::DeleteRule { chain: chain.clone(), handle })
    }

    /// [`Op::AddSet`]
    pub fn add_set(&mut self, set: &Arc<Set>) -> &mut Self {
        self.push(Op::AddSet(Arc::clone(set)))
    }

    /// [`Op::DeleteSet`]
    pub fn delete_set(&mut self, set: &Name) -> &mut Self {
        self.push(Op::DeleteSet(set.clone()))
    }

    /// [`Op::FlushSet`]
    pub fn flush_set(&mut self, set: &Name) -> &mut Self {
        self.push(Op::FlushSet(set.clone()))
    }

    /// [`Op::AddElements`]; nothing if there are none.
    pub fn add_elements(
        &mut self,
        set: &Arc<Set>,
        elements: impl IntoIterator<Item = Element>,
    ) -> &mut Self {
        self.push_elements(elements, |elements| Op::AddElements { set: Arc::clone(set), elements })
    }

    /// [`Op::CreateElements`]; nothing if there are none.
    pub fn create_elements(
        &mut self,
        set: &Arc<Set>,
        elements: impl IntoIterator<Item = Element>,
    ) -> &mut Self {
        self.push_elements(elements, |elements| Op::CreateElements {
            set: Arc::clone(set),
            elements,
        })
    }

    /// [`Op::DeleteElements`]; nothing if there are none.
    pub fn delete_elements(
        &mut self,
        set: &Arc<Set>,
        elements: impl IntoIterator<Item = Element>,
    ) -> &mut Self {
        self.push_elements(elements, |elements| Op::DeleteElements {
            set: Arc::clone(set),
            elements,
        })
    }

    /// An element message without elements would flush the set.
    fn push_elements(
        &mut self,
        elements: impl IntoIterator<Item = Element>,
        op: impl FnOnce(Vec<Element>) -> Op,
    ) -> &mut Self {
        let elements: Vec<Element> = elements.into_iter().collect();
        if elements.is_empty() { self } else { self.push(op(elements)) }
    }

    /// [`Op::AddFlowtable`]
    pub fn add_flowtable(&mut self, flowtable: Flowtable) -> &mut Self {
        self.push(Op::AddFlowtable(flowtable))
    }

    /// [`Op::DeleteDevices`]
    pub fn delete_devices(&mut self, flowtable: Flowtable) -> &mut Self {
        self.push(Op::DeleteDevices(flowtable))
    }

    /// [`Op::DeleteFlowtable`]
    pub fn delete_flowtable(&mut self, flowtable: &Name) -> &mut Self {
        self.push(Op::DeleteFlowtable(flowtable.clone()))
    }

    /// The operation in words, without its elements.
    pub(crate) fn describe(&self, op: &Op) -> String {
        Line { table: &self.table, op }.to_string()
    }
}

impl Op {
    /// The elements that it adds or removes.
    #[must_use]
    pub fn elements(&self) -> &[Element] {
        match self {
            Self::AddElements { elements, .. }
            | Self::CreateElements { elements, .. }
            | Self::DeleteElements { elements, .. } => elements,
            _ => &[],
        }
    }

    /// The rule that it writes.
    #[must_use]
    pub fn rule(&self) -> Option<&Rule> {
        match self {
            Self::AddRule { rule, .. }
            | Self::InsertRule { rule, .. }
            | Self::ReplaceRule { rule, .. } => Some(rule),
            _ => None,
        }
    }
}

struct Line<'a> {
    table: &'a Table,
    op: &'a Op,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, op } = self;
        match op {
            Op::AddTable => write!(f, "add table {table}"),
            Op::DeleteTable => write!(f, "delete table {table}"),
            Op::DestroyTable => write!(f, "destroy table {table}"),
            Op::AddChain(chain) => write!(f, "add chain {table} {chain}"),
            Op::DeleteChain(name) => write!(f, "delete chain {table} {name}"),
            Op::FlushChain(name) => write!(f, "flush chain {table} {name}"),
            Op::AddRule { chain, rule } => write!(f, "add rule {table} {chain} {rule}"),
            Op::InsertRule { chain, rule } => write!(f, "insert rule {table} {chain} {rule}"),
            Op::ReplaceRule { chain, handle, rule } => {
                write!(f, "replace rule {table} {chain} handle {handle} {rule}")
            }
            Op::DeleteRule { chain, handle } => {
                write!(f, "delete rule {table} {chain} handle {handle}")
            }
            Op::AddSet(set) => write!(f, "add {} {table} {set}", set.word()),
            Op::DeleteSet(name) => write!(f, "delete set {table} {name}"),
            Op::FlushSet(name) => write!(f, "flush set {table} {name}"),
            Op::AddElements { set, .. } => write!(f, "add element {table} {}", set.name),
            Op::CreateElements { set, .. } => write!(f, "create element {table} {}", set.name),
            Op::DeleteElements { set, .. } => write!(f, "delete element {table} {}", set.name),
            Op::AddFlowtable(flowtable) => write!(f, "add flowtable {table} {flowtable}"),
            Op::DeleteDevices(flowtable) => write!(f, "delete flowtable {table} {flowtable}"),
            Op::DeleteFlowtable(name) => write!(f, "delete flowtable {table} {name}"),
        }
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for op in &self.ops {
            let line = Line { table: &self.table, op };
            if op.elements().is_empty() {
                writeln!(f, "{line}")?;
            }
            for element in op.elements() {
                writeln!(f, "{line} {{ {element} }}")?;
            }
        }
        Ok(())
    }
}
