//! What the configuration says of the whole node and no plan writes: sysctls, and the time-outs of IPVS.
//! Read first, and written only where they differ.

use super::as_found::AsFound;

use super::sysctl::{self, ProcSys};
use super::{LinuxKernel, processors, timeouts, words};
use crate::config::Config;

impl LinuxKernel {
    /// Makes both as configured. Says in words which sysctls stay wrong.
    pub fn settle(&mut self, config: &Config) -> Vec<String> {
        let mut found = AsFound::default();
        match self.set_timeouts(timeouts(&config.ipvs)) {
            Ok(before) => found = before.into_iter().fold(found, AsFound::with_timeouts),
            Err(error) => {
                tracing::warn!(error = words(&error), "the time-outs of IPVS can't be set");
            }
        }
        let settings = sysctl::all(config, self.has_ipvs(), processors::online());
        let (written, wrong) = ProcSys::default().settle(&settings);
        if let Err(error) = found.with_sysctls(&written).keep(&config.paths.run_dir) {
            tracing::warn!(error = words(&error), "what the node was like before isn't noted");
        }
        for sysctl::Written { name, was, is } in written {
            tracing::info!(name, was, is, "sysctl set");
        }
        for wrong in &wrong {
            tracing::warn!(problem = %wrong, "a sysctl is not as it must be");
        }
        wrong.iter().map(ToString::to_string).collect()
    }
}
