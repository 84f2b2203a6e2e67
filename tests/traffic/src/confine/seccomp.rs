//! The filter of system calls that container runtimes have by default.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::{Context, Result};
use rustix::io::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};
use syscalls::Sysno;

const ALLOWED: &str = include_str!("runtime-default.txt");

/// `CLONE_NEWNS` and the other flags for namespaces.
const NAMESPACES: u64 = 0x7e02_0000;
/// Those of personality(2) that are allowed: Linux, with or without ADDR_NO_RANDOMIZE's like, and asking.
const PERSONALITIES: [u64; 5] = [0, 8, 0x20000, 0x20008, 0xffff_ffff];
/// `AF_VSOCK` goes past the network namespace.
const VSOCK: u64 = 40;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Installs it for this process and what it becomes.
pub(super) fn install() -> Result<()> {
    // The last installed is asked as well, and the strictest answer holds: so clone3 is what doesn't exist,
    // for libraries to fall back to clone, and not what is forbidden.
    for program in [without_clone3()?, default_profile()?] {
        apply_filter(&program).context("install the seccomp filter")?;
    }
    Ok(())
}

fn number(name: &str) -> Option<i64> {
    Sysno::from_str(name).ok().map(|it| i64::from(it.id()))
}

/// Names of system calls that are allowed whatever their arguments.
fn names() -> impl Iterator<Item = &'static str> {
    let lines = ALLOWED.lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(str::split_whitespace)
}

fn default_profile() -> Result<BpfProgram> {
    // A name that this machine's architecture doesn't have has nothing to be allowed.
    let mut rules: Rules = names().filter_map(number).map(|it| (it, Vec::new())).collect();
    let conditional = [
        ("clone", vec![rule(SeccompCmpOp::MaskedEq(NAMESPACES), 0)?]),
        ("socket", vec![rule(SeccompCmpOp::Ne, VSOCK)?]),
        (
            "personality",
            PERSONALITIES
                .into_iter()
                .map(|it| rule(SeccompCmpOp::Eq, it))
                .collect::<Result<_>>()?,
        ),
    ];
    for (name, when) in conditional {
        rules.insert(number(name).with_context(|| format!("no system call {name}"))?, when);
    }
    rules.extend(number("clone3").map(|it| (it, Vec::new())));
    let forbidden = SeccompAction::Errno(Errno::PERM.raw_os_error().cast_unsigned());
    program(rules, forbidden, SeccompAction::Allow)
}

fn without_clone3() -> Result<BpfProgram> {
    let rules = number("clone3").map(|it| (it, Vec::new())).into_iter().collect();
    let absent = SeccompAction::Errno(Errno::NOSYS.raw_os_error().cast_unsigned());
    program(rules, SeccompAction::Allow, absent)
}

/// A condition on the first argument.
fn rule(operator: SeccompCmpOp, value: u64) -> Result<SeccompRule> {
    let condition = SeccompCondition::new(0, SeccompCmpArgLen::Dword, operator, value)?;
    Ok(SeccompRule::new(vec![condition])?)
}

fn program(rules: Rules, otherwise: SeccompAction, matched: SeccompAction) -> Result<BpfProgram> {
    let here = std::env::consts::ARCH.try_into().context("this processor")?;
    let filter = SeccompFilter::new(rules, otherwise, matched, here)?;
    Ok(filter.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_can_be_built_and_most_names_are_known_here() {
        let known = names().filter(|it| number(it).is_some()).count();
        assert!(known > 280, "{known} of {}", names().count());
        let forbidden =
            ["mount", "bpf", "finit_module", "unshare", "setns", "reboot", "io_uring_setup"];
        for name in forbidden {
            assert!(names().all(|it| it != name), "{name}");
        }
        assert!(default_profile().unwrap().len() > known);
        assert!(!without_clone3().unwrap().is_empty());
    }
}
