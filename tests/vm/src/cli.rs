//! The command line of `weir-vm`.

use std::{
    io::{self, Write},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use weir_vm::{
    Cache, Ending, Guest, Image, Kernel, Mirrors, Outcome, PrivateApt, Series, Wish,
    suite::{Options, run_one, run_suite},
};

/// Boots a stock Debian kernel in QEMU and runs a command in it.
///
/// Kernels and images are kept under $WEIR_CACHE (default: ~/.cache/weir). Nothing is installed,
/// root isn't needed, and the machine's own network isn't touched.
#[derive(Debug, Parser)]
#[command(name = "weir-vm", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Downloads kernels and makes their images, all series unless some are named
    Build(Build),
    /// Runs a command in a guest; exits with its status, 124 after a time-out, 125 if the guest died
    Run(Box<Run>),
    /// Runs tests/guest/*.sh in guests, all or those named; exits with 1 if a check failed
    Test(Test),
    /// Runs one script of this repository in a guest, as its header says, with what it needs
    Script(RunScript),
    /// Lists the series and the kernels that are in the cache
    List,
    /// Says how guests run on this machine: kvm or tcg
    Accel,
    /// Downloads a Debian package from a suite of another release and unpacks it into a folder
    Unpack(Unpack),
}

#[derive(Debug, Args)]
struct Build {
    series: Vec<Series>,
    /// Download the newest kernel even if there is one
    #[arg(long)]
    renew: bool,
}

#[derive(Debug, Args)]
struct Run {
    /// Kernel series: 6.1, 6.12 or 7
    #[arg(long, default_value_t = Series::DEFAULT)]
    kernel: Series,
    /// Folder to copy into the guest; at /share, where the command starts, unless PATH is given
    #[arg(long, value_name = "DIR[:PATH]")]
    share: Vec<String>,
    /// File or folder to put into the guest's memory
    #[arg(long, value_name = "SRC:DEST")]
    file: Vec<String>,
    /// ext4 image to mount; changes to it are thrown away
    #[arg(long, value_name = "IMAGE:PATH")]
    disk: Vec<String>,
    /// Variable of the command's environment; without a value, this process's
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Folder that receives what the command leaves in /out
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// File that receives the whole kernel console
    #[arg(long, value_name = "FILE")]
    console: Option<PathBuf>,
    /// Modules to load before the command; none by default, the kernel autoloads what is asked for
    #[arg(long, value_name = "NAMES", default_value = "")]
    modules: String,
    /// Seconds after which the guest is killed, boot included
    #[arg(long, default_value_t = 300.0, value_parser = seconds)]
    timeout: f64,
    /// Memory, as QEMU writes it
    #[arg(long, default_value = "2G")]
    memory: String,
    /// Number of processors; with --icount one runs, and the kernel has room for so many
    #[arg(long, default_value_t = 2)]
    processors: u8,
    /// auto (KVM where a trial boot worked), kvm or tcg
    #[arg(long, env = "WEIR_VM_ACCEL", default_value = "auto")]
    accel: Wish,
    /// Let the guest's clock count instructions of 2^N ns: measurements repeat within 1 %
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "0")]
    icount: Option<u8>,
    /// More words for the kernel's command line
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    append: String,
    /// Say how long it took, and on what
    #[arg(short, long)]
    verbose: bool,
    /// One word is a line of bash, several are a program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

#[derive(Debug, Args)]
struct Test {
    /// Scripts by name, without .sh; these run on all their kernels
    names: Vec<String>,
    /// With the scripts and kernels that an ordinary run leaves out
    #[arg(long)]
    full: bool,
    /// On this series, whatever the scripts say
    #[arg(long)]
    kernel: Option<Series>,
    /// Guests at a time; by default one for each processor
    #[arg(long)]
    jobs: Option<usize>,
    /// Cargo's profile for the binaries that scripts need
    #[arg(long, default_value = "dev")]
    profile: String,
    /// Show everything that the scripts print
    #[arg(short, long)]
    verbose: bool,
}

#[derive(Debug, Args)]
struct RunScript {
    /// On this series rather than the first that the script names
    #[arg(long)]
    kernel: Option<Series>,
    /// Cargo's profile for the binaries that the script needs
    #[arg(long, default_value = "dev")]
    profile: String,
    /// The script; the folder it lies in becomes /weir/tests
    path: PathBuf,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

#[derive(Debug, Args)]
struct Unpack {
    #[arg(long)]
    suite: String,
    /// How the version must begin
    #[arg(long, default_value = "")]
    version: String,
    package: String,
    folder: PathBuf,
}

impl Cli {
    /// Does what was asked for; gives the exit status.
    pub(crate) fn run(self) -> Result<u8> {
        let cache = Cache::of_environment()?;
        match self.verb {
            Verb::Build(build) => build.run(&cache),
            Verb::Run(run) => run.run(cache),
            Verb::Test(test) => test.run(&cache),
            Verb::Script(script) => script.run(&cache),
            Verb::List => list(&cache),
            Verb::Accel => say(&format!("{:?}", Wish::Auto.settle(&cache)?).to_lowercase()),
            Verb::Unpack(unpack) => unpack.run(),
        }
    }
}

impl Build {
    fn run(self, cache: &Cache) -> Result<u8> {
        let series = if self.series.is_empty() { Series::ALL.to_vec() } else { self.series };
        for series in series {
            let image = Image::ready(cache, series, self.renew)?;
            say(&format!("{series}: {}", image.release))?;
        }
        Ok(0)
    }
}

impl Run {
    fn run(self, cache: Cache) -> Result<u8> {
        let (command, verbose) = (self.command.clone(), self.verbose);
        let guest = self.guest(cache)?;
        let outcome = guest.run_to(command, &mut io::stdout(), &mut io::stderr())?;
        explain(&outcome);
        if verbose {
            eprintln!(
                "weir-vm: {} in {:.1} s",
                describe(outcome.ending),
                outcome.elapsed.as_secs_f64()
            );
        }
        Ok(outcome.ending.code())
    }

    fn guest(self, cache: Cache) -> Result<Guest> {
        let mut guest = Guest::new(self.kernel)
            .cache(cache)
            .timeout(Duration::from_secs_f64(self.timeout))
            .memory(self.memory)
            .processors(self.processors)
            .accel(self.accel)
            .append(self.append)
            .modules(self.modules.split_whitespace());
        for share in &self.share {
            let (from, at) = share.rsplit_once(':').unwrap_or((share, "/share"));
            guest = guest.share(from, at);
        }
        for (flag, pairs) in [("--file", &self.file), ("--disk", &self.disk)] {
            for pair in pairs {
                let Some((from, at)) = pair.rsplit_once(':') else {
                    anyhow::bail!("{flag} {pair}: a path in the guest must follow, after a colon");
                };
                guest = if flag == "--file" { guest.file(from, at) } else { guest.disk(from, at) };
            }
        }
        for (name, value) in self.env.iter().map(|variable| environment(variable)) {
            guest = guest.env(name, value);
        }
        guest = self.out.into_iter().fold(guest, Guest::out);
        guest = self.console.into_iter().fold(guest, Guest::console);
        Ok(self.icount.into_iter().fold(guest, Guest::icount))
    }
}

impl Test {
    fn run(self, cache: &Cache) -> Result<u8> {
        let began = Instant::now();
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let options = Options {
            root: std::env::current_dir()?,
            names: self.names,
            full: self.full,
            kernel: self.kernel,
            // A guest keeps little more than one processor busy, whatever it has.
            jobs: self.jobs.unwrap_or(processors),
            profile: self.profile,
            verbose: self.verbose,
        };
        let total = run_suite(cache, &options)?;
        let skipped =
            if total.skipped > 0 { format!(", {} skipped", total.skipped) } else { String::new() };
        let elapsed = began.elapsed().as_secs_f64();
        say(&format!(
            "{} passed, {} failed{skipped} ({} guests, {elapsed:.0} s)",
            total.passed, total.failed, total.boots
        ))?;
        // A run that checked nothing proves nothing.
        Ok(u8::from(total.failed > 0 || total.passed == 0))
    }
}

impl RunScript {
    fn run(self, cache: &Cache) -> Result<u8> {
        let options = Options {
            root: std::env::current_dir()?,
            names: Vec::new(),
            full: false,
            kernel: self.kernel,
            jobs: 1,
            profile: self.profile,
            verbose: true,
        };
        let outcome = run_one(cache, &options, &self.path, &self.arguments)?;
        explain(&outcome);
        Ok(outcome.ending.code())
    }
}

impl Unpack {
    fn run(self) -> Result<u8> {
        let scratch = tempfile::tempdir()?;
        let apt = PrivateApt::update(scratch.path(), &Mirrors::of_this_machine()?, &[&self.suite])?;
        say(&apt.unpack_version(&self.package, &self.version, &self.folder)?)
    }
}

/// Says why a guest gave no exit status.
fn explain(outcome: &Outcome) {
    if !matches!(outcome.ending, Ending::Exited(_)) {
        let how = describe(outcome.ending);
        eprintln!("weir-vm: {how}; the end of its console:\n{}", outcome.console);
    }
}

fn describe(ending: Ending) -> String {
    match ending {
        Ending::Exited(code) => format!("the command ended with {code}"),
        Ending::TimedOut => "the guest ran into the time-out and was killed".into(),
        Ending::Died => "the guest died".into(),
    }
}

fn environment(text: &str) -> (String, String) {
    match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => (text.to_owned(), std::env::var(text).unwrap_or_default()),
    }
}

fn list(cache: &Cache) -> Result<u8> {
    for series in Series::ALL {
        let kernel = Kernel::cached(cache, series);
        say(&format!("{series}: {}", kernel.map_or_else(|| "-".into(), |kernel| kernel.release)))?;
    }
    Ok(0)
}

fn say(line: &str) -> Result<u8> {
    writeln!(io::stdout(), "{line}")?;
    Ok(0)
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if seconds.is_finite() && seconds > 0.0 { Ok(seconds) } else { Err("must be above 0".into()) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Run, clap::Error> {
        let words = ["weir-vm", "run"].into_iter().chain(line.split(' '));
        match Cli::try_parse_from(words)?.verb {
            Verb::Run(run) => Ok(*run),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_end_where_the_command_begins() {
        let run = parse("--kernel 7 --share a:/b --share c --icount -- ls --all").unwrap();
        assert_eq!((run.kernel, run.icount), (Series::V7, Some(0)));
        assert_eq!(run.share, ["a:/b", "c"]);
        assert_eq!(run.command, ["ls", "--all"]);
        assert_eq!(parse("-- true").unwrap().modules, "");
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "--kernel 5.10 -- true",
            "--timeout 0 -- true",
            "--timeout -- x",
            "--accel fast -- true",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_variable_without_a_value_is_this_processs() {
        assert_eq!(environment("A=b=c"), ("A".into(), "b=c".into()));
        assert_eq!(environment("WEIR_SURELY_UNSET"), ("WEIR_SURELY_UNSET".into(), String::new()));
    }
}
