//! A private apt: its own sources, lists and cache, so that the machine's apt stays as it is.
//!
//! Nothing is ever installed: packages are downloaded (with apt's signature check) and unpacked.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    error::{Error, OnPath, Result},
    host,
    sources::Mirrors,
};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// An apt that knows only the suites it was made for.
pub struct PrivateApt {
    folder: PathBuf,
    suites: Vec<String>,
}

impl PrivateApt {
    /// Makes its folder and sources under `folder` and fetches the suites' indexes.
    pub fn update(folder: &Path, mirrors: &Mirrors, suites: &[&str]) -> Result<Self> {
        for part in ["state/lists/partial", "cache/archives/partial"] {
            let path = folder.join(part);
            fs::create_dir_all(&path).on("make folder", &path)?;
        }
        let sources = folder.join("sources.list");
        fs::write(&sources, source_lines(mirrors, suites)).on("write", &sources)?;
        let apt = Self {
            folder: folder.to_owned(),
            suites: suites.iter().map(ToString::to_string).collect(),
        };
        host::show(apt.command("apt-get").arg("update"))?;
        Ok(apt)
    }

    /// Names of every package that begins with `prefix`, real ones and merely mentioned ones.
    pub(crate) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let text = host::text(self.command("apt-cache").args(["pkgnames", prefix]))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// The versions on offer of `package`, newest first; empty when it is only mentioned somewhere.
    pub(crate) fn versions(&self, package: &str) -> Result<Vec<String>> {
        let text = host::text(self.command("apt-cache").args(["madison", package]))?;
        let version = |line: &str| line.split('|').nth(1).map(|field| field.trim().to_owned());
        Ok(text.lines().filter_map(version).collect())
    }

    /// Downloads `packages` (`name` or `name=version`) and unpacks them all into `to`.
    pub(crate) fn unpack(&self, packages: &[String], to: &Path) -> Result<()> {
        let downloads = tempfile::tempdir_in(&self.folder).on("make folder in", &self.folder)?;
        host::show(self.command("apt-get").arg("download").args(packages).current_dir(&downloads))?;
        fs::create_dir_all(to).on("make folder", to)?;
        for entry in fs::read_dir(&downloads).on("read", downloads.path())? {
            let path = entry.on("read", downloads.path())?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                host::finish(host::command("dpkg").arg("-x").args([&path, to]))?;
            }
        }
        Ok(())
    }

    /// Unpacks the newest version of `package` that begins with `version`; gives that version.
    pub fn unpack_version(&self, package: &str, version: &str, to: &Path) -> Result<String> {
        let found = self.versions(package)?.into_iter().find(|offer| offer.starts_with(version));
        let found = found.ok_or_else(|| Error::NoPackage {
            wanted: format!("{package} {version}"),
            suites: self.suites.clone(),
        })?;
        self.unpack(&[format!("{package}={found}")], to)?;
        Ok(found)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = host::command(program);
        let folder = self.folder.display();
        for option in [
            format!("Dir::State={folder}/state"),
            format!("Dir::Cache={folder}/cache"),
            format!("Dir::Etc::sourcelist={folder}/sources.list"),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            "Dir::Etc::preferences=/dev/null".to_owned(),
            "Dir::Etc::preferencesparts=/dev/null".to_owned(),
            "Dir::State::status=/dev/null".to_owned(),
            "APT::Architecture=amd64".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
            "APT::Update::Error-Mode=any".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::Retries=3".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        command
    }
}

fn source_lines(mirrors: &Mirrors, suites: &[&str]) -> String {
    let line =
        |suite: &&str| format!("deb [signed-by={KEYRING}] {} {suite} main\n", mirrors.of(suite));
    suites.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_suite_is_asked_of_its_own_archive() {
        let mirrors = Mirrors { main: "http://m/debian".into(), security: "http://s/sec".into() };
        let lines = source_lines(&mirrors, &["trixie", "trixie-security"]);
        let key = format!("[signed-by={KEYRING}]");
        assert_eq!(
            lines,
            format!(
                "deb {key} http://m/debian trixie main\ndeb {key} http://s/sec trixie-security main\n"
            )
        );
    }
}
