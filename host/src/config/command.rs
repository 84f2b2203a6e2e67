//! `weir config …`: check, show and convert configuration files. Reads files, writes to the streams given.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::Path;

use super::{
    Config, ConfigErrors, NotWritten, Notice, Overrides, Policy, load, reference, schema, to_yaml,
};
use crate::args::{ConfigCommand, GlobalArgs};

/// `weir config …` could not do it.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The configuration is wrong: every error, one a line.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// It can't be written down.
    #[error(transparent)]
    NotWritten(#[from] NotWritten),
    /// `check --strict` met a file that asks for more than it gets.
    #[error("{0} setting(s) of this file aren't taken as they stand")]
    Strict(usize),
    /// A stream refused.
    #[error("write the answer")]
    Stream(#[from] io::Error),
}

/// Does what the command says; the answer goes to `out`, remarks on it to `remarks`.
///
/// # Errors
/// See [`Failed`].
pub fn run(
    command: &ConfigCommand,
    global: &GlobalArgs,
    out: &mut dyn Write,
    remarks: &mut dyn Write,
) -> Result<(), Failed> {
    let defaults = Overrides::default();
    match command {
        ConfigCommand::Check { file, strict } => check(file, *strict, out),
        ConfigCommand::Show { source } => {
            let loaded = load(source.config.as_deref(), &global.overrides(source))?;
            show(&loaded, out, remarks)
        }
        ConfigCommand::Default => show(&(Config::default(), Vec::new()), out, remarks),
        ConfigCommand::Convert { file } => show(&load(Some(file), &defaults)?, out, remarks),
        ConfigCommand::Schema => Ok(writeln!(out, "{:#}", schema())?),
        ConfigCommand::Reference => Ok(write!(out, "{}", reference())?),
    }
}

fn check(file: &Path, strict: bool, out: &mut dyn Write) -> Result<(), Failed> {
    let (config, notices) = load(Some(file), &Overrides::default())?;
    for notice in &notices {
        writeln!(out, "{notice}")?;
    }
    // A file is often checked elsewhere than on the node, and a policy may come later: no error.
    let unreadable: Vec<_> = config.policies.iter().filter_map(unreadable).collect();
    for words in &unreadable {
        writeln!(out, "{words}")?;
    }
    let losses = notices.iter().filter(|notice| notice.kind.is_loss()).count() + unreadable.len();
    if strict && losses > 0 {
        return Err(Failed::Strict(losses));
    }
    Ok(writeln!(out, "{} is valid", file.display())?)
}

/// Why a policy's component can't be had here, in words.
fn unreadable(policy: &Policy) -> Option<String> {
    let read = File::open(&policy.file).and_then(|mut file| file.read(&mut [0]));
    let error = read.err()?;
    let (name, file) = (&policy.name, policy.file.display());
    Some(format!(
        "policy {name}: {file}: {error}; weir serves the node without it until it can be read"
    ))
}

fn show(
    (config, notices): &(Config, Vec<Notice>),
    out: &mut dyn Write,
    remarks: &mut dyn Write,
) -> Result<(), Failed> {
    for notice in notices {
        writeln!(remarks, "{notice}")?;
    }
    Ok(out.write_all(to_yaml(config)?.as_bytes())?)
}
