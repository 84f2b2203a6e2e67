//! Names that the kernel holds in sixteen bytes with their NUL. Pure.

use std::fmt;

use crate::InvalidValue;

/// `IP_VS_SCHEDNAME_MAXLEN` and `IP_VS_PENAME_MAXLEN`, without the NUL.
const LONGEST: usize = 15;

/// 1 to 15 printable ASCII characters without blanks.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Name(Box<str>);

impl Name {
    pub(crate) fn new(what: &'static str, name: &str) -> Result<Self, InvalidValue> {
        let fits = (1..=LONGEST).contains(&name.len());
        if fits && name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(name.into()));
        }
        Err(InvalidValue::new(what, name, "1 to 15 printable ASCII characters"))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_kernel_holds_is_a_name() {
        let cases = [
            ("rr", true),
            ("fifteen-letters", true),
            ("", false),
            ("sixteen-letters!", false),
            ("a b", false),
            ("a\0b", false),
            ("é", false),
        ];
        for (name, good) in cases {
            assert_eq!(Name::new("name", name).is_ok(), good, "{name:?}");
        }
    }
}
