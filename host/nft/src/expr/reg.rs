//! The registers of the virtual machine. Pure.

/// A 32-bit register, `NFT_REG32_00` and up. A wider value fills the ones that follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reg(u8);

impl Reg {
    /// Registers there are.
    pub const COUNT: u8 = 16;
    /// The first.
    pub const FIRST: Self = Self(0);

    /// The register `slot` places after the first; `None` beyond the last.
    #[must_use]
    pub fn new(slot: u8) -> Option<Self> {
        (slot < Self::COUNT).then_some(Self(slot))
    }

    /// Its place, 0 to 15.
    #[must_use]
    pub fn slot(self) -> u8 {
        self.0
    }

    /// `NFT_REG_1` to `NFT_REG_4` name the same storage in steps of four.
    pub(crate) fn from_raw(raw: u32) -> Option<Self> {
        match raw {
            1..=4 => Some(Self((raw as u8 - 1) * 4)),
            8..=23 => Some(Self(raw as u8 - 8)),
            _ => None,
        }
    }

    pub(crate) fn raw(self) -> u32 {
        libc::NFT_REG32_00 as u32 + u32::from(self.0)
    }
}
