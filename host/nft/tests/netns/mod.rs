//! A network namespace of the test's own, and the nft command in it.
#![allow(dead_code, reason = "not every test file uses all of it")]

#[path = "../../../../tests/isolation.rs"]
mod isolation;

use std::{
    io::Write,
    process::{Command, Stdio},
};

use weir_nft::{Family, Name, Table};

/// Runs a test in a new network namespace. `name` is the test's.
pub(crate) fn isolated(name: &str, test: impl FnOnce() + Send + 'static) {
    isolation::with_namespaces(name, || {
        let ran = isolation::in_new_netns(|| {
            run("ip", &["link", "set", "lo", "up"]);
            test();
        });
        ran.expect("a network namespace, as a moment ago");
    });
}

/// What a command prints; it must succeed.
pub(crate) fn run(command: &str, args: &[&str]) -> String {
    let output =
        Command::new(command).args(args).output().unwrap_or_else(|e| panic!("run {command}: {e}"));
    assert!(
        output.status.success(),
        "{command} {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Has nft write a rule set.
pub(crate) fn load(ruleset: &str) {
    let mut nft =
        Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().expect("run nft");
    nft.stdin.take().unwrap().write_all(ruleset.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success(), "nft refused the rule set");
}

/// The table as nft lists it.
pub(crate) fn listing(table: &Table) -> String {
    run("nft", &["-nn", "list", "table", &table.family.to_string(), table.name.as_str()])
}

pub(crate) fn weir() -> Table {
    Table { family: Family::Inet, name: Name::literal("weir") }
}
