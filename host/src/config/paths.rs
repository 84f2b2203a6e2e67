//! Section `paths`: the folders that the daemon writes. Pure.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fault::Problem;

/// Folders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Paths {
    /// State that must outlive the daemon but not the node, and the daemon's lock and socket.
    pub run_dir: PathBuf,
    /// Compiled policies; private to the daemon. Where it can't be written they are kept in memory.
    pub cache_dir: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self { run_dir: "/run/weir".into(), cache_dir: "/var/lib/weir".into() }
    }
}

impl Paths {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        for (field, path) in [("paths.runDir", &self.run_dir), ("paths.cacheDir", &self.cache_dir)]
        {
            if !path.is_absolute() {
                let text = format!("`{}` is not an absolute path", path.display());
                problems.push(Problem::new(field, text));
            }
        }
    }
}
