//! From a policy's crate to a checked component file.
//!
//! Not pure: runs cargo and writes one file.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::check::{Checked, check_bytes};
use super::component::{ComponentError, componentize};
use crate::{Limits, LoadError};

const TARGET: &str = "wasm32-unknown-unknown";

/// What to build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Build {
    /// Folder of the crate.
    pub dir: PathBuf,
    /// Where the component goes; `NAME.wasm` in `dir` by default.
    pub out: Option<PathBuf>,
}

/// A component that was built.
#[derive(Debug)]
pub struct Built {
    /// The component's file.
    pub file: PathBuf,
    /// What it is.
    pub checked: Checked,
}

/// No component came out.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// cargo can't be run.
    #[error("run cargo in {}", dir.display())]
    Cargo {
        /// Folder of the crate.
        dir: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// cargo said no; its words went to standard error.
    #[error("cargo could not build {}", .0.display())]
    Failed(PathBuf),
    /// rustc can't compile for WebAssembly.
    #[error("rustc has no standard library for {TARGET}: run `rustup target add {TARGET}`")]
    NoTarget,
    /// The crate makes no `.wasm`.
    #[error("{} makes no .wasm: [lib] needs crate-type = [\"cdylib\", \"rlib\"]", .0.display())]
    NoModule(PathBuf),
    /// The module is no policy.
    #[error("{}", file.display())]
    Component {
        /// The module.
        file: PathBuf,
        /// Why.
        source: ComponentError,
    },
    /// The component doesn't load in the sandbox.
    #[error("the component would not load")]
    Load(#[source] LoadError),
    /// A file can't be read or written.
    #[error("{}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// The system's word.
        source: io::Error,
    },
}

/// What cargo tells about a finished artifact; the rest of its messages doesn't matter.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    #[serde(default)]
    kind: Vec<String>,
}

impl Build {
    /// Builds the crate in release mode, makes a component of it, checks it against `limits` and
    /// the interface, and writes it. No tool but cargo is needed.
    ///
    /// cargo's own messages go to standard error as they come.
    ///
    /// # Errors
    /// When any of it fails; an older component file is left as it was then.
    pub fn run(&self, limits: &Limits) -> Result<Built, BuildError> {
        let manifest = self.manifest()?;
        let module = self.cargo(&manifest)?;
        let bytes = fs::read(&module).map_err(|source| at(&module, source))?;
        let component = componentize(&bytes)
            .map_err(|source| BuildError::Component { file: module.clone(), source })?;
        let file = self.out.clone().unwrap_or_else(|| default_out(&manifest, &module));
        let checked = check_bytes(&component, limits).map_err(BuildError::Load)?;
        write(&file, &component)?;
        Ok(Built { file, checked })
    }

    fn manifest(&self) -> Result<PathBuf, BuildError> {
        let manifest = self.dir.join("Cargo.toml");
        fs::canonicalize(&manifest).map_err(|source| at(&manifest, source))
    }

    fn cargo(&self, manifest: &Path) -> Result<PathBuf, BuildError> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["build", "--release", "--target", TARGET])
            .args(["--message-format", "json-render-diagnostics", "--manifest-path"])
            .arg(manifest)
            // Debugging data would be most of the component, and nothing reads it there.
            .envs([("CARGO_PROFILE_RELEASE_DEBUG", "false")])
            .envs([("CARGO_PROFILE_RELEASE_STRIP", "debuginfo")])
            .current_dir(&self.dir)
            .stderr(Stdio::inherit())
            .output()
            .map_err(|source| BuildError::Cargo { dir: self.dir.clone(), source })?;
        if !output.status.success() {
            return Err(if has_target() {
                BuildError::Failed(self.dir.clone())
            } else {
                BuildError::NoTarget
            });
        }
        module_of(&output.stdout, manifest).ok_or_else(|| BuildError::NoModule(self.dir.clone()))
    }
}

/// The `.wasm` among cargo's messages that belongs to this manifest.
fn module_of(messages: &[u8], manifest: &Path) -> Option<PathBuf> {
    messages
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Message>(line).ok())
        .filter(|message| message.reason == "compiler-artifact")
        .filter(|message| message.manifest_path == manifest)
        .filter(|message| message.target.as_ref().is_some_and(is_cdylib))
        .flat_map(|message| message.filenames)
        .find(|file| file.extension().is_some_and(|e| e == "wasm"))
}

fn is_cdylib(target: &Target) -> bool {
    target.kind.iter().any(|kind| kind == "cdylib")
}

/// Whether rustc has a standard library for WebAssembly: asked only after a failure, to give the
/// right advice.
fn has_target() -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let probe = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output();
    let Ok(output) = probe else { return false };
    let dir = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some())
}

fn default_out(manifest: &Path, module: &Path) -> PathBuf {
    let dir = manifest.parent().unwrap_or(Path::new("."));
    let stem = module.file_stem().unwrap_or_default().to_string_lossy().replace('_', "-");
    dir.join(format!("{stem}.wasm"))
}

/// Renames into place, so that a daemon that watches the file never sees half of it.
fn write(file: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    use std::os::unix::fs::PermissionsExt;
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let save = || {
        fs::create_dir_all(dir)?;
        let permissions = fs::Permissions::from_mode(0o644);
        let new = tempfile::Builder::new().permissions(permissions).tempfile_in(dir)?;
        fs::write(new.path(), bytes)?;
        new.persist(file).map_err(|e| e.error)
    };
    save().map(drop).map_err(|source| at(file, source))
}

fn at(file: &Path, source: io::Error) -> BuildError {
    BuildError::File { file: file.to_path_buf(), source }
}

impl fmt::Display for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.file.display())?;
        self.checked.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crate_s_own_module_is_found_among_the_messages() {
        let messages = br#"
{"reason":"compiler-artifact","manifest_path":"/a/Cargo.toml","target":{"kind":["cdylib"]},"filenames":["/t/dep.wasm"]}
{"reason":"build-script-executed","package_id":"x"}
not json
{"reason":"compiler-artifact","manifest_path":"/b/Cargo.toml","target":{"kind":["bin"]},"filenames":["/t/tool.wasm"]}
{"reason":"compiler-artifact","manifest_path":"/b/Cargo.toml","target":{"kind":["cdylib","rlib"]},"filenames":["/t/libmine.rlib","/t/mine.wasm"]}
{"reason":"build-finished","success":true}"#;
        let found = module_of(messages, Path::new("/b/Cargo.toml"));
        assert_eq!(found, Some(PathBuf::from("/t/mine.wasm")));
        assert_eq!(module_of(messages, Path::new("/c/Cargo.toml")), None);
    }

    #[test]
    fn a_folder_without_a_crate_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let build = Build { dir: dir.path().into(), out: None };
        let error = build.run(&Limits::default()).unwrap_err();
        assert!(error.to_string().ends_with("Cargo.toml"), "{error}");
    }
}
