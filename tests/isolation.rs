//! Where a test may make network namespaces: here as root, else in a user namespace of its own.
//!
//! For test crates to include by path.
#![allow(dead_code, reason = "not every one uses all of it")]
#![allow(clippy::print_stdout, reason = "a test says what it did")]

use std::process::Command;

use rustix::thread::{UnshareFlags, unshare_unsafe};

const INSIDE: &str = "WEIR_TEST_IN_USER_NAMESPACE";

/// Runs `f` in a thread that has a network namespace to itself; what the kernel has against it.
pub(crate) fn in_new_netns<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
) -> rustix::io::Result<T> {
    let thread = std::thread::spawn(move || {
        #[allow(
            unsafe_code,
            reason = "rustix can't know that no other thread relies on this one's"
        )]
        // SAFETY: only the file table would be dangerous to unshare; this takes a network namespace.
        let unshared = unsafe { unshare_unsafe(UnshareFlags::NEWNET) };
        unshared.map(|()| f())
    });
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Runs a test that makes network namespaces. `name` is the test's, for running it again inside a
/// user namespace where this process may not make any.
///
/// # Panics
/// Where neither works, unless `WEIR_ALLOW_SKIP=1` says that the test may pass without doing anything.
pub(crate) fn with_namespaces(name: &str, test: impl FnOnce()) {
    let Err(errno) = in_new_netns(|| ()) else { return test() };
    assert!(std::env::var_os(INSIDE).is_none(), "{name}: no network namespace: {errno}");
    if again("true", &[]).is_ok() {
        let exe = std::env::current_exe().expect("a test knows its own file");
        let exe = exe.to_str().expect("the test's path is text");
        let said = again(exe, &["--exact", name, "--nocapture"]);
        let said = said.unwrap_or_else(|said| panic!("{name} failed in a user namespace:\n{said}"));
        assert!(said.contains("1 passed"), "there is no test {name}:\n{said}");
        println!("{said}");
        return;
    }
    let why = format!("{name}: neither a network namespace ({errno}) nor a user namespace here");
    let allowed = std::env::var_os("WEIR_ALLOW_SKIP").is_some_and(|it| it == "1");
    assert!(
        allowed,
        "{why}: run it as root, or where `unshare -Ur true` works; \
         with WEIR_ALLOW_SKIP=1 it counts as passed without having been run"
    );
    eprintln!("SKIPPED {why}");
}

/// Runs a command as root of a new user namespace; all that it said, and whether it succeeded.
fn again(command: &str, args: &[&str]) -> Result<String, String> {
    let output =
        Command::new("unshare").arg("-Ur").arg(command).args(args).env(INSIDE, "1").output();
    let output = output.map_err(|error| format!("unshare: {error}"))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if output.status.success() { Ok(said) } else { Err(said) }
}
