//! `weir bugreport`: all that helps to understand a node, in one archive that may be shown to others.
//!
//! Looks only. What can't be had, as with the daemon down, is said in the archive's README.txt.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use weir_core::diff::diff;
use weir_core::kernel::Kernel;
use weir_core::net::ObjectName;
use weir_core::state::KernelState;

use super::{ask, load_file, preview, say};
use crate::admin::{Answer, Request};
use crate::app;
use crate::args::{BugreportArgs, GlobalArgs};
use crate::config::{self, Config};
use crate::drive::millis;
use crate::kernel::{LinuxKernel, doctor};
use crate::report::redact;
use crate::report::status::Status;

/// What every archive says about itself.
const README: &str = "\
What weir knows of this node. Nothing was changed to collect it.

  version.txt        weir, the kernel, the distribution
  configuration.json the configuration in force
  status.txt, .json  what `weir status` shows
  explain.txt        what `weir explain` shows of every service
  plans.txt          the last plans that the daemon wrote
  plan.txt           what would change now: what `weir plan` shows
  kernel.txt         weir's objects in the kernel, each as the operation that would make it, and
                     virtual services of others
  metrics.txt        what /metrics answers
  doctor.txt, .json  what `weir doctor` finds

Left out on purpose: Kubernetes objects as they are, and with them every label and annotation; policies'
files; environment variables and logs. Of the configuration the values of fields that are called like a
token, password, secret or credential, at any depth. Everywhere else what looks like a token, a private
key or a password in an address. Each stands as [left-out].

Not left out: names of services, namespaces, nodes and interfaces, addresses and ports, file names, the
annotations of weir.dev, and what policies said (notes and reasons).
";

/// One archive in the making.
struct Archive {
    parts: Vec<(&'static str, String)>,
    missing: Vec<(&'static str, String)>,
}

impl Archive {
    fn put(&mut self, name: &'static str, made: Result<String>) {
        match made {
            Ok(text) => self.parts.push((name, redact::text(&text))),
            Err(error) => self.missing.push((name, redact::text(&format!("{error:#}")))),
        }
    }

    fn readme(&self) -> String {
        let mut text = README.to_owned();
        if !self.missing.is_empty() {
            text.push_str("\nCould not be had:\n");
        }
        for (name, why) in &self.missing {
            // It writes into a string.
            let _ = writeln!(text, "  {name}: {why}");
        }
        text
    }

    /// Writes a folder of this name, as a tar compressed by gzip.
    fn write(&self, folder: &str, to: impl Write) -> io::Result<()> {
        let seconds = millis() / 1000;
        let mut tar = tar::Builder::new(GzEncoder::new(to, Compression::default()));
        let readme = ("README.txt", self.readme());
        for (name, text) in std::iter::once(&readme).chain(&self.parts) {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(seconds);
            tar.append_data(&mut header, format!("{folder}/{name}"), text.as_bytes())?;
        }
        tar.into_inner()?.finish()?.flush()
    }
}

/// Collects everything and writes it.
pub(super) fn run(global: &GlobalArgs, args: &BugreportArgs) -> Result<ExitCode> {
    // First of all: it starts the log, and the file may be wrong.
    let own = load_file(global, args.config.as_deref())?;
    let folder = format!("weir-bugreport-{}", millis() / 1000);
    let path = args.file.clone().unwrap_or_else(|| PathBuf::from(format!("{folder}.tar.gz")));
    if path == Path::new("-") {
        let archive = collect(global, own);
        archive.write(&folder, io::stdout().lock()).context("write the archive")?;
        return Ok(ExitCode::SUCCESS);
    }
    // Before anything is collected, which may take long.
    let file = created(&path)?;
    let archive = collect(global, own);
    if let Err(error) = archive.write(&folder, file) {
        // Half an archive helps nobody.
        let _ = std::fs::remove_file(&path);
        return Err(error).with_context(|| format!("write the archive {}", path.display()));
    }
    let mut told = format!("{}\n", path.display());
    for (name, why) in &archive.missing {
        let _ = writeln!(told, "without {name}: {why}");
    }
    say(told)?;
    Ok(ExitCode::SUCCESS)
}

fn created(path: &Path) -> Result<File> {
    // Of what is in it everybody may decide himself whom to show it.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.with_context(|| {
        format!("make the archive {}: name another file, or - for standard output", path.display())
    })
}

fn collect(global: &GlobalArgs, own: Config) -> Archive {
    let mut archive = Archive { parts: Vec::new(), missing: Vec::new() };
    archive.put("version.txt", Ok(versions()));
    let asked = match ask(global, &Request::Configuration) {
        Ok(Answer::Configuration(config)) => Ok(*config),
        Ok(_) => Err(anyhow::anyhow!("not the answer to configuration")),
        Err(error) => Err(error),
    };
    let config = asked.unwrap_or_else(|error| {
        let what = "the daemon, so the configuration is that of --config or the defaults";
        archive.missing.push((what, redact::text(&format!("{error:#}"))));
        own
    });
    archive.put("configuration.json", configuration(&config));
    from_daemon(global, &mut archive);
    let planned = preview::against_kernel(&config).map(|plan| match plan.is_empty() {
        true => "nothing to do\n".to_owned(),
        false => plan.to_string(),
    });
    archive.put("plan.txt", planned);
    archive.put("kernel.txt", kernel(&config));
    let findings = doctor::examine(&config);
    archive.put("doctor.txt", Ok(findings.to_string()));
    archive.put("doctor.json", pretty(&findings));
    archive
}

fn from_daemon(global: &GlobalArgs, archive: &mut Archive) {
    match ask(global, &Request::Status) {
        Ok(Answer::Status(status)) => {
            archive.put("status.txt", Ok(status.to_string()));
            archive.put("status.json", pretty(&status));
            archive.put("plans.txt", Ok(plans(&status)));
            archive.put("explain.txt", explained(global, &status));
        }
        Ok(_) => archive.put("status.txt", Err(anyhow::anyhow!("not the answer to status"))),
        Err(error) => archive.put("status.txt, explain.txt and plans.txt", Err(error)),
    }
    let metrics = ask(global, &Request::Metrics).and_then(|answer| match answer {
        Answer::Metrics(text) => Ok(text),
        _ => bail!("not the answer to metrics"),
    });
    archive.put("metrics.txt", metrics);
}

fn pretty(value: &impl serde::Serialize) -> Result<String> {
    let mut value = serde_json::to_value(value)?;
    redact::value(&mut value);
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

fn configuration(config: &Config) -> Result<String> {
    pretty(&serde_json::json!({ config::GROUP: config }))
}

fn versions() -> String {
    let uname = rustix::system::uname();
    let words = [uname.sysname(), uname.release(), uname.version(), uname.machine()];
    let kernel: Vec<_> = words.iter().map(|it| it.to_string_lossy()).collect();
    let os = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    format!("weir {version}\n{}\n\n{os}", kernel.join(" "))
}

fn explained(global: &GlobalArgs, status: &Status) -> Result<String> {
    let names: BTreeSet<&str> = status.services.iter().map(|it| it.service.as_str()).collect();
    let mut text = String::new();
    for name in names {
        let Some((namespace, service)) = name.split_once('/') else { continue };
        match ask(global, &Request::Explain(ObjectName::new(namespace, service)))? {
            Answer::Explain(Some(it)) => writeln!(text, "{it}")?,
            _ => writeln!(text, "{name}\n  gone by now\n")?,
        }
    }
    Ok(text)
}

fn plans(status: &Status) -> String {
    let mut text = String::new();
    for plan in &status.plans {
        let (at, micros, refused) = (plan.at, plan.microseconds, plan.refused);
        let all = plan.operations;
        let _ = writeln!(
            text,
            "at {at} ms since 1970: {all} operations, {refused} refused, {micros} µs"
        );
        plan.lines.iter().for_each(|line| text.extend(["  ", line, "\n"]));
        if let Some(more) = all.checked_sub(plan.lines.len()).filter(|more| *more > 0) {
            let _ = writeln!(text, "  and {more} more");
        }
    }
    text
}

/// What is there is printed as the plan that would make it from nothing.
fn kernel(config: &Config) -> Result<String> {
    let mut kernel = LinuxKernel::open(app::how(config))?;
    let seen = kernel.observe()?;
    let mut text = diff(&KernelState::default(), &seen.ours).to_string();
    for key in &seen.foreign {
        writeln!(text, "of others: virtual {key}")?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    /// Names and texts of an archive.
    fn unpacked(bytes: &[u8]) -> Vec<(String, String)> {
        let mut tar = tar::Archive::new(GzDecoder::new(bytes));
        let read = |entry: io::Result<tar::Entry<'_, _>>| {
            let mut entry: tar::Entry<'_, GzDecoder<&[u8]>> = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (name, text)
        };
        tar.entries().unwrap().map(read).collect()
    }

    #[test]
    fn without_a_daemon_the_archive_says_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = Some(dir.path().to_owned());
        let global = GlobalArgs { run_dir, ..GlobalArgs::default() };
        let secret = serde_json::json!({ "apiToken": "s3cret", "threshold": 5 });
        let policy = serde_json::json!({ "name": "p", "file": "/p.wasm", "config": secret });
        let own: Config =
            serde_json::from_value(serde_json::json!({ "policies": [policy] })).unwrap();
        let archive = collect(&global, own);
        let mut bytes = Vec::new();
        archive.write("weir-bugreport", &mut bytes).unwrap();
        let parts = unpacked(&bytes);
        let part = |name: &str| {
            let name = format!("weir-bugreport/{name}");
            parts.iter().find(|(it, _)| *it == name).map_or("", |(_, text)| text)
        };
        assert_eq!(parts[0].0, "weir-bugreport/README.txt", "it is read first");
        let readme = part("README.txt");
        assert!(
            readme.contains("status.txt, explain.txt and plans.txt: no weir answers"),
            "{readme}"
        );
        assert!(readme.contains("metrics.txt: no weir answers"), "{readme}");
        assert!(part("version.txt").starts_with("weir 0."));
        assert!(part("doctor.txt").contains("kernel"), "{}", part("doctor.txt"));
        let config = part("configuration.json");
        assert!(
            config.contains("\"threshold\": \"5\"") && config.contains("[left-out]"),
            "{config}"
        );
        for (name, text) in &parts {
            assert!(!text.contains("s3cret"), "{name}");
        }
    }
}
