//! The server: its sockets, what is scripted of it, and what it was asked.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ServerConfig, crypto};

use crate::answer::answer;
use crate::authority::Authority;
use crate::fault::Fault;
use crate::question::Question;
use crate::store::{Resource, Store};

/// What a server is like from the start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens; port 0 is any.
    pub address: SocketAddr,
    /// Names and addresses, beside loopback's, that its certificate is for.
    pub names: Vec<String>,
    /// The bearer tokens that it accepts; none: anybody is.
    pub tokens: BTreeSet<String>,
    /// Whether it sends lists as watches (`sendInitialEvents`).
    pub streamed_lists: bool,
    /// The status that refuses them, where it doesn't: 422 where it knows none, 500 where its etcd doesn't.
    pub streams_refused: u16,
    /// What it doesn't know.
    pub unserved: BTreeSet<Resource>,
    /// How often a quiet watch gets a bookmark.
    pub bookmarks: Duration,
}

impl Default for Settings {
    /// Any port on 127.0.0.1, for anybody; lists are streamed; a bookmark each second.
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            names: Vec::new(),
            tokens: BTreeSet::new(),
            streamed_lists: true,
            streams_refused: 422,
            unserved: BTreeSet::new(),
            bookmarks: Duration::from_secs(1),
        }
    }
}

/// One request that came.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asked {
    /// As RBAC names it.
    pub verb: String,
    /// Of what; with its group, as `endpointslices.discovery.k8s.io`.
    pub resource: String,
    /// The query as it was written.
    pub query: String,
}

/// A failure that is scripted.
struct Scripted {
    verb: Option<String>,
    resource: Option<Resource>,
    times: usize,
    fault: Fault,
}

#[derive(Default)]
struct Script {
    tokens: BTreeSet<String>,
    faults: VecDeque<Scripted>,
}

/// What all connections share.
pub(crate) struct Cluster {
    pub(crate) settings: Settings,
    store: Mutex<Store>,
    script: Mutex<Script>,
    asked: Mutex<Vec<Asked>>,
    /// The version of the store.
    pub(crate) changed: watch::Sender<u64>,
    /// Text for the watches of a kind, as it is.
    pub(crate) lines: broadcast::Sender<(Resource, String)>,
    /// Counts the times that watches were ended.
    pub(crate) ended: watch::Sender<u64>,
    /// Counts the times that connections were cut.
    cut: watch::Sender<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cluster {
    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.store)
    }

    /// Tells the watches that the store may have changed.
    pub(crate) fn tell(&self) {
        let version = self.store().version();
        self.changed.send_replace(version);
    }

    pub(crate) fn note(&self, asked: Asked) {
        lock(&self.asked).push(asked);
    }

    pub(crate) fn accepts(&self, token: Option<&str>) -> bool {
        let tokens = &lock(&self.script).tokens;
        tokens.is_empty() || token.is_some_and(|token| tokens.contains(token))
    }

    /// The failure that this request is to meet, if any; it is used up by that.
    pub(crate) fn fault(&self, question: &Question) -> Option<Fault> {
        let faults = &mut lock(&self.script).faults;
        let meant = |it: &Scripted| {
            it.verb.as_deref().is_none_or(|it| question.is_meant_by(it))
                && it.resource.as_ref().is_none_or(|it| *it == question.resource)
        };
        let at = faults.iter().position(meant)?;
        let scripted = &mut faults[at];
        scripted.times -= 1;
        let fault = scripted.fault.clone();
        if scripted.times == 0 {
            faults.remove(at);
        }
        Some(fault)
    }

    pub(crate) fn end_watches(&self) {
        self.ended.send_modify(|count| *count += 1);
    }

    pub(crate) fn cut(&self) {
        self.cut.send_modify(|count| *count += 1);
    }
}

/// A server that runs until it is dropped.
pub struct Server {
    cluster: Arc<Cluster>,
    tls: TlsAcceptor,
    address: SocketAddr,
    listener: Option<JoinHandle<Infallible>>,
}

impl Server {
    /// Listens. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The address can't be had, or no certificate can be made.
    pub async fn start(settings: Settings, authority: &Authority) -> Result<Self> {
        let tls = acceptor(&settings, authority)?;
        let script = Script { tokens: settings.tokens.clone(), faults: VecDeque::new() };
        let address = settings.address;
        let cluster = Arc::new(Cluster {
            settings,
            store: Mutex::default(),
            script: Mutex::new(script),
            asked: Mutex::default(),
            changed: watch::Sender::new(0),
            lines: broadcast::Sender::new(64),
            ended: watch::Sender::new(0),
            cut: watch::Sender::new(0),
        });
        let mut server = Self { cluster, tls, address, listener: None };
        server.listen().await?;
        Ok(server)
    }

    /// Another server of the same cluster, at any port of the same address. What is scripted is
    /// scripted of both; what was asked is told by either.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn replica(&self) -> Result<Self> {
        let mut address = self.address;
        address.set_port(0);
        let (cluster, tls) = (Arc::clone(&self.cluster), self.tls.clone());
        let mut server = Self { cluster, tls, address, listener: None };
        server.listen().await?;
        Ok(server)
    }

    /// Another server of the same cluster, with a certificate of this authority.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn under(&self, authority: &Authority, address: SocketAddr) -> Result<Self> {
        let tls = acceptor(&self.cluster.settings, authority)?;
        let cluster = Arc::clone(&self.cluster);
        let mut server = Self { cluster, tls, address, listener: None };
        server.listen().await?;
        Ok(server)
    }

    /// Listens (again), at the address that it has.
    ///
    /// # Errors
    /// The address can't be had.
    pub async fn listen(&mut self) -> Result<()> {
        let listener = TcpListener::bind(self.address)
            .await
            .with_context(|| format!("listen on {}", self.address))?;
        self.address = listener.local_addr()?;
        let (cluster, tls) = (Arc::clone(&self.cluster), self.tls.clone());
        self.listener = Some(tokio::spawn(accept(listener, cluster, tls)));
        Ok(())
    }

    /// Cuts every connection and refuses new ones, until [`Server::listen`].
    pub async fn stop(&mut self) {
        if let Some(listener) = self.listener.take() {
            listener.abort();
            // Its end is the point, not what it said.
            drop(listener.await);
        }
        self.cut();
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Creates or replaces an object.
    ///
    /// # Panics
    /// It has no `apiVersion` and `kind`.
    pub fn put(&self, object: Value) {
        let resource = Resource::of(&object).expect("an object has apiVersion and kind");
        self.cluster.store().put(&resource, object);
        self.cluster.tell();
    }

    /// Removes an object; says whether it was there.
    pub fn remove(&self, resource: &Resource, namespace: &str, name: &str) -> bool {
        let gone = self.cluster.store().remove(resource, namespace, name);
        self.cluster.tell();
        gone.is_some()
    }

    /// An object, as it is now.
    #[must_use]
    pub fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Option<Value> {
        self.cluster.store().get(resource, namespace, name).cloned()
    }

    /// All objects of a kind.
    #[must_use]
    pub fn list(&self, resource: &Resource) -> Vec<Value> {
        self.cluster.store().list(resource, None).into_iter().map(|(_, it)| it.clone()).collect()
    }

    /// So many of the next requests of this verb for this kind (`None`: any) fail like this. Beside the
    /// verbs of RBAC there is `page`: a page of a list that isn't its first; and `list` is one that is
    /// sent as a watch too.
    pub fn fail(
        &self,
        verb: Option<&str>,
        resource: Option<&Resource>,
        times: usize,
        fault: Fault,
    ) {
        let (verb, resource) = (verb.map(str::to_owned), resource.cloned());
        let scripted = Scripted { verb, resource, times, fault };
        if times > 0 {
            lock(&self.cluster.script).faults.push_back(scripted);
        }
    }

    /// Nothing that is scripted fails any more.
    pub fn heal(&self) {
        lock(&self.cluster.script).faults.clear();
    }

    /// From now on these bearer tokens are accepted.
    pub fn accept(&self, tokens: &[&str]) {
        lock(&self.cluster.script).tokens = tokens.iter().map(|&it| it.to_owned()).collect();
    }

    /// Forgets what happened: no watch can be gone on with, as after compaction.
    pub fn forget(&self) {
        self.cluster.store().forget();
    }

    /// Forgets what happened up to now, as compaction does: a watch can be gone on with only from the
    /// present version.
    pub fn compact(&self) {
        self.cluster.store().compact();
    }

    /// Ends all watches in good order, as a server does when their time is over.
    pub fn end_watches(&self) {
        self.cluster.end_watches();
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        self.cluster.cut();
    }

    /// Sends a line, as it is, to the watches of a kind.
    pub fn say(&self, resource: &Resource, line: &str) {
        self.say_part(resource, &format!("{line}\n"));
    }

    /// Sends a part of a line, as it is, to the watches of a kind.
    pub fn say_part(&self, resource: &Resource, part: &str) {
        // Nobody may be watching.
        drop(self.cluster.lines.send((resource.clone(), part.to_owned())));
    }

    /// What was asked since this was called last.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *lock(&self.cluster.asked))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            listener.abort();
        }
        self.cut();
    }
}

fn acceptor(settings: &Settings, authority: &Authority) -> Result<TlsAcceptor> {
    let (certificate, key) = authority.certify(&settings.names)?;
    let provider = Arc::new(crypto::ring::default_provider());
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    Ok(TlsAcceptor::from(Arc::new(tls)))
}

async fn accept(listener: TcpListener, cluster: Arc<Cluster>, tls: TlsAcceptor) -> Infallible {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&cluster), tls.clone()));
        }
    }
}

/// Serves a connection until it ends or is cut.
async fn serve(stream: TcpStream, cluster: Arc<Cluster>, tls: TlsAcceptor) {
    let mut cut = cluster.cut.subscribe();
    let served = async {
        let Ok(stream) = tls.accept(stream).await else { return };
        let service = service_fn(|request| answer(Arc::clone(&cluster), request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service);
        // A client that goes away is no failure of the server's.
        drop(connection.await);
    };
    tokio::select! {
        () = served => {}
        _ = cut.changed() => {}
    }
}
