//! What a conversion found wrong, and what became of the object. Pure.

use std::fmt::Display;

/// The most faults told of one object; beyond, they are counted.
const MOST: usize = 16;

/// One field with something wrong in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The field, as `spec.ports[1].port`.
    pub field: String,
    /// What is wrong, and what was made of it.
    pub message: String,
}

/// What became of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<T> {
    /// It can be used, perhaps without the fields named in the faults.
    Object(T),
    /// Nothing is wrong with it, but a proxier has no use for it; as if it weren't there.
    LeftOut,
    /// Too much is wrong with it. An earlier version, if there was one, should stay in use.
    Refused,
}

/// An object after conversion, with everything that was wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted<T> {
    /// What became of it.
    pub verdict: Verdict<T>,
    /// At most 16, then one more that counts the rest.
    pub faults: Vec<Fault>,
    /// Whether something that carries traffic had to be left out: an address, a port, an endpoint.
    pub is_partial: bool,
}

impl<T> Converted<T> {
    /// The same with the object, if there is one, turned into something else.
    pub fn map<U>(self, turn: impl FnOnce(T) -> U) -> Converted<U> {
        let verdict = match self.verdict {
            Verdict::Object(object) => Verdict::Object(turn(object)),
            Verdict::LeftOut => Verdict::LeftOut,
            Verdict::Refused => Verdict::Refused,
        };
        Converted { verdict, faults: self.faults, is_partial: self.is_partial }
    }
}

/// Collects faults of one object.
#[derive(Debug, Default)]
pub(super) struct Faults {
    told: Vec<Fault>,
    untold: usize,
    is_partial: bool,
}

impl Faults {
    /// Takes one fault in; the words are put together only if it will be told.
    pub(super) fn add(&mut self, field: impl Display, message: impl Display) {
        if self.told.len() < MOST {
            self.told.push(Fault { field: field.to_string(), message: message.to_string() });
        } else {
            self.untold += 1;
        }
    }

    /// Takes a fault in that leaves out something that carries traffic.
    pub(super) fn lose(&mut self, field: impl Display, message: impl Display) {
        self.is_partial = true;
        self.add(field, message);
    }

    /// The value, or a fault: what can't be read is left out.
    pub(super) fn keep<T>(
        &mut self,
        field: impl Display,
        result: Result<T, impl Display>,
    ) -> Option<T> {
        result.map_err(|message| self.lose(field, message)).ok()
    }

    /// The end of a conversion: `None` refuses the object.
    pub(super) fn conclude<T>(self, object: Option<T>) -> Converted<T> {
        self.with(object.map_or(Verdict::Refused, Verdict::Object))
    }

    /// The end of a conversion with this verdict.
    pub(super) fn with<T>(mut self, verdict: Verdict<T>) -> Converted<T> {
        if self.untold > 0 {
            let message = format!("{} more faults are not listed", self.untold);
            self.told.push(Fault { field: String::new(), message });
        }
        Converted { verdict, faults: self.told, is_partial: self.is_partial }
    }
}
