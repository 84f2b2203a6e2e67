//! Sets, maps and their elements in memory. Pure.

use std::{collections::BTreeMap, sync::Arc};

use super::{No, table::FakeTable};
use crate::{Culprit, Data, Element, Expr, Name, Op, Set, SetKind, Value, value::encode};

/// Elements are told apart by key and, for ranges, by its end.
type Place = (Vec<Value>, Option<Vec<Value>>);

/// A set or map in memory.
#[derive(Clone, Debug)]
pub(super) struct FakeSet {
    pub(super) set: Arc<Set>,
    pub(super) elements: BTreeMap<Place, Element>,
}

impl FakeSet {
    pub(super) fn all(&self) -> Vec<Element> {
        self.elements.values().cloned().collect()
    }

    pub(super) fn leads_to(&self, chain: &Name) -> bool {
        self.set.kind == SetKind::VerdictMap
            && self.elements.values().any(
                |element| matches!(&element.data, Data::Verdict(v) if v.chain() == Some(chain)),
            )
    }

    fn add(&mut self, element: &Element, exclusive: bool) -> Result<(), i32> {
        let place = place(element);
        if let Some(there) = self.elements.get(&place) {
            return if exclusive || there.data != element.data {
                Err(libc::EEXIST)
            } else {
                Ok(())
            };
        }
        if self.set.flags.interval && self.elements.values().any(|other| overlap(other, element)) {
            return Err(libc::ENOTEMPTY);
        }
        if self.set.size.is_some_and(|size| self.elements.len() >= size as usize) {
            return Err(libc::ENFILE);
        }
        let element = Element {
            expires: None,
            timeout: element.timeout.or(self.set.timeout),
            ..element.clone()
        };
        self.elements.insert(place, element);
        Ok(())
    }

    fn is_like(&self, set: &Set) -> bool {
        let there = &*self.set;
        (&there.key, &there.kind, there.flags, there.timeout, there.size)
            == (&set.key, &set.kind, set.flags, set.timeout, set.size)
    }
}

/// A range of one key is that key.
fn place(element: &Element) -> Place {
    let end = element.key_end.clone().filter(|end| *end != element.key);
    (element.key.clone(), end)
}

/// Ranges overlap when they do in every field.
fn overlap(a: &Element, b: &Element) -> bool {
    let bytes = |value: &Value| encode(&[*value]);
    let last = |element: &Element| element.key_end.clone().unwrap_or_else(|| element.key.clone());
    let (a_last, b_last) = (last(a), last(b));
    (0..a.key.len()).all(|at| {
        bytes(&a.key[at]) <= bytes(&b_last[at]) && bytes(&b.key[at]) <= bytes(&a_last[at])
    })
}

impl FakeTable {
    pub(super) fn run_set(&mut self, op: &Op) -> Result<(), No> {
        match op {
            Op::AddSet(set) => self.add_set(set),
            Op::DeleteSet(name) => {
                self.set(name)?;
                self.unused(name, |expr| !matches!(expr, Expr::FlowOffload { .. }))?;
                self.sets.remove(name);
                Ok(())
            }
            Op::FlushSet(name) => {
                self.set(name)?.elements.clear();
                Ok(())
            }
            Op::AddElements { set, elements } => self.add_elements(set, elements, false),
            Op::CreateElements { set, elements } => self.add_elements(set, elements, true),
            Op::DeleteElements { set, elements } => self.delete_elements(set, elements),
            other => unreachable!("{other:?} is run elsewhere"),
        }
    }

    fn set(&mut self, name: &Name) -> Result<&mut FakeSet, No> {
        self.sets.get_mut(name).ok_or(libc::ENOENT.into())
    }

    fn add_set(&mut self, set: &Arc<Set>) -> Result<(), No> {
        match self.sets.get(&set.name) {
            Some(there) if there.is_like(set) => Ok(()),
            Some(_) => Err(libc::EEXIST.into()),
            None => {
                let new = FakeSet { set: Arc::clone(set), elements: BTreeMap::new() };
                self.sets.insert(set.name.clone(), new);
                Ok(())
            }
        }
    }

    fn add_elements(&mut self, set: &Set, elements: &[Element], exclusive: bool) -> Result<(), No> {
        self.check_bound(set)?;
        for (index, element) in elements.iter().enumerate() {
            let verdict = match &element.data {
                Data::Verdict(verdict) => self.check_verdict(verdict),
                _ => Ok(()),
            };
            let there = self.set(&set.name)?;
            verdict
                .and_then(|()| there.add(element, exclusive))
                .map_err(|errno| blame(errno, index, element))?;
        }
        Ok(())
    }

    fn delete_elements(&mut self, set: &Set, elements: &[Element]) -> Result<(), No> {
        self.check_bound(set)?;
        let there = self.set(&set.name)?;
        for (index, element) in elements.iter().enumerate() {
            let removed = there.elements.remove(&place(element));
            removed.ok_or_else(|| blame(libc::ENOENT, index, element))?;
        }
        Ok(())
    }

    /// The set must be there with the same types, and not be constant once a rule uses it.
    fn check_bound(&self, set: &Set) -> Result<(), No> {
        let there = &self.sets.get(&set.name).ok_or(libc::ENOENT)?.set;
        if (&there.key, &there.kind) != (&set.key, &set.kind) {
            return Err(libc::EINVAL.into());
        }
        if there.flags.constant { self.unused(&set.name, |_| true) } else { Ok(()) }
    }
}

fn blame(errno: i32, index: usize, element: &Element) -> No {
    No { errno, culprit: Some(Culprit::Element { index, element: element.to_string() }) }
}
