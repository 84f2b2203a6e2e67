//! Flags of a virtual service that change how it schedules. Pure.

use std::ops::{BitOr, BitOrAssign};

use crate::Scheduler;
use crate::uapi::svc::{F_HASHED, F_ONEPACKET, F_PERSISTENT, F_SCHED1, F_SCHED2, F_SCHED3};

/// A set of `IP_VS_SVC_F_*`, without two that aren't the caller's to choose: persistence is told by
/// [`crate::Service::persistence`], and `HASHED` (0x2) is the kernel's mark that a service is in its
/// table, added to every one that is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceFlags(u32);

impl ServiceFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// Schedule every packet by itself (`ipvsadm -o`); UDP only.
    pub const ONE_PACKET: Self = Self(F_ONEPACKET);
    /// The scheduler's first flag.
    pub const SCHED1: Self = Self(F_SCHED1);
    /// The scheduler's second flag.
    pub const SCHED2: Self = Self(F_SCHED2);
    /// The scheduler's third flag, which no mainline scheduler has a use for.
    pub const SCHED3: Self = Self(F_SCHED3);
    /// `sh`: take another destination when the hashed one is not available.
    pub const SH_FALLBACK: Self = Self::SCHED1;
    /// `sh`: hash the source port too.
    pub const SH_PORT: Self = Self::SCHED2;
    /// `mh`: take another destination when the hashed one is not available.
    pub const MH_FALLBACK: Self = Self::SCHED1;
    /// `mh`: hash the source port too.
    pub const MH_PORT: Self = Self::SCHED2;

    const FOREIGN: u32 = F_PERSISTENT | F_HASHED;

    /// The flags in `bits`; `PERSISTENT` and `HASHED` are left out.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & !Self::FOREIGN)
    }

    /// The flags as `IP_VS_SVC_F_*`.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether every flag of `other` is here.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there is no flag.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The words that `ipvsadm` has for these flags under `scheduler`, in bit order.
    #[must_use]
    pub fn names(self, scheduler: &Scheduler) -> Vec<String> {
        let mut names: Vec<String> = NAMES
            .iter()
            .filter(|(flag, _)| self.contains(*flag))
            .map(|(_, name)| name(scheduler))
            .collect();
        let rest = NAMES.iter().fold(self.0, |rest, (flag, _)| rest & !flag.0);
        if rest != 0 {
            names.push(format!("flags-{rest:#x}"));
        }
        names
    }
}

type Namer = fn(&Scheduler) -> String;

const NAMES: [(ServiceFlags, Namer); 4] = [
    (ServiceFlags::ONE_PACKET, |_| "ops".to_owned()),
    (ServiceFlags::SCHED1, |scheduler| scheduler_flag(scheduler, "fallback", "flag-1")),
    (ServiceFlags::SCHED2, |scheduler| scheduler_flag(scheduler, "port", "flag-2")),
    (ServiceFlags::SCHED3, |_| "flag-3".to_owned()),
];

fn scheduler_flag(scheduler: &Scheduler, named: &str, plain: &str) -> String {
    match scheduler {
        Scheduler::SourceHash | Scheduler::MaglevHash => format!("{scheduler}-{named}"),
        _ => plain.to_owned(),
    }
}

impl BitOr for ServiceFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for ServiceFlags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_ipvsadm() {
        let both = ServiceFlags::SCHED1 | ServiceFlags::SCHED2;
        let cases = [
            (both, Scheduler::SourceHash, vec!["sh-fallback", "sh-port"]),
            (both, Scheduler::MaglevHash, vec!["mh-fallback", "mh-port"]),
            (
                both | ServiceFlags::SCHED3,
                Scheduler::RoundRobin,
                vec!["flag-1", "flag-2", "flag-3"],
            ),
            (ServiceFlags::ONE_PACKET, Scheduler::RoundRobin, vec!["ops"]),
            (ServiceFlags::from_bits(0x100), Scheduler::RoundRobin, vec!["flags-0x100"]),
            (ServiceFlags::NONE, Scheduler::RoundRobin, vec![]),
        ];
        for (flags, scheduler, want) in cases {
            assert_eq!(flags.names(&scheduler), want, "{flags:?} {scheduler}");
        }
    }

    #[test]
    fn the_kernels_own_bits_stay_out() {
        assert_eq!(ServiceFlags::from_bits(0x7), ServiceFlags::ONE_PACKET);
    }
}
