//! Boots the guests of a suite, streams what their scripts find, and counts it.

use std::{
    collections::VecDeque,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use super::{
    batch::{Batch, batches},
    script::Script,
    stage::Stage,
    tap::{self, Check, Line, Verdict},
};
use crate::{
    cache::Cache,
    error::{Error, OnPath, Result},
    guest::{Ending, Guest, Outcome},
    series::Series,
};

const DRIVER: &str = include_str!("../../guest/suite.sh");
/// For booting and shutting down on a busy machine, and for cleaning up after each script.
const BOOT: Duration = Duration::from_secs(90);
const CLEAN_UP: Duration = Duration::from_secs(15);
/// How often a guest is booted that dies or hangs before it begins.
const BOOTS: usize = 2;
/// Lines of a failed script's output that are shown.
const SHOWN: usize = 40;

/// What is run, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The repository.
    pub root: PathBuf,
    /// Scripts by name; all of them if empty.
    pub names: Vec<String>,
    /// With the scripts and kernels that an ordinary run leaves out.
    pub full: bool,
    /// On this series whatever the scripts' headers say.
    pub kernel: Option<Series>,
    /// Guests at a time.
    pub jobs: usize,
    /// Cargo's profile for what is staged.
    pub profile: String,
    /// Show everything that scripts print.
    pub verbose: bool,
}

/// What a run found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// Checks that held.
    pub passed: usize,
    /// Checks that did not.
    pub failed: usize,
    /// Checks that a script left out, with its reason.
    pub skipped: usize,
    /// Guests booted.
    pub boots: usize,
}

/// Runs the suite in `tests/guest`.
pub fn run_suite(cache: &Cache, options: &Options) -> Result<Total> {
    let folder = options.root.join("tests/guest");
    let scripts = choose(&folder, &options.names)?;
    let series = |script: &Script| match options.kernel {
        Some(series) => vec![series],
        None => script.series(options.full || !options.names.is_empty()),
    };
    let batches = batches(&scripts, series);
    let running: Vec<Script> = batches.iter().flat_map(|batch| batch.scripts.clone()).collect();
    let stage = Stage::lay_out(&options.root, &options.profile, &[&folder], &running)?;
    let suite = Suite {
        cache,
        options,
        stage: &stage,
        logs: options.root.join("vm-out/test"),
        total: Mutex::new(Total::default()),
    };
    fs::create_dir_all(&suite.logs).on("make folder", &suite.logs)?;
    suite.run_all(batches)?;
    let total = *lock(&suite.total);
    Ok(total)
}

/// Runs one script (with the folder it lies in, and tests/guest) in a guest as its header says,
/// its output passed through.
pub fn run_one(
    cache: &Cache,
    options: &Options,
    path: &Path,
    arguments: &[String],
) -> Result<Outcome> {
    let script = Script::read(path)?;
    let tests = options.root.join("tests/guest");
    let folder = path.parent().unwrap_or(Path::new("."));
    let folders: Vec<&Path> =
        [tests.as_path(), folder].into_iter().filter(|folder| folder.is_dir()).collect();
    let stage =
        Stage::lay_out(&options.root, &options.profile, &folders, std::slice::from_ref(&script))?;
    let series = options.kernel.unwrap_or(script.kernels[0]);
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let command = [format!("/weir/tests/{file}")].into_iter().chain(arguments.iter().cloned());
    let command = ["bash".to_owned()].into_iter().chain(command);
    guest(cache, series, &script, stage.folder())
        .timeout(script.timeout + BOOT)
        .out(options.root.join("vm-out"))
        .run_to(command, &mut io::stdout(), &mut io::stderr())
}

fn guest(cache: &Cache, series: Series, script: &Script, stage: &Path) -> Guest {
    let guest = Guest::new(series)
        .cache(cache.clone())
        .share(stage, "/weir")
        .modules(script.modules.iter().map(String::as_str))
        .env("PATH", "/weir/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("WEIR_POLICIES", "/weir/policies")
        .env("WEIR_FILES", "/weir/files")
        .env("WEIR_KERNEL", series.name())
        .env("RUST_BACKTRACE", "1");
    let guest = script.memory.iter().cloned().fold(guest, Guest::memory);
    script.icount.into_iter().fold(guest, Guest::icount)
}

/// The scripts of the folder, by name; lib.sh is what they share.
fn choose(folder: &Path, names: &[String]) -> Result<Vec<Script>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).on("read", folder)? {
        let path = entry.on("read", folder)?.path();
        let is_script = path.extension().is_some_and(|extension| extension == "sh");
        if is_script && path.file_stem().is_some_and(|stem| stem != "lib") {
            paths.push(path);
        }
    }
    paths.sort();
    let scripts = paths.iter().map(|path| Script::read(path)).collect::<Result<Vec<_>>>()?;
    for name in names {
        if !scripts.iter().any(|script| script.name == *name) {
            return Err(Error::Input(format!("no test {name} in {}", folder.display())));
        }
    }
    let chosen = |script: &Script| names.is_empty() || names.contains(&script.name);
    Ok(scripts.into_iter().filter(chosen).collect())
}

struct Suite<'a> {
    cache: &'a Cache,
    options: &'a Options,
    stage: &'a Stage,
    logs: PathBuf,
    total: Mutex<Total>,
}

impl Suite<'_> {
    fn run_all(&self, batches: Vec<Batch>) -> Result<()> {
        let waiting = Mutex::new(VecDeque::from(batches));
        let work = || -> Result<()> {
            loop {
                let Some(batch) = lock(&waiting).pop_front() else {
                    return Ok(());
                };
                self.run_batch(batch)?;
            }
        };
        thread::scope(|scope| {
            let workers: Vec<_> =
                (0..self.options.jobs.max(1)).map(|_| scope.spawn(work)).collect();
            let ends = workers.into_iter().map(|worker| {
                worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            ends.collect::<Result<Vec<()>>>().map(drop)
        })
    }

    /// Boots until every script had its turn: one that takes its guest down costs the others
    /// another boot, not their results. QEMU itself dies at a boot now and then (an assertion of its
    /// emulated memory), or loses a timer of a processor that it emulates on a busy machine, so that
    /// the guest hangs: before any script has begun that says nothing of what is tested.
    fn run_batch(&self, mut batch: Batch) -> Result<()> {
        let mut boots = 0;
        while !batch.scripts.is_empty() {
            let mut listener = Listener::new(self, &batch);
            let outcome = self.boot(&batch, &mut listener)?;
            boots += 1;
            let began = listener.running || listener.done > 0;
            let how = match outcome.ending {
                Ending::Died => "died",
                Ending::TimedOut => "hung",
                _ => "",
            };
            if !began && !how.is_empty() && boots < BOOTS {
                let last = outcome.console.lines().last().unwrap_or_default();
                say(&format!("        {}: {how} before it began, once more: {last}", batch.series));
                continue;
            }
            boots = 0;
            listener.guest_ended(&outcome);
            // A guest that never began a script would fail again.
            let done = listener.done.max(1);
            if listener.done == 0 {
                listener.never_began(&batch.scripts[0], &outcome);
            }
            batch.scripts.drain(..done);
        }
        Ok(())
    }

    fn boot(&self, batch: &Batch, listener: &mut Listener<'_, '_>) -> Result<Outcome> {
        lock(&self.total).boots += 1;
        let limits = batch.scripts.iter().map(|script| script.timeout + CLEAN_UP);
        let names = batch
            .scripts
            .iter()
            .map(|script| format!("{} {}", script.name, script.timeout.as_secs()));
        let first = &batch.scripts[0];
        let console = self.logs.join(format!("{}-{}.console", batch.series, first.name));
        guest(self.cache, batch.series, first, self.stage.folder())
            .timeout(BOOT + limits.sum::<Duration>())
            .env("WEIR_SCRIPTS", names.collect::<Vec<_>>().join("\n"))
            .console(console)
            .out(self.logs.join("out"))
            .run_to([DRIVER], listener, &mut io::stderr())
    }
}

/// Reads a guest's output line by line as it comes.
struct Listener<'a, 's> {
    suite: &'a Suite<'s>,
    series: Series,
    scripts: Vec<Script>,
    /// Scripts that ended.
    done: usize,
    running: bool,
    checks: usize,
    failures: usize,
    began: Instant,
    line: Vec<u8>,
    log: Vec<String>,
}

impl Write for Listener<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            if *byte == b'\n' {
                let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
                self.hear(&line);
            } else {
                self.line.push(*byte);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a, 's> Listener<'a, 's> {
    fn new(suite: &'a Suite<'s>, batch: &Batch) -> Self {
        Self {
            suite,
            series: batch.series,
            scripts: batch.scripts.clone(),
            done: 0,
            running: false,
            checks: 0,
            failures: 0,
            began: Instant::now(),
            line: Vec::new(),
            log: Vec::new(),
        }
    }

    fn hear(&mut self, line: &str) {
        match tap::read(line) {
            Line::Begin(_) => {
                self.running = true;
                (self.checks, self.failures) = (0, 0);
                self.log.clear();
                self.began = Instant::now();
            }
            Line::End { status, left } => self.end(status, &left),
            Line::Check(check) => {
                self.log.push(line.to_owned());
                self.count(&check);
            }
            Line::Other(text) => {
                if self.suite.options.verbose && self.running {
                    say(&format!("        {text}"));
                }
                self.log.push(text);
            }
        }
    }

    fn name(&self) -> String {
        self.scripts.get(self.done).map(|script| script.name.clone()).unwrap_or_default()
    }

    fn count(&mut self, check: &Check) {
        let mut total = lock(&self.suite.total);
        let (word, count) = match check.result {
            Verdict::Passed => ("ok    ", &mut total.passed),
            Verdict::Failed => ("FAILED", &mut total.failed),
            Verdict::Skipped => ("skip  ", &mut total.skipped),
        };
        *count += 1;
        drop(total);
        self.checks += 1;
        self.failures += usize::from(check.result == Verdict::Failed);
        say(&format!("{word}  {} {}: {}", self.series, self.name(), check.text));
    }

    fn end(&mut self, status: u8, left: &str) {
        let limit = self.scripts.get(self.done).map_or(0, |script| script.timeout.as_secs());
        for failure in tap::at_end(self.checks, self.failures, status, left, limit) {
            self.count(&failure);
        }
        self.close();
    }

    /// The guest is gone: what was running didn't end.
    fn guest_ended(&mut self, outcome: &Outcome) {
        if !self.running {
            return;
        }
        let how = if outcome.ending == Ending::TimedOut { "ran into its time-out" } else { "died" };
        self.count(&Check::failed(format!("the guest lives to the script's end (it {how})")));
        self.log.extend(outcome.console.lines().map(str::to_owned));
        self.close();
    }

    fn never_began(&mut self, script: &Script, outcome: &Outcome) {
        self.log.extend(outcome.console.lines().map(str::to_owned));
        self.count(&Check::failed(format!("the guest boots and begins {}", script.name)));
        self.close();
    }

    fn close(&mut self) {
        let name = self.name();
        let log = self.suite.logs.join(format!("{}-{name}.log", self.series));
        if let Err(error) = fs::write(&log, self.log.join("\n") + "\n") {
            say(&format!("can't keep {}: {error}", log.display()));
        }
        if self.failures > 0 {
            let shown = self.log.len().saturating_sub(SHOWN);
            for line in &self.log[shown..] {
                say(&format!("        | {line}"));
            }
            say(&format!("        all of it: {}", log.display()));
        }
        say(&format!(
            "        {} {name}: {:.1} s",
            self.series,
            self.began.elapsed().as_secs_f64()
        ));
        self.running = false;
        self.done += 1;
    }
}

/// One line to stdout; a reader that went away doesn't end the tests.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Counts stay right after a panic elsewhere.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
