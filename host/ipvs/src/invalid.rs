//! A value that its type can't hold. Pure.

/// Why a value was refused before it reached the kernel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {found:?}: must be {must_be}")]
pub struct InvalidValue {
    what: &'static str,
    found: String,
    must_be: &'static str,
}

impl InvalidValue {
    pub(crate) fn new(
        what: &'static str,
        found: impl ToString + Copy,
        must_be: &'static str,
    ) -> Self {
        Self { what, found: found.to_string(), must_be }
    }

    /// What kind of value it is, for example `scheduler`.
    #[must_use]
    pub fn what(&self) -> &'static str {
        self.what
    }
}
