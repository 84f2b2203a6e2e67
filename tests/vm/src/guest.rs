//! A guest: described, booted, waited for.

use std::{
    fs::{self, File},
    io::{self, PipeReader, PipeWriter, Read, Write},
    os::fd::{AsFd, AsRawFd},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::{
    accel::Wish,
    cache::{Cache, RunFolder},
    error::{Error, OnPath, Result},
    image::Image,
    job::{Disk, Job, Mount, make_disk},
    qemu::{Accel, Machine, Qemu},
    series::Series,
};

const CONSOLE_TAIL: usize = 4000;

/// How a guest's run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The command ended with this exit status (128 + N after signal N, as in a shell).
    Exited(u8),
    /// The time-out passed and the guest was killed.
    TimedOut,
    /// The guest ended without reporting a status: panic, out of memory, or QEMU itself failed.
    Died,
}

impl Ending {
    /// The exit status that stands for it: the command's, 124 for a time-out, 125 for a death.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::TimedOut => 124,
            Self::Died => 125,
        }
    }
}

/// What came back from a guest.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// What the command wrote to stdout; empty when it was streamed elsewhere.
    pub stdout: String,
    /// What the command wrote to stderr; empty when it was streamed elsewhere.
    pub stderr: String,
    /// The end of the kernel's console and of what QEMU said; worth showing unless it exited.
    pub console: String,
    /// From QEMU's start to its end.
    pub elapsed: Duration,
}

/// A guest to be: a kernel, what it is given, and what is kept of it.
///
/// ```no_run
/// # fn main() -> weir_vm::Result<()> {
/// let outcome = weir_vm::Guest::new(weir_vm::Series::DEFAULT)
///     .share("target/debug", "/share")
///     .timeout(std::time::Duration::from_secs(60))
///     .run("./my-test && cp log /out")?;
/// assert_eq!(outcome.ending, weir_vm::Ending::Exited(0), "{}", outcome.stderr);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Guest {
    series: Series,
    cache: Option<Cache>,
    job: Job,
    shares: Vec<Mount>,
    disks: Vec<Mount>,
    out: Option<PathBuf>,
    console: Option<PathBuf>,
    timeout: Duration,
    memory: String,
    processors: u8,
    wish: Wish,
    icount: Option<u8>,
    append: String,
}

impl Guest {
    /// A guest with two processors, 2 GiB, five minutes, no network device and no module loaded
    /// beyond what its disks and ports need: the kernel autoloads the rest, as on a node.
    #[must_use]
    pub fn new(series: Series) -> Self {
        Self {
            series,
            cache: None,
            job: Job::default(),
            shares: Vec::new(),
            disks: Vec::new(),
            out: None,
            console: None,
            timeout: Duration::from_secs(300),
            memory: "2G".into(),
            processors: 2,
            wish: Wish::Auto,
            icount: None,
            append: String::new(),
        }
    }

    /// Keeps kernels and images in `cache` rather than in the environment's.
    #[must_use]
    pub fn cache(mut self, cache: Cache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Gives a writable throw-away copy of the folder `from` at `at`. The command starts in
    /// /share, which exists even if nothing is shared there.
    #[must_use]
    pub fn share(mut self, from: impl Into<PathBuf>, at: impl Into<String>) -> Self {
        self.shares.push(Mount { from: from.into(), at: at.into() });
        self
    }

    /// Mounts an ext4 image at `at`; what the guest writes to it is thrown away.
    #[must_use]
    pub fn disk(mut self, image: impl Into<PathBuf>, at: impl Into<String>) -> Self {
        self.disks.push(Mount { from: image.into(), at: at.into() });
        self
    }

    /// Puts one file (or the files of a folder) into the guest's memory; meant for small ones.
    #[must_use]
    pub fn file(mut self, from: impl Into<PathBuf>, at: impl Into<String>) -> Self {
        self.job.files.push(Mount { from: from.into(), at: at.into() });
        self
    }

    /// Sets a variable of the command's environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.job.environment.push((name.into(), value.into()));
        self
    }

    /// Loads `modules` before the command; one that the kernel lacks is reported on the console.
    #[must_use]
    pub fn modules(mut self, modules: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.job.modules.extend(modules.into_iter().map(Into::into));
        self
    }

    /// Unpacks what the command left in /out into the folder `to`.
    #[must_use]
    pub fn out(mut self, to: impl Into<PathBuf>) -> Self {
        self.out = Some(to.into());
        self
    }

    /// Keeps the whole kernel console in the file `to`.
    #[must_use]
    pub fn console(mut self, to: impl Into<PathBuf>) -> Self {
        self.console = Some(to.into());
        self
    }

    /// Kills the guest after this time, its boot included.
    #[must_use]
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Memory as QEMU writes it: `512M`, `2G`.
    #[must_use]
    pub fn memory(mut self, memory: impl Into<String>) -> Self {
        self.memory = memory.into();
        self
    }

    /// Number of processors. Where instructions are counted one runs, and the kernel has room for all.
    #[must_use]
    pub const fn processors(mut self, processors: u8) -> Self {
        self.processors = processors;
        self
    }

    /// KVM, TCG, or the better one that works.
    #[must_use]
    pub const fn accel(mut self, wish: Wish) -> Self {
        self.wish = wish;
        self
    }

    /// Makes the guest's clock count instructions, 2^`shift` ns each: see [`Accel::Icount`].
    #[must_use]
    pub const fn icount(mut self, shift: u8) -> Self {
        self.icount = Some(shift);
        self
    }

    /// Adds to the kernel's command line.
    #[must_use]
    pub fn append(mut self, words: impl Into<String>) -> Self {
        self.append = words.into();
        self
    }

    /// Runs a line of bash and keeps what it prints.
    pub fn run(self, line: &str) -> Result<Outcome> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let mut outcome = self.run_to([line], &mut stdout, &mut stderr)?;
        outcome.stdout = String::from_utf8_lossy(&stdout).into_owned();
        outcome.stderr = String::from_utf8_lossy(&stderr).into_owned();
        Ok(outcome)
    }

    /// Runs a command (one word: a line of bash; several: a program and its arguments), passing
    /// on what it prints as it comes.
    pub fn run_to(
        mut self,
        command: impl IntoIterator<Item = impl Into<String>>,
        stdout: &mut (dyn Write + Send),
        stderr: &mut (dyn Write + Send),
    ) -> Result<Outcome> {
        self.job.command = command.into_iter().map(Into::into).collect();
        let cache = match self.cache.take() {
            Some(cache) => cache,
            None => Cache::of_environment()?,
        };
        let image = Image::ready(&cache, self.series, false)?;
        let accel = match self.icount {
            Some(shift) => Accel::Icount { shift },
            None => self.wish.settle(&cache)?,
        };
        let folder = cache.run_folder()?;
        self.boot(&image, accel, &folder, stdout, stderr)
    }

    fn boot(
        &self,
        image: &Image,
        accel: Accel,
        folder: &RunFolder,
        stdout: &mut (dyn Write + Send),
        stderr: &mut (dyn Write + Send),
    ) -> Result<Outcome> {
        let disks = self.make_disks(folder)?;
        let initramfs = folder.path("initramfs");
        self.job.write_initramfs(&image.initramfs, &disks, &initramfs)?;
        let (out, err) = (Pipe::new()?, Pipe::new()?);
        let files =
            ["status", "out"].map(|name| (name, folder.path(name).to_string_lossy().into_owned()));
        let mut ports = vec![("stdout", out.for_qemu()), ("stderr", err.for_qemu())];
        ports.extend(files);
        let console = folder.path("console");
        let machine = Machine {
            kernel: &image.kernel,
            initramfs: &initramfs,
            append: &self.append,
            disks: &disks,
            accel,
            memory: &self.memory,
            processors: self.processors,
            ports: &ports,
            console: &console,
        };
        let log = folder.path("qemu.log");
        let qemu_log = File::create(&log).on("make", &log)?;
        let started = Instant::now();
        let qemu = Qemu::start(&machine, &[out.write.as_fd(), err.write.as_fd()], qemu_log.into())?;
        let in_time = attend(qemu, self.timeout, [(out, stdout), (err, stderr)])?;
        let elapsed = started.elapsed();
        self.collect(folder, in_time, elapsed)
    }

    fn make_disks(&self, folder: &RunFolder) -> Result<Vec<Disk>> {
        let mut disks = Vec::new();
        for (n, share) in self.shares.iter().enumerate() {
            let serial = format!("share{n}");
            let image = folder.path(&serial);
            make_disk(&share.from, &image)?;
            disks.push(Disk { image, serial, at: share.at.clone(), throw_away: false });
        }
        for (n, disk) in self.disks.iter().enumerate() {
            let image = disk.from.canonicalize().on("open", &disk.from)?;
            disks.push(Disk {
                image,
                serial: format!("disk{n}"),
                at: disk.at.clone(),
                throw_away: true,
            });
        }
        Ok(disks)
    }

    fn collect(&self, folder: &RunFolder, in_time: bool, elapsed: Duration) -> Result<Outcome> {
        let console = folder.path("console");
        if let Some(to) = &self.console {
            fs::copy(&console, to).on("copy the console to", to)?;
        }
        let status = fs::read_to_string(folder.path("status")).unwrap_or_default();
        let ending = match (in_time, status.trim().parse()) {
            (false, _) => Ending::TimedOut,
            (true, Ok(code)) => Ending::Exited(code),
            (true, Err(_)) => Ending::Died,
        };
        if let (Ending::Exited(_), Some(to)) = (ending, &self.out) {
            unpack(&folder.path("out"), to)?;
        }
        let console = tail(&console) + &tail(&folder.path("qemu.log"));
        Ok(Outcome { ending, stdout: String::new(), stderr: String::new(), console, elapsed })
    }
}

/// A pipe of which QEMU writes one end.
struct Pipe {
    read: PipeReader,
    write: PipeWriter,
}

impl Pipe {
    fn new() -> Result<Self> {
        let (read, write) = io::pipe().on("make", Path::new("a pipe"))?;
        Ok(Self { read, write })
    }

    fn for_qemu(&self) -> String {
        format!("/dev/fd/{}", self.write.as_raw_fd())
    }
}

/// Passes on what comes through the pipes until QEMU ended; `false` after a time-out.
fn attend(
    mut qemu: Qemu,
    limit: Duration,
    pipes: [(Pipe, &mut (dyn Write + Send)); 2],
) -> Result<bool> {
    thread::scope(|scope| {
        for (Pipe { read, write }, to) in pipes {
            drop(write);
            scope.spawn(move || pass_on(read, to));
        }
        let waited = qemu.wait(limit);
        drop(qemu);
        waited
    })
    .map_err(|source| Error::Start { program: "wait for QEMU".into(), source })
}

/// Copies until the end. A reader that went away doesn't stop the guest: it would block forever.
fn pass_on(mut from: PipeReader, to: &mut (dyn Write + Send)) {
    let mut buffer = [0; 16 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => {
                let _ = to.write_all(&buffer[..n]).and_then(|()| to.flush());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

fn unpack(archive: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).on("make folder", to)?;
    let file = File::open(archive).on("open", archive)?;
    if file.metadata().on("read", archive)?.len() == 0 {
        return Ok(());
    }
    tar::Archive::new(file).unpack(to).on("unpack into", to)
}

fn tail(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(CONSOLE_TAIL)..]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_have_the_exit_codes_of_timeout_1() {
        let cases = [(Ending::Exited(7), 7), (Ending::TimedOut, 124), (Ending::Died, 125)];
        for (ending, code) in cases {
            assert_eq!(ending.code(), code);
        }
    }
}
