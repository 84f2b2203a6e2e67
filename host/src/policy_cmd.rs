//! `weir policy new|build|check`: making policies and looking at them.
//!
//! Not pure: runs cargo, reads and writes files, prints.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use weir_core::view::{Attributes, Node, ServiceView};
use weir_policy_host::Limits;
use weir_policy_host::build::{self, Build, Checked, New, Sdk};

/// Make policies and look at them.
#[derive(Args, Clone, Debug)]
pub struct PolicyArgs {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum PolicyCommand {
    /// Write a new policy's crate, which builds at once.
    New {
        /// Folder to make; its last part names the policy.
        name: PathBuf,
        /// Use the SDK at this path instead of a copy inside the crate.
        #[arg(long, value_name = "PATH")]
        sdk: Option<PathBuf>,
    },
    /// Build a policy's crate and make a component of it; needs cargo and nothing else.
    Build {
        /// Folder of the crate.
        #[arg(default_value = ".")]
        dir: PathBuf,
        /// Where the component goes instead of NAME.wasm in the crate's folder.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Say what a component imports, exports and would decide.
    Check(CheckArgs),
}

#[derive(Args, Clone, Debug)]
struct CheckArgs {
    /// The component.
    file: PathBuf,
    /// Show what it decides for each Service in this folder.
    #[arg(long, value_name = "DIR")]
    manifests: Option<PathBuf>,
    /// The policy's configuration, once for each name.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = name_and_value)]
    config: Vec<(String, String)>,
}

/// Runs the command. `views` builds the view of every service port in a folder of manifests.
///
/// # Errors
/// With what is wrong with the crate, the component, the manifests or a decision.
pub fn run(args: PolicyArgs, views: impl Fn(&Path) -> Result<Vec<ServiceView>>) -> Result<()> {
    let mut out = io::stdout().lock();
    match args.command {
        PolicyCommand::New { name, sdk } => {
            let sdk = sdk.map_or(Sdk::Copy, Sdk::Path);
            let created = build::new(&New { dir: name, sdk })?;
            write!(out, "{created}")?;
        }
        PolicyCommand::Build { dir, out: file } => {
            let build = Build { dir, out: file };
            let built = build.run(&Limits::default())?;
            write!(out, "{built}")?;
        }
        PolicyCommand::Check(check) => check.run(views, &mut out)?,
    }
    Ok(())
}

impl CheckArgs {
    fn run(
        &self,
        views: impl Fn(&Path) -> Result<Vec<ServiceView>>,
        out: &mut impl Write,
    ) -> Result<()> {
        let name = || self.file.display().to_string();
        let checked = build::check(&self.file, &Limits::default()).with_context(name)?;
        write!(out, "{checked}")?;
        let views = self.manifests.as_deref().map(views).transpose()?;
        self.decide(&checked, views.as_deref(), out).with_context(name)
    }

    fn decide(
        &self,
        checked: &Checked,
        views: Option<&[ServiceView]>,
        out: &mut impl Write,
    ) -> Result<()> {
        let node =
            views.and_then(<[_]>::first).map_or_else(Node::default, |view| view.node.clone());
        let config: Attributes = self.config.iter().cloned().collect();
        let configured = checked.configure(config, node)?;
        writeln!(out, "interface  {}", configured.interface())?;
        writeln!(out, "wants      {}", configured.wants())?;
        let mut failed = 0;
        for view in views.unwrap_or_default() {
            let decided = configured.decide(view);
            failed += usize::from(decided.answer.is_err());
            write!(out, "\n{decided}")?;
        }
        if failed > 0 {
            bail!("the policy failed for {failed} service ports");
        }
        Ok(())
    }
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: PolicyArgs,
    }

    fn run(args: &[&str]) -> Result<()> {
        let cli = Cli::try_parse_from([&["policy"], args].concat())?;
        super::run(cli.args, |_| Ok(Vec::new()))
    }

    #[test]
    fn each_wrong_file_is_named_with_its_fault() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p.wasm");
        let path = file.to_str().unwrap();
        for (bytes, words) in [
            (&b"hello"[..], "not WebAssembly: the file is text that starts with \"hello\""),
            (b"\0asm\x01\0\0\0", "a core WebAssembly module, not a component"),
            (b"\0asm\x0d\0\x01\0", "not a weir policy"),
            (b"\0asm\x0d\0\x01\0\x01", "cut off after 9 bytes"),
        ] {
            std::fs::write(&file, bytes).unwrap();
            let error = format!("{:#}", run(&["check", path]).unwrap_err());
            assert!(error.contains(words) && error.contains(path), "{error}");
        }
        assert!(run(&["check", "/nowhere/p.wasm"]).is_err());
    }

    #[test]
    fn a_new_crate_is_written_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mine");
        run(&["new", path.to_str().unwrap()]).unwrap();
        assert!(path.join("weir-policy/wit/v0.1/types.wit").is_file());
        assert!(run(&["new", path.to_str().unwrap()]).is_err());
    }

    #[test]
    fn settings_are_pairs() {
        assert_eq!(name_and_value("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(name_and_value("a").is_err());
    }
}
