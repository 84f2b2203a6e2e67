//! From kube-proxy to weir: the configuration that a file becomes, and what people must know. Pure.

mod report;
mod steps;

use std::path::{Path, PathBuf};

use super::differences::{self, ProxyMode};
use super::{Fate, KIND, fields, types};
use crate::config::decode::decode;
use crate::config::fault::{ConfigErrors, FieldPath, Notice, NoticeKind, Step};
use crate::config::yaml::{self, Node, Value};
use crate::config::{Config, Overrides, ServerUrl, load};

pub use report::{Becomes, Outcome, Report, Setting};
pub use steps::Deed;

/// Where a ConfigMap has the file: kubeadm's name for it first.
const KEYS: [&str; 2] = ["config.conf", "config"];
/// Where it has the kubeconfig, kubeadm's name for it.
const KUBECONFIG: &str = "kubeconfig.conf";

/// What becomes of a kube-proxy file.
#[derive(Clone, Debug)]
pub struct Migration {
    /// The configuration.
    pub config: Config,
    /// What people must know.
    pub report: Report,
}

/// Reads a `KubeProxyConfiguration`, or the ConfigMap that holds one. `path` is named in errors;
/// `becomes` is the file that is to hold weir's configuration, named in what is to be done.
///
/// # Errors
/// Everything that is wrong with it, as [`load`](crate::config::load) tells it.
pub fn migrate(path: &Path, text: &str, becomes: &Path) -> Result<Migration, ConfigErrors> {
    let Unwrapped { path, text, of_pods } = unwrapped(path, text)?;
    let (mut config, mut notices) = load::parse(&path, &text, &Overrides::default())?;
    let root = read(&path, &text)?;
    if text_of(&root, "kind") != Some(KIND) {
        let text =
            format!("is weir's own already: expected `kind: {KIND}`, or a ConfigMap with one");
        return Err(ConfigErrors::one(Some(path), None, text));
    }
    if let Some(of_pods) = &of_pods {
        leave_kubeconfig(of_pods, &root, &mut config, &mut notices);
    }
    let mode = mode(&root);
    let settings = settings(&root, &config, &notices);
    let report = Report {
        file: path,
        mode,
        dataplane: config.dataplane,
        settings,
        differences: differences::from(mode),
        steps: steps::of(mode, &config, becomes, of_pods.is_some()),
    };
    Ok(Migration { config, report })
}

fn read(path: &Path, text: &str) -> Result<Node, ConfigErrors> {
    let wrong = |error: yaml::NotYaml| {
        let text = format!("is not YAML: {}", error.text);
        ConfigErrors::one(Some(path.to_owned()), error.line, text)
    };
    yaml::parse(text).map_err(wrong)
}

/// The kubeconfig of kube-proxy's pods is a file that nobody else has.
fn leave_kubeconfig(of_pods: &OfPods, root: &Node, config: &mut Config, notices: &mut Vec<Notice>) {
    const FIELD: &str = "clientConnection.kubeconfig";
    if config.kubeconfig.take().is_none() {
        return;
    }
    config.api_servers.extend(of_pods.server.clone());
    let then = match &of_pods.server {
        Some(server) => format!("`apiServers` has the server that it names, {server}"),
        None => "name the API servers' own addresses in `apiServers`".to_owned(),
    };
    let path = FieldPath::known(FIELD);
    notices.push(Notice {
        line: root.at(&path).map(|node| node.line),
        path,
        kind: NoticeKind::Changed,
        text: format!(
            "the file is in kube-proxy's pods alone, and weir's use their ServiceAccount; {then}"
        ),
    });
}

struct Unwrapped {
    path: PathBuf,
    text: String,
    /// Where it was in a ConfigMap.
    of_pods: Option<OfPods>,
}

/// What a ConfigMap has beside the file.
struct OfPods {
    /// The API server in the pods' kubeconfig.
    server: Option<ServerUrl>,
}

/// The file itself, or what a ConfigMap has of it; lines are counted from its own first one.
fn unwrapped(path: &Path, text: &str) -> Result<Unwrapped, ConfigErrors> {
    let root = read(path, text)?;
    if text_of(&root, "kind") != Some("ConfigMap") {
        return Ok(Unwrapped { path: path.to_owned(), text: text.to_owned(), of_pods: None });
    }
    let data = root.at(&FieldPath::known("data"));
    let entries = match data.map(|node| &node.value) {
        Some(Value::Map(entries)) => entries.as_slice(),
        _ => &[],
    };
    let entry = |key: &str| {
        entries.iter().find_map(|(name, node)| match &node.value {
            Value::Text(text) if name == key => Some(text),
            _ => None,
        })
    };
    let found = KEYS.iter().find_map(|key| entry(key).map(|text| (key, text)));
    let Some((key, text)) = found else {
        let text = format!("is a ConfigMap without `{}` in its data", KEYS.join("` or `"));
        return Err(ConfigErrors::one(Some(path.to_owned()), None, text));
    };
    let path = PathBuf::from(format!("{}[{key}]", path.display()));
    let server = entry(KUBECONFIG).and_then(|text| server(text));
    Ok(Unwrapped { path, text: text.clone(), of_pods: Some(OfPods { server }) })
}

/// The API server that a kubeconfig names, if it can be read.
fn server(kubeconfig: &str) -> Option<ServerUrl> {
    let root = yaml::parse(kubeconfig).ok()?;
    text_of(&root, "clusters[0].cluster.server")?.parse().ok()
}

fn text_of<'a>(root: &'a Node, field: &str) -> Option<&'a str> {
    match &root.at(&FieldPath::known(field))?.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// As the conversion reads it; the file was found to be right.
fn mode(root: &Node) -> ProxyMode {
    let mut alone = Node { line: 1, value: Value::Map(Vec::new()) };
    if let (Value::Map(map), Some(mode)) = (&mut alone.value, root.at(&FieldPath::known("mode"))) {
        map.push(("mode".to_owned(), mode.clone()));
    }
    let (file, _) = decode::<types::File>(&mut alone);
    file.map_or(types::Mode::Unset, |file| file.mode).into()
}

/// Every field that asks for something, or of which there is something to say; in the file's order.
fn settings(root: &Node, config: &Config, notices: &[Notice]) -> Vec<Setting> {
    let mut written = Vec::new();
    collect(root, &FieldPath::default(), &mut written);
    let told = |path: &str| notices.iter().find(|notice| notice.path.to_string() == path);
    let mut settings: Vec<Setting> = written
        .iter()
        .filter(|(path, node)| told(path).is_some() || asks(path, node))
        .map(|(path, node)| report::setting(path, Some(node), told(path), config))
        .collect();
    let is_written = |notice: &&Notice| {
        let path = notice.path.to_string();
        written.iter().any(|(written, _)| *written == path)
    };
    let silent = notices.iter().filter(|notice| !is_written(notice));
    settings.extend(silent.map(|it| report::setting(&it.path.to_string(), None, Some(it), config)));
    settings
}

/// Go's zero asks for nothing, unless the field can be left out by null: then it is a value.
fn asks(path: &str, node: &Node) -> bool {
    if node.value == Value::Null {
        return false;
    }
    let is_optional = types::OPTIONAL.contains(&path);
    fields::find(path).is_some() && (is_optional || !node.is_zero())
}

/// The fields of the list, and what isn't in it, by their paths.
fn collect<'a>(node: &'a Node, path: &FieldPath, found: &mut Vec<(String, &'a Node)>) {
    let Value::Map(map) = &node.value else { return };
    for (key, child) in map {
        let path = path.then(Step::Key(key.clone()));
        let name = path.to_string();
        if fields::find(&name).is_none() && fields::has_children(&name) {
            collect(child, &path, found);
        } else {
            found.push((name, child));
        }
    }
}
