//! One configuration from defaults, a file and flags; later ones win. Reads that file.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::decode::decode;
use super::fault::{ConfigError, ConfigErrors, FieldPath, Notice, Problem, Step};
use super::log::{LogFormat, LogLevel};
use super::offload::Packets;
use super::policies::Policy;
use super::server_url::ServerUrl;
use super::text::NodeName;
use super::yaml::{self, Node, Value};
use super::{API_VERSION, Config, Dataplane, KIND, kubeproxy};

/// What the command line says; a value here beats the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--node-name`.
    pub node_name: Option<NodeName>,
    /// `--kubeconfig`.
    pub kubeconfig: Option<PathBuf>,
    /// `--api-server`, in order; if there is any, the file's list isn't used.
    pub api_servers: Vec<ServerUrl>,
    /// `--manifests`; it takes the place of the file's API servers too, as those flags do of its folder.
    pub manifests: Option<PathBuf>,
    /// `--dataplane`.
    pub dataplane: Option<Dataplane>,
    /// `--fastpath-packet-threshold`.
    pub fastpath_packet_threshold: Option<Packets>,
    /// `--policy`, in order; if there is any, the file's list isn't used.
    pub policies: Vec<Policy>,
    /// `--log-level`.
    pub log_level: Option<LogLevel>,
    /// `--log-format`.
    pub log_format: Option<LogFormat>,
    /// `--run-dir`.
    pub run_dir: Option<PathBuf>,
}

impl Overrides {
    /// A flag that names a source replaces the file's, whichever that was.
    fn apply_source(&self, config: &mut Config) {
        let names_servers = self.kubeconfig.is_some() || !self.api_servers.is_empty();
        if let Some(folder) = &self.manifests {
            config.manifests = Some(folder.clone());
            if !names_servers {
                (config.kubeconfig, config.api_servers) = (None, Vec::new());
            }
        } else if names_servers {
            config.manifests = None;
        }
        if let Some(file) = &self.kubeconfig {
            config.kubeconfig = Some(file.clone());
            config.api_servers = Vec::new();
        }
        if !self.api_servers.is_empty() {
            config.api_servers.clone_from(&self.api_servers);
        }
    }

    fn apply(&self, config: &mut Config) {
        if let Some(name) = &self.node_name {
            config.node_name = Some(name.clone());
        }
        self.apply_source(config);
        config.dataplane = self.dataplane.unwrap_or(config.dataplane);
        let threshold = &mut config.offload.after_packets;
        *threshold = self.fastpath_packet_threshold.unwrap_or(*threshold);
        if !self.policies.is_empty() {
            config.policies.clone_from(&self.policies);
        }
        config.log.level = self.log_level.unwrap_or(config.log.level);
        config.log.format = self.log_format.unwrap_or(config.log.format);
        if let Some(folder) = &self.run_dir {
            config.paths.run_dir.clone_from(folder);
        }
    }
}

/// Defaults, then the file at `path` if there is one, then flags.
///
/// The notices name what a kube-proxy file asks for and doesn't get; a `WeirConfiguration` has none.
///
/// # Errors
/// Everything that is wrong, not only the first thing: the file can't be read, isn't YAML, is of
/// an unknown kind, has unknown fields or values that aren't allowed.
pub fn load(path: Option<&Path>, flags: &Overrides) -> Result<(Config, Vec<Notice>), ConfigErrors> {
    match path {
        Some(path) => parse(path, &read(path)?, flags),
        None => finish(None, None, Config::default(), Vec::new(), flags).map(|c| (c, Vec::new())),
    }
}

pub(super) fn read(path: &Path) -> Result<String, ConfigErrors> {
    let opened = File::open(path).map_err(|error| unreadable(path, &error))?;
    read_from(path, opened)
}

/// The text of a file that is open; `path` is named in errors.
pub(super) fn read_from(path: &Path, file: impl Read) -> Result<String, ConfigErrors> {
    let wrong = |text: String| ConfigErrors::one(Some(path.to_owned()), None, text);
    let mut bytes = Vec::new();
    let limit = yaml::MAX_BYTES as u64 + 1;
    file.take(limit).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    if bytes.len() > yaml::MAX_BYTES {
        return Err(wrong(format!("is larger than {} bytes", yaml::MAX_BYTES)));
    }
    String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8 text".to_owned()))
}

pub(super) fn unreadable(path: &Path, error: &io::Error) -> ConfigErrors {
    ConfigErrors::one(Some(path.to_owned()), None, format!("can't be read: {error}"))
}

/// As [`load`], with the text of the file at hand. `path` is named in errors, and relative paths
/// in the text start at its folder.
///
/// # Errors
/// As [`load`], without those of reading.
pub fn parse(
    path: &Path,
    text: &str,
    flags: &Overrides,
) -> Result<(Config, Vec<Notice>), ConfigErrors> {
    let file = || Some(path.to_owned());
    let mut root = yaml::parse(text)
        .map_err(|e| ConfigErrors::one(file(), e.line, format!("is not YAML: {}", e.text)))?;
    let kind =
        document_kind(&mut root).map_err(|(line, text)| ConfigErrors::one(file(), line, text))?;
    let (config, notices, faults) = match kind {
        Kind::Weir => {
            let (config, faults) = decode(&mut root);
            (config, Vec::new(), faults)
        }
        Kind::KubeProxy => kubeproxy::read(&mut root),
    };
    let faults = faults.into_iter().map(|fault| ConfigError {
        file: file(),
        line: Some(fault.line),
        path: fault.path,
        text: fault.text,
    });
    let mut config = config.unwrap_or_default();
    anchor(&mut config, path.parent());
    let config = finish(Some(path), Some(&root), config, faults.collect(), flags)?;
    Ok((config, notices))
}

enum Kind {
    Weir,
    KubeProxy,
}

/// Takes `apiVersion` and `kind` out and says what they name.
fn document_kind(root: &mut Node) -> Result<Kind, (Option<u64>, String)> {
    let want = format!(
        "expected `apiVersion: {API_VERSION}` with `kind: {KIND}`, or `apiVersion: {}` with `kind: {}`",
        kubeproxy::API_VERSION,
        kubeproxy::KIND
    );
    if !matches!(root.value, Value::Map(_)) {
        return Err((
            Some(root.line).filter(|line| *line > 0),
            format!("is not a configuration: {want}"),
        ));
    }
    let version = root.take("apiVersion");
    let kind = root.take("kind");
    let text = |node: &Option<Node>| match node {
        Some(Node { value: Value::Text(text), .. }) => text.clone(),
        _ => String::new(),
    };
    match (text(&version).as_str(), text(&kind).as_str()) {
        (API_VERSION, KIND) => Ok(Kind::Weir),
        (kubeproxy::API_VERSION, kubeproxy::KIND) => Ok(Kind::KubeProxy),
        (version_text, kind_text) => {
            let line = kind.or(version).map(|node| node.line);
            Err((
                line,
                format!("apiVersion `{version_text}` with kind `{kind_text}` is not known: {want}"),
            ))
        }
    }
}

/// Lets relative paths start at the configuration file's folder.
fn anchor(config: &mut Config, folder: Option<&Path>) {
    let Some(folder) = folder else { return };
    for path in [&mut config.manifests, &mut config.kubeconfig].into_iter().flatten() {
        *path = folder.join(&*path);
    }
    for policy in config.policies.iter_mut().filter(|p| !p.file.as_os_str().is_empty()) {
        policy.file = folder.join(&policy.file);
    }
}

fn finish(
    path: Option<&Path>,
    root: Option<&Node>,
    mut config: Config,
    mut errors: Vec<ConfigError>,
    flags: &Overrides,
) -> Result<Config, ConfigErrors> {
    flags.apply(&mut config);
    for Problem { path: field, text } in config.check() {
        let field = root.map_or_else(|| field.clone(), |root| root.as_written(&field));
        if !reported(&errors, &field) {
            let line = root.and_then(|root| line_of(root, &field));
            errors.push(ConfigError { file: path.map(Path::to_owned), line, path: field, text });
        }
    }
    if errors.is_empty() {
        return Ok(config);
    }
    errors.sort_by_key(|error| error.line);
    Err(ConfigErrors(errors))
}

/// Whether the field, one that it lies in, or an element of it already has an error: its value is
/// then one that nobody wrote.
fn reported(errors: &[ConfigError], field: &FieldPath) -> bool {
    let is_element = |error: &ConfigError| {
        let below = error.path.steps().strip_prefix(field.steps());
        below.is_some_and(|below| matches!(below, [Step::Index(_)]))
    };
    let lies_in = |error: &ConfigError| field.steps().starts_with(error.path.steps());
    errors.iter().any(|error| lies_in(error) || is_element(error))
}

/// The line of the field, or of the innermost map around it that was written.
fn line_of(root: &Node, field: &FieldPath) -> Option<u64> {
    let node = root.nearest(field);
    (!std::ptr::eq(node, root)).then_some(node.line)
}
