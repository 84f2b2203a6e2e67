//! Netlink attributes: length, type, value, one after the other. Pure.

use crate::DecodeError;

/// Attributes in a row, borrowed.
#[derive(Clone, Copy)]
pub(crate) struct Attrs<'a>(&'a [u8]);

/// Length of an attribute's header.
const HEADER: usize = 4;
/// `NLA_TYPE_MASK`: without the nested and byte-order flags.
const TYPE_MASK: u16 = 0x3fff;

impl<'a> Attrs<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Each attribute's type and value; stops after the first error.
    pub(crate) fn iter(self) -> impl Iterator<Item = Result<(u16, &'a [u8]), DecodeError>> {
        let mut rest = self.0;
        std::iter::from_fn(move || match split(rest) {
            None => None,
            Some(Ok((kind, value, next))) => {
                rest = next;
                Some(Ok((kind, value)))
            }
            Some(Err(error)) => {
                rest = &[];
                Some(Err(error))
            }
        })
    }

    /// The value of the attribute of a type.
    pub(crate) fn get(self, kind: u16) -> Result<Option<&'a [u8]>, DecodeError> {
        for attr in self.iter() {
            let (found, value) = attr?;
            if found == kind {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// The same, an error when there is none.
    pub(crate) fn need(self, kind: u16, what: &'static str) -> Result<&'a [u8], DecodeError> {
        self.get(kind)?.ok_or(DecodeError::Missing(what))
    }

    pub(crate) fn nested(self, kind: u16) -> Result<Option<Self>, DecodeError> {
        Ok(self.get(kind)?.map(Self))
    }

    /// nf_tables sends its numbers in network order.
    pub(crate) fn u32(self, kind: u16) -> Result<Option<u32>, DecodeError> {
        self.get(kind)?.map(be32).transpose()
    }

    pub(crate) fn u64(self, kind: u16) -> Result<Option<u64>, DecodeError> {
        self.get(kind)?.map(|value| fixed(value).map(u64::from_be_bytes)).transpose()
    }

    pub(crate) fn need_u32(self, kind: u16, what: &'static str) -> Result<u32, DecodeError> {
        be32(self.need(kind, what)?)
    }

    pub(crate) fn text(self, kind: u16) -> Result<Option<&'a str>, DecodeError> {
        self.get(kind)?.map(text).transpose()
    }

    pub(crate) fn need_text(self, kind: u16, what: &'static str) -> Result<&'a str, DecodeError> {
        text(self.need(kind, what)?)
    }
}

type Split<'a> = (u16, &'a [u8], &'a [u8]);

fn split(bytes: &[u8]) -> Option<Result<Split<'_>, DecodeError>> {
    let [l0, l1, t0, t1, ..] = *bytes else {
        // Less than a header is padding if zero.
        return if bytes.iter().all(|byte| *byte == 0) {
            None
        } else {
            Some(Err(DecodeError::Truncated))
        };
    };
    let len = usize::from(u16::from_ne_bytes([l0, l1]));
    let kind = u16::from_ne_bytes([t0, t1]) & TYPE_MASK;
    let Some(value) = bytes.get(HEADER..len) else { return Some(Err(DecodeError::Truncated)) };
    let next = bytes.get(len.next_multiple_of(4)..).unwrap_or(&[]);
    Some(Ok((kind, value, next)))
}

pub(super) fn fixed<const N: usize>(value: &[u8]) -> Result<[u8; N], DecodeError> {
    value.try_into().map_err(|_| DecodeError::Width { want: N, got: value.len() })
}

pub(super) fn be32(value: &[u8]) -> Result<u32, DecodeError> {
    fixed(value).map(u32::from_be_bytes)
}

/// Text up to its NUL.
pub(super) fn text(value: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(until_nul(value)).map_err(|_| DecodeError::Text)
}

/// The same, whatever bytes it has.
pub(super) fn lossy(value: &[u8]) -> String {
    String::from_utf8_lossy(until_nul(value)).into_owned()
}

fn until_nul(value: &[u8]) -> &[u8] {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    &value[..end]
}
