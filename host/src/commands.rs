//! What each subcommand does. The daemon's own work is in [`crate::app`].

mod bugreport;
mod cleanup;
mod init;
mod preview;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use weir_core::net::ObjectName;

use crate::admin::{self, Answer, Request};
use crate::args::{
    Cli, Command, DoctorArgs, ExplainArgs, GlobalArgs, LogLevelArgs, Output, RunArgs, SourceArgs,
    StatusArgs, VersionArgs,
};
use crate::config::{self, Config, ConfigFile, Overrides};
use crate::kernel::doctor::{self, Verdict};
use crate::report::status::Status;
use crate::traces::{self, Traces};
use crate::{app, args, log};

/// Does what the command line says, and tells what went wrong, with its causes. `traces` opens what this
/// build has of them.
pub fn run(cli: Cli, traces: traces::Open) -> ExitCode {
    carry_out(cli, traces).unwrap_or_else(|error| {
        complain(&error);
        ExitCode::FAILURE
    })
}

fn carry_out(cli: Cli, traces: traces::Open) -> Result<ExitCode> {
    let global = cli.global;
    match cli.command {
        Command::Run(args) => daemon(&global, &args, traces),
        Command::Plan(args) => preview::plan(&global, &args),
        Command::Explain(args) => explain(&global, &args),
        Command::Doctor(args) => examine(&global, &args),
        Command::Status(args) => status(&global, &args),
        Command::Bugreport(args) => bugreport::run(&global, &args),
        Command::Cleanup(args) => cleanup::run(&global, &args),
        Command::Sync(_) => sync(&global),
        Command::LogLevel(args) => log_level(&global, &args),
        Command::Init(args) => init::run(&global, &args),
        Command::Policy(args) => printed(crate::policy_cmd::run(args, preview::views)),
        Command::Config(args) => {
            let (out, remarks) = (&mut std::io::stdout().lock(), &mut std::io::stderr().lock());
            let done = config::command::run(&args.command, &global, out, remarks);
            printed(done)
        }
        Command::Migrate(args) => {
            let (out, remarks) = (&mut std::io::stdout().lock(), &mut std::io::stderr().lock());
            printed(config::migrate::run(&args, &mut std::io::stdin().lock(), out, remarks))
        }
        Command::Completion(args) => {
            let done = args::completion(args.shell, &mut std::io::stdout().lock());
            printed(done)
        }
        Command::Man(args) => {
            let done = args::man(args.folder.as_deref(), &mut std::io::stdout().lock());
            printed(done)
        }
        Command::Version(args) => version(&args),
    }
}

/// The end of a command whose only pipe is its output: whoever read along may have seen enough.
fn printed<E: Into<anyhow::Error>>(done: Result<(), E>) -> Result<ExitCode> {
    unless_unread(done.map_err(Into::into)).map(|()| ExitCode::SUCCESS)
}

fn unless_unread(written: Result<()>) -> Result<()> {
    let is_unread = |error: &anyhow::Error| {
        let cause = error.root_cause().downcast_ref::<std::io::Error>();
        cause.is_some_and(|it| it.kind() == std::io::ErrorKind::BrokenPipe)
    };
    match written {
        Err(error) if is_unread(&error) => Ok(()),
        written => written,
    }
}

/// Says what went wrong, with its causes, on standard error.
fn complain(error: &anyhow::Error) {
    // Where standard error is closed there is nobody to tell.
    drop(writeln!(std::io::stderr(), "weir: {error:#}"));
}

fn say(text: impl std::fmt::Display) -> Result<()> {
    unless_unread(write!(std::io::stdout().lock(), "{text}").context("write the answer"))
}

fn json(value: &impl serde::Serialize) -> Result<()> {
    say(format!("{}\n", serde_json::to_string_pretty(value)?))
}

fn load(global: &GlobalArgs, source: &SourceArgs) -> Result<Config> {
    Ok(open(global, source)?.1)
}

fn open(global: &GlobalArgs, source: &SourceArgs) -> Result<(ConfigFile, Config)> {
    let flags = global.overrides(source);
    let (file, (config, notices)) = ConfigFile::open(source.config.as_deref(), flags)?;
    log::start(&config.log, None);
    log::notices(&notices);
    Ok((file, config))
}

fn load_file(global: &GlobalArgs, file: Option<&Path>) -> Result<Config> {
    let source = SourceArgs { config: file.map(Path::to_owned), ..SourceArgs::default() };
    load(global, &source)
}

fn daemon(global: &GlobalArgs, args: &RunArgs, open: traces::Open) -> Result<ExitCode> {
    let flags = global.overrides(&args.source);
    let (file, (config, notices)) = ConfigFile::open(args.source.config.as_deref(), flags)?;
    let traces = match args.write_config_to {
        Some(_) => Traces::Unasked,
        None => open(&config, &|name| std::env::var(name).ok()),
    };
    log::start(&config.log, traces.layer());
    log::notices(&notices);
    if let Some(file) = &args.write_config_to {
        config::write_to(&config, file)?;
        return Ok(ExitCode::SUCCESS);
    }
    traces.tell();
    let ended = app::run(&config, file);
    traces.finish();
    ended.map(|()| ExitCode::SUCCESS)
}

fn run_dir(global: &GlobalArgs) -> PathBuf {
    global.run_dir.clone().unwrap_or_else(|| config::Paths::default().run_dir)
}

fn ask(global: &GlobalArgs, request: &Request) -> Result<Answer> {
    match admin::ask(&run_dir(global), request)? {
        Answer::Failed(why) => bail!("{why}"),
        answer => Ok(answer),
    }
}

fn ask_status(global: &GlobalArgs) -> Result<Box<Status>> {
    let Answer::Status(status) = ask(global, &Request::Status)? else {
        bail!("not the answer to status")
    };
    Ok(status)
}

fn status(global: &GlobalArgs, args: &StatusArgs) -> Result<ExitCode> {
    let status = ask_status(global)?;
    match args.output {
        Output::Text => say(status)?,
        Output::Json => json(&status)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn sync(global: &GlobalArgs) -> Result<ExitCode> {
    ask(global, &Request::Sync)?;
    say("synced\n")?;
    Ok(ExitCode::SUCCESS)
}

fn log_level(global: &GlobalArgs, args: &LogLevelArgs) -> Result<ExitCode> {
    let Answer::LogLevel(level) = ask(global, &Request::LogLevel(args.level))? else {
        bail!("not the answer to log-level")
    };
    say(format!("{}\n", level.as_str()))?;
    Ok(ExitCode::SUCCESS)
}

/// With sources of its own it works everything out itself; else it asks the running daemon.
fn explain(global: &GlobalArgs, args: &ExplainArgs) -> Result<ExitCode> {
    let name = ObjectName::new(args.service.namespace.clone(), args.service.name.clone());
    let explanation = if args.source.is_offline()? {
        preview::explain(global, &args.source, &name)?
    } else {
        let Answer::Explain(found) = ask(global, &Request::Explain(name.clone()))? else {
            bail!("not the answer to explain");
        };
        if found.is_none() && !ask_status(global)?.synced {
            bail!(
                "nothing is known of {name} yet: not every object was read; `weir status` says what keeps it"
            );
        }
        found.map(|it| *it)
    };
    let Some(explanation) = explanation else { bail!("there is no service {name}") };
    match args.output {
        Output::Text => say(explanation)?,
        Output::Json => json(&explanation)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn examine(global: &GlobalArgs, args: &DoctorArgs) -> Result<ExitCode> {
    let config = load_file(global, args.config.as_deref())?;
    let findings = doctor::examine(&config);
    match args.output {
        Output::Text => say(&findings)?,
        Output::Json => json(&findings)?,
    }
    Ok(if findings.worst() == Verdict::Missing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn version(args: &VersionArgs) -> Result<ExitCode> {
    let version = env!("CARGO_PKG_VERSION");
    match args.output {
        Output::Text => say(format!("weir {version}\n"))?,
        Output::Json => json(&serde_json::json!({ "version": version }))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The configuration that flags alone make.
fn flags_only(global: &GlobalArgs) -> Result<Config> {
    let overrides: Overrides = global.overrides(&SourceArgs::default());
    Ok(config::load(None, &overrides)?.0)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn an_output_that_nobody_reads_is_no_failure() {
        let failed = |kind: io::ErrorKind| Err(io::Error::from(kind)).context("write the answer");
        assert!(printed(failed(io::ErrorKind::BrokenPipe)).is_ok());
        assert!(printed(failed(io::ErrorKind::StorageFull)).is_err());
    }
}
