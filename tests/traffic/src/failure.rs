//! What failed, in words that a script can count. Pure.

use std::io;

use rustix::io::Errno;

/// The name of a failure: `refused`, `timeout`, `reset`, …; of others, the number and the words.
#[must_use]
pub fn name(error: &io::Error) -> String {
    if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) {
        return "timeout".to_owned();
    }
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "closed".to_owned();
    }
    let known = match Errno::from_io_error(error) {
        Some(Errno::CONNREFUSED) => "refused",
        Some(Errno::CONNRESET) => "reset",
        Some(Errno::PIPE) => "broken-pipe",
        Some(Errno::HOSTUNREACH) => "host-unreachable",
        Some(Errno::NETUNREACH) => "net-unreachable",
        Some(Errno::PERM) => "not-permitted",
        Some(Errno::ACCESS) => "prohibited",
        Some(Errno::ADDRNOTAVAIL) => "address-not-available",
        Some(Errno::PROTONOSUPPORT | Errno::SOCKTNOSUPPORT) => "protocol-not-supported",
        _ => return error.to_string(),
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_have_names() {
        let cases = [
            (Errno::CONNREFUSED, "refused"),
            (Errno::TIMEDOUT, "timeout"),
            (Errno::AGAIN, "timeout"),
            (Errno::CONNRESET, "reset"),
            (Errno::HOSTUNREACH, "host-unreachable"),
        ];
        for (errno, want) in cases {
            assert_eq!(name(&errno.into()), want);
        }
        assert_eq!(name(&io::ErrorKind::UnexpectedEof.into()), "closed");
    }
}
