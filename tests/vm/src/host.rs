//! Programs of this machine: where they are, and running them to the end.

use std::{
    io,
    os::fd::AsFd,
    path::PathBuf,
    process::{Command, Output},
};

use crate::error::{Error, Result};

/// Folders that a user's PATH often lacks and that Debian keeps network tools in.
const SYSTEM_FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// The path of `program` in PATH or in the system folders.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(SYSTEM_FOLDERS.map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// A command for `program`, found as [`find`] finds it.
pub(crate) fn command(program: &str) -> Command {
    Command::new(find(program).unwrap_or_else(|| PathBuf::from(program)))
}

/// Runs to the end with its output kept; an exit status other than 0 is an error with its stderr.
pub(crate) fn finish(command: &mut Command) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output =
        command.output().map_err(|source| Error::Start { program: program.clone(), source })?;
    if output.status.success() {
        return Ok(output);
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Program { program, status: output.status, stderr })
}

/// Runs to the end with all that it says on this process's stderr, for what takes long.
pub(crate) fn show(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let start = |source| Error::Start { program: program.clone(), source };
    let stderr = io::stderr().as_fd().try_clone_to_owned().map_err(start)?;
    let status = command.stdout(stderr).status().map_err(start)?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Program { program, status, stderr: "what it said is above".into() })
}

/// As [`finish`]; gives stdout as text.
pub(crate) fn text(command: &mut Command) -> Result<String> {
    Ok(String::from_utf8_lossy(&finish(command)?.stdout).into_owned())
}
