//! What the kernel knows of a flow, as bits (`enum ip_conntrack_status`). Pure.

use std::fmt;
use std::ops::BitOr;

/// Bits of `enum ip_conntrack_status` (linux/netfilter/nf_conntrack_common.h). Bits without a name
/// here are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Status(pub u32);

impl Status {
    /// Another flow announced it (an FTP data connection).
    pub const EXPECTED: Self = Self(1 << 0);
    /// Packets were seen in both directions.
    pub const SEEN_REPLY: Self = Self(1 << 1);
    /// It isn't dropped early when the table is full.
    pub const ASSURED: Self = Self(1 << 2);
    /// Its first packet has left the node. So it is of every flow in a dump.
    pub const CONFIRMED: Self = Self(1 << 3);
    /// The source is translated in the original direction.
    pub const SRC_NAT: Self = Self(1 << 4);
    /// The destination is translated in the original direction.
    pub const DST_NAT: Self = Self(1 << 5);
    /// It is being removed.
    pub const DYING: Self = Self(1 << 9);
    /// It is in a flowtable: its packets pass the hooks no more.
    pub const OFFLOAD: Self = Self(1 << 14);
    /// The flowtable has handed it to a device.
    pub const HW_OFFLOAD: Self = Self(1 << 15);

    const NAMES: [(Self, &'static str); 9] = [
        (Self::EXPECTED, "expected"),
        (Self::SEEN_REPLY, "seen-reply"),
        (Self::ASSURED, "assured"),
        (Self::CONFIRMED, "confirmed"),
        (Self::SRC_NAT, "snat"),
        (Self::DST_NAT, "dnat"),
        (Self::DYING, "dying"),
        (Self::OFFLOAD, "offload"),
        (Self::HW_OFFLOAD, "hw-offload"),
    ];

    /// Whether it has all of these bits.
    #[must_use]
    pub const fn contains(self, bits: Self) -> bool {
        self.0 & bits.0 == bits.0
    }

    /// Whether it has any of these bits.
    #[must_use]
    pub const fn intersects(self, bits: Self) -> bool {
        self.0 & bits.0 != 0
    }
}

impl BitOr for Status {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Status {
    /// The names of the bits, as in `seen-reply,assured,dnat`; those without one are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Self::NAMES.iter().filter(|(bit, _)| self.contains(*bit));
        for (index, (_, name)) in names.enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_tested_and_told() {
        let status = Status::SEEN_REPLY | Status::DST_NAT | Status::OFFLOAD | Status(1 << 8);
        assert!(status.contains(Status::DST_NAT | Status::OFFLOAD));
        assert!(!status.contains(Status::DST_NAT | Status::SRC_NAT));
        assert!(status.intersects(Status::DST_NAT | Status::SRC_NAT));
        assert!(!status.intersects(Status::ASSURED));
        assert_eq!(status.to_string(), "seen-reply,dnat,offload");
    }
}
