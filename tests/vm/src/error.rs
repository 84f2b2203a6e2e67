//! What can go wrong between asking for a guest and having its answer.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitStatus,
};

/// Why no guest ran. A command that ran and failed is not an error: see [`crate::Ending`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read, written, or made.
    #[error("{deed} {}", path.display())]
    File {
        /// What was being done, as an imperative ("read", "make folder").
        deed: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A program of this machine could not be started.
    #[error("start {program} (is it installed? `make setup` installs what is missing)")]
    Start {
        /// The program's name.
        program: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A program of this machine ended badly.
    #[error("{program}: {status}: {stderr}")]
    Program {
        /// The program's name.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        stderr: String,
    },
    /// No Debian mirror is named in this machine's apt sources.
    #[error(
        "no Debian mirror in /etc/apt/sources.list or /etc/apt/sources.list.d; \
         name one in WEIR_MIRROR (and WEIR_SECURITY_MIRROR)"
    )]
    NoMirror,
    /// The suites hold no such package.
    #[error("no package {wanted} in {}", suites.join(", "))]
    NoPackage {
        /// What was looked for.
        wanted: String,
        /// Where.
        suites: Vec<String>,
    },
    /// A kernel package lacks a file every kernel has.
    #[error("kernel {version} has no {what}")]
    KernelFile {
        /// The kernel's release (`uname -r`).
        version: String,
        /// The file.
        what: &'static str,
    },
    /// A series this harness doesn't know.
    #[error("unknown kernel series {0:?}; known: 6.1, 6.12, 7")]
    Series(String),
    /// The answer of a trial boot, or of a header line, or an option made no sense.
    #[error("{0}")]
    Input(String),
}

/// The result of everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Names the deed and the path in the error of a file operation.
pub(crate) trait OnPath<T> {
    fn on(self, deed: &'static str, path: &Path) -> Result<T>;
}

impl<T> OnPath<T> for io::Result<T> {
    fn on(self, deed: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::File { deed, path: path.to_owned(), source })
    }
}
