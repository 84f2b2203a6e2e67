//! Userdata: what nft keeps beside an object for its own listings, as type, length, value. Pure.
//!
//! The kernel stores it and gives it back. Types are those of libnftnl's udata.h.

/// The longest comment in bytes (`NFTNL_UDATA_COMMENT_MAXLEN` less its NUL).
pub(crate) const COMMENT_MAX: usize = 127;

/// The type of a comment on a table, chain, rule or element.
pub(crate) const COMMENT: u8 = 0;
/// The type of a comment on a set.
pub(crate) const SET_COMMENT: u8 = 7;
/// The byte order of a set's keys, 32 bits.
pub(crate) const SET_KEY_BYTEORDER: u8 = 0;
/// The byte order of a map's data, 32 bits.
pub(crate) const SET_DATA_BYTEORDER: u8 = 1;

/// Userdata being written.
#[derive(Default)]
pub(crate) struct Userdata(Vec<u8>);

impl Userdata {
    /// Just a comment.
    pub(crate) fn comment(kind: u8, text: &str) -> Self {
        let mut it = Self::default();
        it.put_comment(kind, text);
        it
    }

    /// A number in host order, as nft writes it.
    pub(crate) fn put_u32(&mut self, kind: u8, value: u32) {
        self.0.extend([kind, 4]);
        self.0.extend(value.to_ne_bytes());
    }

    /// Text and its NUL.
    pub(crate) fn put_comment(&mut self, kind: u8, text: &str) {
        self.0.extend([kind, text.len() as u8 + 1]);
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    /// What goes into the attribute.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The comment in userdata. What other programs put there need not have our shape: no comment then.
pub(crate) fn comment_of(kind: u8, mut userdata: &[u8]) -> Option<String> {
    while let [found, len, rest @ ..] = userdata {
        let value = rest.get(..usize::from(*len))?;
        if *found == kind {
            let text = value.split(|byte| *byte == 0).next()?;
            return String::from_utf8(text.to_vec()).ok();
        }
        userdata = &rest[usize::from(*len)..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_come_back() {
        let mut data = Userdata::default();
        data.put_u32(SET_KEY_BYTEORDER, 1);
        data.put_comment(SET_COMMENT, "ours");
        assert_eq!(comment_of(SET_COMMENT, data.bytes()).as_deref(), Some("ours"));
        assert_eq!(comment_of(SET_DATA_BYTEORDER, data.bytes()), None);
        assert_eq!(comment_of(SET_COMMENT, &data.bytes()[..9]), None, "cut short");
    }
}
