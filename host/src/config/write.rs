//! A configuration as a file: every value in force, defaults too. Writes that file.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::{API_VERSION, Config, KIND};

/// The effective configuration could not be written.
#[derive(Debug, thiserror::Error)]
pub enum NotWritten {
    /// A path in it is not UTF-8, for one.
    #[error("put the configuration into YAML")]
    Yaml(#[source] serde_saphyr::ser_error::Error),
    /// The file system refused.
    #[error("write the configuration to {0}")]
    File(PathBuf, #[source] std::io::Error),
}

/// The configuration as a `WeirConfiguration` that [`load`](super::load) reads back to the same.
///
/// # Errors
/// A value can't be written as YAML.
pub fn to_yaml(config: &Config) -> Result<String, NotWritten> {
    let body = serde_saphyr::to_string(config).map_err(NotWritten::Yaml)?;
    Ok(format!("apiVersion: {API_VERSION}\nkind: {KIND}\n{body}"))
}

/// Writes [`to_yaml`] to a file; an older one of the name is replaced in one step. What isn't a
/// file, such as `/dev/stdout`, is written as it is.
///
/// # Errors
/// The file can't be written.
pub fn write_to(config: &Config, path: &Path) -> Result<(), NotWritten> {
    let text = to_yaml(config)?;
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let written = match target.metadata() {
        Ok(metadata) if !metadata.is_file() => std::fs::write(path, text),
        _ => replace(&target, text.as_bytes()),
    };
    written.map_err(|error| NotWritten::File(path.to_owned(), error))
}

fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let mut file = std::fs::File::create(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&partial, path)
}
