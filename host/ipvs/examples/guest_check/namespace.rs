//! Network namespaces by name, made and entered by threads of this program.

use std::fs::File;
use std::process::Command;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Makes a network namespace; `lo` comes up only if asked for.
pub(crate) fn make(name: &str, up: bool) {
    run(&["ip", "netns", "add", name]);
    if up {
        run(&["ip", "-n", name, "link", "set", "lo", "up"]);
    }
}

/// Deletes a network namespace and what is configured in it.
pub(crate) fn delete(name: &str) {
    run(&["ip", "netns", "delete", name]);
}

/// Runs `work` in a thread inside the namespace.
pub(crate) fn within<R: Send>(name: &str, work: impl FnOnce() -> R + Send) -> R {
    let enter = || {
        use std::os::fd::AsFd;
        let file = File::open(format!("/run/netns/{name}")).expect("namespace file");
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("enter namespace");
        work()
    };
    std::thread::scope(|scope| scope.spawn(enter).join().expect("thread in the namespace"))
}

/// Runs a command that must succeed, and answers what it printed.
pub(crate) fn run(words: &[&str]) -> String {
    let output = Command::new(words[0]).args(&words[1..]).output().expect(words[0]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {error}");
    String::from_utf8(output.stdout).expect("text")
}
