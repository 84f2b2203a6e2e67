//! What can go wrong, and what it says about the kernel's state. Pure.

use std::{fmt, io};

/// A batch that can't be put into messages; nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{op}: {why}")]
pub struct BatchError {
    /// The operation's place in the batch.
    pub index: usize,
    /// The operation in words.
    pub op: String,
    /// What is wrong with it.
    pub why: Unsendable,
}

/// What is wrong with an operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// An element's key or data isn't of the set's types.
    #[error("element {element} is ({got}), the set wants ({want})")]
    ElementType {
        /// The element's place.
        element: usize,
        /// The set's types.
        want: String,
        /// The element's.
        got: String,
    },
    /// A set with no fields, more than 5, or more than 64 bytes.
    #[error("{0} fields of {1} bytes; a key or data has 1 to 5 fields and at most 64 bytes")]
    Fields(usize, usize),
    /// A range where the set has none, or none where the set wants ranges, or its end before its start.
    #[error("element {0} doesn't fit the set's interval flag, or ends before it begins")]
    Range(usize),
    /// An interval set of keys that aren't in network order.
    #[error("{0} in an interval set")]
    IntervalType(crate::DataType),
    /// A lifetime in a set without the timeout flag.
    #[error("element {0} has a lifetime in a set without the timeout flag")]
    Timeout(usize),
    /// A comment over 127 bytes, or with a quote, NUL or line break in it.
    #[error("{0:?} can't be a comment")]
    Comment(String),
    /// An instruction that can't be written: its registers, lengths or numbers are out of range.
    #[error("expression {index}: {expr}")]
    Expr {
        /// Its place in the rule.
        index: usize,
        /// In words.
        expr: String,
    },
    /// More than 128 instructions.
    #[error("{0} expressions; a rule has at most 128")]
    RuleLength(usize),
    /// A device name that can't be one, or more than 256 devices.
    #[error("{0:?} can't be a device of a flowtable")]
    Device(String),
}

/// Why a batch wasn't, or may not have been, applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It can't be put into messages. Nothing was applied.
    #[error("the batch can't be sent")]
    Batch(#[from] BatchError),
    /// It couldn't be sent. Nothing was applied.
    #[error("send the batch")]
    Send(#[source] io::Error),
    /// The kernel refused it. Nothing was applied. At least one refusal, in the batch's order.
    #[error("refused: {}", Refusals(.0))]
    Refused(Vec<Refusal>),
    /// The answer was lost: the batch was applied as a whole or not at all, nobody knows which.
    /// Observe the table before the next batch.
    #[error("the kernel's answer was lost, the state of the table is unknown")]
    StateUnknown(#[source] io::Error),
}

struct Refusals<'a>(&'a [Refusal]);

impl fmt::Display for Refusals<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("no reason given"),
            [first] => first.fmt(f),
            [first, rest @ ..] => write!(f, "{first} (and {} more)", rest.len()),
        }
    }
}

/// One operation that the kernel refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The operation's place in the batch; `None` when the batch as a whole was refused.
    pub index: Option<usize>,
    /// The operation in words.
    pub op: String,
    /// The part of it that the kernel pointed at, where it did.
    pub culprit: Option<Culprit>,
    /// The error number.
    pub errno: i32,
    /// The kernel's own words (extended acknowledgement).
    pub message: Option<String>,
}

/// The part of an operation that the kernel refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Culprit {
    /// An element.
    Element {
        /// Its place in the operation.
        index: usize,
        /// In words.
        element: String,
    },
    /// An instruction of a rule. ENOENT and EOPNOTSUPP here mean that the kernel lacks it, unless
    /// it names a set that doesn't exist.
    Expr {
        /// Its place in the rule.
        index: usize,
        /// The kernel's name of it.
        name: String,
        /// In words.
        expr: String,
    },
}

impl Refusal {
    /// Whether the thing is there already.
    #[must_use]
    pub fn is_exists(&self) -> bool {
        self.errno == libc::EEXIST
    }

    /// Whether the thing isn't there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.errno == libc::ENOENT
    }

    /// The kernel's name of an expression that this kernel seems to lack.
    ///
    /// An expression that names a set or flowtable answers ENOENT for that too and isn't reported.
    #[must_use]
    pub fn missing_expression(&self) -> Option<&str> {
        let Some(Culprit::Expr { name, .. }) = &self.culprit else {
            return None;
        };
        let names_a_set =
            matches!(name.as_str(), "lookup" | "dynset" | "flow_offload" | "immediate");
        match self.errno {
            libc::EOPNOTSUPP | libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT => Some(name),
            libc::ENOENT if !names_a_set => Some(name),
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.op)?;
        match &self.culprit {
            Some(Culprit::Element { element, .. }) => write!(f, " {{ {element} }}")?,
            Some(Culprit::Expr { index, expr, .. }) => write!(f, " (expression {index}: {expr})")?,
            None => {}
        }
        write!(f, ": {}", io::Error::from_raw_os_error(self.errno))?;
        match &self.message {
            Some(message) => write!(f, " ({message})"),
            None => Ok(()),
        }
    }
}

impl ApplyError {
    /// A bounded word for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Batch(_) => "batch",
            Self::Send(_) => "send",
            Self::Refused(_) => "refused",
            Self::StateUnknown(_) => "state_unknown",
        }
    }

    /// What the kernel refused; empty for the other kinds.
    #[must_use]
    pub fn refusals(&self) -> &[Refusal] {
        match self {
            Self::Refused(refusals) => refusals,
            _ => &[],
        }
    }
}

/// Bytes from the kernel that don't mean what they should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A length that runs past the end of what holds it.
    #[error("a message or attribute runs past its end")]
    Truncated,
    /// A value of the wrong length.
    #[error("{got} bytes where {want} belong")]
    Width {
        /// The length of its type.
        want: usize,
        /// What came.
        got: usize,
    },
    /// Something that must be there isn't.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A number that has no meaning there.
    #[error("{value} is no {what}")]
    Unknown {
        /// What it should be.
        what: &'static str,
        /// What came.
        value: i64,
    },
    /// Text that isn't UTF-8.
    #[error("text that isn't UTF-8")]
    Text,
}

/// Why a table couldn't be read.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The socket failed.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The kernel's answer makes no sense.
    #[error("read {what}")]
    Decode {
        /// What was being read.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: DecodeError,
    },
    /// Others changed the rule set during each of several attempts.
    #[error("the rule set changed during each of {0} attempts to read it")]
    Unstable(u32),
}

impl ObserveError {
    /// A bounded word for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Io { .. } => "io",
            Self::Decode { .. } => "decode",
            Self::Unstable(_) => "unstable",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_expression_is_told_from_a_missing_set() {
        let refusal = |name: &str, errno| {
            let culprit = Culprit::Expr { index: 0, name: name.into(), expr: name.into() };
            Refusal {
                index: Some(0),
                op: "add rule".into(),
                culprit: Some(culprit),
                errno,
                message: None,
            }
        };
        for (name, errno, missing) in [
            ("numgen", libc::ENOENT, true),
            ("masq", libc::EOPNOTSUPP, true),
            ("flow_offload", libc::EOPNOTSUPP, true),
            ("lookup", libc::ENOENT, false),
            ("flow_offload", libc::ENOENT, false),
            ("numgen", libc::EINVAL, false),
        ] {
            let found = refusal(name, errno);
            assert_eq!(found.missing_expression(), missing.then_some(name), "{name} {errno}");
        }
        let text = refusal("numgen", libc::ENOENT).to_string();
        assert_eq!(text, "add rule (expression 0: numgen): No such file or directory (os error 2)");
    }
}
