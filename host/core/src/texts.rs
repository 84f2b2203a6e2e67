//! Texts of which a cluster has few and its objects many copies: names of nodes, zones and namespaces. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Below this many it isn't worth while to look for those that nobody uses.
const FEW: usize = 256;

/// The texts that are in use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts {
    known: BTreeSet<Arc<str>>,
    /// How many were left after the last look for those that nobody uses.
    used: usize,
}

impl Texts {
    /// Makes an equal text the same one.
    pub(crate) fn share(&mut self, text: &mut Arc<str>) {
        if let Some(known) = self.known.get(text) {
            *text = Arc::clone(known);
            return;
        }
        if self.known.len() >= FEW.max(2 * self.used) {
            self.known.retain(|known| Arc::strong_count(known) > 1);
            self.used = self.known.len();
        }
        self.known.insert(Arc::clone(text));
    }
}

/// Serializes a shared text as the text that it is.
pub(crate) fn one<S: Serializer>(text: &Option<Arc<str>>, to: S) -> Result<S::Ok, S::Error> {
    text.as_deref().serialize(to)
}

/// Serializes shared texts as a list.
pub(crate) fn all<S: Serializer>(texts: &[Arc<str>], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(texts.iter().map(|text| &**text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_and_unused_ones_are_forgotten() {
        let mut texts = Texts::default();
        let (mut first, mut second) = (Arc::<str>::from("node-1"), Arc::<str>::from("node-1"));
        texts.share(&mut first);
        texts.share(&mut second);
        assert!(Arc::ptr_eq(&first, &second));
        for n in 0..10 * FEW {
            texts.share(&mut n.to_string().into());
        }
        assert!(texts.known.len() <= FEW, "{}", texts.known.len());
        assert!(texts.known.contains("node-1"), "in use");
    }
}
