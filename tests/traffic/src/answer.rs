//! The line that a server answers with: `NAME PEER WORDS…`. Pure.

use std::io;
use std::net::SocketAddr;

/// The longest line, in bytes; a datagram of one fits into any MTU.
pub const LONGEST: usize = 512;

/// Who answered, and whom they saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The server's name.
    pub name: String,
    /// The client's address as the server saw it.
    pub peer: SocketAddr,
    /// What was asked, sent back; empty in a greeting.
    pub echo: String,
}

impl Answer {
    /// The line, with its end.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {} {}\n", self.name, self.peer, self.echo)
    }

    /// Reads a line.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] where it is none.
    pub fn parse(line: &str) -> io::Result<Self> {
        let garbled = || io::Error::new(io::ErrorKind::InvalidData, format!("garbled: {line:?}"));
        let mut parts = line.strip_suffix('\n').ok_or_else(garbled)?.splitn(3, ' ');
        let (Some(name), Some(peer), Some(echo)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(garbled());
        };
        let peer = peer.parse().map_err(|_| garbled())?;
        Ok(Self { name: name.to_owned(), peer, echo: echo.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lines_come_back(name in "[a-z0-9-]{1,20}", peer: SocketAddr, echo in "[a-z0-9 ]{0,20}") {
            // A flow label is no part of the text of an address.
            let peer = SocketAddr::new(peer.ip(), peer.port());
            let answer = Answer { name, peer, echo };
            prop_assert_eq!(Answer::parse(&answer.line()).unwrap(), answer);
        }

        #[test]
        fn other_lines_are_refused_not_panicked_on(line in ".{0,40}") {
            if let Ok(answer) = Answer::parse(&line) {
                prop_assert_eq!(Answer::parse(&answer.line()).unwrap(), answer);
            }
        }
    }
}
