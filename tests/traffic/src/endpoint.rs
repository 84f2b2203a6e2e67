//! How a listener is written on the command line: `[NAME=][PROTOCOL/]ADDR:PORT[-PORT][@NETNS]`. Pure.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use clap::ValueEnum;
use serde::Serialize;

/// A transport protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// IPPROTO_TCP.
    #[default]
    Tcp,
    /// IPPROTO_UDP.
    Udp,
    /// IPPROTO_SCTP, one-to-one style.
    Sctp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// A listener, with what may be left to other options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The server's name.
    pub name: Option<String>,
    /// Its protocol.
    pub protocol: Option<Protocol>,
    /// Its address.
    pub address: IpAddr,
    /// Its first port; 0 lets the kernel choose.
    pub first_port: u16,
    /// Its last port.
    pub last_port: u16,
    /// The network namespace that it listens in, by its name under /run/netns.
    pub netns: Option<String>,
}

impl Listen {
    /// Each address and port of the range.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        (self.first_port..=self.last_port).map(|port| SocketAddr::new(self.address, port))
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rest) = text.split_once('=').map_or((None, text), |(n, r)| (Some(n), r));
        let (protocol, rest) = rest.split_once('/').map_or((None, rest), |(p, r)| (Some(p), r));
        let (rest, netns) = rest.split_once('@').map_or((rest, None), |(r, n)| (r, Some(n)));
        let protocol = protocol.map(|word| Protocol::from_str(word, false)).transpose()?;
        let (address, ports) =
            rest.rsplit_once(':').ok_or_else(|| format!("{rest:?} has no port"))?;
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let port = |text: &str| text.parse().map_err(|_| format!("{text:?} is not a port"));
        let (first_port, last_port) = (port(first)?, port(last)?);
        if first_port > last_port {
            return Err(format!("{ports:?} ends before it begins"));
        }
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let address = bare.unwrap_or(address).parse();
        Ok(Self {
            name: name.map(ToOwned::to_owned),
            protocol,
            address: address.map_err(|_| format!("{rest:?} has no address"))?,
            first_port,
            last_port,
            netns: netns.map(ToOwned::to_owned),
        })
    }
}

/// Reads a number of bytes such as `500`, `64K`, `10M`, `1G`; the letters are powers of 1,024.
///
/// # Errors
/// In words, where it is none.
pub fn bytes(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.trim_end_matches(['k', 'K', 'm', 'M', 'g', 'G']) {
        digits if digits.len() == text.len() => (text, 0),
        digits => match text[digits.len()..].to_ascii_uppercase().as_str() {
            "K" => (digits, 10),
            "M" => (digits, 20),
            "G" => (digits, 30),
            _ => return Err(format!("{text:?} has too many letters")),
        },
    };
    let number: u64 = digits.parse().map_err(|_| format!("{text:?} is not a number of bytes"))?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("{text:?} is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_read() {
        let full: Listen = "a=sctp/[fd00::1]:80-82@blue".parse().unwrap();
        assert_eq!(full.name.as_deref(), Some("a"));
        assert_eq!(full.protocol, Some(Protocol::Sctp));
        assert_eq!(full.netns.as_deref(), Some("blue"));
        let addresses: Vec<_> = full.addresses().map(|a| a.to_string()).collect();
        assert_eq!(addresses, ["[fd00::1]:80", "[fd00::1]:81", "[fd00::1]:82"]);
        let short: Listen = "127.0.0.1:0".parse().unwrap();
        assert_eq!((short.name, short.protocol, short.netns), (None, None, None));
        for wrong in ["", "10.0.0.1", "10.0.0.1:x", "10.0.0.1:9-8", "x/10.0.0.1:1", "10.0.0:1"] {
            assert!(wrong.parse::<Listen>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn sizes_are_read() {
        let cases = [("0", Some(0)), ("64K", Some(65_536)), ("10m", Some(10 << 20))];
        let wrong = ["", "M", "10MM", "-1", "99999999999G"].map(|text| (text, None));
        for (text, want) in cases.into_iter().chain(wrong) {
            assert_eq!(bytes(text).ok(), want, "{text:?}");
        }
    }
}
