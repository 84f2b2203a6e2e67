//! `docs/parity.md` proves what it claims: what it links is there, and no cell of weir's goes without.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::fs;
use std::path::Path;

/// Columns of the tables that compare: capability, kube-proxy's two modes, weir's two dataplanes.
const COLUMNS: usize = 5;

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/parity.md");
    fs::read_to_string(path).unwrap()
}

fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap())
}

fn rows(page: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| cap"));
    lines.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
}

#[test]
fn all_that_is_linked_is_there() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let page = page();
    let local = links(&page).filter(|link| !link.starts_with("https://"));
    let missing: Vec<_> = local.filter(|link| !docs.join(link).exists()).collect();
    assert!(links(&page).count() > 100, "{}", links(&page).count());
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn each_capability_is_proved_or_owned_up_to() {
    let page = page();
    let compared: Vec<_> = rows(&page).filter(|cells| cells.len() == COLUMNS).collect();
    let honest = ["](", "**not yet**", "*untested*", "the same"];
    let is_told = |cell: &&str| *cell == "–" || honest.iter().any(|word| cell.contains(word));
    let bare: Vec<_> = compared.iter().filter(|cells| !cells[3..].iter().all(is_told)).collect();
    assert!(compared.len() > 50, "{}", compared.len());
    assert!(bare.is_empty(), "{bare:#?}");
}
