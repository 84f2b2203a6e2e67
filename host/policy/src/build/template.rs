//! A new policy's crate, with all that it needs to build.
//!
//! Not pure: writes a folder.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Where the new crate gets `weir-policy` from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sdk {
    /// A copy is put into the crate, so that it builds with no more than crates.io.
    #[default]
    Copy,
    /// An SDK at this path.
    Path(PathBuf),
}

/// A crate to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct New {
    /// Folder to make; its last part names the policy.
    pub dir: PathBuf,
    /// Where its SDK comes from.
    pub sdk: Sdk,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// Folder of the crate.
    pub dir: PathBuf,
    /// The policy's name.
    pub name: String,
}

/// No crate was written.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// The name can't be a crate's.
    #[error(
        "{0:?} can't name a policy: write letters a to z, digits and -, starting with a letter"
    )]
    Name(String),
    /// There is something already.
    #[error("{} exists", .0.display())]
    Exists(PathBuf),
    /// The SDK isn't there.
    #[error("{} holds no weir-policy", .0.display())]
    NoSdk(PathBuf),
    /// A file can't be written.
    #[error("write {}", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// The system's word.
        source: io::Error,
    },
}

/// Folder of the copied SDK, in the crate.
const COPY: &str = "weir-policy";

/// Names that a crate can't have: the SDK's, which would make it depend on itself, and those of
/// crates that come with the language.
const TAKEN: [&str; 6] = [COPY, "alloc", "core", "proc-macro", "std", "test"];

macro_rules! embed {
    ($dir:literal: $($file:literal),* $(,)?) => {
        &[$(($file, include_str!(concat!("../../../../", $dir, "/", $file)))),*]
    };
}

const TEMPLATE: &[(&str, &str)] =
    embed!("sdk/template": "Cargo.toml.in", "lib.rs.in", "README.md.in", "gitignore.in");
const SDK_MANIFEST: &str = include_str!("../../../../sdk/template/weir-policy.toml.in");
const SDK: &[(&str, &str)] = embed!("sdk/rust":
    "README.md",
    "src/bindings.rs",
    "src/config.rs",
    "src/decision.rs",
    "src/export.rs",
    "src/host.rs",
    "src/json.rs",
    "src/lib.rs",
    "src/policy.rs",
    "src/sight.rs",
    "src/testing.rs",
    "src/testing/view.rs",
    "src/values.rs",
);
const WIT: &[(&str, &str)] = embed!("wit": "v0.1/host.wit", "v0.1/policy.wit", "v0.1/types.wit");

/// Writes a crate that builds at once.
///
/// # Errors
/// When the name is unusable, the folder exists, or writing fails.
pub fn new(request: &New) -> Result<Created, NewError> {
    let dir = request.dir.clone();
    let name = policy_name(&dir)?;
    let sdk = sdk_path(&request.sdk)?;
    if dir.symlink_metadata().is_ok() {
        return Err(NewError::Exists(dir));
    }
    for (file, text) in TEMPLATE {
        let text = text.replace("{{name}}", &name).replace("{{type}}", &camel(&name));
        write(&dir.join(place(file)), &text.replace("{{sdk}}", &sdk))?;
    }
    if request.sdk == Sdk::Copy {
        copy_sdk(&dir.join(COPY))?;
    }
    Ok(Created { dir, name })
}

fn copy_sdk(dir: &Path) -> Result<(), NewError> {
    write(&dir.join("Cargo.toml"), SDK_MANIFEST)?;
    for (file, text) in SDK {
        write(&dir.join(file), text)?;
    }
    for (file, text) in WIT {
        write(&dir.join("wit").join(file), text)?;
    }
    Ok(())
}

/// Where a file of the template goes.
fn place(file: &str) -> &str {
    match file {
        "lib.rs.in" => "src/lib.rs",
        "gitignore.in" => ".gitignore",
        other => other.trim_end_matches(".in"),
    }
}

fn policy_name(dir: &Path) -> Result<String, NewError> {
    let last = dir.components().next_back();
    let name = match last {
        Some(Component::Normal(name)) => name.to_string_lossy().into_owned(),
        _ => return Err(NewError::Name(dir.display().to_string())),
    };
    let is_char = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    let taken = TAKEN.contains(&name.as_str());
    if starts && name.chars().all(is_char) && !name.ends_with('-') && !taken {
        return Ok(name);
    }
    Err(NewError::Name(name))
}

fn sdk_path(sdk: &Sdk) -> Result<String, NewError> {
    let Sdk::Path(path) = sdk else { return Ok(COPY.into()) };
    let missing = || NewError::NoSdk(path.clone());
    let path = fs::canonicalize(path).map_err(|_| missing())?;
    let manifest = fs::read_to_string(path.join("Cargo.toml")).map_err(|_| missing())?;
    if !manifest.contains("name = \"weir-policy\"") {
        return Err(missing());
    }
    // A TOML basic string.
    Ok(path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}

/// `least-conn` → `LeastConn`.
fn camel(name: &str) -> String {
    let upper = |part: &str| {
        let mut chars = part.chars();
        chars.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(chars).collect::<String>()
    };
    let camel: String = name.split('-').map(upper).collect();
    // These are names that the template uses itself.
    match camel.as_str() {
        "Policy" | "Config" | "Decision" | "Node" | "Refusal" | "ServiceView" | "Self" => {
            format!("{camel}Policy")
        }
        _ => camel,
    }
}

fn write(file: &Path, text: &str) -> Result<(), NewError> {
    let save = || {
        if let Some(dir) = file.parent() {
            fs::create_dir_all(dir)?;
        }
        fs::write(file, text)
    };
    save().map_err(|source| NewError::Write { file: file.to_path_buf(), source })
}

impl fmt::Display for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dir, name) = (self.dir.display(), &self.name);
        writeln!(f, "{dir} holds the policy {name}. Next:")?;
        writeln!(f, "  cd {dir} && cargo test")?;
        writeln!(f, "  weir policy build {dir}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

    fn files(dir: &Path, base: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, base, found);
            } else {
                found.push(path.strip_prefix(base).unwrap().display().to_string());
            }
        }
    }

    #[test]
    fn the_whole_sdk_is_embedded() {
        let sdk = PathBuf::from(ROOT).join("sdk/rust");
        let mut sources = Vec::new();
        files(&sdk.join("src"), &sdk, &mut sources);
        let wit = PathBuf::from(ROOT).join("wit");
        files(&wit.join("v0.1"), &wit, &mut sources);
        sources.sort();
        let mut embedded: Vec<_> = SDK[1..].iter().chain(WIT).map(|(file, _)| *file).collect();
        embedded.sort_unstable();
        assert_eq!(embedded, sources);
    }

    #[test]
    fn the_copied_manifest_agrees_with_the_workspace() {
        let read = |file: &str| fs::read_to_string(PathBuf::from(ROOT).join(file)).unwrap();
        let workspace = read("Cargo.toml");
        let line = SDK_MANIFEST.lines().find(|line| line.starts_with("wit-bindgen")).unwrap();
        assert!(workspace.lines().any(|known| known == line), "{line}");
        let same = ["version = \"0.1.0\"", "edition = \"2024\"", "rust-version = \"1.95\""];
        for line in same {
            assert!(SDK_MANIFEST.contains(line) && workspace.contains(line), "{line}");
        }
        let sdk = read("sdk/rust/Cargo.toml");
        let (_, dependencies) = sdk.split_once("[dependencies]").unwrap();
        let (dependencies, _) = dependencies.split_once("\n[").unwrap();
        assert_eq!(dependencies.trim(), "wit-bindgen.workspace = true");
    }

    #[test]
    fn names_are_those_of_crates() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["Least", "1st", "a_b", "a b", "..", "", "a-", "weir-policy", "core"] {
            let request = New { dir: dir.path().join(name), sdk: Sdk::Copy };
            assert!(new(&request).is_err(), "{name:?}");
        }
        let request = New { dir: dir.path().join("least-conn-2"), sdk: Sdk::Copy };
        assert_eq!(new(&request).unwrap().name, "least-conn-2");
        let source = fs::read_to_string(request.dir.join("src/lib.rs")).unwrap();
        assert!(source.contains("impl Policy for LeastConn2 {"), "{source}");
        assert!(!source.contains("{{"));
        assert!(matches!(new(&request), Err(NewError::Exists(_))));
    }

    #[test]
    fn a_path_without_the_sdk_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let sdk = Sdk::Path(dir.path().into());
        let request = New { dir: dir.path().join("mine"), sdk };
        assert!(matches!(new(&request), Err(NewError::NoSdk(_))));
        assert!(!request.dir.exists());
    }
}
