//! A network namespace of the test's own, by root's right or by a user namespace of its own.
#![allow(unsafe_code, reason = "unshare changes the calling thread")]
#![allow(dead_code, reason = "not every test file uses all of it")]

use std::{
    io::Write,
    process::{Command, Stdio},
};

use weir_nft::{Family, Name, Table};

const INSIDE: &str = "WEIR_NFT_TEST_IN_NETNS";

/// Runs a test in a new network namespace. `name` is the test's, for running it again inside a
/// user namespace when this process may not make a network namespace.
pub(crate) fn isolated(name: &str, test: impl FnOnce() + Send + 'static) {
    if std::env::var_os(INSIDE).is_some() {
        // The user namespace and its network namespace are this test's alone.
        return test();
    }
    let outcome = std::thread::spawn(move || {
        // SAFETY: a new network namespace for this thread, which shares nothing that depends on it.
        let unshared =
            unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) };
        unshared.map(|()| {
            run("ip", &["link", "set", "lo", "up"]);
            test();
        })
    })
    .join();
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(errno)) => in_user_namespace(name, errno),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn in_user_namespace(name: &str, errno: rustix::io::Errno) {
    let exe = std::env::current_exe().expect("the test knows its own file");
    if !Command::new("unshare").args(["-Urn", "true"]).status().is_ok_and(|status| status.success())
    {
        eprintln!(
            "SKIPPED {name}: no network namespace ({errno}) and no user namespace (unshare -Urn) here"
        );
        return;
    }
    let status = Command::new("unshare")
        .arg("-Urn")
        .arg(exe)
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .expect("unshare ran a moment ago");
    assert!(status.success(), "{name} failed in a user namespace");
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
