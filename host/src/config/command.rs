//! `weir config …`: check, show and convert configuration files. Reads files, writes to the streams given.

use std::io::{self, Write};
use std::path::Path;

use super::{
    Config, ConfigErrors, NotWritten, Notice, Overrides, load, reference, schema, to_yaml,
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
    let (_, notices) = load(Some(file), &Overrides::default())?;
    for notice in &notices {
        writeln!(out, "{notice}")?;
    }
    let losses = notices.iter().filter(|notice| notice.kind.is_loss()).count();
    if strict && losses > 0 {
        return Err(Failed::Strict(losses));
    }
    Ok(writeln!(out, "{} is valid", file.display())?)
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
