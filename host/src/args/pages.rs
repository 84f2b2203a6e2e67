//! Shell completion and manual pages, made from the command line's definition. Writes where told.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;

use super::Cli;

/// A page could not be written.
#[derive(Debug, thiserror::Error)]
pub enum NotMade {
    /// To the stream.
    #[error("write the page")]
    Stream(#[source] io::Error),
    /// As files in this folder.
    #[error("write manual pages into {0}")]
    Folder(PathBuf, #[source] io::Error),
}

/// Completion for a shell, as a script that it sources.
///
/// # Errors
/// The stream refuses.
pub fn completion(shell: Shell, to: &mut dyn Write) -> Result<(), NotMade> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "weir", &mut script);
    to.write_all(&script).map_err(NotMade::Stream)
}

/// The manual page `weir(1)`; with a folder, one page for each command as a file in it. The folder
/// is made where there is none.
///
/// # Errors
/// The stream or the file system refuses.
pub fn man(folder: Option<&Path>, to: &mut dyn Write) -> Result<(), NotMade> {
    let command = Cli::command();
    let Some(folder) = folder else {
        return Man::new(command).render(to).map_err(NotMade::Stream);
    };
    let failed = |error| NotMade::Folder(folder.to_owned(), error);
    std::fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(command, folder).map_err(failed)
}
