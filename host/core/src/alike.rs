//! Shares values that are equal: of tens of thousands of services most are decided on alike. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

/// How many distinct values are looked through.
const KEPT: usize = 16;

/// The last few distinct values that were shared.
#[derive(Debug)]
pub struct Alike<T> {
    recent: VecDeque<Arc<T>>,
}

impl<T> Default for Alike<T> {
    fn default() -> Self {
        Self { recent: VecDeque::new() }
    }
}

impl<T: PartialEq> Alike<T> {
    /// The value that is equal to this one, if it was among the last few; else this one.
    pub fn share(&mut self, value: T) -> Arc<T> {
        let known = self.recent.iter().position(|known| **known == value);
        let shared = known.and_then(|at| self.recent.remove(at)).unwrap_or_else(|| value.into());
        self.recent.truncate(KEPT - 1);
        self.recent.push_front(Arc::clone(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_until_many_others_came() {
        let mut alike = Alike::default();
        let first = alike.share("a".to_owned());
        assert!(Arc::ptr_eq(&first, &alike.share("a".to_owned())));
        for n in 1..KEPT {
            alike.share(n.to_string());
        }
        assert!(Arc::ptr_eq(&first, &alike.share("a".to_owned())), "used again, it stays");
        for n in 0..KEPT {
            assert_eq!(*alike.share(n.to_string()), n.to_string());
        }
        assert!(!Arc::ptr_eq(&first, &alike.share("a".to_owned())), "forgotten");
        assert_eq!(alike.recent.len(), KEPT);
    }
}
