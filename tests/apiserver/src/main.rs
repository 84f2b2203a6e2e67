//! The scripted API server as a program: serves what a folder of manifests holds.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use clap::Parser;
use serde_json::{Value, json};
use weir_apiserver::{Authority, Resource, Server, Settings};

/// How often the folder is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// A Kubernetes API server of the objects in a folder, for tests.
///
/// It accepts one token, which it writes into a kubeconfig. Objects may also be put and deleted by
/// requests; POST /script/cut, /script/forget and /script/end-watches make it fail.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// Address and port to listen on.
    #[arg(long, default_value = "127.0.0.1:6443")]
    listen: SocketAddr,
    /// Folder of manifests: YAML documents, one object each.
    #[arg(long, value_name = "DIR")]
    manifests: PathBuf,
    /// File that tells how it is reached; it is there once the server listens.
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,
}

#[tokio::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    let authority = Authority::new("scripted")?;
    let settings = Settings {
        address: cli.listen,
        names: vec![cli.listen.ip().to_string()],
        tokens: ["scripted".to_owned()].into(),
        ..Settings::default()
    };
    let server = Server::start(settings, &authority).await?;
    let mut folder =
        Folder { path: cli.manifests, files: BTreeMap::new(), served: BTreeMap::new() };
    folder.serve(&server)?;
    let ca = cli.kubeconfig.with_extension("crt");
    write(&ca, authority.pem())?;
    write(&cli.kubeconfig, &kubeconfig(&server.url(), &ca).to_string())?;
    loop {
        tokio::time::sleep(LOOK).await;
        if let Err(error) = folder.serve(&server) {
            eprintln!("{error:#}");
        }
    }
}

/// Written whole or not at all.
fn write(path: &Path, text: &str) -> Result<()> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, text).with_context(|| format!("write {}", partial.display()))?;
    std::fs::rename(&partial, path).with_context(|| format!("write {}", path.display()))
}

fn kubeconfig(url: &str, ca: &Path) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "scripted",
        "contexts": [{"name": "scripted", "context": {"cluster": "scripted", "user": "scripted"}}],
        "clusters": [{"name": "scripted", "cluster": {"server": url, "certificate-authority": ca}}],
        "users": [{"name": "scripted", "user": {"token": "scripted"}}],
    })
}

type Id = (Resource, String, String);

struct Folder {
    path: PathBuf,
    files: BTreeMap<PathBuf, File>,
    served: BTreeMap<Id, Value>,
}

/// A file that was read.
struct File {
    mark: Mark,
    objects: Vec<(Id, Value)>,
}

/// When a file was written, its length and its inode: another file has another.
type Mark = (SystemTime, u64, u64);

impl Folder {
    /// Makes the server hold what the folder holds.
    fn serve(&mut self, server: &Server) -> Result<()> {
        if !self.look()? {
            return Ok(());
        }
        let objects = self.files.values().flat_map(|file| file.objects.iter().cloned());
        let found: BTreeMap<_, _> = objects.collect();
        for (id, object) in &found {
            if self.served.get(id) != Some(object) {
                server.put(object.clone());
            }
        }
        for (resource, namespace, name) in self.served.keys().filter(|id| !found.contains_key(id)) {
            server.remove(resource, namespace, name);
        }
        self.served = found;
        Ok(())
    }

    /// Reads what is new; says whether anything is, or has gone.
    fn look(&mut self) -> Result<bool> {
        let mut before = std::mem::take(&mut self.files);
        let (mut files, mut changed) = (BTreeMap::new(), false);
        for entry in std::fs::read_dir(&self.path).context("read the folder")? {
            let path = entry?.path();
            let known = before.remove(&path);
            let mark = mark(&path).with_context(|| format!("read {}", path.display()))?;
            let file = match known.filter(|file| file.mark == mark) {
                Some(file) => file,
                None => {
                    changed = true;
                    let objects =
                        read(&path).with_context(|| format!("read {}", path.display()))?;
                    File { mark, objects }
                }
            };
            files.insert(path, file);
        }
        self.files = files;
        Ok(changed || !before.is_empty())
    }
}

fn mark(path: &Path) -> Result<Mark> {
    let about = std::fs::metadata(path)?;
    Ok((about.modified()?, about.len(), about.ino()))
}

fn read(path: &Path) -> Result<Vec<(Id, Value)>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(&std::fs::read_to_string(path)?)?;
    let objects = documents.into_iter().filter(|object| !object.is_null());
    objects.map(|object| Ok((id(&object)?, object))).collect()
}

fn id(object: &Value) -> Result<Id> {
    let resource = Resource::of(object).context("an object without apiVersion and kind")?;
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    Ok((resource, text("namespace"), text("name")))
}
