//! What becomes of a packet: the verdict of a rule or of a verdict map's element. Pure.

use std::fmt;

use crate::Name;

/// A verdict (`NFT_*`, `NF_ACCEPT`, `NF_DROP`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The packet leaves this hook; later base chains still see it.
    Accept,
    /// The packet ends here.
    Drop,
    /// The next rule.
    Continue,
    /// Back to the rule after the jump.
    Return,
    /// Run a chain, then come back.
    Jump(Name),
    /// Run a chain, don't come back.
    Goto(Name),
}

impl Verdict {
    pub(crate) fn code(&self) -> i32 {
        match self {
            Self::Accept => libc::NF_ACCEPT,
            Self::Drop => libc::NF_DROP,
            Self::Continue => libc::NFT_CONTINUE,
            Self::Return => libc::NFT_RETURN,
            Self::Jump(_) => libc::NFT_JUMP,
            Self::Goto(_) => libc::NFT_GOTO,
        }
    }

    /// The chain that it runs.
    #[must_use]
    pub fn chain(&self) -> Option<&Name> {
        match self {
            Self::Jump(chain) | Self::Goto(chain) => Some(chain),
            _ => None,
        }
    }

    pub(crate) fn from_raw(code: i32, chain: Option<Name>) -> Option<Self> {
        Some(match (code, chain) {
            (libc::NF_ACCEPT, _) => Self::Accept,
            (libc::NF_DROP, _) => Self::Drop,
            (libc::NFT_CONTINUE, _) => Self::Continue,
            (libc::NFT_RETURN, _) => Self::Return,
            (libc::NFT_JUMP, Some(chain)) => Self::Jump(chain),
            (libc::NFT_GOTO, Some(chain)) => Self::Goto(chain),
            _ => return None,
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Continue => f.write_str("continue"),
            Self::Return => f.write_str("return"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
        }
    }
}
