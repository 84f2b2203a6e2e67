//! Tables of what clients meet: `tests/services/README.md` says what they look like. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::endpoint::Protocol;

/// Somebody with an address in each family.
#[derive(Debug, PartialEq, Eq)]
pub struct Party {
    /// Its name.
    pub name: &'static str,
    /// Its network namespace; the node has none of its own.
    pub netns: Option<&'static str>,
    /// Its address of IPv4.
    pub v4: Ipv4Addr,
    /// Its address of IPv6.
    pub v6: Ipv6Addr,
}

impl Party {
    /// Its address in a family.
    #[must_use]
    pub fn address(&self, like: IpAddr) -> IpAddr {
        if like.is_ipv4() { self.v4.into() } else { self.v6.into() }
    }
}

const fn party(
    name: &'static str,
    netns: Option<&'static str>,
    [a, b, c, d]: [u8; 4],
    network: [u16; 4],
    host: u16,
) -> Party {
    let [e, f, g, h] = network;
    let v6 = Ipv6Addr::new(e, f, g, h, 0, 0, 0, host);
    Party { name, netns, v4: Ipv4Addr::new(a, b, c, d), v6 }
}

const HERE: [u16; 4] = [0xfd00, 1, 0, 0];
const THERE: [u16; 4] = [0xfd00, 1, 0, 1];

/// The node itself: of its addresses those that its Node object names.
pub const NODE: Party = party("node", None, [10, 2, 0, 1], [0xfd00, 2, 0, 0], 1);

/// The node as well, by sockets that are bound to these addresses: so it is seen what becomes of them.
pub const BOUND: Party = Party { name: "bound", ..NODE };

/// All of the network around the node.
pub const PARTIES: [Party; 7] = [
    party("pod1", Some("pod1"), [10, 1, 0, 11], HERE, 0x11),
    party("pod2", Some("pod2"), [10, 1, 0, 12], HERE, 0x12),
    party("remote1", Some("remote1"), [10, 1, 1, 11], THERE, 0x11),
    party("remote2", Some("remote2"), [10, 1, 1, 12], THERE, 0x12),
    party("client", Some("client"), [10, 2, 0, 2], [0xfd00, 2, 0, 0], 2),
    NODE,
    BOUND,
];

/// Who goes by a name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Party> {
    static ALL: [Party; 7] = PARTIES;
    ALL.iter().find(|party| party.name == name)
}

/// A table.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// What the configuration file says besides its kind.
    pub config: String,
    /// What clients meet.
    pub rows: Vec<Row>,
}

/// What one client meets in one place.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// The number of its line.
    pub line: usize,
    /// The client.
    pub from: &'static Party,
    /// Where it connects to.
    pub to: SocketAddr,
    /// By this protocol.
    pub protocol: Protocol,
    /// Who answers, and how.
    pub answer: Answer,
    /// On this dataplane only.
    pub only: Option<String>,
}

/// Whose address those see who answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The client's own.
    Kept,
    /// Another.
    Rewritten,
}

/// What a client gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These answer, all of them and nobody else.
    From(BTreeSet<String>, Option<Source>),
    /// It is refused at once.
    Refused,
    /// Nothing comes back.
    Dropped,
    /// The node itself answers.
    Host,
    /// It isn't touched: it goes where the node's routes say, and nobody is there.
    Away,
}

impl Table {
    /// Reads a table.
    ///
    /// # Errors
    /// A line that can't be read, with its number.
    pub fn parse(text: &str) -> Result<Self> {
        let mut table = Self::default();
        for (line, words) in (1..).zip(text.lines()) {
            let words = words.trim();
            if words.is_empty() || words.starts_with('#') {
                continue;
            }
            if let Some(config) = words.strip_prefix("config:") {
                table.config.push_str(config.trim());
                table.config.push('\n');
                continue;
            }
            let row = Row::parse(line, words).with_context(|| format!("line {line}: {words}"))?;
            table.rows.push(row);
        }
        Ok(table)
    }

    /// The rows for a dataplane.
    pub fn rows_on(&self, dataplane: &str) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.only.as_deref().is_none_or(|it| it == dataplane))
    }
}

impl Row {
    fn parse(line: usize, text: &str) -> Result<Self> {
        let mut words: Vec<&str> = text.split_whitespace().collect();
        let only = words.last().and_then(|word| word.strip_prefix('[')?.strip_suffix(']'));
        let only = only.map(str::to_owned);
        if only.is_some() {
            words.pop();
        }
        let [from, to, answer @ ..] = words.as_slice() else { bail!("FROM TO ANSWER wanted") };
        let from = named(from).with_context(|| format!("nobody is called {from}"))?;
        let (to, protocol) = to.split_once('/').unwrap_or((to, "tcp"));
        Ok(Self {
            line,
            from,
            to: to.parse().context("ADDRESS:PORT wanted")?,
            protocol: Protocol::from_str(protocol, false).map_err(anyhow::Error::msg)?,
            answer: Answer::parse(answer)?,
            only,
        })
    }
}

impl Answer {
    fn parse(words: &[&str]) -> Result<Self> {
        let (servers, source) = match words {
            [] => bail!("no answer"),
            ["refused"] => return Ok(Self::Refused),
            ["dropped"] => return Ok(Self::Dropped),
            ["host"] => return Ok(Self::Host),
            ["away"] => return Ok(Self::Away),
            [servers @ .., "kept"] => (servers, Some(Source::Kept)),
            [servers @ .., "rewritten"] => (servers, Some(Source::Rewritten)),
            servers => (servers, None),
        };
        if let Some(stranger) = servers.iter().find(|name| named(name).is_none()) {
            bail!("nobody is called {stranger}");
        }
        Ok(Self::From(servers.iter().map(|name| (*name).to_owned()).collect(), source))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, protocol, answer, .. } = self;
        write!(f, "{} {to}", from.name)?;
        if *protocol != Protocol::Tcp {
            write!(f, "/{protocol}")?;
        }
        write!(f, " {answer}")
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("refused"),
            Self::Dropped => f.write_str("dropped"),
            Self::Host => f.write_str("host"),
            Self::Away => f.write_str("away"),
            Self::From(servers, source) => {
                f.write_str(&servers.iter().map(String::as_str).collect::<Vec<_>>().join(" "))?;
                match source {
                    Some(Source::Kept) => f.write_str(" kept"),
                    Some(Source::Rewritten) => f.write_str(" rewritten"),
                    None => Ok(()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_and_its_rows_print_as_they_were() {
        let text = "config: masquerade: {all: true}\n\n# words\npod2 10.96.0.1:80 pod1 kept\n\
                    client [fd00::1]:53/udp refused [ipvs]\nnode 10.96.0.1:80 pod1 remote1\n";
        let table = Table::parse(text).unwrap();
        assert_eq!(table.config, "masquerade: {all: true}\n");
        let rows: Vec<_> = table.rows_on("ipvs").map(ToString::to_string).collect();
        assert_eq!(
            rows,
            [
                "pod2 10.96.0.1:80 pod1 kept",
                "client [fd00::1]:53/udp refused",
                "node 10.96.0.1:80 pod1 remote1"
            ]
        );
        assert_eq!(table.rows_on("nftables").count(), 2);
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_line() {
        for (text, words) in [
            ("\nstranger 10.0.0.1:80 pod1", "line 2: stranger"),
            ("pod1 10.0.0.1 pod1", "ADDRESS:PORT wanted"),
            ("pod1 10.0.0.1:80", "no answer"),
            ("pod1 10.0.0.1:80 pod9 kept", "nobody is called pod9"),
            ("pod1 10.0.0.1:80/quic pod1", "quic"),
        ] {
            let error = format!("{:#}", Table::parse(text).unwrap_err());
            assert!(error.contains(words), "{error}");
        }
    }
}
