//! Whether this machine can run a guest under KVM: found out by booting one, remembered after.

use std::{fs, fs::OpenOptions, str::FromStr, time::Duration};

use crate::{
    cache::Cache,
    error::{Error, OnPath, Result},
    guest::{Ending, Guest},
    host,
    qemu::Accel,
    series::Series,
};

/// A guest under KVM is up in two seconds; one that dies may do so without a word.
const TRIAL: Duration = Duration::from_secs(20);

/// How a user asks for acceleration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wish {
    /// KVM where a trial boot worked, else TCG.
    #[default]
    Auto,
    /// KVM, come what may.
    Kvm,
    /// TCG.
    Tcg,
}

impl FromStr for Wish {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "kvm" => Ok(Self::Kvm),
            "tcg" => Ok(Self::Tcg),
            other => {
                Err(Error::Input(format!("unknown accelerator {other:?}; known: auto, kvm, tcg")))
            }
        }
    }
}

impl Wish {
    /// What this wish means on this machine.
    pub fn settle(self, cache: &Cache) -> Result<Accel> {
        match self {
            Self::Kvm => Ok(Accel::Kvm),
            Self::Tcg => Ok(Accel::Tcg),
            Self::Auto => Ok(if kvm_works(cache)? { Accel::Kvm } else { Accel::Tcg }),
        }
    }
}

/// /dev/kvm may open and a stock kernel still die under it (nested virtualisation, shadowing
/// hypervisors), so only a boot proves it. The answer holds until the machine or QEMU changes.
fn kvm_works(cache: &Cache) -> Result<bool> {
    if OpenOptions::new().read(true).write(true).open("/dev/kvm").is_err() {
        return Ok(false);
    }
    let _lock = cache.lock("kvm")?;
    let path = cache.path("kvm");
    let machine = machine()?;
    let known = fs::read_to_string(&path).unwrap_or_default();
    if let Some(answer) = answer(&known, &machine) {
        return Ok(answer);
    }
    let trial = Guest::new(Series::DEFAULT)
        .cache(cache.clone())
        .accel(Wish::Kvm)
        .timeout(TRIAL)
        .run("true")?;
    let works = trial.ending == Ending::Exited(0);
    fs::write(&path, format!("{works}\n{machine}")).on("write", &path)?;
    Ok(works)
}

/// The remembered answer, if it is about this machine.
fn answer(known: &str, machine: &str) -> Option<bool> {
    let (answer, of) = known.split_once('\n')?;
    (of == machine).then(|| answer.parse().ok())?
}

fn machine() -> Result<String> {
    let boot = std::path::Path::new("/proc/sys/kernel/random/boot_id");
    let boot_id = fs::read_to_string(boot).on("read", boot)?;
    let version = host::text(host::command("qemu-system-x86_64").arg("--version"))?;
    Ok(format!("{} {}", boot_id.trim(), version.lines().next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_about_another_machine_is_forgotten() {
        assert_eq!(answer("true\nboot qemu", "boot qemu"), Some(true));
        assert_eq!(answer("false\nboot qemu", "boot qemu"), Some(false));
        assert_eq!(answer("true\nboot qemu", "other qemu"), None);
        assert_eq!(answer("", "boot qemu"), None);
        assert_eq!(answer("maybe\nboot qemu", "boot qemu"), None);
    }
}
