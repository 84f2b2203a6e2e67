//! `weir migrate`: the configuration and the report, where each is wanted. Reads a file, or standard input.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use super::kubeproxy::{Migration, Report, migrate};
use super::load::{read, read_from};
use super::{Config, ConfigErrors, NotWritten, to_yaml, write_to};
use crate::args::{MigrateArgs, Output};

/// `weir migrate` could not do it.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// kube-proxy's configuration is wrong: every error, one a line.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// It can't be written down.
    #[error(transparent)]
    NotWritten(#[from] NotWritten),
    /// The report can't be put into JSON.
    #[error("put the report into JSON")]
    Json(#[from] serde_json::Error),
    /// A stream refused.
    #[error("write the answer")]
    Stream(#[from] io::Error),
}

/// What programs get.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    report: &'a Report,
    configuration: &'a Config,
}

/// Where the configuration goes to `out`, the report goes to `remarks`, so that a pipe gets one of
/// them alone; else the report is the answer.
///
/// # Errors
/// See [`Failed`].
pub fn run(
    args: &MigrateArgs,
    input: &mut dyn io::Read,
    out: &mut dyn Write,
    remarks: &mut dyn Write,
) -> Result<(), Failed> {
    let becomes = args.out.as_deref().unwrap_or(Path::new("weir.yaml"));
    let Migration { config, report } = match args.from_kube_proxy.as_path() {
        path if path == Path::new("-") => {
            let path = Path::new("standard input");
            migrate(path, &read_from(path, input)?, becomes)?
        }
        path => migrate(path, &read(path)?, becomes)?,
    };
    if let Some(file) = &args.out {
        write_to(&config, file)?;
    }
    match (args.output, &args.out) {
        (Output::Json, _) => {
            let whole = Whole { report: &report, configuration: &config };
            Ok(writeln!(out, "{}", serde_json::to_string_pretty(&whole)?)?)
        }
        (Output::Text, Some(_)) => Ok(write!(out, "{report}")?),
        (Output::Text, None) => {
            write!(remarks, "{report}")?;
            Ok(out.write_all(to_yaml(&config)?.as_bytes())?)
        }
    }
}
