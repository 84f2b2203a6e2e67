//! `weir init`: does beforehand what the daemon has no right to with CAP_NET_ADMIN alone.
//!
//! Folders, then modules, then sysctls: a module brings its sysctls along.

use std::fmt;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use super::{load_file, say};
use crate::app;
use crate::args::{GlobalArgs, InitArgs};
use crate::config::Config;
use crate::kernel::as_found::AsFound;
use crate::kernel::load::load_missing;
use crate::kernel::sysctl::{self, ProcSys};
use crate::kernel::{doctor, processors};

/// What was done, and what could not be.
#[derive(Debug, Default, PartialEq, Eq)]
struct Done {
    did: Vec<String>,
    wrong: Vec<String>,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.did.is_empty() && self.wrong.is_empty() {
            return writeln!(f, "nothing to do: the node is ready for weir run");
        }
        self.did.iter().try_for_each(|it| writeln!(f, "{it}"))?;
        self.wrong.iter().try_for_each(|it| writeln!(f, "STAYS WRONG: {it}"))
    }
}

/// Makes the node ready; fails when something stays wrong.
pub(super) fn run(global: &GlobalArgs, args: &InitArgs) -> Result<ExitCode> {
    let config = load_file(global, args.config.as_deref())?;
    let mut done = Done::default();
    folders(&config, &mut done);
    let mut found = AsFound::default();
    if let Some(has_ipvs) = modules(&config, &mut found, &mut done) {
        let written = sysctls(&config, has_ipvs, &ProcSys::default(), &mut done);
        found = found.with_sysctls(&written);
    }
    if let Err(error) = found.keep(&config.paths.run_dir) {
        done.wrong.push(format!("{:#}", anyhow::Error::from(error)));
    }
    say(&done)?;
    let ready = done.wrong.is_empty() || args.warn_only;
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn folders(config: &Config, done: &mut Done) {
    for folder in [&config.paths.run_dir, &config.paths.cache_dir] {
        match private(folder) {
            Ok(None) => {}
            Ok(Some(did)) => done.did.push(format!("folder {} {did}", folder.display())),
            Err(error) => {
                done.wrong.push(format!("folder {} can't be had: {error}", folder.display()));
            }
        }
    }
}

/// Makes the folder for its owner alone. A kubelet makes the folders of `hostPath` volumes with mode
/// 0755, and compiled policies are trusted from a folder only that nobody else can look into.
fn private(folder: &Path) -> io::Result<Option<&'static str>> {
    let meta = match fs::metadata(folder) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            return Ok(Some("made"));
        }
        Err(error) => return Err(error),
    };
    if !meta.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other(format!("it belongs to user {}", meta.uid())));
    }
    if meta.mode() & 0o077 == 0 {
        return Ok(None);
    }
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    Ok(Some("closed to others: mode 0700"))
}

/// Lets the kernel load what it is asked for, and loads the rest; says whether there is IPVS, or nothing
/// where no service could be carried.
fn modules(config: &Config, found: &mut AsFound, done: &mut Done) -> Option<bool> {
    let asked = app::open(config);
    let loaded = load_missing(config, &doctor::release());
    let again = loaded.as_ref().is_ok_and(|it| !it.is_empty());
    match loaded {
        Ok(names) if names.is_empty() => {}
        Ok(names) => {
            found.note_modules(&names);
            let names = names.join(", ");
            done.did.push(format!("modules loaded, which this kernel doesn't by itself: {names}"));
        }
        Err(error) => done.wrong.push(format!("{:#}", anyhow::Error::from(error))),
    }
    match if again { app::open(config) } else { asked } {
        Ok((kernel, _)) => Some(kernel.has_ipvs()),
        Err(error) => {
            done.wrong.push(format!("{error:#}"));
            None
        }
    }
}

fn sysctls(
    config: &Config,
    has_ipvs: bool,
    proc_sys: &ProcSys,
    done: &mut Done,
) -> Vec<sysctl::Written> {
    let settings = sysctl::all(config, has_ipvs, processors::online());
    let (written, wrong) = proc_sys.settle(&settings);
    done.did
        .extend(written.iter().map(|it| format!("{} set to {}, was {}", it.name, it.is, it.was)));
    done.wrong.extend(wrong.iter().map(ToString::to_string));
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(folder: &Path) -> u32 {
        fs::metadata(folder).unwrap().mode() & 0o7777
    }

    #[test]
    fn folders_are_made_and_closed_once() {
        let dir = tempfile::tempdir().unwrap();
        let (new, open) = (dir.path().join("a/b"), dir.path().join("open"));
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        assert_eq!(private(&new).unwrap(), Some("made"));
        assert_eq!(private(&open).unwrap(), Some("closed to others: mode 0700"));
        assert_eq!((mode(&new), mode(&open)), (0o700, 0o700));
        assert_eq!((private(&new).unwrap(), private(&open).unwrap()), (None, None));
    }

    #[test]
    fn a_file_in_a_folders_place_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let mut config = Config::default();
        config.paths.run_dir = file.clone();
        config.paths.cache_dir = dir.path().join("cache");
        let mut done = Done::default();
        folders(&config, &mut done);
        assert!(done.wrong[0].contains("file can't be had: not a directory"), "{done}");
        assert_eq!(done.did.len(), 1, "the other one is made: {done}");
    }

    #[test]
    fn what_was_done_is_said_and_the_second_time_that_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::default();
        for setting in sysctl::all(&config, false, processors::online()) {
            let file = dir.path().join(setting.name.replace('.', "/"));
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "0\n").unwrap();
        }
        let node = ProcSys::at(dir.path());
        let mut first = Done::default();
        sysctls(&config, false, &node, &mut first);
        assert!(first.to_string().contains("net.ipv4.ip_forward set to 1, was 0\n"), "{first}");
        assert_eq!(first.wrong, Vec::<String>::new());
        let mut second = Done::default();
        sysctls(&config, false, &node, &mut second);
        assert_eq!(second.to_string(), "nothing to do: the node is ready for weir run\n");
    }

    #[test]
    fn what_stays_wrong_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let mut done = Done::default();
        sysctls(&Config::default(), true, &ProcSys::at(dir.path()), &mut done);
        assert!(done.to_string().contains("STAYS WRONG: sysctl net.ipv4.ip_forward must be 1"));
    }
}
