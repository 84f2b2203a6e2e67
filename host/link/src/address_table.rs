//! Addresses of one family, kept in order of address, then link.
//!
//! Pure. A sorted vector of plain numbers: a dump of tens of thousands is taken in by one sort,
//! and an event moves at most a few hundred kilobytes, which is cheaper than a tree's or a hash
//! table's upkeep was for the dump (measured).

use crate::name::LinkIndex;

/// An address as a number: `u32` or `u128`.
pub(crate) trait Bits: Copy + Ord {}
impl Bits for u32 {}
impl Bits for u128 {}

/// One address on one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<B> {
    pub(crate) ip: B,
    pub(crate) peer: B,
    pub(crate) link: LinkIndex,
    pub(crate) flags: u32,
    pub(crate) prefix_len: u8,
    pub(crate) scope: u8,
}

impl<B: Bits> Entry<B> {
    /// What the kernel tells addresses apart by.
    fn key(&self) -> (B, LinkIndex, B, u8) {
        (self.ip, self.link, self.peer, self.prefix_len)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table<B>(Vec<Entry<B>>);

impl<B> Default for Table<B> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<B: Bits> Table<B> {
    /// Adds without keeping order; [`Table::settle`] must follow.
    #[inline]
    pub(crate) fn push(&mut self, entry: Entry<B>) {
        self.0.push(entry);
    }

    /// Orders what was pushed. Of two entries for the same address the later one stays.
    pub(crate) fn settle(&mut self) {
        // Stable, so that the later one is known; the kernel's dumps come mostly in runs.
        self.0.sort_by(|a, b| a.ip.cmp(&b.ip).then_with(|| a.key().cmp(&b.key())));
        self.0.dedup_by(|later, kept| {
            let same = later.key() == kept.key();
            if same {
                *kept = *later;
            }
            same
        });
    }

    /// Adds or changes one; true when something differs.
    pub(crate) fn put(&mut self, entry: Entry<B>) -> bool {
        match self.0.binary_search_by_key(&entry.key(), Entry::key) {
            Ok(at) => std::mem::replace(&mut self.0[at], entry) != entry,
            Err(at) => {
                self.0.insert(at, entry);
                true
            }
        }
    }

    /// Removes one; true when it was there.
    pub(crate) fn remove(&mut self, entry: &Entry<B>) -> bool {
        let found = self.0.binary_search_by_key(&entry.key(), Entry::key);
        found.map(|at| self.0.remove(at)).is_ok()
    }

    /// Removes all of a link; true when there were some.
    pub(crate) fn remove_link(&mut self, link: LinkIndex) -> bool {
        let before = self.0.len();
        self.0.retain(|entry| entry.link != link);
        self.0.len() != before
    }

    pub(crate) fn as_slice(&self) -> &[Entry<B>] {
        &self.0
    }

    /// The entries of one address.
    pub(crate) fn with_ip(&self, ip: B) -> &[Entry<B>] {
        let from = self.0.partition_point(|entry| entry.ip < ip);
        let same = self.0[from..].partition_point(|entry| entry.ip == ip);
        &self.0[from..from + same]
    }
}
