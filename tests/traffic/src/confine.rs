//! Becomes as confined as a container runtime makes a container of the daemon, then runs a command.
//!
//! A mount namespace in which all but some folders are read-only and /proc and /sys are as runtimes
//! give them (OCI runtime specification, `readonlyPaths` and `maskedPaths` of containerd's defaults);
//! no capability but those that are named, in the bounding set neither; no new privileges; the
//! runtimes' default seccomp filter. What containers have besides and the daemon's doesn't (a network
//! namespace) or what only takes away from view (a root file system and process ids of its own) is left
//! out. Needs root.

mod mounts;
mod seccomp;

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::thread::{
    CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};

/// How a command is confined.
#[derive(Clone, Debug)]
pub struct Confine {
    /// What it may still do; everything else is gone for good.
    pub capabilities: CapabilitySet,
    /// Folders that it may write below, as volumes are.
    pub writable: Vec<PathBuf>,
}

impl Confine {
    /// Turns this process into the command.
    ///
    /// # Errors
    /// The confinement can't be had whole, or the command can't be run.
    pub fn run(&self, command: &[OsString]) -> Result<Infallible> {
        let (program, arguments) = command.split_first().context("no command")?;
        mounts::confine(&self.writable)?;
        self.drop_capabilities().context("drop capabilities")?;
        set_no_new_privs(true).context("set no_new_privs")?;
        seccomp::install()?;
        let error = Command::new(program).args(arguments).exec();
        Err(error).with_context(|| format!("run {}", program.display()))
    }

    /// In this order: to drop from the bounding set is a privilege itself.
    fn drop_capabilities(&self) -> io::Result<()> {
        for capability in CapabilitySet::all().difference(self.capabilities) {
            match remove_capability_from_bounding_set(capability) {
                // Older kernels know fewer.
                Ok(()) | Err(rustix::io::Errno::INVAL) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        let sets = CapabilitySets {
            effective: self.capabilities,
            permitted: self.capabilities,
            inheritable: CapabilitySet::empty(),
        };
        Ok(set_capabilities(None, sets)?)
    }
}

/// A capability by its name as manifests write it, such as `NET_ADMIN`.
///
/// # Errors
/// None has this name.
pub fn capability(name: &str) -> Result<CapabilitySet, String> {
    let found = CapabilitySet::from_name(name);
    found.filter(|it| it.bits().count_ones() == 1).ok_or_else(|| format!("no capability `{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_named_as_manifests_name_them() {
        assert_eq!(capability("NET_ADMIN"), Ok(CapabilitySet::NET_ADMIN));
        assert!(capability("ALL").is_err());
        assert!(capability("net_admin").is_err());
    }
}
