//! The daemon's own door for operators: a socket in the run folder, one JSON request and answer a connection.
//!
//! Only root may open it (mode 0600). `weir status`, `weir explain`, `weir sync` and
//! `weir log-level` are its clients.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_core::net::ObjectName;

use crate::config::{Config, LogLevel};
use crate::drive::{Command, Shared};
use crate::report::explain::Explanation;
use crate::report::metrics::Format;
use crate::report::status::Status;
use crate::{http, log};

/// The socket's name in the run folder.
const SOCKET: &str = "weir.sock";
/// The longest request, in bytes.
const MAX_REQUEST: u64 = 4096;
/// How long the daemon's side waits for the loop, and for the client.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a client waits: the daemon's own words come first.
const CLIENT_PATIENCE: Duration = Duration::from_secs(40);

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// The daemon as it is.
    Status,
    /// Why one service is balanced as it is.
    Explain(ObjectName),
    /// Look at the kernel and write what differs, now.
    Sync,
    /// The log's level; changed before where one is given.
    LogLevel(Option<LogLevel>),
    /// The configuration in force.
    Configuration,
    /// What `/metrics` answers.
    Metrics,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// To `status`.
    Status(Box<Status>),
    /// To `explain`; `None` where no such service is known.
    Explain(Option<Box<Explanation>>),
    /// To `sync`.
    Synced,
    /// To `log-level`: the level by now.
    LogLevel(LogLevel),
    /// To `configuration`.
    Configuration(Box<Config>),
    /// To `metrics`.
    Metrics(String),
    /// It couldn't be done.
    Failed(String),
}

/// Why the daemon can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nothing listens.
    #[error("no weir answers at {0}: is the daemon running, with this run folder (--run-dir)?")]
    NotRunning(PathBuf),
    /// The socket failed.
    #[error("ask the daemon at {0}")]
    Io(PathBuf, #[source] io::Error),
    /// The answer makes no sense: daemon and command are of different versions.
    #[error("the daemon at {0} answers in another version's words")]
    Words(PathBuf, #[source] serde_json::Error),
}

/// What answers are made from.
pub struct Desk {
    /// The loop.
    pub commands: Sender<Command>,
    /// What it shares.
    pub shared: Shared,
}

/// Asks the daemon whose run folder this is.
///
/// # Errors
/// It doesn't run, can't be reached, or speaks otherwise.
pub fn ask(folder: &Path, request: &Request) -> Result<Answer, AskError> {
    let path = folder.join(SOCKET);
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            AskError::NotRunning(path.clone())
        }
        _ => AskError::Io(path.clone(), error),
    };
    let mut stream = UnixStream::connect(&path).map_err(failed)?;
    stream.set_read_timeout(Some(CLIENT_PATIENCE)).map_err(failed)?;
    let mut text = serde_json::to_string(request).map_err(|e| AskError::Words(path.clone(), e))?;
    text.push('\n');
    stream.write_all(text.as_bytes()).map_err(failed)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(failed)?;
    serde_json::from_str(&answer).map_err(|e| AskError::Words(path.clone(), e))
}

/// Listens in the run folder on a thread of its own, for as long as the daemon lives.
///
/// # Errors
/// The socket can't be made.
pub fn listen(folder: &Path, desk: Desk) -> io::Result<()> {
    let path = folder.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // The lock is ours, so nobody else listens there. The umask keeps the door shut from the start.
    let mask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(&path);
    rustix::process::umask(mask);
    let listener = bound?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let serve = move || {
        for stream in listener.incoming() {
            let served = stream.and_then(|stream| serve(&stream, &desk));
            if let Err(error) = served {
                tracing::debug!(%error, "a request to the socket failed");
            }
        }
    };
    std::thread::Builder::new().name("admin".to_owned()).spawn(serve).map(drop)
}

fn serve(stream: &UnixStream, desk: &Desk) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(MAX_REQUEST)).read_line(&mut line)?;
    let answer = match serde_json::from_str(&line) {
        Ok(request) => answer(request, desk),
        Err(error) => Answer::Failed(format!("not a request: {error}")),
    };
    let text = serde_json::to_vec(&answer)?;
    let mut stream = stream;
    stream.write_all(&text)
}

fn answer(request: Request, desk: &Desk) -> Answer {
    let commands = &desk.commands;
    let answered = match request {
        Request::Status => ask_loop(commands, Command::Status).map(Answer::Status),
        Request::Explain(name) => {
            ask_loop(commands, |reply| Command::Explain(name, reply)).map(Answer::Explain)
        }
        Request::Sync => ask_loop(commands, Command::Sync).map(|done| match done {
            Ok(()) => Answer::Synced,
            Err(why) => Answer::Failed(why),
        }),
        Request::LogLevel(to) => {
            let level = to.map_or(Ok(()), log::set_level).and_then(|()| log::level());
            level.map(Answer::LogLevel).map_err(|error| error.to_string())
        }
        Request::Configuration => {
            Ok(Answer::Configuration(Box::new(Config::clone(&desk.shared.config()))))
        }
        Request::Metrics => http::measured(&desk.shared, commands, PATIENCE, Format::Text)
            .map(Answer::Metrics)
            .map_err(|error| error.to_string()),
    };
    answered.unwrap_or_else(Answer::Failed)
}

/// Asks the loop; the error says why there is no answer.
fn ask_loop<T>(
    commands: &Sender<Command>,
    ask: impl FnOnce(Sender<T>) -> Command,
) -> Result<T, String> {
    let ending = || "the daemon is ending".to_owned();
    let (reply, answer) = mpsc::channel();
    commands.send(ask(reply)).map_err(|_| ending())?;
    answer.recv_timeout(PATIENCE).map_err(|error| match error {
        RecvTimeoutError::Disconnected => ending(),
        RecvTimeoutError::Timeout => {
            let seconds = PATIENCE.as_secs();
            format!("the daemon is busy or still starting: no answer within {seconds} s")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_the_answer_and_others_get_words() {
        let dir = tempfile::tempdir().unwrap();
        let nobody = ask(dir.path(), &Request::Status).unwrap_err().to_string();
        assert!(nobody.contains("is the daemon running"), "{nobody}");
        let (commands, inbox) = mpsc::channel();
        let shared = Shared::new(&Config::default());
        let config = Config::default();
        listen(dir.path(), Desk { commands, shared }).unwrap();
        let daemon = std::thread::spawn(move || match inbox.recv().unwrap() {
            Command::Sync(done) => done.send(Err("refused".to_owned())).unwrap(),
            other => panic!("{other:?}"),
        });
        assert_eq!(ask(dir.path(), &Request::Sync).unwrap(), Answer::Failed("refused".to_owned()));
        daemon.join().unwrap();
        let answer = ask(dir.path(), &Request::Configuration).unwrap();
        assert_eq!(answer, Answer::Configuration(Box::new(config)));
        // The loop has ended; what it had counted is told.
        let Answer::Metrics(text) = ask(dir.path(), &Request::Metrics).unwrap() else { panic!() };
        assert!(text.contains("weir_build_info{"), "{text}");
        let mode = std::fs::metadata(dir.path().join(SOCKET)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut stream = UnixStream::connect(dir.path().join(SOCKET)).unwrap();
        stream.write_all(b"nonsense\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.contains("not a request"), "{text}");
    }
}
