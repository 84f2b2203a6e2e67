//! Reads annotation values; each error says what is allowed.

use weir_policy::{InterfaceSelection, Offload};

pub(crate) const DATAPLANES: [&str; 2] = ["ipvs", "nftables"];
pub(crate) const SCHEDULERS: [&str; 15] = [
    "rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "mh", "sed", "nq", "fo", "ovf", "twos",
    "random",
];
const FLAGS: [&str; 4] = ["mh-port", "mh-fallback", "sh-port", "sh-fallback"];

/// One of some words.
pub(crate) fn one_of(text: &str, words: &[&'static str]) -> Result<&'static str, String> {
    let found = words.iter().find(|&&word| word == text);
    found.copied().ok_or_else(|| format!("not one of {}", words.join(", ")))
}

/// Flags of a scheduler; none for an empty text.
pub(crate) fn flags(text: &str) -> Result<Vec<String>, String> {
    list(text).map(|word| one_of(word, &FLAGS).map(str::to_owned)).collect()
}

/// `never` or a number of packets.
pub(crate) fn offload(text: &str) -> Result<Offload, String> {
    match text.parse() {
        Ok(packets @ 1..) => Ok(Offload::After(packets)),
        _ if text == "never" => Ok(Offload::Never),
        _ => Err(format!("not `never` or a number from 1 to {}", u32::MAX)),
    }
}

/// Names, globs and groups of interfaces, with `!` before those to leave out.
pub(crate) fn interfaces(text: &str) -> Result<InterfaceSelection, String> {
    let mut selection = InterfaceSelection { include: Vec::new(), exclude: Vec::new() };
    for entry in list(text) {
        let (pattern, to) = match entry.strip_prefix('!') {
            Some(pattern) => (pattern.trim(), &mut selection.exclude),
            None => (entry, &mut selection.include),
        };
        check_pattern(pattern)?;
        to.push(pattern.to_owned());
    }
    if selection.include.is_empty() && selection.exclude.is_empty() {
        return Err("no interface in it: write names such as eth0, eth* or group:uplink".into());
    }
    Ok(selection)
}

/// The kernel's rule for names (`dev_valid_name`: below 16 bytes, no slash, colon or space).
fn check_pattern(pattern: &str) -> Result<(), String> {
    let group = pattern.strip_prefix("group:");
    let bad = |c: char| c == '/' || c == ':' || c == '!' || c.is_whitespace();
    let name = group.unwrap_or(pattern);
    if name.is_empty() || name.contains(bad) || (group.is_none() && name.len() > 15) {
        return Err(format!(
            "{pattern:?} is not an interface: at most 15 characters without `/`, `:` and spaces, \
             with * for any, or group:NAME"
        ));
    }
    Ok(())
}

/// The entries of a list separated by commas.
pub(crate) fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}
