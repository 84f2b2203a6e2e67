//! What a failure of a list or a watch means, and the words for it. Pure.

use std::error::Error;

use kube::core::Status;
use kube::runtime::watcher;

use super::access::AccessError;
use super::switch::Unanswered;

/// What a failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The version that a watch would go on from is too old (410): the list is read again.
    Outdated,
    /// The server doesn't know this kind of object (404).
    Unserved,
    /// The server can't send a list as a watch (400, 422; 500 where its etcd can't).
    NotStreamed,
    /// The server refuses weir this kind of object (403).
    Forbidden,
    /// The server doesn't know who weir is (401).
    Unknown,
    /// The server says that it can't, or can't now.
    Failing,
    /// What came makes no sense.
    Garbled,
    /// The configured files can't be read or used.
    Misconfigured,
    /// Nothing came.
    Unreachable,
}

/// What `error` means, and what to say of it; `refuser` is the server that refused, and as whom it
/// was asked.
pub(super) fn understand(error: &watcher::Error, refuser: &str) -> (Meaning, String) {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => of_client(error, refuser),
        watcher::Error::WatchError(status) => of_status(status, refuser),
        watcher::Error::NoResourceVersion => {
            (Meaning::Garbled, format!("{refuser}: the answer has no resourceVersion"))
        }
    }
}

fn of_client(error: &kube::Error, refuser: &str) -> (Meaning, String) {
    let meaning = match error {
        kube::Error::Api(status) => return of_status(status, refuser),
        kube::Error::SerdeError(error) => {
            return (Meaning::Garbled, format!("{refuser}: the answer can't be read: {error}"));
        }
        kube::Error::FromUtf8(_) => {
            return (Meaning::Garbled, format!("{refuser}: the answer is not UTF-8"));
        }
        _ => Meaning::Unreachable,
    };
    let mut chain: Vec<&(dyn Error + 'static)> = Vec::new();
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        chain.push(error);
        next = error.source();
    }
    if let Some(at) = chain.iter().position(|error| error.is::<AccessError>()) {
        return (Meaning::Misconfigured, joined(&chain[at..]));
    }
    match chain.iter().position(|error| error.is::<Unanswered>()) {
        Some(at) => (meaning, joined(&chain[at..])),
        // An answer that broke off, of which no error knows whose it was.
        None => (meaning, format!("{refuser}: {}", joined(&chain))),
    }
}

/// The words of an error and of what caused it, each once.
fn joined(chain: &[&(dyn Error + 'static)]) -> String {
    let mut words: Vec<String> = Vec::new();
    for error in chain.iter().map(ToString::to_string) {
        // Many errors repeat their cause in their own words.
        if words.last().is_none_or(|last| !last.contains(&error)) {
            words.push(error);
        }
    }
    words.join(": ")
}

fn of_status(status: &Status, refuser: &str) -> (Meaning, String) {
    if status.code == 0 {
        // A line that isn't a change, read as the refusal that it isn't either.
        return (Meaning::Garbled, format!("{refuser}: the answer can't be read"));
    }
    let message = match status.message.as_str() {
        "" => status.reason.as_str(),
        message => message,
    };
    let (meaning, advice) = match status.code {
        401 => (Meaning::Unknown, "; the credentials are wrong or have run out: renew them"),
        403 => (Meaning::Forbidden, "; the ClusterRole in deploy/ has all that weir needs"),
        404 => (Meaning::Unserved, ""),
        410 => (Meaning::Outdated, ""),
        // 500 is also what a server says of streams whose etcd knows no requests for progress.
        400 | 422 | 500 => (Meaning::NotStreamed, ""),
        _ => (Meaning::Failing, ""),
    };
    (meaning, format!("{refuser}: {} {message}{advice}", status.code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_breaks_off_is_told_with_whose_it_was() {
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let error = watcher::Error::WatchFailed(kube::Error::ReadEvents(reset));
        let (meaning, text) = understand(&error, "https://a, asked as b");
        assert_eq!(meaning, Meaning::Unreachable);
        assert!(text.starts_with("https://a, asked as b: ") && text.contains("reset"), "{text}");
    }

    #[test]
    fn a_status_is_told_by_its_code() {
        let cases = [
            (0, Meaning::Garbled, "can't be read"),
            (401, Meaning::Unknown, "renew them"),
            (403, Meaning::Forbidden, "ClusterRole"),
            (404, Meaning::Unserved, "404 no"),
            (410, Meaning::Outdated, "410 no"),
            (422, Meaning::NotStreamed, "422 no"),
            (429, Meaning::Failing, "429 no"),
            (500, Meaning::NotStreamed, "500 no"),
            (503, Meaning::Failing, "503 no"),
        ];
        for (code, want, words) in cases {
            let status = Status::failure("no", "because").with_code(code);
            let (meaning, text) =
                understand(&watcher::Error::WatchError(status.boxed()), "https://a, asked as b");
            assert_eq!(meaning, want, "{code}");
            assert!(text.starts_with("https://a, asked as b: ") && text.contains(words), "{text}");
        }
    }
}
