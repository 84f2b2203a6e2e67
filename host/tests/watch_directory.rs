//! A real directory, watched while it is changed in all the ways that people and programs change
//! files. Waits are bounded by polling, and no change may depend on the periodic look.
#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::error::TryRecvError;
use weir::watch::manifests::{Settings, Watch, watch_directory};
use weir::watch::{Event, Key, Problem};
use weir_core::model::Change;

const BOUND: Duration = Duration::from_secs(20);

/// What a taker of the events knows.
struct Taker {
    events: Receiver<Event>,
    watch: Option<Watch>,
    ports: BTreeMap<String, u16>,
    problems: Vec<Problem>,
    synced: bool,
    rescanned: usize,
    changes: usize,
}

impl Taker {
    fn new(path: &Path, rescan: Duration) -> Self {
        Self::with(path, Settings { rescan, ..Settings::default() })
    }

    /// Told by events alone, and waiting for whoever has a file open as long as it takes.
    fn patient(path: &Path) -> Self {
        let rescan = Duration::from_secs(3600);
        Self::with(path, Settings { rescan, patience: rescan, ..Settings::default() })
    }

    fn with(path: &Path, settings: Settings) -> Self {
        let settings = Settings { quiet: Duration::from_millis(50), ..settings };
        let (watch, events) = watch_directory(path, settings).unwrap();
        let (ports, problems) = (BTreeMap::new(), Vec::new());
        Self {
            events,
            watch: Some(watch),
            ports,
            problems,
            synced: false,
            rescanned: 0,
            changes: 0,
        }
    }

    /// By events alone.
    fn by_events(path: &Path) -> Self {
        Self::new(path, Duration::from_secs(3600))
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Synced => self.synced = true,
            Event::Rescanned => self.rescanned += 1,
            Event::Report(report) => {
                self.problems.retain(|problem| !report.mended.contains(problem));
                self.problems.extend(report.appeared);
            }
            Event::Changes(changes) => {
                assert!(!changes.is_empty());
                self.changes += changes.len();
                for change in changes {
                    let name = Key::of(&change).to_string();
                    match change {
                        Change::Service(service) => {
                            self.ports.insert(name, service.ports[0].port.get())
                        }
                        _ => self.ports.remove(&name),
                    };
                }
            }
        }
    }

    fn until(&mut self, what: &str, reached: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !reached(self) {
            assert!(start.elapsed() < BOUND, "{what}: {:?} {:?}", self.ports, self.problems);
            match self.events.try_recv() {
                Ok(event) => self.take(event),
                Err(TryRecvError::Empty) => std::thread::sleep(Duration::from_millis(5)),
                Err(TryRecvError::Disconnected) => panic!("{what}: the watching thread ended"),
            }
        }
    }

    fn until_ports(&mut self, what: &str, want: &[(&str, u16)]) {
        let want = want.iter().map(|(name, port)| (format!("Service default/{name}"), *port));
        let want: BTreeMap<String, u16> = want.collect();
        self.until(what, |taker| taker.ports == want && taker.synced);
    }
}

fn service(name: &str, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n\
         spec: {{clusterIP: 10.96.0.1, ports: [{{port: {port}}}]}}\n"
    )
}

#[test]
fn files_are_followed_by_events() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("a.yaml"), service("a", 1)).unwrap();
    let mut taker = Taker::by_events(folder.path());
    taker.until_ports("the first read", &[("a", 1)]);

    fs::write(at("b.yaml"), service("b", 2)).unwrap();
    taker.until_ports("a new file", &[("a", 1), ("b", 2)]);

    fs::write(at("a.yaml"), service("a", 3)).unwrap();
    taker.until_ports("the same size, other words", &[("a", 3), ("b", 2)]);

    fs::write(at(".a.yaml.draft"), service("a", 4)).unwrap();
    fs::rename(at(".a.yaml.draft"), at("a.yaml")).unwrap();
    taker.until_ports("an editor's rename", &[("a", 4), ("b", 2)]);

    fs::rename(at("b.yaml"), at("b.yaml.off")).unwrap();
    taker.until_ports("renamed to something else", &[("a", 4)]);

    fs::create_dir_all(at("sub/folder")).unwrap();
    fs::write(
        at("sub/folder/c.json"),
        r#"{"apiVersion": "v1", "kind": "Service", "metadata":
        {"name": "c"}, "spec": {"clusterIP": "10.96.0.2", "ports": [{"port": 5}]}}"#,
    )
    .unwrap();
    taker.until_ports("a file in a new folder", &[("a", 4), ("c", 5)]);
    fs::write(at("sub/folder/d.yaml"), service("d", 6)).unwrap();
    taker.until_ports("another one there", &[("a", 4), ("c", 5), ("d", 6)]);

    fs::rename(at("sub"), at("moved")).unwrap();
    fs::write(at("moved/folder/d.yaml"), service("d", 7)).unwrap();
    taker.until_ports("in a renamed folder", &[("a", 4), ("c", 5), ("d", 7)]);

    fs::remove_dir_all(at("moved")).unwrap();
    taker.until_ports("a removed folder", &[("a", 4)]);
    assert_eq!(taker.problems, []);
}

#[test]
fn a_rename_alone_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("a.yaml"), service("a", 1)).unwrap();
    let mut taker = Taker::by_events(folder.path());
    taker.until_ports("the first read", &[("a", 1)]);
    fs::rename(at("a.yaml"), at("z.yaml")).unwrap();
    fs::write(at("b.yaml"), service("b", 2)).unwrap();
    taker.until_ports("the rename is behind us", &[("a", 1), ("b", 2)]);
    assert_eq!(taker.changes, 2, "the renamed object was told again");
}

#[test]
fn a_slow_writer_is_waited_for_and_a_broken_file_mended() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.yaml");
    let (first, second) = (service("a", 1), service("b", 2));
    fs::write(&path, format!("{first}---\n{second}")).unwrap();
    // However long this machine takes over the pause below.
    let mut taker = Taker::patient(folder.path());
    taker.until_ports("the first read", &[("a", 1), ("b", 2)]);

    // Cut off between two documents: nothing in the file itself shows that there is more to come.
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(first.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    file.write_all(format!("---\n{}", service("b", 3)).as_bytes()).unwrap();
    drop(file);
    taker.until_ports("the rest", &[("a", 1), ("b", 3)]);
    assert_eq!((taker.changes, taker.problems.len()), (3, 0), "b was taken away in between");

    fs::write(&path, format!("{first}---\napiVersion: v1\nkind: [")).unwrap();
    taker.until("the error", |taker| taker.problems.len() == 1);
    let problem = taker.problems[0].to_string();
    let want = format!(
        "{}: document 2, line 7: unclosed bracket '[' (the last good version stays in use)",
        path.display()
    );
    assert_eq!(problem, want);
    fs::write(&path, format!("{first}---\n{}", service("b", 4))).unwrap();
    taker.until_ports("mended", &[("a", 1), ("b", 4)]);
    taker.until("the error is taken back", |taker| taker.problems.is_empty());
}

#[test]
fn a_mounted_config_map_is_swapped_at_once() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let version = |name: &str, port| {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(name).join("a.yaml"), service("a", port)).unwrap();
    };
    version("..2024_01", 1);
    symlink("..2024_01", at("..data")).unwrap();
    symlink("..data/a.yaml", at("a.yaml")).unwrap();
    let mut taker = Taker::by_events(folder.path());
    taker.until_ports("through two links", &[("a", 1)]);

    version("..2024_02", 2);
    symlink("..2024_02", at("..data_tmp")).unwrap();
    fs::rename(at("..data_tmp"), at("..data")).unwrap();
    fs::remove_dir_all(at("..2024_01")).unwrap();
    taker.until_ports("swapped", &[("a", 2)]);
    assert_eq!((taker.changes, taker.problems.len()), (2, 0));
}

#[test]
fn links_out_of_the_directory_are_followed() {
    let (folder, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::write(outside.path().join("real.yaml"), service("a", 1)).unwrap();
    symlink(outside.path().join("real.yaml"), folder.path().join("a.yaml")).unwrap();
    symlink(folder.path(), folder.path().join("loop")).unwrap();
    let mut taker = Taker::by_events(folder.path());
    taker.until_ports("linked, and no loop", &[("a", 1)]);
    fs::write(outside.path().join("real.yaml"), service("a", 2)).unwrap();
    taker.until_ports("changed behind the link", &[("a", 2)]);
    fs::remove_file(outside.path().join("real.yaml")).unwrap();
    taker.until("the end of the link", |taker| taker.problems.len() == 1);
    assert!(taker.problems[0].message.starts_with("is a link that leads nowhere"));
    assert_eq!(taker.ports.len(), 1, "the last good object stays");
}

#[test]
fn the_directory_itself_may_go_and_come_back() {
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("manifests");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.yaml"), service("a", 1)).unwrap();
    let mut taker = Taker::new(&folder, Duration::from_millis(200));
    taker.until_ports("the first read", &[("a", 1)]);
    fs::rename(&folder, parent.path().join("away")).unwrap();
    taker.until("it is missed", |taker| taker.problems.len() == 1);
    assert_eq!(taker.ports.len(), 1, "objects stay while the directory is away");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("b.yaml"), service("b", 2)).unwrap();
    taker.until_ports("another in its place", &[("b", 2)]);
    taker.until("and no trouble left", |taker| taker.problems.is_empty());
}

#[test]
fn odd_files_are_refused_with_words() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe.yaml"), rustix::fs::Mode::RWXU).unwrap();
    let huge = fs::File::create(at("huge.yaml")).unwrap();
    huge.set_len((64 << 20) + 1).unwrap();
    fs::create_dir(at("folder.yaml")).unwrap();
    let mut taker = Taker::by_events(folder.path());
    taker.until("synced", |taker| taker.synced);
    taker.problems.sort();
    let told: Vec<_> = taker.problems.iter().map(|problem| problem.message.as_str()).collect();
    let too_large = "is larger than 67108864 bytes, the most that is read";
    assert_eq!(told, [too_large, "is not a regular file"]);
}

#[test]
fn a_look_on_request_and_the_end() {
    let folder = TempDir::new().unwrap();
    let mut taker = Taker::by_events(folder.path());
    taker.until("synced", |taker| taker.synced);
    fs::write(folder.path().join("a.yaml"), service("a", 1)).unwrap();
    assert!(taker.watch.as_ref().unwrap().rescan());
    taker.until("the answer", |taker| taker.rescanned == 1);
    assert_eq!(taker.ports.get("Service default/a"), Some(&1), "told before: {:?}", taker.ports);
    taker.watch = None;
    let start = Instant::now();
    while taker.events.try_recv() != Err(TryRecvError::Disconnected) {
        assert!(start.elapsed() < BOUND, "the watching thread goes on");
        std::thread::sleep(Duration::from_millis(5));
    }
    let missing = folder.path().join("missing");
    assert!(watch_directory(&missing, Settings::default()).is_err());
}
