//! The configuration's file, read again while the daemon runs: what is new in it, and what of that has to
//! wait for a restart. Reads that file, otherwise pure.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde_json::Value;

use super::load::{load, parse, read, read_from, unreadable};
use super::{Config, ConfigErrors, Notice, Overrides};

/// Times that a file which changes under the reader is read before it is taken as it is.
const TRIES: usize = 3;

/// A configuration with what is to be known about it; see [`load`].
pub type Loaded = (Config, Vec<Notice>);

/// Where the configuration comes from, and what was found there last.
#[derive(Clone, Debug, Default)]
pub struct ConfigFile {
    flags: Overrides,
    known: Option<Known>,
}

#[derive(Clone, Debug)]
struct Known {
    path: PathBuf,
    last: Result<String, ConfigErrors>,
}

impl ConfigFile {
    /// Loads the configuration as [`load`] does, and remembers from what. A pipe can be read only once, so
    /// nothing but a regular file is looked at again.
    ///
    /// # Errors
    /// As [`load`].
    pub fn open(path: Option<&Path>, flags: Overrides) -> Result<(Self, Loaded), ConfigErrors> {
        let Some(path) = path else {
            let loaded = load(None, &flags)?;
            return Ok((Self { flags, known: None }, loaded));
        };
        let text = read(path)?;
        let loaded = parse(path, &text, &flags)?;
        let is_file = std::fs::metadata(path).is_ok_and(|it| it.is_file());
        let known = is_file.then(|| Known { path: path.to_owned(), last: Ok(text) });
        Ok((Self { flags, known }, loaded))
    }

    /// The file that is looked at again, if there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.known.as_ref().map(|known| known.path.as_path())
    }

    /// Looks at the file again. `None` where nothing is new since the last look, be it good or bad. Flags
    /// beat the file as they did at the start.
    pub fn look(&mut self) -> Option<Result<Loaded, ConfigErrors>> {
        let known = self.known.as_mut()?;
        let found = read_whole(&known.path);
        if found == known.last {
            return None;
        }
        known.last.clone_from(&found);
        Some(found.and_then(|text| parse(&known.path, &text, &self.flags)))
    }
}

/// The text of a regular file on which somebody may be writing: one that is renamed over is had in its old
/// or its new form; one that is written in place is read again while it changes.
fn read_whole(path: &Path) -> Result<String, ConfigErrors> {
    let failed = |error: io::Error| unreadable(path, &error);
    let mut tries = 0;
    loop {
        tries += 1;
        let file = open_regular(path).map_err(failed)?;
        let before = file.metadata().map_err(failed)?;
        let text = read_from(path, &file);
        let after = file.metadata().map_err(failed)?;
        if tries == TRIES || stamp(&before) == stamp(&after) {
            return text;
        }
    }
}

fn open_regular(path: &Path) -> io::Result<File> {
    // A FIFO under this name must not hold up the daemon.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    Ok(file)
}

fn stamp(of: &Metadata) -> (u64, i64, i64) {
    (of.len(), of.mtime(), of.mtime_nsec())
}

macro_rules! needs_restart {
    ($($name:literal => $($field:ident).+,)*) => {
        /// The fields that are read at the start only; all others take effect while the daemon runs. Fields
        /// that are checked against each other are all on one side.
        pub const NEEDS_RESTART: &[&str] = &[$($name),*];

        /// Puts the running configuration's values of these fields into a new one; says where they differed.
        pub fn keep_until_restart(running: &Config, new: &mut Config) -> Vec<&'static str> {
            let mut kept = Vec::new();
            $(if running.$($field).+ != new.$($field).+ {
                new.$($field).+.clone_from(&running.$($field).+);
                kept.push($name);
            })*
            kept
        }
    };
}

needs_restart! {
    "nodeName" => node_name,
    "kubeconfig" => kubeconfig,
    "apiServers" => api_servers,
    "manifests" => manifests,
    "serviceProxyName" => service_proxy_name,
    "ipvs.vips" => ipvs.vips,
    "health.address" => health.address,
    "health.required" => health.required,
    "metrics.address" => metrics.address,
    "metrics.required" => metrics.required,
    "metrics.profiling" => metrics.profiling,
    "metrics.statusPage" => metrics.status_page,
    "log.format" => log.format,
    "paths.runDir" => paths.run_dir,
    "paths.cacheDir" => paths.cache_dir,
}

/// The fields in which two configurations differ, sorted, as the reference names them; a list is one field.
#[must_use]
pub fn changes(from: &Config, to: &Config) -> Vec<String> {
    // A configuration is made of maps, lists, texts and numbers, all of which JSON has.
    let [from, to] = [from, to].map(|it| serde_json::to_value(it).unwrap_or_default());
    let mut found = Vec::new();
    differing("", &from, &to, &mut found);
    found.sort();
    found
}

fn differing(path: &str, from: &Value, to: &Value, found: &mut Vec<String>) {
    let (Value::Object(had), Value::Object(has)) = (from, to) else {
        if from != to {
            found.push(path.to_owned());
        }
        return;
    };
    let gone = had.keys().filter(|key| !has.contains_key(*key));
    for key in has.keys().chain(gone) {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let side = |map: &serde_json::Map<_, _>| map.get(key).cloned().unwrap_or_default();
        differing(&path, &side(had), &side(has), found);
    }
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
