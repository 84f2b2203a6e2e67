//! The command line of the traffic tools.

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use rustix::thread::CapabilitySet;
use serde::Serialize;
use weir_traffic::confine::{self, Confine};
use weir_traffic::endpoint::bytes;
use weir_traffic::hit::Hit;
use weir_traffic::hold::Hold;
use weir_traffic::meet::meet;
use weir_traffic::serve::Server;
use weir_traffic::socket::Dial;
use weir_traffic::table::{Row, Table};
use weir_traffic::transfer::Transfer;
use weir_traffic::{Listen, Protocol, netns};

/// Real clients and servers for tests of a service proxier.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// Run inside this network namespace, by its name under /run/netns.
    #[arg(long, global = true, value_name = "NAME")]
    netns: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(ServeArgs),
    Hit(HitArgs),
    Transfer(TransferArgs),
    Hold(HoldArgs),
    Meet(MeetArgs),
    Stray(StrayArgs),
    Confine(ConfineArgs),
}

/// Answer connections and datagrams with a name and the address that was seen, until killed.
#[derive(Debug, Args)]
struct ServeArgs {
    /// `[NAME=][PROTOCOL/]ADDR:PORT[-PORT][@NETNS]`; may be given many times.
    #[arg(long, required = true)]
    listen: Vec<Listen>,
    /// The name of listeners that have none of their own.
    #[arg(long, default_value = "server")]
    name: String,
    /// The protocol of listeners that name none.
    #[arg(long, default_value = "tcp")]
    protocol: Protocol,
    /// Made when everything listens; holds one line for each listener.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

/// How every client connects.
#[derive(Debug, Args)]
struct DialArgs {
    /// ADDR:PORT to connect to.
    target: SocketAddr,
    #[arg(long, default_value = "tcp")]
    protocol: Protocol,
    /// Connect from this address.
    #[arg(long, value_name = "ADDR")]
    source: Option<IpAddr>,
    /// The longest to wait for a connection and for an answer, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 2000)]
    timeout: u64,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

impl DialArgs {
    fn dial(&self) -> Dial {
        Dial {
            target: self.target,
            protocol: self.protocol,
            source: self.source,
            timeout: Duration::from_millis(self.timeout.max(1)),
        }
    }
}

/// Make connections, or send datagrams, and count who answers. Ends with 0 whatever is counted,
/// unless --must-answer.
#[derive(Debug, Args)]
struct HitArgs {
    #[command(flatten)]
    dial: DialArgs,
    /// How many.
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// How many at a time.
    #[arg(long, default_value_t = 1)]
    concurrency: usize,
    /// Keep every connection open until the last was made.
    #[arg(long)]
    keep: bool,
    /// UDP: send all from one port (one for each of --concurrency).
    #[arg(long)]
    same_port: bool,
    /// How long to pause after each, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pause: u64,
    /// End with 1 if anything wasn't answered.
    #[arg(long)]
    must_answer: bool,
}

/// Download a stream whose contents are known, and check it. Ends with 1 if it isn't whole.
#[derive(Debug, Args)]
struct TransferArgs {
    #[command(flatten)]
    dial: DialArgs,
    /// How much: a number of bytes, or such as 10M.
    #[arg(long, value_parser = bytes, default_value = "10M")]
    bytes: u64,
    /// The most bytes a second; 0 is no limit.
    #[arg(long, value_parser = bytes, default_value = "0")]
    rate: u64,
    /// Which stream.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Go on, as many bytes again and again, until this file is there.
    #[arg(long, value_name = "FILE")]
    until: Option<PathBuf>,
}

/// Keep connections open and in use. Ends with 1 if one wasn't made or didn't last.
#[derive(Debug, Args)]
struct HoldArgs {
    #[command(flatten)]
    dial: DialArgs,
    /// How many connections.
    #[arg(long, default_value_t = 1)]
    count: usize,
    /// For how long.
    #[arg(long)]
    seconds: f64,
    /// How often to ask on each connection, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 200)]
    interval: u64,
    /// Made when all connections were tried.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

/// Have the clients of a table meet what it says, in the network of tests/services/README.md. One
/// line a check; ends with 1 if one failed.
#[derive(Debug, Args)]
struct MeetArgs {
    /// The table.
    table: PathBuf,
    /// Rows for other dataplanes are left out.
    #[arg(long)]
    dataplane: String,
    /// What each line begins with.
    #[arg(long, default_value = "")]
    label: String,
}

/// Send TCP segments that belong to no connection, with numbers all over their range.
#[derive(Debug, Args)]
struct StrayArgs {
    /// ADDR:PORT that it comes from, of this host.
    from: SocketAddr,
    /// ADDR:PORT that it goes to.
    to: SocketAddr,
}

/// Run a command as a container runtime would: read-only mounts, few capabilities, no new privileges,
/// the default seccomp filter; in this network namespace, with these files and process ids.
#[derive(Debug, Args)]
struct ConfineArgs {
    /// A capability that it keeps; may be given many times.
    #[arg(long, value_name = "NAME", value_parser = confine::capability)]
    capability: Vec<CapabilitySet>,
    /// A folder that it may write below; may be given many times.
    #[arg(long, value_name = "DIR")]
    writable: Vec<PathBuf>,
    /// The command and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    if let Some(name) = &cli.netns {
        netns::enter(name).with_context(|| format!("enter the network namespace {name}"))?;
    }
    let good = match cli.command {
        Command::Serve(args) => serve(&args)?,
        Command::Hit(args) => hit(&args)?,
        Command::Transfer(args) => transfer(&args)?,
        Command::Hold(args) => hold(&args)?,
        Command::Meet(args) => meet_table(&args)?,
        Command::Stray(StrayArgs { from, to }) => {
            weir_traffic::stray::send(from, to).with_context(|| format!("send to {to}"))?;
            true
        }
        Command::Confine(ConfineArgs { capability, writable, command }) => {
            let capabilities = capability.into_iter().collect();
            match (Confine { capabilities, writable }).run(&command)? {}
        }
    };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn serve(args: &ServeArgs) -> anyhow::Result<bool> {
    let mut lines = String::new();
    for listen in &args.listen {
        for address in listen.addresses() {
            let server = Server {
                name: listen.name.clone().unwrap_or_else(|| args.name.clone()),
                protocol: listen.protocol.unwrap_or(args.protocol),
                address,
                netns: listen.netns.clone(),
            };
            let (name, protocol) = (server.name.clone(), server.protocol);
            let bound = server.start();
            let bound = bound.with_context(|| format!("listen on {protocol}/{address}"))?;
            lines.push_str(&format!("{name}={protocol}/{bound}\n"));
        }
    }
    print(&lines)?;
    if let Some(file) = &args.ready_file {
        write_whole(file, &lines)?;
    }
    loop {
        std::thread::park();
    }
}

fn hit(args: &HitArgs) -> anyhow::Result<bool> {
    let hit = Hit {
        dial: args.dial.dial(),
        count: args.count,
        concurrency: args.concurrency,
        keep: args.keep,
        same_port: args.same_port,
        pause: Duration::from_millis(args.pause),
    };
    let report = hit.run();
    show(args.dial.json, &report, &report.tally.to_string())?;
    Ok(!args.must_answer || report.tally.answered == report.tally.attempts)
}

fn transfer(args: &TransferArgs) -> anyhow::Result<bool> {
    if args.dial.protocol == Protocol::Udp {
        bail!("a transfer needs a connection: --protocol tcp or sctp");
    }
    let dial = args.dial.dial();
    let (bytes, seed, rate, until) = (args.bytes, args.seed, args.rate, args.until.clone());
    let transfer = Transfer { dial, bytes, seed, rate, until };
    let report = transfer.run();
    let verdict = match &report.error {
        None if report.ok => "whole, and its checksum holds",
        None => "whole, but not what was sent",
        Some(error) => error,
    };
    let (server, bytes) = (report.server.as_deref().unwrap_or("nobody"), report.bytes);
    let (seconds, pause) = (report.seconds, report.longest_pause_ms);
    let table = format!(
        "{bytes} bytes from {server} in {seconds:.1} s: {verdict} (longest pause {pause} ms)\n"
    );
    show(args.dial.json, &report, &table)?;
    Ok(report.ok)
}

fn hold(args: &HoldArgs) -> anyhow::Result<bool> {
    let time = Duration::try_from_secs_f64(args.seconds).context("--seconds")?;
    let hold = Hold {
        dial: args.dial.dial(),
        count: args.count,
        time,
        interval: Duration::from_millis(args.interval),
    };
    let mut marked = Ok(());
    let report = hold.run(|| {
        if let Some(file) = &args.ready_file {
            marked = write_whole(file, "");
        }
    });
    marked?;
    let mut table = report.tally.to_string();
    table.push_str(&format!("{} pings, ", report.pings));
    table.push_str(&format!("longest answer {} ms\n", report.longest_answer_ms));
    for broken in &report.broken {
        let (number, server) = (broken.connection, &broken.server);
        let (after, error) = (broken.after_ms, &broken.error);
        table.push_str(&format!(
            "connection {number} to {server} broke after {after} ms: {error}\n"
        ));
    }
    show(args.dial.json, &report, &table)?;
    Ok(report.is_whole())
}

fn meet_table(args: &MeetArgs) -> anyhow::Result<bool> {
    let file = args.table.display();
    let text = std::fs::read_to_string(&args.table).with_context(|| format!("read {file}"))?;
    let table = Table::parse(&text).with_context(|| file.to_string())?;
    let rows: Vec<&Row> = table.rows_on(&args.dataplane).collect();
    let (mut good, mut printed) = (!rows.is_empty(), Ok(()));
    meet(&rows, |row, verdict| {
        let Row { line, .. } = row;
        let text = match verdict {
            Ok(()) => format!("ok - {}{row}\n", args.label),
            Err(what) => {
                good = false;
                format!("not ok - {}{row} (line {line})\n{what}\n", args.label)
            }
        };
        if printed.is_ok() {
            printed = print(&text);
        }
    });
    printed?;
    Ok(good)
}

fn show(json: bool, report: &impl Serialize, table: &str) -> anyhow::Result<()> {
    if json { print(&format!("{}\n", serde_json::to_string(report)?)) } else { print(table) }
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("write to standard output")
}

/// Never seen half-written: who waits for the file may read it at once.
fn write_whole(file: &Path, text: &str) -> anyhow::Result<()> {
    let draft = file.with_extension("part");
    std::fs::write(&draft, text)
        .and_then(|()| std::fs::rename(&draft, file))
        .with_context(|| format!("write {}", file.display()))
}
