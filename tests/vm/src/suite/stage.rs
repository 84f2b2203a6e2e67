//! Builds what scripts need and lays it out as the guest will have it at /weir.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;
use tempfile::TempDir;

use super::script::{Need, Script};
use crate::{
    error::{Error, OnPath, Result},
    host,
};

const POLICIES: &str = "target/policies";

/// A folder with bin/, policies/, tests/ and files/; deleted when dropped.
pub struct Stage(TempDir);

/// One line of cargo's `--message-format=json`.
#[derive(Deserialize)]
struct Message {
    package_id: Option<String>,
    executable: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Stage {
    /// Builds and lays out what `scripts` need, from the repository at `root`; `tests` are the
    /// folders whose files go to /weir/tests.
    pub fn lay_out(
        root: &Path,
        profile: &str,
        tests: &[&Path],
        scripts: &[Script],
    ) -> Result<Self> {
        let stage = Self(tempfile::tempdir().on("make folder in", &std::env::temp_dir())?);
        for folder in ["bin", "policies", "tests", "files"] {
            let path = stage.path(folder);
            fs::create_dir(&path).on("make folder", &path)?;
        }
        for folder in tests {
            copy(folder, &stage.path("tests"))?;
        }
        let needs: BTreeSet<_> = scripts.iter().flat_map(|script| &script.needs).collect();
        if !needs.is_empty() {
            let built = Built::build(root, profile)?;
            needs.into_iter().try_for_each(|need| stage.provide(need, &built))?;
        }
        for file in scripts.iter().flat_map(|script| &script.files).collect::<BTreeSet<_>>() {
            copy(&root.join(file), &stage.path("files").join(file))?;
        }
        Ok(stage)
    }

    /// The folder itself.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn provide(&self, need: &Need, built: &Built) -> Result<()> {
        let (package, kind, target, name) = match need {
            Need::Policies => return self.provide_policies(&built.root),
            Need::Binary(package) => (package, "bin", package, package.clone()),
            Need::Test(package, name) => (package, "test", name, format!("{package}-{name}")),
            Need::Example(package, name) => (package, "example", name, format!("{package}-{name}")),
        };
        let found = built.executable(package, kind, target)?;
        // Without its line tables a binary is a fifth as long, and so is the copying of it.
        let to = self.path("bin").join(name);
        host::finish(host::command("strip").arg("--strip-debug").arg("-o").args([&to, &found]))?;
        Ok(())
    }

    fn provide_policies(&self, root: &Path) -> Result<()> {
        let from = root.join(POLICIES);
        if !from.is_dir() {
            return Err(Error::Input(format!(
                "no {POLICIES}: `make policies` makes the components"
            )));
        }
        copy(&from, &self.path("policies"))
    }
}

/// What cargo said that it built.
struct Built {
    root: PathBuf,
    messages: String,
}

impl Built {
    /// Builds every binary, example and test; cargo's progress goes to stderr.
    ///
    /// All at once and as `cargo test --workspace` does, even for one binary: another selection would
    /// have other features of the same libraries, and compile them all again.
    fn build(root: &Path, profile: &str) -> Result<Self> {
        let arguments = ["test", "--workspace", "--no-run", "--profile", profile];
        let output = Command::new("cargo")
            .args(arguments)
            .arg("--message-format=json-render-diagnostics")
            .current_dir(root)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|source| Error::Start { program: "cargo".into(), source })?;
        if !output.status.success() {
            let program = format!("cargo {} (its words are above)", arguments.join(" "));
            return Err(Error::Program { program, status: output.status, stderr: String::new() });
        }
        let messages = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(Self { root: root.to_owned(), messages })
    }

    fn executable(&self, package: &str, kind: &str, target: &str) -> Result<PathBuf> {
        executable(&self.messages, package, kind, target).ok_or_else(|| {
            Error::Input(format!("the workspace has no {kind} {target} in a package {package}"))
        })
    }
}

fn executable(messages: &str, package: &str, kind: &str, target: &str) -> Option<PathBuf> {
    let built = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let mut wanted = built.filter(|message| {
        let Some(found) = &message.target else { return false };
        // A binary is built a second time as the harness of its own unit tests.
        let harness = message.profile.as_ref().is_some_and(|profile| profile.test);
        found.name == target
            && found.kind.iter().any(|word| word == kind)
            && harness == (kind == "test")
            && message.package_id.as_deref().is_some_and(|id| package_of(id) == package)
    });
    wanted.find_map(|message| message.executable)
}

/// The name in a package id: `path+file:///a/b#NAME@0.1.0`, or `path+file:///a/NAME#0.1.0`.
fn package_of(id: &str) -> &str {
    let (path, version) = id.split_once('#').unwrap_or((id, ""));
    match version.split_once('@') {
        Some((name, _)) => name,
        None => path.rsplit('/').next().unwrap_or(path),
    }
}

/// Copies a file, or the files of a folder and of those in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.is_file() {
        let folder = to.parent().unwrap_or(to);
        fs::create_dir_all(folder).on("make folder", folder)?;
        return fs::copy(from, to).map(drop).on("copy", from);
    }
    fs::create_dir_all(to).on("make folder", to)?;
    for entry in fs::read_dir(from).on("read", from)? {
        let entry = entry.on("read", from)?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_of_the_target_is_found_among_cargos_messages() {
        let line = |id: &str, kind: &str, test: bool, path: &str| {
            format!(
                "{{\"package_id\":\"path+file:///c/{id}\",\"target\":{{\"name\":\"weir\",\"kind\":[\"{kind}\"]}},\
                 \"profile\":{{\"test\":{test}}},\"executable\":\"{path}\"}}"
            )
        };
        let messages = [
            "not json".to_owned(),
            line("other#0.1.0", "bin", false, "/t/other"),
            line("host#weir@0.1.0", "bin", true, "/t/harness"),
            line("host#weir@0.1.0", "bin", false, "/t/weir"),
            line("host#weir@0.1.0", "test", true, "/t/test"),
        ]
        .join("\n");
        let find = |package, kind| executable(&messages, package, kind, "weir");
        assert_eq!(find("weir", "bin"), Some("/t/weir".into()));
        assert_eq!(find("weir", "test"), Some("/t/test".into()));
        assert_eq!(find("other", "bin"), Some("/t/other".into()));
        assert_eq!(find("weir", "example"), None);
    }
}
