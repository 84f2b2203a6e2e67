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
    executable: Option<PathBuf>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
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
        for need in scripts.iter().flat_map(|script| &script.needs).collect::<BTreeSet<_>>() {
            stage.provide(need, root, profile)?;
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

    fn provide(&self, need: &Need, root: &Path, profile: &str) -> Result<()> {
        let (arguments, target, name) = match need {
            Need::Policies => return self.provide_policies(root),
            Need::Binary(package) => {
                (vec!["build", "-p", package, "--bin", package], package, package.clone())
            }
            Need::Test(package, name) => (
                vec!["test", "--no-run", "-p", package, "--test", name],
                name,
                format!("{package}-{name}"),
            ),
            Need::Example(package, name) => {
                (vec!["build", "-p", package, "--example", name], name, format!("{package}-{name}"))
            }
        };
        let built = cargo(root, profile, &arguments, target)?;
        // Without its line tables a binary is a fifth as long, and so is the copying of it.
        let to = self.path("bin").join(name);
        host::finish(host::command("strip").arg("--strip-debug").arg("-o").args([&to, &built]))?;
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

/// Runs cargo, whose progress goes to stderr; gives the executable of `target`.
fn cargo(root: &Path, profile: &str, arguments: &[&str], target: &str) -> Result<PathBuf> {
    let output = Command::new("cargo")
        .args(arguments)
        .args(["--profile", profile, "--message-format=json-render-diagnostics"])
        .current_dir(root)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| Error::Start { program: "cargo".into(), source })?;
    if !output.status.success() {
        let said = format!("cargo {} (its words are above)", arguments.join(" "));
        return Err(Error::Program { program: said, status: output.status, stderr: String::new() });
    }
    executable(&String::from_utf8_lossy(&output.stdout), target)
        .ok_or_else(|| Error::Input(format!("cargo {} made no {target}", arguments.join(" "))))
}

fn executable(messages: &str, target: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.target.as_ref().is_some_and(|found| found.name == target))
        .find_map(|message| message.executable)
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
        let messages = "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"libc\"},\"executable\":null}\n\
             not json\n\
             {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"weir\"},\"executable\":\"/t/weir\"}\n\
             {\"reason\":\"build-finished\",\"success\":true}\n";
        assert_eq!(executable(messages, "weir"), Some("/t/weir".into()));
        assert_eq!(executable(messages, "other"), None);
    }
}
