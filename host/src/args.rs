//! The command line: what can be written, and the help that teaches it. Pure but for the
//! environment variable `NODE_NAME`.

mod help;
mod pages;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::config::{
    Dataplane, Label, LogFormat, LogLevel, NodeName, Overrides, Packets, Policy, PolicySettings,
    ServerUrl, packets,
};

pub use crate::policy_cmd::PolicyArgs;
pub use pages::{NotMade, completion, man};

/// A Kubernetes service proxier whose balancing is chosen by WebAssembly policies
#[derive(Clone, Debug, Parser)]
#[command(name = "weir", version, propagate_version = false, disable_version_flag = false)]
#[command(subcommand_required = true, arg_required_else_help = true, after_help = help::WEIR)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Least important log line to write [default: info]
    #[arg(long, global = true, value_enum, value_name = "LEVEL")]
    pub log_level: Option<LogLevel>,
    /// How log lines are written [default: text]
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Folder of the daemon's lock, socket and state [default: /run/weir]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub run_dir: Option<PathBuf>,
}

/// Where services, policies and settings come from; each is also in the configuration file.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceArgs {
    /// Configuration file: a WeirConfiguration, or kube-proxy's KubeProxyConfiguration
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Kubeconfig of the API server to read objects from [default: the pod's ServiceAccount]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub kubeconfig: Option<PathBuf>,
    /// Base URL of an API server, in place of the kubeconfig's; may be given several times, and the
    /// next is asked where one fails
    #[arg(long = "api-server", value_name = "URL")]
    pub api_servers: Vec<ServerUrl>,
    /// Folder of Kubernetes manifests (YAML or JSON, sub-folders too), in place of an API server
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub manifests: Option<PathBuf>,
    /// Name of the Node object to serve [default: the host's name]
    #[arg(long, value_name = "NAME", env = "NODE_NAME", hide_env_values = true)]
    pub node_name: Option<NodeName>,
    /// What carries services on which no policy has an opinion [default: auto]
    #[arg(long, value_enum, value_name = "DATAPLANE")]
    pub dataplane: Option<Dataplane>,
    /// After how many packets of a flow it is offloaded, where no policy has an opinion; 0 is never
    /// [default: 20]
    #[arg(long, value_name = "N", value_parser = packets, allow_negative_numbers = true)]
    pub fastpath_packet_threshold: Option<Packets>,
    /// A policy component; may be given several times, first asked first, and replaces the list
    /// of the configuration file. Its name is the file's, or the one given
    #[arg(long = "policy", value_name = "[NAME=]FILE", value_parser = policy)]
    pub policies: Vec<Policy>,
}

impl SourceArgs {
    /// Whether these name a source of services to work from, rather than the running daemon's.
    ///
    /// # Errors
    /// They name none, and settings that the running daemon would not heed.
    pub fn is_offline(&self) -> Result<bool, NoSource> {
        let servers = self.kubeconfig.is_some() || !self.api_servers.is_empty();
        if self.config.is_some() || self.manifests.is_some() || servers {
            return Ok(true);
        }
        // In a pod the environment names the node of every command.
        let from_environment = std::env::var("NODE_NAME").ok();
        let node_name = self.node_name.as_ref().map(ToString::to_string);
        let given = [
            ("--policy", !self.policies.is_empty()),
            ("--dataplane", self.dataplane.is_some()),
            ("--fastpath-packet-threshold", self.fastpath_packet_threshold.is_some()),
            ("--node-name", node_name.is_some() && node_name != from_environment),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(NoSource(flag)),
            None => Ok(false),
        }
    }
}

/// A setting for which there is nothing to apply it to.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0} changes nothing in the running daemon: give --config FILE, --manifests DIR or --kubeconfig FILE as well to work \
     it out without the daemon, or leave it out to ask the daemon"
)]
pub struct NoSource(&'static str);

/// `NAME=FILE`, or `FILE` with the name made of the file's.
fn policy(text: &str) -> Result<Policy, String> {
    let (name, file) = match text.split_once('=') {
        Some((name, file)) => (name.to_owned(), Path::new(file)),
        None => {
            let stem = Path::new(text).file_stem().unwrap_or_default().to_string_lossy();
            (stem.to_lowercase().replace(['_', '.'], "-"), Path::new(text))
        }
    };
    if file.as_os_str().is_empty() {
        return Err("the file's name is empty".to_owned());
    }
    let name = Label::from_str(&name).map_err(|error| format!("{error}; write NAME=FILE"))?;
    Ok(Policy { name, file: file.to_owned(), config: PolicySettings::default() })
}

/// What weir does.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Serve the node's services until told to stop
    #[command(after_help = help::RUN)]
    Run(RunArgs),
    /// Show what would change in the kernel, and change nothing
    #[command(after_help = help::PLAN)]
    Plan(PlanArgs),
    /// Say why one service is balanced as it is
    #[command(after_help = help::EXPLAIN)]
    Explain(ExplainArgs),
    /// Check what this kernel has, what is missing, and who else is in weir's way
    #[command(after_help = help::DOCTOR)]
    Doctor(DoctorArgs),
    /// Show what the running daemon does
    #[command(after_help = help::STATUS)]
    Status(StatusArgs),
    /// Collect all that helps to understand this node in one archive, without secrets
    #[command(after_help = help::BUGREPORT)]
    Bugreport(BugreportArgs),
    /// Remove from the kernel what weir made, and nothing else
    #[command(after_help = help::CLEANUP)]
    Cleanup(CleanupArgs),
    /// Let the running daemon look at the kernel and its sources now
    #[command(after_help = help::SYNC)]
    Sync(SyncArgs),
    /// Show or change how much the running daemon logs, until it ends
    #[command(after_help = help::LOG_LEVEL)]
    LogLevel(LogLevelArgs),
    /// Make the node ready for a daemon without privileges, and exit; for a privileged init container
    #[command(after_help = help::INIT)]
    Init(InitArgs),
    /// Make policies, and look at them
    #[command(after_help = help::POLICY)]
    Policy(PolicyArgs),
    /// Check, show and convert configuration files
    #[command(after_help = help::CONFIG)]
    Config(ConfigArgs),
    /// Turn kube-proxy's configuration into weir's, and say what differs and what to do
    #[command(after_help = help::MIGRATE)]
    Migrate(MigrateArgs),
    /// Print shell completion
    #[command(after_help = help::COMPLETION)]
    Completion(CompletionArgs),
    /// Print the manual page, or write those of all commands
    #[command(after_help = help::MAN)]
    Man(ManArgs),
    /// Print the version
    Version(VersionArgs),
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// How a plan is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PlanOutput {
    /// One line an operation.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// What a plan starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Against {
    /// What this kernel holds now; needs CAP_NET_ADMIN.
    #[default]
    Kernel,
    /// A kernel that holds nothing; needs no privilege.
    Empty,
}

/// `weir run`.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// Sources.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Write the configuration in force, defaults too, to FILE and exit
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub write_config_to: Option<PathBuf>,
}

/// `weir plan`.
#[derive(Args, Clone, Debug)]
pub struct PlanArgs {
    /// Sources.
    #[command(flatten)]
    pub source: SourceArgs,
    /// What the plan starts from
    #[arg(long, value_enum, default_value_t)]
    pub against: Against,
    /// How the plan is printed
    #[arg(long, short, value_enum, default_value_t)]
    pub output: PlanOutput,
}

/// The namespace and the name of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceName {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl FromStr for ServiceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((namespace, name))
                if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
            {
                Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            _ => Err("expected NAMESPACE/SERVICE, for example default/web".to_owned()),
        }
    }
}

/// `weir explain`.
#[derive(Args, Clone, Debug)]
pub struct ExplainArgs {
    /// The service
    #[arg(value_name = "NAMESPACE/SERVICE")]
    pub service: ServiceName,
    /// Sources.
    #[command(flatten)]
    pub source: SourceArgs,
    /// How the answer is printed
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// `weir doctor`.
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// Configuration file: what it asks for is checked too
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// How the answer is printed
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// `weir status`.
#[derive(Args, Clone, Debug)]
pub struct StatusArgs {
    /// How the answer is printed
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// `weir bugreport`.
#[derive(Args, Clone, Debug)]
pub struct BugreportArgs {
    /// The archive, which must not be there yet; - is standard output
    /// [default: weir-bugreport-SECONDS.tar.gz in this folder]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Configuration file, for where the daemon doesn't run to tell its own
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
}

/// `weir cleanup`.
#[derive(Args, Clone, Debug)]
pub struct CleanupArgs {
    /// Leave virtual services and their addresses; remove the rest
    #[arg(long)]
    pub keep_ipvs: bool,
    /// Stay until told to end, once nothing remains; for a DaemonSet, whose pods count as done while they run
    #[arg(long)]
    pub stay: bool,
}

/// `weir sync`.
#[derive(Args, Clone, Debug)]
pub struct SyncArgs {}

/// `weir log-level`.
#[derive(Args, Clone, Debug)]
pub struct LogLevelArgs {
    /// The least important line to write from now on [default: leave it as it is]
    #[arg(value_enum, value_name = "LEVEL")]
    pub level: Option<LogLevel>,
}

/// `weir init`.
#[derive(Args, Clone, Debug)]
pub struct InitArgs {
    /// Configuration file: strictARP and the section conntrack have sysctls of their own, and paths says
    /// which folders are made
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Exit 0 even if something stays wrong; the daemon names it again and serves without
    #[arg(long)]
    pub warn_only: bool,
}

/// `weir config …`.
#[derive(Args, Clone, Debug)]
pub struct ConfigArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What can be done with configuration files.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Tell everything that is wrong with a file; exit 1 if anything is
    Check {
        /// The file
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Fail as well if a kube-proxy file asks for something that it doesn't get, or a policy's file
        /// can't be read
        #[arg(long)]
        strict: bool,
    },
    /// Print the configuration in force: defaults, then the file, then flags
    Show {
        /// Sources.
        #[command(flatten)]
        source: Box<SourceArgs>,
    },
    /// Print the defaults
    Default,
    /// Print a kube-proxy file as a WeirConfiguration, and on standard error what is lost
    Convert {
        /// The file
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Print a JSON schema for editors
    Schema,
    /// Print the reference as Markdown
    #[command(hide = true)]
    Reference,
}

/// `weir migrate`.
#[derive(Args, Clone, Debug)]
pub struct MigrateArgs {
    /// kube-proxy's configuration, or the ConfigMap that holds it; - is standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub from_kube_proxy: PathBuf,
    /// Write weir's configuration to FILE, and the report to standard output [default: the
    /// configuration to standard output, and the report to standard error]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub out: Option<PathBuf>,
    /// How the report is printed; in JSON the configuration is part of it
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// `weir completion`.
#[derive(Args, Clone, Debug)]
pub struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// `weir man`.
#[derive(Args, Clone, Debug)]
pub struct ManArgs {
    /// Write one page for each command into this folder
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub folder: Option<PathBuf>,
}

/// `weir version`.
#[derive(Args, Clone, Debug)]
pub struct VersionArgs {
    /// How the answer is printed
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

impl GlobalArgs {
    /// What these and `source` say, for [`crate::config::load`].
    #[must_use]
    pub fn overrides(&self, source: &SourceArgs) -> Overrides {
        Overrides {
            node_name: source.node_name.clone(),
            kubeconfig: source.kubeconfig.clone(),
            api_servers: source.api_servers.clone(),
            manifests: source.manifests.clone(),
            dataplane: source.dataplane,
            fastpath_packet_threshold: source.fastpath_packet_threshold,
            policies: source.policies.clone(),
            log_level: self.log_level,
            log_format: self.log_format,
            run_dir: self.run_dir.clone(),
        }
    }
}
