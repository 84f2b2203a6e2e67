//! Addresses of one family, kept in order of link, then address.
//!
//! Pure. A sorted vector of plain numbers, in the order in which the kernel dumps: a dump of tens of
//! thousands is taken in almost without sorting, and an event moves at most a few hundred kilobytes.

use std::ops::Range;

use crate::name::LinkIndex;

/// An address as a number: `u32` or `u128`.
pub(crate) trait Bits: Copy + Ord {}
impl Bits for u32 {}
impl Bits for u128 {}

/// One address on one link. The last two fields lie in what alignment would leave empty anyway.
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
    #[inline]
    fn key(&self) -> (LinkIndex, B, B, u8) {
        (self.link, self.ip, self.peer, self.prefix_len)
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
        // Dumps go link by link, but within one as the kernel's list happens to be. All sorts are
        // stable, so that the later of two is known.
        for of_link in self.0.chunk_by_mut(|a, b| a.link == b.link) {
            of_link.sort_by(|a, b| a.ip.cmp(&b.ip).then_with(|| a.key().cmp(&b.key())));
        }
        if !self.0.is_sorted_by(|a, b| (a.link, a.ip) < (b.link, b.ip) || a.key() <= b.key()) {
            self.0.sort_by_key(Entry::key);
        }
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
        let range = self.range(link);
        self.0.drain(range).next().is_some()
    }

    /// The entries of one link.
    pub(crate) fn on(&self, link: LinkIndex) -> &[Entry<B>] {
        &self.0[self.range(link)]
    }

    fn range(&self, link: LinkIndex) -> Range<usize> {
        let from = self.0.partition_point(|entry| entry.link < link);
        let len = self.0[from..].partition_point(|entry| entry.link == link);
        from..from + len
    }

    pub(crate) fn as_slice(&self) -> &[Entry<B>] {
        &self.0
    }

    /// The entries of one address: looks at all.
    pub(crate) fn with_ip(&self, ip: B) -> impl Iterator<Item = &Entry<B>> {
        self.0.iter().filter(move |entry| entry.ip == ip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry((link, ip, prefix_len, flags): (u32, u32, u8, u32)) -> Entry<u32> {
        let link = LinkIndex::new(link).expect("an index from 1 on");
        Entry { ip, peer: ip, link, flags, prefix_len, scope: 0 }
    }

    proptest! {
        /// However a dump is ordered, it settles to what putting one after the other gives.
        #[test]
        fn settling_is_putting_one_by_one(
            all in proptest::collection::vec((1u32..4, 0u32..9, 24u8..26, 0u32..3), 0..80),
            by_link: bool,
        ) {
            let mut entries: Vec<_> = all.into_iter().map(entry).collect();
            if by_link {
                entries.sort_by_key(|entry| entry.link);
            }
            let (mut settled, mut put) = (Table::default(), Table::default());
            for entry in entries {
                settled.push(entry);
                put.put(entry);
            }
            settled.settle();
            prop_assert!(settled.as_slice().is_sorted_by(|a, b| a.key() < b.key()));
            prop_assert_eq!(settled, put);
        }
    }
}
