//! Which API servers there are, and as whom they are asked. Reads the files that say so.
//!
//! Everything is read again whenever a connection is made anew, so that tokens, certificates and CAs
//! may be rotated while weir runs.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::Uri;
use kube::config::{AuthInfo, Config, Context, KubeConfigOptions, Kubeconfig, KubeconfigError};

use super::identity;
use crate::config::{NotAllowed, ServerUrl};

/// Where a pod finds the token and the CA of its ServiceAccount.
pub const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);

/// Stands for "none" until kube has read the rest; a URL that it takes.
const NO_PROXY: &str = "http://none.invalid";

/// As whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// As the current context of this file says.
    Kubeconfig(PathBuf),
    /// As the ServiceAccount whose `token` and `ca.crt` are in this folder.
    ServiceAccount(PathBuf),
}

/// Which API servers there are, and as whom they are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// As whom.
    pub credentials: Credentials,
    /// Base URLs, all of one cluster. Empty: the one that the kubeconfig names.
    pub servers: Vec<ServerUrl>,
}

/// The API servers can't be asked as configured.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The kubeconfig can't be read, or lacks something.
    #[error("kubeconfig {file}: {error}")]
    Kubeconfig {
        /// The file.
        file: PathBuf,
        /// What is wrong with it; kube says an error's cause within its words, so that it is no source here.
        error: Box<KubeconfigError>,
    },
    /// It wants a program to be run.
    #[error(
        "kubeconfig {0}: users[].user.{1} gets its credentials from another program, and weir runs \
         none: use token, tokenFile or client-certificate"
    )]
    Program(PathBuf, &'static str),
    /// A token or a CA can't be read.
    #[error(
        "can't read {file}: outside of a pod give a kubeconfig (--kubeconfig FILE); in a pod, \
         automountServiceAccountToken must not be false"
    )]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        error: std::io::Error,
    },
    /// Nobody said where.
    #[error("no API server is named: give its URL in `apiServers:` or with --api-server")]
    NoServer,
    /// The URL in a kubeconfig.
    #[error("kubeconfig {0}: clusters[].cluster.server: {1}")]
    Server(PathBuf, NotAllowed),
    /// The proxy that a kubeconfig names.
    #[error("kubeconfig {0}: proxy-url isn't supported; name the API servers themselves")]
    Proxy(PathBuf),
    /// TLS can't be set up with what was read.
    #[error("API server {server}")]
    Tls {
        /// Its URL.
        server: Uri,
        /// What is wrong.
        #[source]
        error: Box<kube::Error>,
    },
}

/// What the files say.
pub(super) struct Read {
    /// How to reach each of the servers; never empty.
    pub(super) servers: Vec<Config>,
    pub(super) files: Files,
    /// As whom, in words.
    pub(super) identity: String,
}

/// The files that say it, as they were when they were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Files(BTreeMap<PathBuf, Option<Stamp>>);

/// Device, inode, size and time of the last change: what differs where a file was replaced.
type Stamp = (u64, u64, u64, i64, i64);

impl Files {
    fn note(&mut self, file: &Path) {
        self.0.insert(file.to_owned(), stamp(file));
    }

    pub(super) fn are_as_they_were(&self) -> bool {
        self.0.iter().all(|(file, then)| stamp(file) == *then)
    }
}

fn stamp(file: &Path) -> Option<Stamp> {
    let now = std::fs::metadata(file).ok()?;
    Some((now.dev(), now.ino(), now.len(), now.mtime(), now.mtime_nsec()))
}

impl Access {
    /// How to reach each of the servers, as the files say now.
    pub(super) async fn read(&self) -> Result<Read, AccessError> {
        let mut files = Files::default();
        let (mut config, mut name) = match &self.credentials {
            Credentials::Kubeconfig(file) => kubeconfig(file, &mut files).await?,
            Credentials::ServiceAccount(folder) => (service_account(folder, &mut files)?, None),
        };
        if let Some(file) = config.auth_info.token_file.take() {
            let text = read(Path::new(&file), &mut files)?;
            // Whoever writes a token with an editor ends it with a line.
            config.auth_info.token = Some(text.trim().to_owned().into());
            name = name.or_else(|| identity::subject(text.trim()));
        }
        let servers = match (&self.credentials, self.servers.as_slice()) {
            (Credentials::Kubeconfig(file), []) => {
                let server = config.cluster_url.to_string();
                vec![server.parse().map_err(|wrong| AccessError::Server(file.clone(), wrong))?]
            }
            (_, servers) => servers.to_vec(),
        };
        if servers.is_empty() {
            return Err(AccessError::NoServer);
        }
        let reached_at = |server: ServerUrl| {
            let mut config = config.clone();
            config.cluster_url = server.get().clone();
            config.connect_timeout = Some(CONNECT);
            config
        };
        let servers = servers.into_iter().map(reached_at).collect();
        Ok(Read { servers, files, identity: identity::words(&self.credentials, name) })
    }
}

fn read(file: &Path, files: &mut Files) -> Result<String, AccessError> {
    files.note(file);
    let unreadable = |error| AccessError::Unreadable { file: file.to_owned(), error };
    std::fs::read_to_string(file).map_err(unreadable)
}

impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kubeconfig(file) => write!(f, "the user of kubeconfig {}", file.display()),
            Self::ServiceAccount(folder) => {
                write!(f, "the ServiceAccount of {}", folder.join("token").display())
            }
        }
    }
}

/// How to reach the current context's cluster, and the name of its user.
async fn kubeconfig(
    file: &Path,
    files: &mut Files,
) -> Result<(Config, Option<String>), AccessError> {
    let wrong = |error| AccessError::Kubeconfig { file: file.to_owned(), error: Box::new(error) };
    files.note(file);
    let mut read = Kubeconfig::read_from(file).map_err(wrong)?;
    // Before kube looks at them: it would run them.
    for user in read.auth_infos.iter().filter_map(|named| named.auth_info.as_ref()) {
        if let Some(field) = program(user) {
            return Err(AccessError::Program(file.to_owned(), field));
        }
    }
    let clusters = read.clusters.iter().filter_map(|named| named.cluster.as_ref());
    let authorities = clusters.filter_map(|cluster| cluster.certificate_authority.as_ref());
    authorities.for_each(|file| files.note(Path::new(file)));
    let (cluster, user_name) = match current(&read) {
        Some(context) => (context.cluster.clone(), context.user.clone()),
        None => Default::default(),
    };
    let named = read.clusters.iter_mut().find(|it| it.name == cluster);
    if let Some(cluster) = named.and_then(|it| it.cluster.as_mut()) {
        // An empty one is none to kube.
        if cluster.proxy_url.as_ref().is_some_and(|it| !it.is_empty()) {
            return Err(AccessError::Proxy(file.to_owned()));
        }
        // Where none is named, kube takes HTTPS_PROXY of the environment, which is meant for others, and
        // an error in that for one in the file: API servers are asked directly, as with a ServiceAccount.
        cluster.proxy_url = Some(NO_PROXY.to_owned());
    }
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(read, &options).await.map_err(wrong)?;
    let user = &config.auth_info;
    for file in [&user.client_certificate, &user.client_key].into_iter().flatten() {
        files.note(Path::new(file));
    }
    config.proxy_url = None;
    Ok((config, user_name))
}

fn current(read: &Kubeconfig) -> Option<&Context> {
    let current = read.current_context.as_ref()?;
    read.contexts.iter().find(|named| named.name == *current)?.context.as_ref()
}

fn program(user: &AuthInfo) -> Option<&'static str> {
    let exec = user.exec.as_ref().map(|_| "exec");
    exec.or(user.auth_provider.as_ref().map(|_| "auth-provider"))
}

fn service_account(folder: &Path, files: &mut Files) -> Result<Config, AccessError> {
    let ca = folder.join("ca.crt");
    read(&ca, files)?;
    let mut config = Config::new(Uri::default());
    config.root_cert_file = Some(ca);
    // The file above decides. Without a list kube opens the system's store besides, and an image with
    // nothing but weir in it has none.
    config.root_cert = Some(Vec::new());
    config.auth_info.token_file = Some(folder.join("token").to_string_lossy().into_owned());
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn words(error: &AccessError) -> String {
        format!("{error}: {}", error.source().map(ToString::to_string).unwrap_or_default())
    }

    fn kubeconfig_with(cluster: &str, user: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: a\n\
             contexts: [{{name: a, context: {{cluster: b, user: c}}}}]\n\
             clusters: [{{name: b, cluster: {{{cluster}}}}}]\nusers: [{{name: c, user: {{{user}}}}}]\n"
        )
    }

    async fn configs(text: &str, servers: &[&str]) -> Result<Vec<Config>, AccessError> {
        let folder = folder(&[("config", text), ("token", "secret"), ("ca.crt", "")]);
        let credentials = match text {
            "" => Credentials::ServiceAccount(folder.path().to_owned()),
            _ => Credentials::Kubeconfig(folder.path().join("config")),
        };
        let servers = servers.iter().map(|server| server.parse().unwrap()).collect();
        Access { credentials, servers }.read().await.map(|read| read.servers)
    }

    #[tokio::test]
    async fn servers_come_from_the_list_else_from_the_kubeconfig() {
        let own = kubeconfig_with("server: 'https://10.0.0.1:6443'", "token: t");
        let two = ["https://10.0.0.2:6443", "https://[fd00::1]:6443"];
        let cases: [(&str, &[&str], &[&str]); 4] = [
            (&own, &[], &["https://10.0.0.1:6443/"]),
            (&own, &two, &["https://10.0.0.2:6443/", "https://[fd00::1]:6443/"]),
            ("", &two[..1], &["https://10.0.0.2:6443/"]),
            ("", &["http://127.0.0.1:8001"], &["http://127.0.0.1:8001/"]),
        ];
        for (text, servers, want) in cases {
            let configs = configs(text, servers).await.unwrap();
            let urls: Vec<_> = configs.iter().map(|it| it.cluster_url.to_string()).collect();
            assert_eq!(urls, want);
            assert!(configs.iter().all(|it| it.proxy_url.is_none()), "{text}");
        }
    }

    /// Runs the test above once more where the environment names a proxy, or what can't be one.
    #[test]
    fn a_proxy_of_the_environment_is_not_asked() {
        for proxy in ["http://10.0.0.9:3128", "no URL"] {
            let mut again = std::process::Command::new(std::env::current_exe().unwrap());
            again.arg("servers_come_from_the_list_else_from_the_kubeconfig");
            again.envs([("HTTPS_PROXY", proxy), ("https_proxy", proxy)]);
            let ran = again.output().unwrap();
            let said = String::from_utf8_lossy(&ran.stdout);
            assert!(ran.status.success() && said.contains(" 1 passed"), "{proxy}: {said}");
        }
    }

    #[tokio::test]
    async fn in_a_pod_the_systems_certificates_are_not_needed() {
        let configs = configs("", &["https://10.0.0.1:6443"]).await.unwrap();
        assert!(configs[0].root_cert_file.as_ref().is_some_and(|file| file.ends_with("ca.crt")));
        assert_eq!(configs[0].root_cert, Some(Vec::new()), "None opens the system's store");
    }

    #[tokio::test]
    async fn what_cant_be_used_is_refused_with_words() {
        let server = "server: 'https://10.0.0.1:6443'";
        let exec = "exec: {apiVersion: client.authentication.k8s.io/v1, command: /bin/true}";
        let cases: [(String, &[&str], &str); 7] = [
            (String::new(), &[], "no API server is named"),
            (kubeconfig_with(server, exec), &[], "weir runs none"),
            (kubeconfig_with("server: 'http://10.0.0.1:8080'", "token: t"), &[], "`http` only on"),
            (kubeconfig_with("server: 'https://me:pw@10.0.0.1'", "token: t"), &[], "`https://…@10"),
            ("clusters: 7\n".to_owned(), &[], "kubeconfig /"),
            (kubeconfig_with("insecure-skip-tls-verify: true", "token: t"), &[], "kubeconfig /"),
            (kubeconfig_with(&format!("{server}, proxy-url: 'http://p:1'"), ""), &[], "proxy-url"),
        ];
        for (text, servers, want) in cases {
            let error = words(&configs(&text, servers).await.unwrap_err());
            assert!(error.contains(want), "{text}: {error}");
        }
        let read = async |credentials| {
            let servers = vec!["https://10.0.0.1".parse().unwrap()];
            let error = Access { credentials, servers }.read().await.map(|_| ()).unwrap_err();
            words(&error)
        };
        let absent = read(Credentials::Kubeconfig("/nonexistent/config".into())).await;
        assert_eq!(absent.matches("No such file").count(), 1, "{absent}");
        let error = read(Credentials::ServiceAccount("/nonexistent".into())).await;
        assert!(error.contains("/nonexistent/ca.crt") && error.contains("--kubeconfig"), "{error}");
    }
}
