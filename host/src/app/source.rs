//! Where objects are read from: which source is configured, and how it is opened.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::Receiver;

use crate::config::{Config, ServerUrl};
use crate::drive::Rescan;
use crate::report::events::Tell;
use crate::watch::Event;
use crate::watch::api::{
    self, Access, Counts, Credentials, Followed, Patience, SERVICE_ACCOUNT, watch_api,
};
use crate::watch::manifests::{Settings, watch_directory};

/// Where objects are read from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A folder of manifests.
    Manifests(PathBuf),
    /// A cluster's API servers.
    Api(api::Settings),
}

/// A source that is open.
pub(super) struct Opened {
    /// What it tells.
    pub(super) events: Receiver<Event>,
    /// Has it look now.
    pub(super) rescan: Box<dyn Rescan>,
    /// Takes what is to be told of Services.
    pub(super) tell: Tell,
}

/// The address of the Service `kubernetes`, as a pod's environment names it.
struct InCluster {
    host: String,
    port: String,
}

impl InCluster {
    fn find() -> Option<Self> {
        let set = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let port = set("KUBERNETES_SERVICE_PORT").unwrap_or_else(|| "443".to_owned());
        Some(Self { host: set("KUBERNETES_SERVICE_HOST")?, port })
    }

    fn url(&self) -> Result<ServerUrl> {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        let url = format!("https://{open}{}{close}:{}", self.host, self.port);
        url.parse().context("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT")
    }
}

/// The source that the configuration names, else that of the pod that weir runs in.
///
/// # Errors
/// There is none, or only one that can't work.
pub fn source(config: &Config) -> Result<Source> {
    choose(config, InCluster::find().as_ref())
}

fn choose(config: &Config, pod: Option<&InCluster>) -> Result<Source> {
    if let Some(folder) = &config.manifests {
        return Ok(Source::Manifests(folder.clone()));
    }
    let account = || Credentials::ServiceAccount(SERVICE_ACCOUNT.into());
    let (credentials, servers) = match (&config.kubeconfig, config.api_servers.as_slice(), pod) {
        (Some(file), servers, _) => (Credentials::Kubeconfig(file.clone()), servers.to_vec()),
        (None, servers @ [_, ..], _) => (account(), servers.to_vec()),
        (None, [], Some(pod)) if config.service_proxy_name.is_some() => {
            (account(), vec![pod.url()?])
        }
        (None, [], Some(pod)) => bail!(
            "the pod's environment names the API server by {}, the address of a Service that weir \
             itself has to make work, so that it would never start on a node without another proxy: \
             give the API servers' own addresses in `apiServers:` or with --api-server \
             (`kubectl get endpointslices -l kubernetes.io/service-name=kubernetes` shows them)",
            pod.host
        ),
        (None, [], None) => bail!(
            "no source of services: name a kubeconfig (--kubeconfig FILE, or `kubeconfig:` in the \
             configuration), API servers for the pod's ServiceAccount (--api-server URL, \
             `apiServers:`), or a folder of manifests (--manifests DIR, `manifests:`)"
        ),
    };
    Ok(Source::Api(api::Settings {
        access: Access { credentials, servers },
        node_name: config.resolved_node_name()?.to_string(),
        proxy_name: config.service_proxy_name.as_ref().map(ToString::to_string),
        patience: Patience::default(),
    }))
}

impl Source {
    /// Opens the source.
    pub(super) fn open(
        &self,
        config: &Config,
        runtime: &Runtime,
        counts: Arc<Counts>,
    ) -> Result<Opened> {
        match self {
            Self::Manifests(folder) => {
                let rescan = config.sync.refresh_period.get();
                let settings = Settings { rescan, ..Settings::default() };
                let (watch, events) =
                    watch_directory(folder, settings).context("read the manifests")?;
                // Files have nobody to tell.
                Ok(Opened { events, rescan: Box::new(watch), tell: Box::new(|_, _| {}) })
            }
            Self::Api(settings) => {
                let opened = runtime.block_on(watch_api(settings, counts));
                let Followed { events, asks, tell } = opened.context("follow the API server")?;
                // What the server has to say it says by itself.
                let rescan = Box::new(move || asks.blocking_send(Event::Rescanned).is_ok());
                Ok(Opened { events, rescan, tell })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        let text =
            format!("apiVersion: weir.dev/v1alpha1\nkind: WeirConfiguration\nnodeName: n\n{text}");
        let flags = crate::config::Overrides::default();
        crate::config::parse(std::path::Path::new("/etc/weir/config.yaml"), &text, &flags)
            .unwrap()
            .0
    }

    fn chosen(text: &str, host: Option<&str>) -> String {
        let pod = host.map(|host| InCluster { host: host.to_owned(), port: "443".to_owned() });
        match choose(&config(text), pod.as_ref()) {
            Ok(Source::Manifests(folder)) => format!("manifests {}", folder.display()),
            Ok(Source::Api(api::Settings { access, proxy_name, .. })) => {
                let servers: Vec<_> = access.servers.iter().map(ToString::to_string).collect();
                format!("{}; {}; {proxy_name:?}", access.credentials, servers.join(" "))
            }
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn the_source_is_the_one_that_is_named() {
        let account = format!("the ServiceAccount of {SERVICE_ACCOUNT}/token");
        let pod = Some("10.96.0.1");
        let cases = [
            ("manifests: m", pod, "manifests /etc/weir/m".to_owned()),
            ("kubeconfig: k", pod, "the user of kubeconfig /etc/weir/k; ; None".to_owned()),
            (
                "kubeconfig: k\napiServers: ['https://a:1', 'https://b:2']",
                None,
                "the user of kubeconfig /etc/weir/k; https://a:1 https://b:2; None".to_owned(),
            ),
            ("apiServers: ['https://a:1']", None, format!("{account}; https://a:1; None")),
            (
                "serviceProxyName: weir",
                pod,
                format!("{account}; https://10.96.0.1:443; Some(\"weir\")"),
            ),
            (
                "serviceProxyName: weir",
                Some("fd00::1"),
                format!("{account}; https://[fd00::1]:443; Some(\"weir\")"),
            ),
        ];
        for (text, host, want) in cases {
            assert_eq!(chosen(text, host), want, "{text}");
        }
    }

    #[test]
    fn a_source_that_cant_work_is_refused_with_words() {
        let own = chosen("", Some("10.96.0.1"));
        assert!(own.contains("10.96.0.1") && own.contains("apiServers"), "{own}");
        assert!(chosen("", None).contains("no source of services"));
    }
}
