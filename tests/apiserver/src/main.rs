//! The scripted API server as a program: serves what a folder of manifests holds.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
    let mut folder = Folder { path: cli.manifests, served: BTreeMap::new() };
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
    served: BTreeMap<Id, Value>,
}

impl Folder {
    /// Makes the server hold what the folder holds.
    fn serve(&mut self, server: &Server) -> Result<()> {
        let mut found = BTreeMap::new();
        for entry in std::fs::read_dir(&self.path).context("read the folder")? {
            let path = entry?.path();
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("read {}", path.display()))?;
            let documents: Vec<Value> = serde_saphyr::from_multiple(&text)
                .with_context(|| format!("read {}", path.display()))?;
            for object in documents.into_iter().filter(|it| !it.is_null()) {
                found
                    .insert(id(&object).with_context(|| format!("in {}", path.display()))?, object);
            }
        }
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
}

fn id(object: &Value) -> Result<Id> {
    let resource = Resource::of(object).context("an object without apiVersion and kind")?;
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    Ok((resource, text("namespace"), text("name")))
}
