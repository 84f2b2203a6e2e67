//! Reads what operators and owners of Services write; each error says what is allowed.

use crate::{InterfaceSelection, Offload};

/// The annotation that says after how many packets a flow is offloaded; see [`offload`].
pub const OFFLOAD_AFTER_PACKETS: &str = "weir.dev/offload-after-packets";
/// The annotation that says which interfaces take part in offload; see [`interfaces`].
pub const OFFLOAD_INTERFACES: &str = "weir.dev/offload-interfaces";

/// The longest name of an interface in bytes (`IFNAMSIZ` of linux/if.h, without its zero).
const LONGEST_NAME: usize = 15;
/// The longest name of a group in bytes.
const LONGEST_GROUP: usize = 63;
/// The most characters of a wrong value that are repeated to whoever wrote it.
const MOST_QUOTED: usize = 64;

/// The entries of a list separated by commas, without empty ones.
pub fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

/// One of some words.
///
/// # Errors
/// The words that are allowed.
pub fn one_of(text: &str, words: &[&'static str]) -> Result<&'static str, String> {
    let found = words.iter().find(|&&word| word == text);
    found.copied().ok_or_else(|| format!("not one of {}", words.join(", ")))
}

/// `never` or a number of packets from 1.
///
/// # Errors
/// What is allowed.
pub fn offload(text: &str) -> Result<Offload, String> {
    match text.parse() {
        Ok(packets @ 1..) => Ok(Offload::After(packets)),
        _ if text == "never" => Ok(Offload::Never),
        _ => Err(format!("not `never` or a number from 1 to {}", u32::MAX)),
    }
}

/// Names, globs and groups of interfaces separated by commas, with `!` before those to leave out.
///
/// # Errors
/// What is allowed.
pub fn interfaces(text: &str) -> Result<InterfaceSelection, String> {
    let mut selection = InterfaceSelection { include: Vec::new(), exclude: Vec::new() };
    for entry in list(text) {
        let (pattern, to) = match entry.strip_prefix('!') {
            Some(pattern) => (pattern.trim(), &mut selection.exclude),
            None => (entry, &mut selection.include),
        };
        interface(pattern)?;
        to.push(pattern.to_owned());
    }
    if selection.include.is_empty() && selection.exclude.is_empty() {
        return Err("no interface in it: write names such as eth0, eth* or group:uplink".into());
    }
    Ok(selection)
}

/// Checks a name (`eth0`), a glob (`eth*`, `eth?`) or a group (`group:uplink`) of interfaces, by the
/// kernel's rule for names (`dev_valid_name`: below 16 bytes, no slash, colon or space).
///
/// # Errors
/// What is allowed.
pub fn interface(pattern: &str) -> Result<(), String> {
    let bad = |c: char| c == '/' || c == ':' || c == '!' || c == ',' || c.is_whitespace();
    let in_group = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let fits = match pattern.strip_prefix("group:") {
        Some(group) => (1..=LONGEST_GROUP).contains(&group.len()) && group.chars().all(in_group),
        None => {
            let literal = pattern.bytes().filter(|b| *b != b'*').count();
            !pattern.is_empty() && literal <= LONGEST_NAME && !pattern.contains(bad)
        }
    };
    fits.then_some(()).ok_or_else(|| {
        format!(
            "{} is not an interface: at most 15 characters without `/`, `:` and spaces, with * \
             for any, or group:NAME",
            quoted(pattern)
        )
    })
}

/// A wrong value for words about it: in quotes, on one line, and cut after 64 characters, since
/// whoever may annotate a Service may write 256 KiB.
#[must_use]
pub fn quoted(text: &str) -> String {
    match text.char_indices().nth(MOST_QUOTED) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_checked_as_weir_checks_them() {
        let group = format!("group:{}", "g".repeat(63));
        for good in ["eth0", "*", "eth*", "?th0", "*fifteen-letters*", "group:up_link-1.x", &group]
        {
            assert_eq!(interface(good), Ok(()), "{good}");
        }
        let group = format!("{group}g");
        let long = "sixteen--letters";
        for bad in ["", "eth 0", "eth/0", "a:b", "!eth0", "a,b", long, "group:", "group:ü", &group]
        {
            assert!(interface(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_long_value_is_cut() {
        assert_eq!(quoted("a\nb"), "\"a\\nb\"");
        assert_eq!(quoted(&"x".repeat(64)), format!("{:?}", "x".repeat(64)));
        assert_eq!(quoted(&"ü".repeat(65)), format!("{:?}…", "ü".repeat(64)));
    }
}
