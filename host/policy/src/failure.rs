//! How a policy can fail, each way with the word that metrics and status use.
//!
//! Pure: values only.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::PolicyName;
use crate::text::clip;

/// Longest text out of a component that an error repeats, in bytes.
const QUOTED: usize = 512;

/// Why an evaluation gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// It hit `unreachable`, divided by zero, read outside its memory, called a stubbed import.
    Trap,
    /// It used up its fuel.
    Fuel,
    /// The backstop clock ran out before the fuel did.
    Deadline,
    /// It died after more memory was refused.
    Memory,
    /// It recursed too deep.
    Stack,
    /// The answer, or what it handed to a host function, was too big to take.
    TooBig,
    /// `configure` accepted the configuration at load, and not now.
    Configure,
    /// It could not be instantiated.
    Instantiate,
    /// It cost too much too often and is left alone for a while.
    Suspended,
    /// Policies had run for long enough; it is asked soon.
    Deferred,
    /// There is no working version of it: see its load error.
    NotLoaded,
}

impl FailureKind {
    /// All kinds, for metrics that show zeros.
    pub const ALL: [Self; 11] = [
        Self::Trap,
        Self::Fuel,
        Self::Deadline,
        Self::Memory,
        Self::Stack,
        Self::TooBig,
        Self::Configure,
        Self::Instantiate,
        Self::Suspended,
        Self::Deferred,
        Self::NotLoaded,
    ];

    /// The word for metrics and status.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Fuel => "fuel",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::Stack => "stack",
            Self::TooBig => "too-big",
            Self::Configure => "configure",
            Self::Instantiate => "instantiate",
            Self::Suspended => "suspended",
            Self::Deferred => "deferred",
            Self::NotLoaded => "not-loaded",
        }
    }

    /// Whether the same input fails in the same way again, so that trying again is pointless.
    pub(crate) fn is_deterministic(self) -> bool {
        self.is_of_an_evaluation() && !matches!(self, Self::Deadline | Self::Instantiate)
    }

    /// Whether the policy was asked at all.
    #[must_use]
    pub fn is_of_an_evaluation(self) -> bool {
        !matches!(self, Self::Suspended | Self::Deferred | Self::NotLoaded)
    }

    /// Whether failing took so long that it must not be repeated for every service.
    pub(crate) fn is_costly(self) -> bool {
        matches!(self, Self::Fuel | Self::Deadline | Self::Memory)
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

/// An evaluation that gave no answer: `policy least-conn failed (fuel): …`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("policy {policy} failed ({kind}): {message}")]
pub struct Failure {
    /// The policy that failed.
    pub policy: PolicyName,
    /// In which way.
    pub kind: FailureKind,
    /// What is known about it, in one line.
    pub message: String,
    /// Whether its last good answer for this service port stands in for it.
    pub stood_in: bool,
}

/// Why a file can't be used as a policy.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file can't be read.
    #[error("read {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The component is larger than [`crate::Limits::component_bytes`].
    #[error("{size} bytes are too big for a policy: at most {limit}")]
    TooBig {
        /// Size in bytes.
        size: u64,
        /// Limit in bytes.
        limit: u64,
    },
    /// The file doesn't start as WebAssembly does.
    #[error("not WebAssembly: the file {0}")]
    NotWasm(String),
    /// WebAssembly, but a core module.
    #[error(
        "a core WebAssembly module, not a component: \
         make one of it with `weir policy build` or `wasm-tools component new`"
    )]
    CoreModule,
    /// A component that ends too early.
    #[error("the component is cut off after {0} bytes: copy it again")]
    Truncated(usize),
    /// A component that breaks WebAssembly's rules.
    #[error("not a valid component: {}", clip(.0, QUOTED))]
    Malformed(String),
    /// A component that is no policy.
    #[error("not a weir policy: it doesn't export {missing}; it exports {}", clip(exports, QUOTED))]
    WrongWorld {
        /// The interface that is missing.
        missing: String,
        /// What is there, or `nothing`.
        exports: String,
    },
    /// A policy of an interface version that this weir doesn't have.
    #[error("built for {}, but this weir knows {known}", clip(found, QUOTED))]
    UnknownVersion {
        /// The interface that the component exports.
        found: String,
        /// The versions that this weir has.
        known: String,
    },
    /// It imports what the sandbox doesn't have, and not from WASI.
    #[error("it imports {}, which policies don't get", clip(.0, QUOTED))]
    UnknownImport(String),
    /// The right names with other types.
    #[error("its interface differs from weir's: {}", clip(.0, QUOTED))]
    WrongType(String),
    /// The compiler refused it.
    #[error("compile: {}", clip(.0, QUOTED))]
    Compile(String),
    /// The policy refused its configuration.
    #[error("refuses its configuration: {0}")]
    Configuration(String),
    /// The policy failed while it was configured.
    #[error("failed while it was configured ({kind}): {message}")]
    Configure {
        /// In which way.
        kind: FailureKind,
        /// What is known about it, in one line.
        message: String,
    },
}

impl LoadError {
    /// The word for metrics and status.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Read { .. } => "read",
            Self::TooBig { .. } => "too-big",
            Self::NotWasm(_) => "not-wasm",
            Self::CoreModule => "core-module",
            Self::Truncated(_) => "truncated",
            Self::Malformed(_) => "malformed",
            Self::WrongWorld { .. } => "wrong-world",
            Self::UnknownVersion { .. } => "unknown-version",
            Self::UnknownImport(_) => "unknown-import",
            Self::WrongType(_) => "wrong-type",
            Self::Compile(_) => "compile",
            Self::Configuration(_) => "configuration",
            Self::Configure { .. } => "configure",
        }
    }
}

/// An error with its causes, in one line: for status texts, where no chain can be shown.
pub(crate) fn one_line(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line = format!("{line}: {cause}");
        source = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_component_says_is_repeated_without_control_characters_and_not_at_length() {
        let evil = || format!("\u{1b}[2J\u{202e}\u{9b}31m{}", "x".repeat(4096));
        let errors = [
            LoadError::Malformed(evil()),
            LoadError::WrongWorld { missing: "it".into(), exports: evil() },
            LoadError::UnknownVersion { found: evil(), known: "it".into() },
            LoadError::UnknownImport(evil()),
            LoadError::WrongType(evil()),
            LoadError::Compile(evil()),
        ];
        for error in errors {
            let text = error.to_string();
            assert!(text.len() < 700, "{}: {} bytes", error.kind(), text.len());
            assert_eq!(text, crate::plain(&text), "{}", error.kind());
        }
    }
}
